"""The settings of Rasa's HTTP API: the key `api` of the `bridge` section, and the flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.errors import SettingsError
from bridge.settings.sections import build
from bridge.settings.yaml_values import refuse_unset

RESPONSE_TIMEOUT = 60.0
"""Seconds after which a call is answered with 504, by default."""


class ApiSettings:
    """Who may call the API, and how long a call may take."""

    def __init__(
        self,
        auth_token: str | None = None,
        jwt_secret: str | None = None,
        jwt_method: str = "HS256",
        timeout: float = RESPONSE_TIMEOUT,
    ) -> None:
        """`timeout` is in seconds. Without a token and a secret, anyone may call."""
        self.auth_token = auth_token
        self.jwt_secret = jwt_secret
        self.jwt_method = jwt_method
        self.timeout = timeout


def api_settings(
    section: bool | Mapping[str, Any] | None,
    flags: Mapping[str, Any],
    enabled: bool,
    timeout: float | None = None,
) -> ApiSettings | None:
    """Return the settings of the API; None if it is off.

    `section` is the key `api`: `true` or a section with keys. `flags` come first, and `enabled` is
    that of `--enable-api`. `timeout`, in seconds, counts unless the section has one.

    Raises:
        SettingsError: a key is unknown, or a value has the wrong type.
    """
    if not enabled and not section and section != {}:
        return None
    given = {name: value for name, value in flags.items() if value is not None}
    keys = dict(section) if isinstance(section, Mapping) else {}
    if timeout is not None:
        keys.setdefault("timeout", timeout)
    refuse_unset({key: value for key, value in keys.items() if key not in given}, "bridge: api")
    try:
        return build(ApiSettings, {**keys, **given})
    except SettingsError as error:
        raise SettingsError(f"bridge: api: {error.problem}", fix=error.fix) from error
