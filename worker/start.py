"""Starts a worker: chooses what runs its turns, and loads it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from bridge.errors import SettingsError
from bridge.runtime.imports import add_working_directory, refuse_missing_rasa
from bridge.settings.files import DEFAULT_ENDPOINTS, BrokerSettings, load_endpoint
from bridge.settings.integrations import INTEGRATIONS
from worker import garbage
from worker.early_imports import import_skops
from worker.handler import load_handler, messages_only
from worker.role import work

log = logging.getLogger(__name__)

IN_MEMORY = (
    "the tracker store is in memory: other workers cannot see these conversations, and a restart"
    " loses them; run 'rasa-bridge init', or add a 'tracker_store' (SQL, Redis, MongoDB) to"
    " endpoints.yml"
)
NO_EVENTS = (
    "Rasa cannot load the event broker '%s', so it publishes no events; its type is pika, kafka,"
    " sql, file, or the module.Class of an installed module"
)


class Source(NamedTuple):
    """What runs the turns: a handler, a Rasa server, or else a model."""

    model: str
    remote_storage: str | None = None
    handler: str | None = None
    rasa_url: str | None = None


async def start(
    broker: BrokerSettings,
    source: Source,
    endpoints: str | None,
    level: int,
    limits: dict[str, Any],
) -> None:
    """Run turns with a handler, a Rasa server or a model, until a signal.

    `limits` are the further arguments of `worker.role.work`.

    Raises:
        SettingsError: the handler or the model cannot be loaded, or rasa is not installed.
        TopologyError: the broker and the settings disagree.
    """
    if source.handler:
        await work(broker, messages_only(load_handler(source.handler)), **limits)
    elif source.rasa_url:
        await _ask_server(broker, source.rasa_url, limits)
    else:
        await _run_model(broker, source, endpoints, level, limits)


async def _ask_server(broker: BrokerSettings, rasa_url: str, limits: dict[str, Any]) -> None:
    # The only way to run turns that needs aiohttp.
    from bridge.http.client import HttpClient
    from worker.rasa_server import server_handler

    # The turn's own deadline is the limit; the call may end a little later.
    async with HttpClient(timeout=limits["turn_timeout"] + 10) as http:
        await work(broker, messages_only(server_handler(rasa_url, http)), **limits)


async def _run_model(
    broker: BrokerSettings,
    source: Source,
    endpoints: str | None,
    level: int,
    limits: dict[str, Any],
) -> None:
    # Checked first, because importing rasa takes seconds.
    refuse_missing_rasa()
    _refuse_missing_model(source, endpoints)
    log.info("loading the assistant")
    _import_rasa(source.model)
    from worker import agent as rasa_agent

    # Only now, so that no module of the user shadows one that rasa imports.
    add_working_directory()
    assistant = await rasa_agent.load(
        source.model, _rasa_endpoints(endpoints), level, source.remote_storage
    )
    if not rasa_agent.has_shared_trackers(assistant):
        log.warning("%s%s", _unknown_store(endpoints), IN_MEMORY)
    event_broker = load_endpoint(endpoints, "event_broker")
    if event_broker and not rasa_agent.has_event_broker(assistant):
        log.warning(NO_EVENTS, event_broker.get("type"))
    garbage.keep_what_is_loaded()
    following = asyncio.ensure_future(assistant.follow())
    try:
        await work(
            broker,
            rasa_agent.agent_handler(assistant),
            rasa_agent.AssistantOutput,
            model=assistant.model_name,
            **limits,
        )
    finally:
        following.cancel()


def _refuse_missing_model(source: Source, endpoints: str | None) -> None:
    """Raise if the model has to be in a local folder, and is not."""
    is_elsewhere = source.remote_storage is not None or _has_model_server(endpoints)
    if not is_elsewhere and not Path(source.model).exists():
        raise SettingsError(
            f"{source.model}: no such model", fix="train one with 'rasa train', or name it with -m"
        )


def _import_rasa(model: str) -> None:
    """Import rasa; raise if it is not installed."""
    # The import of Sanic 21.12, which rasa needs, enables these. Those from rasa's libraries would
    # flood the start of the log.
    importlib.import_module("sanic")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    import_skops(model)
    try:
        importlib.import_module("worker.agent")
    except ImportError as error:
        refuse_missing_rasa(error)
        raise


def _unknown_store(endpoints: str | None) -> str:
    """Return the beginning of the warning if Rasa does not know the tracker store that is named."""
    section = load_endpoint(endpoints, "tracker_store")
    kind = str(section.get("store_type") or section.get("type") or "")
    return f"Rasa cannot load the tracker store '{kind}': " if kind not in ("", "in_memory") else ""


def _has_model_server(endpoints: str | None) -> bool:
    """Whether a model may come from a server, so that no local folder is needed."""
    return bool(load_endpoint(endpoints, "models")) or Path(INTEGRATIONS).exists()


def _rasa_endpoints(endpoints: str | None) -> str | None:
    """Return the endpoints file if it exists. Given a missing one, Rasa exits."""
    path = endpoints or DEFAULT_ENDPOINTS
    return path if Path(path).is_file() else None
