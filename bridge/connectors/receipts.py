"""The option `receipts` of a channel: what follows from what its service reports of replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from bridge.connectors.base import Connector
from bridge.errors import SettingsError
from bridge.messages.receipts import Outcome
from bridge.runtime.durations import parse_age
from bridge.settings.sections import refuse_unknown

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
KEEP = 24 * 3600.0


@dataclass(frozen=True)
class ReceiptOptions:
    """How the receipts of a channel are joined to its replies."""

    intents: Mapping[Outcome, str] = field(default_factory=dict)
    """Outcome → the intent with which the assistant is told."""
    template: Mapping[str, Any] | None = None
    """Sent instead of a reply that the service refuses outside its window for free text."""
    keep: float = KEEP
    """Seconds for which a call is remembered without a final receipt."""


def receipts_from(settings: dict[str, Any], connector: Connector) -> ReceiptOptions | None:
    """Take the option out of a section's options; None if receipts are only counted.

    Raises:
        SettingsError: names the key that is wrong.
    """
    given = settings.pop("receipts", None)
    if given is None or given is False:
        return None
    if not connector.kinds.receipts:
        raise SettingsError("key 'receipts': this service reports no receipts", fix="remove it")
    if given is True:
        return ReceiptOptions()
    if not isinstance(given, dict):
        raise SettingsError("key 'receipts' must be true, false or a section with keys")
    refuse_unknown(given, (*OUTCOMES, "template", "keep"), "key of 'receipts'")
    intents = {
        outcome: _intent(outcome, given[outcome]) for outcome in OUTCOMES if given.get(outcome)
    }
    return ReceiptOptions(intents, _template(given.get("template"), connector), _keep(given))


def _intent(outcome: str, value: Any) -> str:
    name = value.removeprefix("/") if isinstance(value, str) else ""
    if not name.strip() or any(character in name for character in "{} /"):
        raise SettingsError(
            f"key 'receipts.{outcome}' must be an intent", fix=f"for example /message_{outcome}"
        )
    return name


def _template(value: Any, connector: Connector) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not connector.closed_window:
        raise SettingsError("key 'receipts.template': this service has no templates")
    if not isinstance(value, dict) or not value:
        raise SettingsError(
            "key 'receipts.template' must be a section: the template as the service's API has it"
        )
    return value


def _keep(given: Mapping[str, Any]) -> float:
    if "keep" not in given:
        return KEEP
    try:
        return parse_age(str(given["keep"]))
    except ValueError as error:
        raise SettingsError(f"key 'receipts.keep': {error}") from error
