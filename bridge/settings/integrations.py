"""The channels of integrations.yml, where newer projects of rasa-pro keep them.

Each has the keys that it has in credentials.yml, and `enabled`. rasa-pro accepts no other sections
in this file, so the `bridge` section stays in endpoints.yml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.errors import SettingsError
from bridge.settings.sections import convert

INTEGRATIONS = "integrations.yml"


def keeps_channels_in_integrations(folder: Path) -> bool:
    """Whether rasa-pro reads the channels of a project from integrations.yml, and only from there.

    It does if the folder has two of agent.yml, integrations.yml and a skill
    (rasa/shared/project_structure.py, has_mantle_project_layout).
    """
    skills = [
        skill
        for skill in folder.glob("skills/*/skill.md")
        if skill.is_file() and not skill.parent.name.startswith("_")
    ]
    files = [(folder / name).is_file() for name in ("agent.yml", INTEGRATIONS)]
    return files[1] and sum([*files, bool(skills)]) >= 2


def channels_of(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the channels of an integrations file that are enabled, without that key.

    Raises:
        SettingsError: `channels` is not a mapping, or `enabled` is not true or false.
    """
    channels = data.get("channels") or {}
    if not isinstance(channels, dict):
        raise SettingsError(f"{where}: channels: it must be a mapping of channels")
    if "a2a" in channels:
        raise SettingsError(
            f"{where}: channels: 'a2a' is no input channel",
            fix="rasa-pro serves A2A itself, from the section 'a2a_server'",
        )
    enabled = {}
    for name, section in channels.items():
        keys = dict(section) if isinstance(section, dict) else section
        if isinstance(keys, dict) and not _is_enabled(keys.pop("enabled", True), where, str(name)):
            continue
        enabled[str(name)] = keys
    return enabled


def _is_enabled(value: Any, where: str, channel: str) -> bool:
    try:
        return bool(convert("enabled", value, bool))
    except SettingsError as error:
        raise SettingsError(f"{where}: channels: {channel}: {error.problem}") from error
