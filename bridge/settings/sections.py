"""From a section of a settings file to constructor arguments, checked against the signature."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

import msgspec

from bridge.errors import SettingsError

C = TypeVar("C")

TYPE_NAMES = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a section with keys",
    "array": "a list",
    "null": "nothing",
}
"""Types as YAML's users call them."""
_UNQUOTED = ("int", "float", "bool")


def build(
    cls: type[C], credentials: Mapping[str, Any], key_of: Mapping[str, str] | None = None
) -> C:
    """Call `cls(**credentials)`.

    `key_of` maps a parameter to its key in the file, where the two differ.

    Raises:
        SettingsError: a key is unknown (the nearest known one is suggested) or missing, or its
            value does not have the type of the annotation in `cls.__init__`.
    """
    key_of = key_of or {}
    parameter_of = {key: parameter for parameter, key in key_of.items()}
    credentials = {parameter_of.get(key, key): value for key, value in credentials.items()}
    parameters = dict(inspect.signature(cls).parameters)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        known = (key_of.get(name, name) for name in parameters)
        refuse_unknown((key_of.get(name, name) for name in credentials), known)
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and name not in credentials
    ]
    if missing:
        raise SettingsError(f"key '{key_of.get(missing[0], missing[0])}' is missing")
    hints = get_type_hints(cls.__init__)
    values = {
        name: convert(key_of.get(name, name), value, hints.get(name, Any))
        for name, value in credentials.items()
    }
    try:
        return cls(**values)
    except KeyError as error:
        # The key belongs to a mapping such as `basic_auth`, which no signature describes.
        raise SettingsError(f"key {error} is missing") from error


def refuse_unknown(
    given: Iterable[str], known: Iterable[str], noun: str = "key", fix: str = ""
) -> None:
    """Raise a SettingsError for the first unknown key, suggesting the nearest known one.

    `noun` says what the keys are. `fix` is appended if no known key is near.
    """
    known = [key for key in known if key != "self"]
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1)
        if near:
            hint, fix = f"did you mean '{near[0]}'?", ""
        elif known:
            hint = f"known {noun}s: {', '.join(sorted(known))}"
        else:
            hint = f"it takes no {noun}s"
        raise SettingsError(f"unknown {noun} '{key}': {hint}", fix=fix)


def convert(key: str, value: Any, hint: Any) -> Any:
    """Return a value as the type that is expected; what `${NAME}` gives is always a text.

    Raises:
        SettingsError: it cannot be; names the key and what it must be.
    """
    try:
        return msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as error:
        types = re.match(r"Expected `(.*?)`, got `(.*?)`", str(error))
        if not types:
            raise SettingsError(f"key '{key}': {error}") from error
        wanted, given = (
            " or ".join(TYPE_NAMES.get(name, name) for name in names.split(" | "))
            for names in types.groups()
        )
        quotes = ": put it in quotes" if "str" in types[1] and types[2] in _UNQUOTED else ""
        raise SettingsError(f"key '{key}': it must be {wanted}, not {given}{quotes}") from error
