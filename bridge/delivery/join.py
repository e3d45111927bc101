"""Joins receipts to the calls that they report of. A state machine: no I/O, no clock.

Law of memory, per channel: at most `MOST_NOTES` calls whose final receipt has not come (1.9 KB each
with a text of 200 characters), `MOST_FINAL` without their content, `MOST_EARLY` receipts, and as
many watermarks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from bridge.messages import Delivery
from bridge.messages.receipts import Note, Outcome, Receipt

MOST_NOTES = 100_000
MOST_EARLY = 10_000
MOST_FINAL = 100_000
OUTCOMES: tuple[Outcome, ...] = ("sent", "delivered", "read", "failed")
EARLY_FOR = 60.0
"""Seconds for which a receipt waits for the note of its call."""


class Held:
    """A delivery, held unacked until everything in it is settled."""

    __slots__ = ("_items", "delivery", "open", "since")

    def __init__(self, delivery: Delivery, now: float) -> None:
        self._items: list[_Call | _Early] = []
        """What it holds, or has held."""
        self.delivery = delivery
        self.open = 0
        """Items that are not settled yet."""
        self.since = now

    def hold(self, item: _Call | _Early) -> None:
        """Hold an item from now on, instead of the delivery that has held it."""
        item.held = self
        self._items.append(item)

    def items(self) -> list[_Call | _Early]:
        """Return what it holds: as many items as it has, however many calls there are."""
        return [item for item in self._items if item.held is self]


class _Call:
    """An accepted call: its note, what was reported so far, and the delivery that holds it."""

    __slots__ = ("held", "note", "told")

    def __init__(self, note: Note, held: Held) -> None:
        self.note = note
        self.told: tuple[Outcome, ...] = ()
        self.held: Held | None = None
        """None once nothing needs to hold it, or while a copy is on the queue."""
        held.hold(self)


class _Early:
    """A receipt that waits for a note, and the delivery that holds it."""

    __slots__ = ("held", "receipt", "since")

    def __init__(self, receipt: Receipt, held: Held, since: float) -> None:
        self.receipt = receipt
        self.held: Held | None = None
        self.since = since
        held.hold(self)


@dataclass(frozen=True)
class Joined:
    """A receipt with its call, and the deliveries to settle once its effects are there."""

    receipt: Receipt
    note: Note | None
    """The call; None if the bridge does not know it."""
    settles: tuple[Held, ...]
    is_first: bool = True
    """False if the same was reported before."""
    is_final: bool = False
    """The call's fate is decided by this receipt."""


