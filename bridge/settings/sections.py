"""From a section of a settings file to constructor arguments, checked against the signature."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from bridge.errors import SettingsError
from bridge.runtime.durations import parse_age
from bridge.settings.yaml_values import is_blank, text_of

C = TypeVar("C")

HTTP = "http"
HttpUrl = Annotated[str, HTTP]
"""A text that must be a complete http:// or https:// URL: `httpx.example/hook` fails at start, not
with the first reply."""

TYPE_NAMES: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a section with keys",
    list: "a list",
    tuple: "a list",
    type(None): "nothing",
}
"""Types in the words of people who write YAML."""


WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""Texts for a key that is true or false; YAML 1.2 has only two of them."""


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
    known = known_keys(cls, key_of)
    if known is not None:
        refuse_unknown(credentials, known)
    parameter_of = {key: parameter for parameter, key in key_of.items()}
    credentials = {parameter_of.get(key, key): value for key, value in credentials.items()}
    parameters = dict(inspect.signature(cls).parameters)
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and name not in credentials
    ]
    if missing:
        raise SettingsError(f"key '{key_of.get(missing[0], missing[0])}' is missing")
    refuse_blank({key_of.get(name, name): value for name, value in credentials.items()})
    hints = get_type_hints(cls.__init__, include_extras=True)
    values = {
        name: convert(key_of.get(name, name), value, hints.get(name, Any))
        for name, value in credentials.items()
    }
    try:
        return cls(**values)
    except KeyError as error:
        # The key belongs to a mapping such as `basic_auth`, which no signature describes.
        raise SettingsError(f"key {error} is missing") from error


def known_keys(cls: type[Any], key_of: Mapping[str, str] | None = None) -> list[str] | None:
    """Return the keys that a class takes, required ones first; None if it takes any key."""
    parameters = inspect.signature(cls).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    by_need = sorted(parameters, key=lambda p: p.default is not p.empty)
    return [(key_of or {}).get(p.name, p.name) for p in by_need]


def refuse_blank(section: Mapping[str, Any]) -> None:
    """Raise a SettingsError for the first key that is given without a value.

    A blank secret would switch a check off. Keys inside a key are checked, too.
    """
    for key, value in section.items():
        if value is None or value == [] or (isinstance(value, str) and is_blank(value)):
            raise SettingsError(f"key '{key}' is empty", fix="give it a value or remove it")
        inner = value if isinstance(value, dict) else {}
        if isinstance(value, list):
            inner = {str(n): item for n, item in enumerate(value)}
        refuse_blank({f"{key}.{name}": item for name, item in inner.items()})


def refuse_unknown(
    given: Iterable[str], known: Iterable[str], noun: str = "key", fix: str = ""
) -> None:
    """Raise a SettingsError for the first unknown key, suggesting the nearest known one.

    `noun` says what the keys are. `fix` is appended if no known key is near.
    """
    known = [key for key in known if key != "self"]
    spelled = {key.lower(): key for key in known}
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key).lower(), spelled, n=1)
        if near:
            name = spelled[near[0]]
            raise SettingsError(f"unknown {noun} '{key}'", fix=f"did you mean '{name}'?")
        hint = f"known {noun}s: {', '.join(sorted(known))}" if known else f"it takes no {noun}s"
        raise SettingsError(f"unknown {noun} '{key}'", fix=f"{hint}; {fix}" if fix else hint)


def convert(key: str, value: Any, hint: Any) -> Any:
    """Return a value as the expected type. Values from `${NAME}` are always text.

    A number is accepted where a text is expected, as it is written in the file.

    Raises:
        SettingsError: the value cannot be converted; names the key and the expected type.
    """
    value = _as_written(value, hint)
    try:
        converted = msgspec.convert(value, hint, strict=False)
        if isinstance(converted, str) and HTTP in _notes_in(hint):
            return http_url(f"key '{key}'", converted)
        return converted
    except msgspec.ValidationError as error:
        expected = list(_types_in(hint))
        if type(value) not in TYPE_NAMES or not all(kind in TYPE_NAMES for kind in expected):
            raise SettingsError(f"key '{key}': {error}") from error
        given = TYPE_NAMES[type(value)]
        wanted = list(dict.fromkeys(TYPE_NAMES[kind] for kind in expected))
        if given in wanted:
            # Something inside the value is wrong, and msgspec says where.
            raise SettingsError(f"key '{key}': {error}") from error
        quotes = str in expected and isinstance(value, bool)
        raise SettingsError(
            f"key '{key}' must be {' or '.join(wanted)}, not {given}",
            fix="put it in quotes" if quotes else _in_seconds(value, expected),
        ) from error


def _in_seconds(value: Any, expected: Sequence[Any]) -> str:
    """Return what to write instead of a duration such as `20s`, "" if it is none."""
    if isinstance(value, str) and {int, float}.intersection(expected):
        with suppress(ValueError):
            return f"write the seconds alone: {parse_age(value):g}"
    return ""


def _as_written(value: Any, hint: Any) -> Any:
    """Return a value in which numbers are texts, and texts are booleans, where `hint` says so."""
    kinds = set(_types_in(hint))
    if isinstance(value, float) and float in kinds:
        return float(value)  # msgspec accepts no subclass
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return text_of(value) if str in kinds and not kinds & {int, float} else value
    if isinstance(value, str) and bool in kinds and str not in kinds:
        return WORDS.get(value.strip().lower(), value)
    for option in get_args(hint) if get_origin(hint) in (Union, UnionType) else [hint]:
        arguments = get_args(option)
        if isinstance(value, list) and get_origin(option) in (list, Sequence):
            return [_as_written(item, arguments[0]) for item in value]
        if isinstance(value, dict) and get_origin(option) in (dict, Mapping):
            return {str(key): _as_written(item, arguments[1]) for key, item in value.items()}
    return value


def http_url(name: str, value: str) -> str:
    """Return a URL of a setting without blanks around it; `name` names the setting in errors.

    Raises:
        SettingsError: it is not a complete http:// or https:// URL.
    """
    url = value.strip()
    try:
        parts = urlsplit(url)
        # The port is parsed when it is read.
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or any(letter.isspace() for letter in url):
        # Not quoted: the path of a webhook may be a secret.
        raise SettingsError(f"{name} is not a URL", fix="write it in full, as https://host/path")
    return url


def _notes_in(hint: Any) -> Iterator[Any]:
    """Yield the notes of an annotation: those of `Annotated`, also inside a union."""
    for option in get_args(hint) if get_origin(hint) in (Union, UnionType) else [hint]:
        yield from getattr(option, "__metadata__", ())


def _types_in(hint: Any) -> Iterator[Any]:
    """Yield the classes that a type annotation allows."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _types_in(get_args(hint)[0])
    elif origin in (Union, UnionType):
        for argument in get_args(hint):
            yield from _types_in(argument)
    else:
        yield {Mapping: dict, Sequence: list}.get(origin, origin or hint)
