"""What code written for `rasa run` finds in a webhook process in place of Rasa's agent."""

from __future__ import annotations

import logging
from typing import Any

from bridge.errors import NoAgent

log = logging.getLogger(__name__)


class AbsentAgent:
    """Stands for `app.ctx.agent`; every use is an error that names the way out."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # Python asks for these, not the channel
        error = NoAgent(name)
        # The channel may catch it: Rasa's own channels catch every exception.
        log.error("%s", error)
        raise error
