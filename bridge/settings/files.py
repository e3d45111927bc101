"""Reads endpoints.yml and credentials.yml (or integrations.yml) as plain data.

Only entry points read settings.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from bridge.broker.hashing import MOST_PARTITIONS
from bridge.broker.topology import Topology
from bridge.broker.url import Urls, virtual_host
from bridge.errors import SettingsError
from bridge.settings.integrations import (
    INTEGRATIONS,
    channels_of,
    keeps_channels_in_integrations,
)
from bridge.settings.reading import read_mapping
from bridge.settings.sections import build, convert, refuse_unknown
from bridge.settings.yaml_values import blank_if_empty, is_unset, refuse_unset

DEFAULT_URL = "amqp://guest:guest@localhost:5672/"
DEFAULT_ENDPOINTS = "endpoints.yml"
DEFAULT_CREDENTIALS = "credentials.yml"


class Partitions(msgspec.Struct, frozen=True):
    """Number of partitions of each flow; for replies, of each channel."""

    inbound: int = 32
    replies: int = 8


class QueuedChannel(Protocol):
    """What the topology needs to know about a channel (`connectors.registry.Channel`)."""

    @property
    def name(self) -> str: ...
    @property
    def has_reply_queues(self) -> bool: ...
    @property
    def has_sockets(self) -> bool: ...
    @property
    def joins_receipts(self) -> bool: ...


@dataclass(frozen=True)
class BrokerSettings:
    """The `bridge` section of endpoints.yml."""

    url: Urls
    namespace: str
    partitions: Partitions
    cors: tuple[str, ...] = ()
    """Origins whose pages may use the webhooks; see `bridge.http.cors`."""
    api: bool | dict[str, Any] | None = None
    """The key `api`, as it stands: only the webhook needs its secrets."""
    trace: bool = True
    """Whether the hops of messages are recorded (`bridge.telemetry.trace`)."""

    def topology_of(self, channels: Collection[QueuedChannel]) -> Topology:
        """Return the topology of a bridge with these channels."""
        names = [channel.name for channel in channels if channel.has_reply_queues]
        return self.topology(
            names,
            sockets=any(channel.has_sockets for channel in channels),
            receipts=[channel.name for channel in channels if channel.joins_receipts],
        )

    def topology(
        self,
        channels: Iterable[str] = (),
        *,
        sockets: bool = False,
        receipts: Iterable[str] = (),
    ) -> Topology:
        """Return the topology of a bridge with these channels' reply queues.

        `receipts` are the channels whose receipts are joined to their replies.
        """
        return Topology(
            self.namespace,
            self.partitions.inbound,
            self.partitions.replies,
            tuple(channels),
            sockets,
            tuple(receipts),
        )


class _Section:
    """The keys of the section: `build` checks names and types against this signature."""

    def __init__(
        self,
        url: str | list[str] | None = None,
        namespace: str = "bridge",
        partitions: dict[str, Any] | None = None,
        cors: str | list[str] | None = None,
        api: bool | dict[str, Any] | None = None,
        trace: bool = True,
    ) -> None:
        self.cors = (cors,) if isinstance(cors, str) else tuple(cors or ())
        self.api = api
        self.trace = trace
        origin = "key 'url'" if url else "the environment variable AMQP_URL"
        given = url or os.environ.get("AMQP_URL") or DEFAULT_URL
        urls = amqp_urls(origin, (given,) if isinstance(given, str) else given)
        self.url: Urls = urls if urls[1:] else urls[0]
        if len(set(map(virtual_host, urls))) > 1:
            raise SettingsError(
                "key 'url': the URLs name different virtual hosts",
                fix="list the nodes of one cluster",
            )
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", namespace):
            raise SettingsError("key 'namespace': use only letters, digits, '_', '-' and '.'")
        self.namespace = namespace
        refuse_unknown(partitions or {}, Partitions.__struct_fields__)
        self.partitions = Partitions(
            **{key: convert(f"partitions.{key}", n, int) for key, n in (partitions or {}).items()}
        )
        for name in Partitions.__struct_fields__:
            if not 1 <= getattr(self.partitions, name) <= MOST_PARTITIONS:
                raise SettingsError(
                    f"key 'partitions.{name}' must be a number from 1 to {MOST_PARTITIONS}"
                )


def amqp_urls(name: str, urls: Iterable[str]) -> tuple[str, ...]:
    """Return URLs without blanks around them; `name` names the setting in errors.

    Raises:
        SettingsError: one is not a complete amqp:// or amqps:// URL.
    """
    # A secret that is read from a file often ends with a line end.
    stripped = tuple(url.strip() for url in urls)
    if not all(map(_is_amqp_url, stripped)):
        raise SettingsError(
            f"{name} is not an AMQP URL",
            fix="write it as amqp://user:password@host:5672/, with special characters in the"
            " password percent-encoded (/ as %2F)",
        )
    return stripped


def _is_amqp_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return complete and not any(map(str.isspace, url))


def load_broker(path: str | None, strict: bool = True) -> BrokerSettings:
    """Read the `bridge` section of an endpoints file; without one, use the defaults.

    The URL comes from the section, else from the environment variable AMQP_URL, else it is
    `DEFAULT_URL`. With `strict`, a variable that is not set is an error; else its key is left out.

    Raises:
        SettingsError: the file is unreadable, or has an unknown key or a value of the wrong type.
    """
    path = _existing(path, DEFAULT_ENDPOINTS)
    data = read_mapping(path) if path else {}
    if "bridge" not in data:
        for key in difflib.get_close_matches("bridge", [str(k) for k in data], n=1, cutoff=0.7):
            raise SettingsError(f"{path}: unknown section '{key}'", fix="did you mean 'bridge'?")
    section = data.get("bridge")
    where = f"{path}: bridge" if path else ""
    if isinstance(section, dict) and strict:
        refuse_unset({key: value for key, value in section.items() if key != "api"}, where)
    elif isinstance(section, dict):
        section = {key: value for key, value in section.items() if not is_unset(value)}
    return broker_settings(section, where)


def broker_settings(section: Any, where: str) -> BrokerSettings:
    """Return the settings of a `bridge` section; `where` names it in errors, "" if there is none.

    Raises:
        SettingsError: a key is unknown, or a value has the wrong type.
    """
    try:
        if not isinstance(section if section is not None else {}, dict):
            raise SettingsError("it must be a section with keys, such as 'url: …'")
        checked = build(_Section, section or {})
    except SettingsError as error:
        problem = f"{where}: {error.problem}" if where else error.problem
        raise SettingsError(problem, fix=error.fix) from error
    return BrokerSettings(
        checked.url,
        checked.namespace,
        checked.partitions,
        cors=checked.cors,
        api=checked.api,
        trace=checked.trace,
    )


def load_endpoint(path: str | None, name: str) -> dict[str, Any]:
    """Read a section of Rasa in an endpoints file, such as `tracker_store`; {} if absent.

    A variable that is set to nothing is an empty text, as in Rasa: a server without a password.

    Raises:
        SettingsError: the file is unreadable, the section is not a mapping, or an environment
            variable it uses is not set.
    """
    path = _existing(path, DEFAULT_ENDPOINTS)
    section = blank_if_empty((read_mapping(path) if path else {}).get(name) or {})
    refuse_unset(section, f"{path}: {name}")
    if not isinstance(section, dict):
        raise SettingsError(f"{path}: {name}: it must be a section with keys, such as 'url: …'")
    return section


def credentials_file(path: str | None) -> str:
    """Return the file that holds the channels: `path` if given, else what Rasa would read."""
    if path is not None:
        return path
    here = Path()
    alone = Path(INTEGRATIONS).exists() and not Path(DEFAULT_CREDENTIALS).exists()
    return INTEGRATIONS if alone or keeps_channels_in_integrations(here) else DEFAULT_CREDENTIALS


def load_credentials(
    path: str | None, strict: bool = True, only: str | None = None, *, optional: bool = False
) -> dict[str, dict[str, Any]]:
    """Read a credentials file: one section per channel, {} for a section without keys.

    Of a file called integrations.yml, the section `channels` is read.
    With `strict`, a variable that is not set is an error here; else where its key is needed.
    `only` names the one channel to read; it need not have a section. `optional`: without a `path`,
    the file need not exist.

    Raises:
        SettingsError: the file does not exist, or a section is not a mapping.
    """
    path = _existing(path, credentials_file(None))
    if path is None and only is not None:
        return {only: {}}
    if path is None and optional:
        return {}
    if path is None:
        raise SettingsError(
            f"{DEFAULT_CREDENTIALS}: no such file",
            fix="name yours with --credentials, or create it with one line: 'rest:'",
        )
    credentials = {}
    sections = read_mapping(path)
    if Path(path).name == INTEGRATIONS:
        sections = channels_of(sections, path)
    if only is not None:
        sections = {only: sections.get(only)}
    for channel, section in sections.items():
        if not isinstance(section if section is not None else {}, dict):
            raise SettingsError(
                f"{path}: {channel}: it must be a section with keys, or empty",
                fix=f"write the keys of a channel below '{channel}:'; a line that is a key of the"
                " channel above must be indented, and one that is neither must go",
            )
        if strict:
            refuse_unset(section, f"{path}: {channel}")
        credentials[str(channel)] = dict(section or {})
    return credentials


def _existing(path: str | None, default: str) -> str | None:
    # As in Rasa, a start command may name the default file although there is none.
    if path is None or Path(path) == Path(default):
        return default if Path(default).is_file() else None
    if not Path(path).is_file():
        raise SettingsError(
            f"{path}: no such file", fix=f"fix the path, or leave it out to read {default}"
        )
    return path
