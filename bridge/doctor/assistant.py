"""Checks what a worker needs besides the queue: the trained model and the action server."""

from __future__ import annotations

import json
import tarfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from bridge.broker.url import safe_url
from bridge.doctor.environment import rasa_version
from bridge.doctor.findings import Finding, error, ok, warning
from bridge.doctor.reachable import connects
from bridge.errors import DeliveryError
from bridge.http.client import HttpClient

DEFAULT_MODELS = "models"
TRAIN = "train one with 'rasa train', or give its path with -m"
UNREADABLE = (OSError, EOFError, tarfile.TarError, zlib.error, ValueError)
HEALTH_TIMEOUT = 3.0
"""Seconds for the action server to answer."""


def check_model(path: str | None) -> Finding:
    """Check the model that a worker would load; `path` is a file or a folder.

    A missing model is an error only if rasa is installed or `path` is given: without rasa, this
    may be a machine for webhook and deliver, or for workers with another handler.
    """
    where = Path(path or DEFAULT_MODELS)
    model = newest_model(where)
    if model is None:
        what = f"no *.tar.gz in {where}/" if where.is_dir() else f"{where}: no such file or folder"
        if path is None and rasa_version() is None:
            return ok("model", f"{what}; only workers need one")
        return error("model", what, TRAIN)
    try:
        trained = trained_with(model)
    except UNREADABLE as problem:
        reason = str(problem) or type(problem).__name__
        return error("model", f"{model}: not a readable model: {reason}", TRAIN)
    return about_model(model, trained, rasa_version())


def newest_model(path: Path) -> Path | None:
    """Return the file that Rasa would load (rasa/model.py, get_local_model), None if none."""
    if path.is_file():
        return path
    return max(path.glob("*.tar.gz"), key=lambda p: p.stat().st_mtime, default=None)


def trained_with(model: Path) -> str:
    """Return the version of rasa that trained a model.

    Raises:
        UNREADABLE: the file cannot be read, or is not a model.
    """
    with tarfile.open(model, "r:gz") as archive:
        for member in archive:
            if Path(member.name).name == "metadata.json" and member.isfile():
                file = archive.extractfile(member)
                assert file is not None, "a regular file has content"
                data = json.load(file)
                break
        else:
            raise ValueError("it contains no metadata.json")
    version = data.get("rasa_open_source_version") if isinstance(data, dict) else None
    if not isinstance(version, str):
        raise ValueError("its metadata.json does not name the rasa version that trained it")
    return version


def about_model(model: Path, trained: str, installed: str | None) -> Finding:
    """Compare the rasa version that trained a model with the installed one."""
    if installed is None:
        return ok("model", f"{model}, trained with rasa {trained} (rasa is not installed here)")
    if trained != installed:
        return warning(
            "model",
            f"{model} was trained with rasa {trained}, but rasa {installed} is installed",
            "train it again if the worker refuses it",
        )
    return ok("model", f"{model}, trained with rasa {trained}")


async def check_action_server(section: dict[str, Any]) -> Finding:
    """Request the health endpoint of the action server (rasa_sdk/endpoint.py).

    rasa-pro may also call it by gRPC, or run the actions of a module in the worker.
    """
    subject = "action server"
    url = section.get("url")
    if section.get("actions_module"):
        return ok(subject, f"none: workers run the module '{section['actions_module']}'")
    if not isinstance(url, str) or not url:
        return warning(
            subject, "action_endpoint has no url, so custom actions fail", "add the key url"
        )
    if "://" not in url:
        return warning(
            subject, "action_endpoint.url has no scheme, so custom actions fail", "write http://…"
        )
    if not url.startswith(("http://", "https://")):
        start = "start it, or fix action_endpoint.url"
        problem, where = await connects(subject, start, "action server", url)
        if problem is None:
            return ok(subject, f"{where} answers")
        return warning(subject, problem.text, start) if problem.status == "error" else problem
    health = urljoin(url.rstrip("/"), "health")
    try:
        async with HttpClient(timeout=HEALTH_TIMEOUT) as http:
            await http.get(health)
    except DeliveryError as problem:
        return warning(
            subject,
            f"{safe_url(health)}: {problem}",
            "start it with 'rasa run actions', or fix action_endpoint.url",
        )
    return ok(subject, f"{safe_url(health)} answers")
