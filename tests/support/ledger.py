"""The ledger of a fault test: messages sent, acknowledged, run, delivered and dead-lettered.

An entry is a conversation and a sequence number. The ledger does not depend on the bridge: the
sender records what it sent and how that was answered, the handler writes each turn to a file, and
the fake service records what it accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Entry(NamedTuple):
    conversation: str
    number: int


@dataclass
class Ledger:
    """Lists of entries, each in the order of events."""

    sent: list[Entry] = field(default_factory=list)
    acknowledged: list[Entry] = field(default_factory=list)
    """Answered with 2xx. A message sent but not acknowledged may or may not have been queued."""
    run: list[Entry] = field(default_factory=list)
    """Turns that the handler finished."""
    delivered: list[Entry] = field(default_factory=list)
    """Replies that the fake service accepted."""
    dead: list[Entry] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    """Number of dead letters for each reason."""
    unmarked: list[Entry] = field(default_factory=list)
    """Replies that arrived again without the header `X-Redelivered`."""
    unconfirmed: int = 0
    """Replies that the broker did not confirm within 5 s: a busy disk. They are sent again."""

    def lost(self) -> list[Entry]:
        """Acknowledged, but neither run nor dead-lettered."""
        kept = {*self.run, *self.dead}
        return [entry for entry in self.acknowledged if entry not in kept]

    def undelivered(self) -> list[Entry]:
        """Run, but the reply was neither delivered nor dead-lettered."""
        kept = {*self.delivered, *self.dead}
        return [entry for entry in dict.fromkeys(self.run) if entry not in kept]

    def unsolicited(self) -> list[Entry]:
        """Run or delivered, but never sent."""
        known = set(self.sent)
        return [entry for entry in (*self.run, *self.delivered) if entry not in known]

    def repeated_turns(self) -> list[Entry]:
        return repeated(self.run)

    def repeated_replies(self) -> list[Entry]:
        return repeated(self.delivered)

    def swapped_turns(self) -> list[tuple[Entry, Entry]]:
        return inversions(self.run)

    def swapped_replies(self) -> list[tuple[Entry, Entry]]:
        return inversions(self.delivered)

    def check(
        self, *, repeated_turns: int = 0, repeated_replies: int = 0, dead: Sequence[Entry] = ()
    ) -> None:
        """Fail unless the ledger balances.

        No message is lost, invented or out of order. The dead letters are exactly `dead`. At most
        `repeated_turns` and `repeated_replies` were repeated: as many as the test can explain, for
        example one for each killed process. Unconfirmed replies come on top.
        """
        repeated_replies += self.unconfirmed
        problems: dict[str, Sequence[object]] = {
            "acknowledged and lost": self.lost(),
            "run, but the reply is lost": self.undelivered(),
            "never sent": self.unsolicited(),
            "turns out of order": self.swapped_turns(),
            "replies out of order": self.swapped_replies(),
            f"turns repeated, more than {repeated_turns}": (self.repeated_turns()[repeated_turns:]),
            f"replies repeated, more than {repeated_replies}": (
                self.repeated_replies()[repeated_replies:]
            ),
            "replies repeated without a mark": self.unmarked,
            "dead-lettered by mistake": sorted(set(self.dead) - set(dead)),
            "not dead-lettered": sorted(set(dead) - set(self.dead)),
        }
        found = {name: entries for name, entries in problems.items() if entries}
        assert not found, "\n".join(
            [self.table(), *(f"{name}: {len(e)}, first {e[:5]}" for name, e in found.items())]
        )

    def counts(self) -> dict[str, int]:
        return {
            "sent": len(self.sent),
            "acked": len(self.acknowledged),
            "turns": len(set(self.run)),
            "replies": len(set(self.delivered)),
            "dead": len(set(self.dead)),
            "lost": len(self.lost()) + len(self.undelivered()),
            "swapped": len(self.swapped_turns()) + len(self.swapped_replies()),
            "rerun": len(self.repeated_turns()),
            "resent": len(self.repeated_replies()),
        }

    def table(self) -> str:
        """Return the counts, one per line, then the reasons of dead letters."""
        lines = {**self.counts(), **self.reasons}
        return "\n".join(f"{name:8} {count:7}" for name, count in lines.items())


def repeated(entries: list[Entry]) -> list[Entry]:
    """Return every occurrence of an entry after its first."""
    return [entry for entry, count in Counter(entries).items() for _ in range(count - 1)]


def inversions(entries: list[Entry]) -> list[tuple[Entry, Entry]]:
    """Return pairs of neighbours of one conversation that arrived in the wrong order.

    Repetitions do not count: the first occurrence of an entry decides its place.
    """
    latest: dict[str, Entry] = {}
    wrong = []
    for entry in dict.fromkeys(entries):
        before = latest.get(entry.conversation)
        if before is not None and before.number > entry.number:
            wrong.append((before, entry))
        else:
            latest[entry.conversation] = entry
    return wrong
