"""From the sections of credentials.yml to connectors: a table of channels, or module paths."""

from __future__ import annotations

import importlib
import inspect
import itertools
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.connectors.base import Connector
from bridge.connectors.limits import Limits, RateLimit, limits_from
from bridge.connectors.receipts import ReceiptOptions, receipts_from
from bridge.connectors.required import require
from bridge.connectors.section import (
    COLLECTS,
    NOT_IN_RASA,
    RUN_IN_THREAD,
    Section,
    kinds_named,
    quoted_variables,
    refuse_pro_only,
    section_of,
)
from bridge.connectors.turns import policy_from
from bridge.connectors.withheld import Role, bare, withhold
from bridge.connectors.wrapped.connector import WrappedConnector
from bridge.errors import SettingsError
from bridge.messages import HIGH, NORMAL, PRIORITIES, Priority, Reply
from bridge.runtime.imports import add_working_directory, refuse_shadowed, where_failed
from bridge.settings.sections import convert, refuse_unknown
from bridge.settings.yaml_values import plain

log = logging.getLogger(__name__)

CONNECTORS = {
    "botframework": "bridge.connectors.botframework.BotFrameworkConnector",
    "callback": "bridge.connectors.callback.CallbackConnector",
    "facebook": "bridge.connectors.facebook.FacebookConnector",
    "hangouts": "bridge.connectors.hangouts.HangoutsConnector",
    "mattermost": "bridge.connectors.mattermost.MattermostConnector",
    "rasa": "bridge.connectors.rasa.RasaConnector",
    "rest": "bridge.connectors.rest.RestConnector",
    "rocketchat": "bridge.connectors.rocketchat.RocketChatConnector",
    "slack": "bridge.connectors.slack.SlackConnector",
    "socketio": "bridge.connectors.socketio.SocketIOConnector",
    "telegram": "bridge.connectors.telegram.TelegramConnector",
    "twilio": "bridge.connectors.twilio.TwilioConnector",
    "twilio_voice": "bridge.connectors.twilio_voice.TwilioVoiceConnector",
    "webexteams": "bridge.connectors.webexteams.WebexTeamsConnector",
    "webhook": "bridge.connectors.webhook.WebhookConnector",
    "whatsapp": "bridge.connectors.whatsapp.WhatsAppConnector",
}
"""Channel → connector class, imported when a credentials file names the channel."""

HOSTED = "bridge.QueueInput"
"""The key of hosted mode, in a credentials file for `rasa run`; see `bridge.hosted`."""
HOSTED_KEYS = ("worker", "broker")
CONSOLE = "cmdline"
"""Rasa's channel for a terminal, which a server does not have."""


@dataclass(frozen=True)
class Channel:
    """One channel of credentials.yml."""

    name: str
    connector: Connector
    limits: Limits = field(default_factory=Limits)
    receipts: ReceiptOptions | None = None
    """What follows from receipts; None if they are only counted."""
    notes: Sequence[str] = ()
    """What to warn of in its section, one line each."""

    @property
    def rate_limit(self) -> RateLimit | None:
        """The limit of the calls of all `deliver` processes together; None for no limit."""
        return self.limits.total

    @property
    def limits_recipients(self) -> bool:
        """Whether the calls to a recipient may be limited."""
        if self.limits.per_recipient is not None:
            return bool(self.limits.per_recipient)
        return type(self.connector).recipient_limits is not Connector.recipient_limits

    def recipient_limits(self, reply: Reply) -> tuple[RateLimit, ...]:
        """Return the limits of the calls to the recipient of a reply."""
        own = self.limits.per_recipient
        return self.connector.recipient_limits(reply) if own is None else own

    @property
    def has_reply_queues(self) -> bool:
        """Whether `deliver` sends the channel's replies."""
        return not self.connector.synchronous

    @property
    def joins_receipts(self) -> bool:
        """Whether receipts are joined to the replies that they report of."""
        return self.receipts is not None

    @property
    def has_sockets(self) -> bool:
        """Whether replies travel as events to the webhook processes."""
        return self.connector.has_sockets


def load_channels(
    credentials: Mapping[str, Mapping[str, Any]],
    where: str = "credentials.yml",
    role: Role | None = None,
) -> dict[str, Channel]:
    """Return all channels of a credentials file, by name.

    `where` names the file in errors. `role` says what this process does with them: it need not have
    the other role's secrets.

    Raises:
        SettingsError: a section is wrong; names the file, the channel, the key and the fix.
    """
    channels: dict[str, Channel] = {}
    # Ours first, with the libraries that they import: after a custom channel, the working directory
    # is searched, and a user's `http.py` would be taken for the standard library's.
    for key, section in credentials.items():
        for named in kinds_named(key, section):
            if named in CONNECTORS:
                _import(CONNECTORS[named])
    for key, section in credentials.items():
        if key == CONSOLE:
            log.warning("channel %s: skipped; use 'rasa-bridge send' in a terminal", key)
            continue
        try:
            channel = load_channel(key, section, role)
            if channel.name in channels:
                raise SettingsError(
                    f"there are two channels called '{channel.name}'",
                    fix="name each instance, with `channel:` for its kind",
                )
            _refuse_same_url(channel, channels.values())
        except SettingsError as error:
            fix = "; ".join(filter(None, [*quoted_variables(section)[:1], error.fix]))
            raise SettingsError(f"{where}: {key}: {error.problem}", fix=fix) from error
        channels[channel.name] = channel
    _refuse_nested([*channels.values()], where)
    return channels


