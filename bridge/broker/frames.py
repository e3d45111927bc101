"""Makes aiormq 6 (aio-pika 8) read frames without a timer for each part of them.

It wraps the five steps of reading one frame into `asyncio.wait_for`. Each makes a task, so one
delivery takes about 30 passes of the event loop. Beside turns that use the CPU, a message would
wait in the socket for seconds. The time-out is not needed: `health.py` notices a silent broker.
"""

from __future__ import annotations

import inspect
from typing import Any

from aiormq import connection

TIMEOUT = "receive_timeout"


def read_without_timers() -> None:
    """Patch aiormq, once, if it is of a version that has the time-out."""
    receiver: Any = connection.FrameReceiver
    parameters = inspect.signature(receiver.__init__).parameters
    if TIMEOUT not in parameters:
        return
    original = receiver.__init__

    def without_timeout(self: Any, reader: Any, _: Any) -> None:
        original(self, reader, None)

    receiver.__init__ = without_timeout


read_without_timers()
