"""What Python's garbage collector does in a worker. Needs no rasa."""

from __future__ import annotations

import gc


def keep_what_is_loaded() -> None:
    """Exclude all that exists now from collections: modules and the model stay.

    There are more than a million such objects, and a full collection, which visits all of them,
    stops the event loop for half a second.
    """
    gc.collect()
    gc.freeze()


def release_what_was_loaded() -> None:
    """Collect what was excluded, too, once it is in use no more: another model took its place."""
    gc.unfreeze()
