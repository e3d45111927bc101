"""Checks of what a worker needs beside the queue: the trained model, the action server."""

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
from bridge.errors import DeliveryError
from bridge.http.client import HttpClient

DEFAULT_MODELS = "models"
TRAIN = "train one with 'rasa train', or name it with -m"
UNREADABLE = (OSError, EOFError, tarfile.TarError, zlib.error, ValueError)
HEALTH_TIMEOUT = 3.0
"""Seconds that the action server has to answer."""


def check_model(path: str | None) -> Finding:
    """Check the model that a worker would load; `path` is a file or a folder.

    Without rasa, and if none was asked for, a missing model is no mistake: this may be a machine
    for webhook and deliver, or for workers with another handler.
    """
    where = Path(path or DEFAULT_MODELS)
    model = newest_model(where)
    if model is None:
        what = f"no *.tar.gz in {where}/" if where.is_dir() else f"{where}: no such model"
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
    """Return the file that Rasa would take (rasa/model.py, get_local_model), if there is one."""
    if path.is_file():
        return path
    return max(path.glob("*.tar.gz"), key=lambda p: p.stat().st_mtime, default=None)


def trained_with(model: Path) -> str:
    """Return the version of rasa that trained a model.

    Raises:
        UNREADABLE: it cannot be read, or is no model.
    """
    with tarfile.open(model, "r:gz") as archive:
        for member in archive:
            if Path(member.name).name == "metadata.json" and member.isfile():
                file = archive.extractfile(member)
                assert file is not None, "a regular file has a content"
                data = json.load(file)
                break
        else:
            raise ValueError("it holds no metadata.json")
    version = data.get("rasa_open_source_version") if isinstance(data, dict) else None
    if not isinstance(version, str):
        raise ValueError("its metadata.json does not say which rasa trained it")
    return version


def about_model(model: Path, trained: str, installed: str | None) -> Finding:
    """Compare the version that trained a model with the installed one."""
    if installed is None:
        return ok("model", f"{model}, trained with rasa {trained} (no rasa here)")
    if trained != installed:
        return warning(
            "model",
            f"{model} was trained with rasa {trained}, and rasa {installed} is installed",
            "if the worker refuses it, train it again",
        )
    return ok("model", f"{model}, trained with rasa {trained}")


async def check_action_server(section: dict[str, Any]) -> Finding:
    """Ask the action server of `action_endpoint` for its health (rasa_sdk/endpoint.py)."""
    subject = "action server"
    url = section.get("url")
    if not isinstance(url, str) or not url:
        return warning(subject, "action_endpoint has no url", "add it: custom actions fail")
    health = urljoin(url.rstrip("/"), "health")
    try:
        async with HttpClient(timeout=HEALTH_TIMEOUT) as http:
            await http.get(health)
    except DeliveryError as problem:
        return warning(
            subject,
            f"{safe_url(health)}: {problem}",
            "start it (rasa run actions), or fix action_endpoint.url",
        )
    return ok(subject, f"{safe_url(health)} answers")
