"""Reminders as messages that are due later, instead of jobs in the memory of a process.

| moment | what is done |
| --- | --- |
| an action returns `ReminderScheduled` | A message is put aside on the broker, before the tracker is saved. |
| the message is due | It takes its place in the lane of its conversation, in any worker. |
| it runs | The tracker decides: a reminder fires if its event is there and nothing has ended it. |

So a reminder needs no second place that could disagree with the tracker. That of a turn that was not
saved finds no event and does not fire, and `ReminderCancelled` has only to be in the tracker. The
message of a fired reminder is in the tracker, too: a copy of it does not fire again.
"""  # noqa: E501

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rasa.shared.core.events import (
    Event,
    ReminderCancelled,
    ReminderScheduled,
    UserUttered,
)

from bridge.messages import InboundMessage
from bridge.telemetry import metrics
from worker.compat import RemindingProcessor

log = logging.getLogger(__name__)

SAME_MOMENT = 0.001
"""Seconds by which the time of one event may differ: not every tracker store keeps all digits."""

_schedule_in_process = RemindingProcessor._schedule_reminders
_cancellation_as_dict = ReminderCancelled.as_dict


def install() -> None:
    """Have Rasa put the reminders of our output channels on the broker."""
    RemindingProcessor._schedule_reminders = _schedule_reminders
    ReminderCancelled.as_dict = _complete_cancellation


def _complete_cancellation(event: Any) -> dict[str, Any]:
    """Replace `ReminderCancelled.as_dict`, which leaves out what it cancels: once stored, the event
    would cancel every reminder. Rasa reads these fields back."""
    named = {"name": event.name, "intent": event.intent, "entities": event.entities}
    return {**_cancellation_as_dict(event), **named}


async def _schedule_reminders(
    processor: Any, events: Sequence[Any], tracker: Any, output_channel: Any
) -> None:
    """Replace `MessageProcessor._schedule_reminders`. The arguments are Rasa's."""
    schedule = getattr(output_channel, "schedule", None)
    if schedule is None:
        # A channel of a plain `rasa run`, beside hosted mode.
        await _schedule_in_process(processor, events, tracker, output_channel)
        return
    for event in events:
        if isinstance(event, ReminderScheduled):
            due_at = _seconds(event.trigger_date_time)
            id = _id(tracker.sender_id, event)
            await schedule(tracker.sender_id, id, due_at, event.as_dict())


def _id(sender_id: str, event: Any) -> str:
    """Return what identifies one `ReminderScheduled` event of a conversation."""
    parts = sender_id, event.name, repr(float(event.timestamp)), event.trigger_date_time.isoformat()
    return f"reminder-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def _seconds(moment: datetime) -> float:
    """Return a moment as Unix seconds; without a zone it is local time, as in Rasa."""
    try:
        return moment.timestamp()
    except (OverflowError, OSError, ValueError):
        # In the year 1 or 9999, beyond what the machine can convert.
        return 0.0 if moment.year < datetime.now().year else 1e11


async def fire(agent: Any, message: InboundMessage, output: Any) -> None:
    """Trigger the intent of a reminder that is due, unless the tracker says that it ended."""
    assert message.command is not None
    reminder = Event.from_parameters(message.command.arguments["event"])
    async with agent.lock_store.lock(message.sender_id):
        # Before Rasa begins a new session, in which no reminder of the last one is found.
        stored = await agent.tracker_store.retrieve(message.sender_id)
        obstacle = why_not(stored, reminder, message.id)
        if obstacle:
            log.info("reminder does not fire: %s", obstacle)
            metrics.reminders.labels("outdated").inc()
            return
        tracker = await agent.processor.fetch_tracker_and_update_session(
            message.sender_id, output_channel=output
        )
        await trigger(agent, tracker, output, message.id, reminder.intent, reminder.entities)
    metrics.reminders.labels("fired").inc()
    log.info("reminder fired")


async def trigger(
    agent: Any, tracker: Any, output: Any, id: str, intent: str, entities: Any
) -> None:
    """Run an intent as if the user had expressed it. Its event carries the id of its message."""
    update = tracker.update

    def update_with_id(event: Any, *further: Any, **named: Any) -> None:
        if isinstance(event, UserUttered) and event.message_id is None:
            event.message_id = id
        update(event, *further, **named)

    tracker.update = update_with_id
    try:
        await agent.processor.trigger_external_user_uttered(intent, entities or [], tracker, output)
    finally:
        del tracker.update


def why_not(tracker: Any, reminder: Any, id: str) -> str:
    """Return why a reminder must not fire any more, or ""."""
    events = list(tracker.events) if tracker is not None else []
    if any(isinstance(event, UserUttered) and event.message_id == id for event in events):
        return "it fired before"
    at = next((n for n in reversed(range(len(events))) if _is(events[n], reminder)), None)
    if at is None or not any(_is(event, reminder) for event in tracker.applied_events()):
        return "its turn was not saved, or the conversation was restarted"
    for event in events[at + 1 :]:
        if isinstance(event, ReminderScheduled) and event.name == reminder.name:
            return "another one has replaced it"
        if isinstance(event, ReminderCancelled) and _cancels(event, reminder):
            return "it was cancelled"
        if reminder.kill_on_user_message and isinstance(event, UserUttered) and event.text:
            return "the user has written"
    return ""


def _is(event: Any, reminder: Any) -> bool:
    """Return whether an event of the tracker is the one that scheduled this reminder."""
    return (
        isinstance(event, ReminderScheduled)
        and event.name == reminder.name
        and abs(float(event.timestamp) - float(reminder.timestamp)) < SAME_MOMENT
    )


def _cancels(event: Any, reminder: Any) -> bool:
    """Return what Rasa's `cancels_job_with_name` would: what an event leaves out matches all."""
    return (
        (not event.name or event.name == reminder.name)
        and (not event.intent or event.intent == reminder.intent)
        and (not event.entities or event.entities == reminder.entities)
    )
