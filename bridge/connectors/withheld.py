"""Least privilege: a role starts without the secrets that it does not need.

A key whose environment variable is not set in a role is left out there, if only the other role
uses it. So the webhook need not know what sends, nor `deliver` what verifies requests, and the
commands that only look at queues need no secret at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal

from bridge.connectors.base import Connector
from bridge.settings.yaml_values import is_unset, refuse_unset

Role = Literal["webhook", "deliver", "queues"]
"""What a process does with its channels; `queues` needs their names only."""
STAND_IN = "withheld"
STAND_IN_URL = "https://withheld.invalid/"


def withhold(
    cls: Any, section: Mapping[str, Any], role: Role | None
) -> tuple[dict[str, Any], frozenset[str]]:
    """Return a section without the keys that are not set and that a role does not need.

    The second value names them. Required ones get a stand-in of the right form. Without a role, all
    keys are needed.

    Raises:
        SettingsError: the variable of a key that the role needs is not set.
    """
    unset = {key for key, value in section.items() if is_unset(value)}
    withheld = frozenset(unset & _needless(cls, unset, role))
    for key in unset - withheld:
        refuse_unset(section[key], key)
    kept = {key: value for key, value in section.items() if key not in withheld}
    return {**kept, **_stand_ins(cls, withheld)}, withheld


def bare(cls: type[Connector]) -> Connector:
    """Return a connector of which only the class is known; enough for the names of its queues."""
    return cls.__new__(cls)


def _needless(cls: Any, unset: set[str], role: Role | None) -> set[str]:
    if role == "queues":
        return unset
    if role == "webhook":
        return {*getattr(cls, "only_deliver", ())}
    return {*getattr(cls, "only_webhook", ())} if role == "deliver" else set()


def _stand_ins(cls: Any, withheld: frozenset[str]) -> dict[str, str]:
    if not (inspect.isclass(cls) and issubclass(cls, Connector)):
        return dict.fromkeys(withheld, STAND_IN)  # a wrapped channel knows its keys itself
    parameters = inspect.signature(cls).parameters
    required = {
        key
        for key in withheld
        if key.replace("-", "_") in parameters
        and parameters[key.replace("-", "_")].default is inspect.Parameter.empty
    }
    default = {key: STAND_IN_URL if key.endswith("url") else STAND_IN for key in required}
    return {key: cls.stand_ins.get(key, default[key]) for key in required}
