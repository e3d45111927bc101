"""From a section of a settings file to constructor arguments, checked against the signature."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

import msgspec

from bridge.errors import SettingsError

C = TypeVar("C")


def build(cls: type[C], credentials: Mapping[str, Any]) -> C:
    """Call `cls(**credentials)`.

    Raises:
        SettingsError: a key is unknown (the nearest known one is suggested), missing, or its value
            has not the type that `cls.__init__` is annotated with.
    """
    parameters = dict(inspect.signature(cls).parameters)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        refuse_unknown(credentials, parameters)
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and name not in credentials
    ]
    if missing:
        raise SettingsError(f"key '{missing[0]}' is missing")
    hints = get_type_hints(cls.__init__)
    values = {key: _convert(key, value, hints.get(key, Any)) for key, value in credentials.items()}
    return cls(**values)


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise a SettingsError for the first key that is not known, suggesting the nearest one."""
    known = [key for key in known if key != "self"]
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1)
        if near:
            hint = f"did you mean '{near[0]}'?"
        elif known:
            hint = f"known keys: {', '.join(sorted(known))}"
        else:
            hint = "it takes no keys"
        raise SettingsError(f"unknown key '{key}': {hint}")


def _convert(key: str, value: Any, hint: Any) -> Any:
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise SettingsError(f"key '{key}': {error}") from error
