"""Collections leave out what is loaded; once another model is, they collect the old one."""

from __future__ import annotations

import gc  # noqa: F401
import subprocess
import sys
import weakref  # noqa: F401


class Cycle:
    """Goes away only when it is collected."""

    def __init__(self) -> None:
        self.itself = self


def run(code: str) -> None:
    """Run code in a process whose collector is not that of the tests."""
    subprocess.run([sys.executable, "-c", f"from {__name__} import *\n{code}"], check=True)


def test_what_is_loaded_is_left_out_until_another_model_is() -> None:
    run(
        """
from worker import garbage
model = Cycle()
seen = weakref.ref(model)
garbage.keep_what_is_loaded()
del model
gc.collect()
assert seen() is not None
garbage.release_what_was_loaded()
gc.collect()
assert seen() is None
"""
    )


def test_many_objects_are_made_between_two_collections() -> None:
    run(
        """
from bridge.runtime.garbage import YOUNG, collect_seldom
collect_seldom()
assert gc.get_threshold()[0] == YOUNG
gc.collect()
seen = []
gc.callbacks.append(lambda phase, _: seen.append(phase))
kept = [[] for _ in range(YOUNG - 1000)]
assert not seen
kept += [[] for _ in range(2000)]
assert seen
"""
    )


def test_what_a_turn_leaves_is_collected() -> None:
    run(
        """
from worker import garbage
garbage.keep_what_is_loaded()
seen = weakref.ref(Cycle())
gc.collect()
assert seen() is None
"""
    )
