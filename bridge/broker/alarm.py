"""Tells whether RabbitMQ has blocked a connection because of a memory or disk alarm.

It then reads nothing more from the connection until the alarm ends
(https://www.rabbitmq.com/docs/connection-blocked).
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from bridge.errors import BrokerError

ALARMS = {"memory": "memory alarm", "disk": "disk alarm"}
"""Words in RabbitMQ's reason (`low on memory`, `low on disk`) → our name of the alarm."""
UNKNOWN = "alarm on the broker"
LOOK_TIMEOUT = 2.0
"""Seconds to wait for the answer to the first publish of a connection."""


async def look(connection: Any, exchange: str, name: str) -> None:
    """Publish to no queue over a `Connection`: RabbitMQ tells of an alarm only who publishes."""
    with suppress(BrokerError):
        async with connection.own_channel() as channel:
            await channel.publish(
                exchange, "none", b"", kind="none", message_id=name, timeout=LOOK_TIMEOUT
            )


def is_blocked(connection: Any) -> bool:
    """Return whether a connection of aiormq is blocked.

    The public sign in every version is that `ready()` waits, so one step of it decides.
    """
    ready = connection.ready()
    try:
        ready.send(None)
    except StopIteration:
        return False
    finally:
        ready.close()
    return True


def reason(connection: Any) -> str:
    """Return which alarm blocks a connection of aiormq, such as `memory alarm`."""
    given = _reasons.get(connection, "")
    named = [alarm for word, alarm in ALARMS.items() if word in given]
    return " and ".join(named) or given or UNKNOWN


_reasons: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def _note_reason(record: logging.LogRecord) -> bool:
    """Filter of aiormq's log: the only place where aiormq passes on the broker's reason.

    The line itself is dropped, because our link logs one. Without it, only the reason is unknown.
    """
    if "was blocked by" in str(record.msg) and isinstance(record.args, tuple):
        connection, given = record.args
        _reasons[connection] = str(given)
        return False
    return record.levelno >= logging.getLogger("aiormq").getEffectiveLevel()


_log = logging.getLogger("aiormq.connection")
_log.setLevel(logging.WARNING)
_log.addFilter(_note_reason)
