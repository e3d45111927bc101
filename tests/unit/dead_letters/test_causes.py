"""Dead letters in groups: one per flow, channel, reason, and HTTP status or error class."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from bridge.commands.dead_view import causes_table, options_of
from bridge.dead_letters import causes
from bridge.dead_letters.causes import Groups
from bridge.messages import DeadLetter

LETTER = DeadLetter(
    "replies", "failed", "RetryableDeliveryError: x", 3, 5.0, 600.0, "q", "e:0", "slack", "u", 503
)
OTHERS = [
    replace(LETTER, flow="inbound"),
    replace(LETTER, channel="telegram"),
    replace(LETTER, reason="rejected"),
    replace(LETTER, status=500),
    replace(LETTER, status=0),
]


def groups(*letters: DeadLetter) -> Groups:
    found = Groups()
    for letter in letters:
        found.add(letter)
    return found


def test_letters_with_one_cause_are_one_group_and_the_largest_is_first() -> None:
    same = [replace(LETTER, id=str(n), conversation=f"u{n}", error=f"E{n}: x") for n in range(3)]
    found = groups(*OTHERS, *same).largest_first()
    assert [group.letters for group in found] == [3, 1, 1, 1, 1, 1]
    assert (found[0].cause, found[-1].cause) == ("HTTP 503", "RetryableDeliveryError")


def test_the_filter_of_a_group_matches_its_letters_and_no_others() -> None:
    letters = [LETTER, *OTHERS, replace(LETTER, error="retryabledeliveryerror", status=0)]
    found = groups(*letters).largest_first()
    for group in found:
        assert sum(group.filter.matches(letter) for letter in letters) == group.letters
    assert sum(group.letters for group in found) == len(letters)


def test_a_group_tells_its_oldest_and_newest_letter_and_ignores_unknown_times() -> None:
    times = (0.0, 30.0, 10.0, 20.0)
    (group,) = groups(*(replace(LETTER, last_at=at) for at in times)).largest_first()
    assert (group.oldest, group.newest) == (10.0, 30.0)
    (group,) = groups(replace(LETTER, last_at=0)).largest_first()
    assert (group.oldest, group.newest) == (0.0, 0.0)


def test_the_number_of_groups_is_limited() -> None:
    found = groups(*(replace(LETTER, channel=f"c{n}") for n in range(causes.MOST + 7)), LETTER)
    assert len(found.largest_first()) == causes.MOST
    assert found.others == 8


def test_the_table_fits_80_columns_and_names_the_options_of_a_group() -> None:
    hostile = replace(LETTER, channel="x" * 60, reason="it's\x1b[2J", status=0, error="Q" * 90)
    found = groups(LETTER, LETTER, *OTHERS, hostile).largest_first()
    console = Console(file=io.StringIO(), width=80)
    console.print(causes_table(found, 660.0))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= 80
    header, first = (line.split() for line in shown.splitlines()[:2])
    assert header == ["letters", "oldest", "newest", "flow", "channel", "reason", "cause"]
    assert first[:5] == ["2", "1m", "1m", "replies", "slack"]
    assert "\x1b" not in shown + options_of(found[-1])
    assert options_of(found[0]) == (
        "--flow replies --channel slack --reason failed --cause 'HTTP 503'"
    )
