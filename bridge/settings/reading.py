"""Reads one settings file; an error names the file, the line and the fix.

What the sections mean is in `files.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from bridge.errors import SettingsError
from bridge.settings.yaml_values import DuplicateKey, parse_yaml


def read_text(path: str) -> str:
    """Return a file's text, with its line ends.

    Raises:
        SettingsError: it cannot be read, or is not UTF-8.
        FileNotFoundError: there is no such file.
    """
    try:
        return Path(path).read_bytes().decode()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read: {error.strerror}", fix="fix its path or its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: it is not in UTF-8", fix="save it as UTF-8") from error


def read_mapping(path: str) -> Mapping[str, Any]:
    """Return the sections of a YAML file that exists; {} if it is empty.

    Raises:
        SettingsError: it cannot be read, or is not a mapping.
    """
    text = read_text(path)
    try:
        data = parse_yaml(text)
    except DuplicateKey as error:
        raise SettingsError(
            f"{path}, line {error.line}: key '{error.key}' is already on line {error.first}",
            fix="remove one of them, or join the two",
        ) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(
            f"{path}, line {line}: not valid YAML: control character U+{error.character:04X}",
            fix="remove it",
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        problem = str(getattr(error, "problem", None) or error)
        fix = "indent with spaces instead of tabs" if r"\t" in problem else ""
        raise SettingsError(f"{where}: not valid YAML: {problem}", fix=fix) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError(
            f"{path}: it must be a mapping of sections",
            fix="write each section as 'name:', with its keys indented below it",
        )
    return data
