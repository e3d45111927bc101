"""What Python's garbage collector does in a worker. Needs no rasa."""

from __future__ import annotations

import gc

YOUNG = 5_000
"""New objects after which the youngest generation is collected; Python's default is 700. A turn of
Rasa creates tens of thousands, so it was collected dozens of times while they were still in use."""


def keep_what_is_loaded() -> None:
    """Exclude all that exists now from collections: modules and the model stay.

    There are more than a million such objects, and a full collection, which visits all of them,
    stops the event loop for half a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def release_what_was_loaded() -> None:
    """Collect what was excluded, too, once it is in use no more: another model took its place."""
    gc.unfreeze()