def _refuse_same_url(channel: Channel, others: Collection[Channel]) -> None:
    url = channel.connector.mounted_at()
    for other in others:
        if other.connector.mounted_at() == url:
            raise SettingsError(
                f"its URL {url} is that of the channel '{other.name}'",
                fix="return another url_prefix(), or name an instance with `channel:`",
            )


def _refuse_nested(channels: Sequence[Channel], where: str) -> None:
    """Refuse a prefix that continues another one: then `a` + `b:x` would be `a` `b:` + `x`."""
    prefixes = {channel.connector.conversation_prefix for channel in channels} - {""}
    for one, other in itertools.permutations(sorted(prefixes), 2):
        if other.startswith(one):
            raise SettingsError(
                f"{where}: conversation_prefix '{other}' begins with another channel's, '{one}'",
                fix="end each with a colon",
            )


def load_channel(key: str, section: Mapping[str, Any], role: Role | None = None) -> Channel:
    """Return the channel of one section.

    `key` is a known channel, a module path (`mypackage.MyIO`), or any name if the section names
    its kind (`slack-sales: {channel: slack, …}`).

    Raises:
        SettingsError: the section is wrong; names the key and the fix.
    """
    parts = section_of(key, section)
    parts.notes += quoted_variables(section)
    is_hosted = key == HOSTED
    if is_hosted:
        kind = parts.keys.pop("channel", "callback" if parts.kind == HOSTED else parts.kind)
        key = parts.kind = str(kind)
        parts.keys = {k: v for k, v in parts.keys.items() if k not in HOSTED_KEYS}
    connector = _build(parts, role, strict=is_hosted)
    options = parts.options
    prefix = _prefix(options.get("conversation_prefix", ""), "conversation_prefix" in options)
    name = connector.name if "." in key else key
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise SettingsError(
            f"'{name}' is not a valid channel name; use letters, digits, '_' and '-' only",
            fix=f"name the section so, and its class in it: 'channel: {key}'" if "." in key else "",
        )
    connector.channel = name
    connector.priority = _priority(options.get("priority"), connector)
    connector.turns = policy_from(options, connector)
    connector.conversation_prefix = prefix
    receipts = receipts_from(options, connector)
    return Channel(name, connector, limits_from(options), receipts, parts.notes)


def _priority(value: Any, connector: Connector) -> Priority:
    """Return the priority of a channel's messages: by default, someone waits for a response."""
    if value is None:
        return HIGH if connector.synchronous else NORMAL
    for priority in PRIORITIES:
        if value == priority:
            return priority
    raise SettingsError(f"key 'priority' must be one of: {', '.join(PRIORITIES)}")


def _prefix(value: Any, is_given: bool) -> str:
    if is_given and not (isinstance(value, str) and re.fullmatch(r"[\w:./@+-]{1,64}", value)):
        raise SettingsError(
            "key 'conversation_prefix' must be a text of 1 to 64 letters, digits and : . / @ + - _",
            fix="use the channel's name and a colon, for example 'web:'",
        )
    return str(value)


def _build(parts: Section, role: Role | None, strict: bool = False) -> Connector:
    """Return the connector of a section; `strict` refuses keys that Rasa would ignore."""
    kind = parts.kind
    if "." not in kind:
        if kind not in CONNECTORS:
            refuse_pro_only(kind)
            fix = "name a custom channel as module.Class"
            refuse_unknown([kind], CONNECTORS, "channel", fix)
        known: type[Connector] = _import(CONNECTORS[kind])
        parts.take_options()
        if not strict and kind not in NOT_IN_RASA:
            parts.forget_unknown(known)
        require(known, parts.keys)
        return _native(known, parts.keys, role)
    try:
        cls = _import(kind)
    except SettingsError:
        refuse_shadowed(kind)
        raise
    if inspect.isclass(cls) and issubclass(cls, Connector):
        parts.take_options()
        return _native(cls, parts.keys, role)
    if callable(getattr(cls, "blueprint", None)) and callable(getattr(cls, "name", None)):
        parts.leave_options()
        return _wrapped(cls, parts, role)
    raise SettingsError("it is neither a bridge.Connector nor a Rasa InputChannel class")


def _wrapped(cls: Any, parts: Section, role: Role | None) -> Connector:
    keys, _ = withhold(cls, parts.keys, role)
    given = [convert(key, parts.options.get(key), bool | None) for key in (RUN_IN_THREAD, COLLECTS)]
    try:
        return WrappedConnector(cls.from_credentials(plain(keys) or None), *given)
    except Exception as error:
        raise SettingsError(f"from_credentials failed: {where_failed(error)}") from error


def _native(cls: type[Connector], settings: Mapping[str, Any], role: Role | None) -> Connector:
    keys, withheld = withhold(cls, settings, role)
    connector = bare(cls) if withheld and role == "queues" else cls.from_credentials(keys)
    connector.withheld = withheld
    return connector


def _import(path: str) -> Any:
    """Import `package.module.Class`, also from the working directory, as Rasa does."""
    module_name, _, attribute = path.rpartition(".")
    if path not in CONNECTORS.values():
        add_working_directory()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        fix = "install rasa: pip install 'rasa-channel-bridge[rasa]'"
        if missing == module_name.partition(".")[0]:
            fix = "start in the module's directory, or install the module"
        elif missing != "rasa":
            fix = "install what the module imports"
        raise SettingsError(
            f"module '{module_name}' cannot be imported ({error})", fix=fix
        ) from error
    except Exception as error:
        raise SettingsError(
            f"module '{module_name}' cannot be imported: {where_failed(error)}"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise SettingsError(f"module '{module_name}' has no class '{attribute}'") from error
