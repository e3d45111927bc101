"""YAML as Rasa reads it: version 1.2, with a plain `${NAME}` replaced from the environment.

In YAML 1.2, only `true` and `false` are booleans, and `010` is ten
(rasa/shared/utils/io.py, YAML_VERSION and env_var_constructor).
"""

from __future__ import annotations

import os
import re
from typing import Any

import yaml

from bridge.errors import SettingsError

_TAG = "tag:yaml.org,2002:"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_OTHER = re.compile(r"\$\{[^}]*\}")
"""What looks like a variable, such as `${NAME:-default}`, but is none for Rasa."""


def parse_yaml(text: str) -> Any:
    """Return the data of a YAML document.

    A number remembers how it is written, see `text_of`. A variable that is not set becomes a value
    that `is_unset` recognises.

    Raises:
        DuplicateKey: a mapping has a key twice; the earlier value would be lost.
        yaml.YAMLError: the text is not valid YAML.
    """
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def is_blank(text: str) -> bool:
    """Return whether nothing of a text can be seen: no secret, even if it is long."""
    return not any(c.isprintable() and not c.isspace() for c in text)


def text_of(number: float) -> str:
    """Return a number as it is written in the file: `+4915112345`, `0123`."""
    return number.written if isinstance(number, (_Int, _Float)) else str(number)


def plain(value: Any) -> Any:
    """Return a value with ordinary numbers, for code that is not ours."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, _Int):
        return int(value)
    return float(value) if isinstance(value, _Float) else value


def is_unset(value: Any) -> bool:
    """Return whether a value of a section names an environment variable that is not set."""
    if isinstance(value, (dict, list)):
        return any(map(is_unset, value.values() if isinstance(value, dict) else value))
    return isinstance(value, _Unset)


def refuse_unset(value: Any, where: str) -> None:
    """Raise a SettingsError that names a variable that is not set, if a value has one."""
    if isinstance(value, _Malformed):
        raise SettingsError(
            f"{where}: {value} is not replaced, as in Rasa", fix="write ${NAME}, without a default"
        )
    if isinstance(value, _Unset):
        problem = "empty" if isinstance(value, _Empty) else "not set"
        raise SettingsError(
            f"{where}: the environment variable {value} is {problem}", fix=f"export {value}"
        )
    if isinstance(value, dict):
        for key, inner in value.items():
            refuse_unset(inner, f"{where}: {key}")
    elif isinstance(value, list):
        for inner in value:
            refuse_unset(inner, where)


class DuplicateKey(yaml.YAMLError):
    """A key stands twice in one mapping; `first` and `line` count from 1."""

    def __init__(self, key: str, first: int, line: int) -> None:
        super().__init__(f"key '{key}' is on line {first} and again on line {line}")
        self.key = key
        self.first = first
        self.line = line


def blank_if_empty(value: Any) -> Any:
    """Return a value in which a variable that is set to nothing is an empty text, as in Rasa."""
    if isinstance(value, dict):
        return {key: blank_if_empty(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [blank_if_empty(inner) for inner in value]
    return "" if isinstance(value, _Empty) else value


def quoted_variable(value: Any) -> str:
    """Return the first `${NAME}` of a value that is in quotes and so, as in Rasa, plain text."""
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return next(filter(None, map(quoted_variable, inner)), "")
    found = _VARIABLE.search(value) if isinstance(value, str) else None
    return found[0] if found else ""


class _Unset(str):
    """The name of an environment variable that is not set; an error only where it is used.

    A webhook process reads the same endpoints.yml as a worker, but does not need all its secrets.
    """

    __slots__ = ()


class _Empty(_Unset):
    """The name of an environment variable that is set, but to nothing: no better than not set."""

    __slots__ = ()


class _Malformed(_Unset):
    """What looks like a variable, and is not replaced; Rasa refuses it, too."""

    __slots__ = ()


class _Int(int):
    written: str


class _Float(float):
    written: str


class _Loader(yaml.SafeLoader):
    """A safe loader without the types of YAML 1.1, such as `yes` and `12:30`."""

    yaml_implicit_resolvers: dict[str | None, Any] = {}  # noqa: RUF012 - its own

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here, because merged keys (`<<`) join the others later, and may repeat them.
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge":
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise DuplicateKey(key.value, lines[key.value], line)
            lines[key.value] = line
        return node


def _bool(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> bool:
    return str(loader.construct_scalar(node)).lower() == "true"


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> _Int:
    written = str(loader.construct_scalar(node))
    digits = written.replace("_", "").lower()
    prefix = digits.lstrip("+-")[:2]
    number = _Int(digits, {"0b": 2, "0o": 8, "0x": 16}.get(prefix, 10))
    number.written = written
    return number


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> _Float:
    written = str(loader.construct_scalar(node))
    number = _Float(written.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    number.written = written
    return number


def _expand(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    value = os.path.expandvars(text)
    if unset := _VARIABLE.search(value):
        return _Unset(unset[1])
    if malformed := _OTHER.search(value):
        return _Malformed(malformed[0])
    named = _VARIABLE.search(text)
    return _Empty(named[1]) if named and is_blank(value) else value


for _name, _pattern in {
    "!env": r".*\$\{.+\}.*",
    f"{_TAG}bool": r"true|True|TRUE|false|False|FALSE",
    f"{_TAG}int": r"[-+]?0b[01_]+|[-+]?0o[0-7_]+|[-+]?[0-9][0-9_]*|[-+]?0x[0-9a-fA-F_]+",
    f"{_TAG}float": (
        r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
    f"{_TAG}null": r"~|null|Null|NULL|",
    f"{_TAG}merge": r"<<",
}.items():
    _Loader.add_implicit_resolver(_name, re.compile(rf"(?:{_pattern})\Z"), None)
_Loader.add_constructor("!env", _expand)
_Loader.add_constructor(f"{_TAG}bool", _bool)
_Loader.add_constructor(f"{_TAG}int", _int)
_Loader.add_constructor(f"{_TAG}float", _float)
