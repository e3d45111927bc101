"""Everything in which rasa 3.6 and rasa-pro differ for a worker: the home of rasa in `worker`.

The rest of `worker` imports Rasa's names from here. `tests/contract` checks every name,
signature and default of Rasa that we rely on against both wheels.
"""

from __future__ import annotations

import asyncio
import copy
import signal
import uuid
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rasa.core.agent import Agent, _pull_model_and_fingerprint, load_agent
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.lock_store import InMemoryLockStore
from rasa.shared.core.events import Event
from rasa.utils.endpoints import EndpointConfig

from bridge.errors import SettingsError
from bridge.settings.files import load_endpoint
from bridge.settings.yaml_values import plain
from worker import graphs, queries

IS_PRO = find_spec("rasa.utils.licensing") is not None

if IS_PRO:
    from rasa.core.config.available_endpoints import AvailableEndpoints
    from rasa.core.processor import CalmMessageProcessor as RemindingProcessor
    from rasa.core.tracker_stores.tracker_store import FailSafeTrackerStore, InMemoryTrackerStore
else:
    from rasa.core.processor import MessageProcessor as RemindingProcessor
    from rasa.core.tracker_store import (
        FailSafeTrackerStore,
        InMemoryTrackerStore,
        SQLTrackerStore,
    )
    from rasa.core.utils import AvailableEndpoints

__all__ = [
    "IS_PRO",
    "Agent",
    "AvailableEndpoints",
    "Event",
    "FailSafeTrackerStore",
    "InMemoryLockStore",
    "InMemoryTrackerStore",
    "OutputChannel",
    "RemindingProcessor",
    "UserMessage",
]

SECTIONS = {
    "nlg": "nlg",
    "nlu": "nlu",
    "action": "action_endpoint",
    "model": "models",
    "tracker_store": "tracker_store",
    "lock_store": "lock_store",
    "event_broker": "event_broker",
}
"""Argument of `AvailableEndpoints` in rasa 3.6 → section of endpoints.yml."""
LICENCE_FIX = "the Developer Edition is free: https://rasa.com/docs/pro/intro"


def check_licence() -> None:
    """Let rasa-pro check its licence, as `rasa run` does. rasa 3.6 needs none.

    Raises:
        SettingsError: rasa-pro finds no valid licence.
    """
    if not IS_PRO:
        return
    from rasa.cli.project_env import load_project_dotenv
    from rasa.utils.aws_marketplace_licensing import validate_marketplace_license
    from rasa.utils.licensing import validate_license_from_env

    load_project_dotenv()
    try:
        validate_license_from_env()
    except SystemExit as exit_:
        raise SettingsError(f"rasa-pro: {_line(exit_)}", fix=LICENCE_FIX) from exit_
    validate_marketplace_license()


async def check_limits(agent: Agent) -> None:
    """Let rasa-pro count conversations, now and each day, if the licence limits them.

    Past the limit, Rasa stops its server; here, the worker stops as after SIGTERM.

    Raises:
        SettingsError: the limit is exceeded now.
    """
    if not IS_PRO:
        return
    from rasa.utils.licensing import validate_limited_server_license

    server = SimpleNamespace(
        ctx=SimpleNamespace(agent=agent), stop=lambda: signal.raise_signal(signal.SIGTERM)
    )
    try:
        await validate_limited_server_license(server, asyncio.get_running_loop())
    except SystemExit as exit_:
        raise SettingsError(
            "rasa-pro: the licence's number of conversations is exceeded", fix=LICENCE_FIX
        ) from exit_


