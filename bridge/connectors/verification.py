"""How a channel authenticates its senders."""

from __future__ import annotations

from dataclasses import dataclass

NO_AUTHENTICATION = (
    "no authentication: anyone who knows the URL can write as any user; put an authenticating proxy"
    " in front of it"
)


@dataclass(frozen=True)
class Verification:
    """How a channel authenticates its senders; shown by `rasa-bridge channels`."""

    by: str
    """What `verify` checks, such as 'signature' or 'token'."""
    key: str = ""
    """The credentials key that enables the check; '' if the check is always on."""
    otherwise: str = "anyone who knows the URL can write as any user"
    """The risk while the check is off."""
