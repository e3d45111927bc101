"""Checks the servers that endpoints.yml names, besides tracker store and action server."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bridge.broker.connection import connect
from bridge.broker.url import safe_url
from bridge.doctor.findings import Finding, error, ok, warning
from bridge.doctor.reachable import connects
from bridge.doctor.tracker_store import check_sqlite
from bridge.errors import BrokerError, DeliveryError
from bridge.http.client import HttpClient, Response

TIMEOUT = 5.0
"""Seconds for the model server to answer."""
Check = Callable[[dict[str, Any]], Awaitable[Finding]]


async def check_lock_store(section: dict[str, Any]) -> Finding:
    """Check the lock store (rasa/core/lock_store.py)."""
    subject, kind = "lock store", _kind(section)
    if kind in ("", "in_memory"):
        return ok(subject, "in memory")
    if kind not in ("redis", "concurrent_redis"):
        return ok(subject, f"{section.get('type')} (not checked)")
    fix = "start it, or remove lock_store: the bridge keeps the turns of a conversation apart"
    url = str(section.get("url") or section.get("host") or "localhost")
    problem, where = await connects(subject, fix, "redis", url, section.get("port"))
    if problem is not None:
        # Lanes do its work, so no turn fails.
        return problem if problem.status == "ok" else warning(subject, problem.text, problem.fix)
    return ok(subject, f"{where} answers (login not checked)")


async def check_event_broker(section: dict[str, Any]) -> Finding:
    """Check the event broker (rasa/core/brokers)."""
    subject, kind = "event broker", _kind(section)
    fix = "start it, or fix event_broker in endpoints.yml"
    if kind in ("", "pika"):
        return await _check_pika(section, subject, fix)
    if kind == "file":
        return _check_file(Path(str(section.get("path") or "rasa_event.log")), subject)
    if kind == "kafka":
        urls = section.get("url") or "localhost"
        named = urls if isinstance(urls, list) else str(urls).split(",")
        for url in named:
            problem, where = await connects(subject, fix, "kafka", str(url).strip())
            if problem is None:
                return ok(subject, f"{where} answers (login not checked)")
        return problem or error(subject, "kafka: no url", fix)
    if kind == "sql":
        return await _check_sql(section, subject, fix)
    if "." not in kind:
        unknown = f"Rasa does not know the type '{section.get('type')}' and publishes no events"
        return warning(subject, unknown, "write pika, kafka, sql, file, or a class as module.Class")
    return ok(subject, f"{section.get('type')} (not checked)")


async def check_nlg(section: dict[str, Any]) -> Finding:
    """Check the server that generates responses (rasa/core/nlg)."""
    if _kind(section) not in ("", "callback"):
        return ok("NLG server", f"{section.get('type')} (not checked)")
    return await _check_server("NLG server", section, "nlg")


async def check_nlu(section: dict[str, Any]) -> Finding:
    """Check the server that parses messages (rasa/core/http_interpreter.py)."""
    return await _check_server("NLU server", section, "nlu")


async def check_model_server(section: dict[str, Any]) -> Finding:
    """Request the model as Rasa does (rasa/core/agent.py); most of its body is not read."""
    subject, url = "model server", section.get("url")
    if not isinstance(url, str) or not url:
        return error(subject, "models has no url", "add the key url, or remove models")
    params = {str(key): str(value) for key, value in (section.get("params") or {}).items()}
    if section.get("token"):
        params[str(section.get("token_name") or "token")] = str(section["token"])
    login = section.get("basic_auth") or {}
    auth = (str(login.get("username")), str(login.get("password"))) if login else None
    try:
        async with HttpClient(timeout=TIMEOUT) as http:
            await http.get(url, params=params, basic_auth=auth, check=_has_model)
    except DeliveryError as problem:
        return error(
            subject,
            f"{safe_url(url)}: {problem.problem}",
            "start it, or fix models in endpoints.yml",
        )
    return ok(subject, f"{safe_url(url)} answers")


CHECKS: Mapping[str, Check] = {
    "models": check_model_server,
    "lock_store": check_lock_store,
    "event_broker": check_event_broker,
    "nlg": check_nlg,
    "nlu": check_nlu,
}
"""Section of endpoints.yml → its check."""


def _has_model(response: Response) -> None:
    if response.status not in (200, 204, 304):
        raise DeliveryError(f"HTTP {response.status} instead of a model")


def _kind(section: dict[str, Any]) -> str:
    return str(section.get("store_type") or section.get("type") or "").lower()


async def _check_server(subject: str, section: dict[str, Any], name: str) -> Finding:
    fix = f"start it, or fix {name} in endpoints.yml"
    url = section.get("url")
    if not isinstance(url, str) or not url:
        return error(subject, f"{name} has no url", "add the key url")
    problem, where = await connects(subject, fix, "http", url)
    return problem or ok(subject, f"{where} answers")


def _check_file(path: Path, subject: str) -> Finding:
    if os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        return ok(subject, f"file {path}")
    return error(subject, f"file {path} cannot be written", "fix event_broker.path")


async def _check_pika(section: dict[str, Any], subject: str, fix: str) -> Finding:
    host = str(section.get("url") or "localhost")
    if "://" not in host:
        login = ":".join(quote(str(section.get(key) or ""), safe="") for key in _LOGIN)
        host = f"amqp://{login}@{host}:{section.get('port') or 5672}/"
    try:
        async with connect(host, "doctor"):
            return ok(subject, f"RabbitMQ at {safe_url(host)}")
    except BrokerError as problem:
        return error(subject, problem.problem, problem.fix or fix)
    except ValueError:
        return error(subject, "malformed url or port", fix)


_LOGIN = ("username", "password")


async def _check_sql(section: dict[str, Any], subject: str, fix: str) -> Finding:
    dialect = str(section.get("dialect") or "sqlite")
    if dialect == "sqlite":
        found = check_sqlite(str(section.get("db") or "events.db"))
        return Finding(found.status, subject, found.text, fix if found.fix else "")
    host = str(section.get("host") or section.get("url") or "localhost")
    server = dialect.partition("+")[0]
    problem, where = await connects(subject, fix, server, host, section.get("port"))
    return problem or ok(subject, f"{where} answers (login not checked)")
