"""How often a process that works on messages looks for garbage."""

from __future__ import annotations

import gc

YOUNG = 5_000
"""New objects after which the youngest generation is collected; Python's default is 700, or 2,000
since 3.13. So many are in use: messages that are worked on, and their hops until they are sent. A
turn of Rasa makes tens of thousands."""


def collect_seldom() -> None:
    """Look for garbage after `YOUNG` new objects.

    Not in a webhook, where each connection that a client cuts off may leave a body.
    """
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
