"""What an inbound message with a command does: a reminder that is due, or a call of the API."""

from __future__ import annotations

from typing import Any

from bridge.messages import REMINDER, InboundMessage
from worker import api, reminders
from worker.api_call import CollectedOutput
from worker.output_channel import is_silenced


async def run(agent: Any, message: InboundMessage, output: Any) -> None:
    """Run the command of a message; an exception has it retried."""
    assert message.command is not None
    if message.command.name == REMINDER:
        channel = CollectedOutput(output) if is_silenced(message) else output
        await reminders.fire(agent, message, channel)
    else:
        await api.answer(agent, message, output)