def read_endpoints(path: str | None, model: str) -> AvailableEndpoints:
    """Return the endpoints of a file, or defaults without one.

    rasa 3.6 would refuse the whole file for one variable that is not set, also for one that only
    the webhook needs. rasa-pro reads the endpoints of a project with `integrations.yml` from there,
    and keeps them for parts that ask `Configuration`.

    Raises:
        SettingsError: a section is invalid, or rasa-pro ends the process because a file is.
    """
    if not IS_PRO:
        given = {key: load_endpoint(path, section) for key, section in SECTIONS.items()}
        configs = {key: EndpointConfig(**plain(keys)) for key, keys in given.items() if keys}
        return AvailableEndpoints(**configs)
    from rasa.core.config.configuration import Configuration
    from rasa.plugin import plugin_manager

    file = Path(path) if path else None
    try:
        plugin_manager().hook.init_managers(endpoints_file=path, model_path=model)
        configuration = Configuration.initialise_endpoints(file, model_path=model)
        return configuration.initialise_sub_agents(None).endpoints
    except SystemExit as exit_:
        raise SettingsError(f"{path or 'integrations.yml'}: {_line(exit_)}") from exit_


async def load(
    model: str, endpoints: AvailableEndpoints, remote_storage: str | None = None
) -> Agent:
    """Return the agent of a model, loaded by Rasa. Raises what Rasa raises."""
    further = {}
    if IS_PRO:
        from rasa.core.config.configuration import Configuration

        further["sub_agents"] = Configuration.get_instance().available_agents
    else:  # rasa-pro runs its graph without dask
        from rasa.engine.runner import dask

        graphs.run_directly(dask)
    return await load_agent(
        model_path=model, remote_storage=remote_storage, endpoints=endpoints, **further
    )


def reuse_queries(store: Any) -> None:
    """Have Rasa's own SQL tracker store build its query once. Others may build another one."""
    if not IS_PRO and type(store) is SQLTrackerStore:
        queries.reuse(store)


class ModelServer:
    """The model server of endpoints.yml (`models`), asked as Rasa asks it."""

    def __init__(self, endpoint: Any) -> None:
        """Raises SettingsError if the URL is not one."""
        self.url = str(endpoint.url)
        if not self.url.startswith(("http://", "https://")):
            raise SettingsError("endpoints.yml: models: 'url' is not a URL")
        self.every = float(endpoint.kwargs.get("wait_time_between_pulls", 100) or 0)
        self._endpoint = endpoint
        # Rasa sends one even before the first model.
        self._fingerprint = uuid.uuid4().hex

    async def pull(self, folder: str) -> bool:
        """Put the model into `folder`, unless it is the one that was pulled before."""
        tls = (self._endpoint.create_ssl_context(),) if IS_PRO else ()
        new = await _pull_model_and_fingerprint(self._endpoint, self._fingerprint, folder, *tls)
        self._fingerprint = new or self._fingerprint
        return new is not None


async def successor(agent: Agent, folder: str) -> Agent:
    """Return an agent with the model in a folder, and with everything else of `agent`.

    Of what depends on the model, it has copies: turns of both agents may run at the same time. The
    model is loaded in a thread, since that takes seconds. Raises what Rasa raises.
    """
    new = copy.copy(agent)
    new.tracker_store = _own_domain(agent.tracker_store)
    new.nlg = copy.copy(agent.nlg)
    await asyncio.to_thread(new.load_model, folder)
    if IS_PRO:
        await new.prepare_runtime_integrations()
    return new


def _own_domain(store: Any) -> Any:
    """Return a tracker store with the same connections, but with its own domain."""
    own = copy.copy(store)
    if hasattr(own, "_tracker_store"):  # a wrapper, whose domain is that of the store inside
        own._tracker_store = _own_domain(own._tracker_store)
    return own


async def retire(agent: Agent) -> None:
    """Release what the model of an agent holds, after its last turn."""
    if IS_PRO:
        await agent.processor.close_runtime_integrations()


def model_name(agent: Agent) -> str:
    """Return the file name of the agent's model, and the beginning of its id; "" without one."""
    if not agent.is_ready():
        return ""
    name = Path(agent.processor.model_filename).name.removesuffix(".tar.gz")
    return f"{name} ({(agent.model_id or '')[:8]})"


def _line(exit_: SystemExit) -> str:
    return " ".join(str(exit_.code).split()).rstrip(".")