class Join:
    """What was sent through one channel, and the receipts that came too early.

    Every method yields what is joined, and each delivery once for every item in it that it need not
    hold any longer.
    """

    def __init__(self, keep: float, *, watermarks: bool = False) -> None:
        """A call without a final receipt is forgotten after `keep` seconds.

        `watermarks` tells whether a receipt may cover all calls of a conversation up to a moment.
        """
        self._keep = keep
        self._sent = Conversations() if watermarks else None
        self._watermarks: OrderedDict[tuple[str, Outcome], _Early] = OrderedDict()
        """Conversation and outcome → the latest watermark, as long as notes may be late."""
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._final: OrderedDict[str, _Call] = OrderedDict()
        self._early: OrderedDict[tuple[str, Outcome], _Early] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of calls without a final receipt."""
        return len(self._calls)

    def note(self, note: Note, held: Held) -> Iterator[Joined | Held]:
        """Take a note; its early receipts join it."""
        id = note.provider_id
        held.open += 1
        if id in self._final:
            yield held
        elif id in self._calls:
            yield from _replaced(self._calls[id], held)
        else:
            self._calls[id] = call = _Call(note, held)
            if self._sent is not None:
                self._sent.add(note.conversation, id)
            for outcome in OUTCOMES:
                early = self._early.pop((id, outcome), None)
                if early is not None:
                    yield self._joined(early.receipt, _freed(early))
                mark = self._watermarks.get((note.conversation, outcome))
                if mark is not None and _covers(mark.receipt, call):
                    yield self._joined(replace(mark.receipt, provider_id=id), ())

    def receipt(self, receipt: Receipt, held: Held, now: float) -> Iterator[Joined | Held]:
        """Take a receipt. `now` is a time in seconds, of any clock."""
        held.open += 1
        key = receipt.provider_id, receipt.outcome
        if receipt.until is not None:
            yield from self._watermark(receipt, receipt.until, held, now)
        elif key[0] in self._calls or key[0] in self._final:
            yield self._joined(receipt, (held,))
        elif key in self._early:
            yield from _replaced(self._early[key], held)
        elif not key[0]:
            yield Joined(receipt, None, (held,))
        else:
            self._early[key] = _Early(receipt, held, now)

    def _watermark(
        self, receipt: Receipt, until: float, held: Held, now: float
    ) -> Iterator[Joined | Held]:
        """Join a watermark to the calls before it, and keep it for their late notes."""
        key = receipt.conversation, receipt.outcome
        known = self._watermarks.get(key)
        latest = known.receipt.until or 0.0 if known else 0.0
        if known is None or until > latest:
            self._watermarks.pop(key, None)
            self._watermarks[key] = _Early(receipt, held, now)
            if known is not None:
                yield from _freed(known)
        elif until == latest:
            yield from _replaced(known, held)
        else:
            yield held
        for id in self._sent.of(receipt.conversation) if self._sent else ():
            if _covers(receipt, self._calls.get(id) or self._final[id]):
                yield self._joined(replace(receipt, provider_id=id), ())

    def _joined(self, receipt: Receipt, settles: tuple[Held, ...]) -> Joined:
        id, outcome = receipt.provider_id, receipt.outcome
        is_final = id in self._calls and outcome != "sent"
        call = self._calls.get(id) or self._final[id]
        note, is_first = call.note, outcome not in call.told
        if is_first:
            call.told = (*call.told, outcome)
        if is_final:
            settles += _freed(call)
            call.note = replace(note, reply=None)
            self._final[id] = self._calls.pop(id)
            if len(self._final) > MOST_FINAL:
                self._forget(*self._final.popitem(last=False))
        if self._sent is not None and outcome in ("read", "failed"):
            self._sent.discard(note.conversation, id)
        return Joined(receipt, note, settles, is_first, is_final)

    def _forget(self, id: str, call: _Call) -> None:
        if self._sent is not None:
            self._sent.discard(call.note.conversation, id)

    def overdue(self, now: float, clock: float) -> Iterator[Joined | Held | Note]:
        """Yield receipts that wait no longer, and the note of each call that is forgotten.

        `now` is of the clock of `receipt`, `clock` the Unix time.
        """
        while self._early:
            key, early = next(iter(self._early.items()))
            if len(self._early) <= MOST_EARLY and now - early.since < EARLY_FOR:
                break
            del self._early[key]
            yield Joined(early.receipt, None, _freed(early))
        while self._watermarks:
            mark = next(iter(self._watermarks.values()))
            if len(self._watermarks) <= MOST_EARLY and now - mark.since < EARLY_FOR:
                break
            self._watermarks.popitem(last=False)
            yield from _freed(mark)
        while self._calls:
            id, call = next(iter(self._calls.items()))
            if len(self._calls) <= MOST_NOTES and clock - call.note.sent_at < self._keep:
                break
            del self._calls[id]
            self._forget(id, call)
            yield call.note
            yield from _freed(call)

    @staticmethod
    def held_by(deliveries: Iterable[Held]) -> tuple[list[Note], list[Receipt]]:
        """Return what these deliveries hold."""
        notes: list[Note] = []
        receipts: list[Receipt] = []
        for item in (item for held in deliveries for item in held.items()):
            if isinstance(item, _Call):
                notes.append(item.note)
            else:
                receipts.append(item.receipt)
        return notes, receipts

    @staticmethod
    def released(deliveries: Iterable[Held]) -> Iterator[Held]:
        """Detach everything from these deliveries: copies of it are on the queue."""
        for held in deliveries:
            for item in held.items():
                item.held = None
                yield held


class Conversations:
    """The calls of each conversation, in the order in which they were noted."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[str, None]] = {}

    def add(self, conversation: str, id: str) -> None:
        self._ids.setdefault(conversation, {})[id] = None

    def discard(self, conversation: str, id: str) -> None:
        ids = self._ids.get(conversation, {})
        ids.pop(id, None)
        if not ids:
            self._ids.pop(conversation, None)

    def of(self, conversation: str) -> tuple[str, ...]:
        return tuple(self._ids.get(conversation, ()))


def _covers(mark: Receipt, call: _Call) -> bool:
    """Return whether a watermark tells something new of a call of its conversation."""
    return call.note.sent_at <= (mark.until or 0.0) and mark.outcome not in call.told


def _freed(item: _Call | _Early) -> tuple[Held, ...]:
    """Let nothing hold an item any longer; return what has held it."""
    held, item.held = item.held, None
    return () if held is None else (held,)


def _replaced(known: _Call | _Early, held: Held) -> Iterator[Held]:
    """Let a copy's delivery hold an item."""
    yield from _freed(known)
    held.hold(known)
