"""Selects dead letters by flow, channel, conversation, cause, id and time. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.messages import FLOWS, DeadLetter, Flow


@dataclass(frozen=True)
class Filter:
    """Selects dead letters. A condition that is None matches all."""

    flow: Flow | None = None
    channel: str | None = None
    conversation: str | None = None
    error: str | None = None
    """Part of the error's class, of the HTTP status or of the reason, in upper or lower case."""
    id: str | None = None
    before: float | None = None
    """Dead-lettered before this Unix time; an unknown time never matches."""
    after: float | None = None
    """Dead-lettered after this Unix time."""
    reason: str | None = None
    """The whole reason."""
    cause: str | None = None
    """The whole cause, such as `HTTP 403` or `ValueError`, in upper or lower case."""

    @property
    def flows(self) -> tuple[Flow, ...]:
        return (self.flow,) if self.flow else FLOWS

    @property
    def takes_all(self) -> bool:
        """Whether every dead letter of `flows` matches."""
        return replace(self, flow=None) == Filter()

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a dead letter meets all conditions."""
        return (
            self.flow in (None, letter.flow)
            and self.channel in (None, letter.channel)
            and self.conversation in (None, letter.conversation)
            and self.id in (None, letter.id)
            and self.reason in (None, letter.reason)
            and (self.cause is None or self.cause.lower() == letter.cause.lower())
            and (self.error is None or _mentions(letter, self.error))
            and (self.before is None or 0 < letter.last_at < self.before)
            and (self.after is None or letter.last_at > self.after)
        )


def _mentions(letter: DeadLetter, text: str) -> bool:
    names = letter.error_class, letter.cause, letter.reason
    return any(text.lower() in name.lower() for name in names)
