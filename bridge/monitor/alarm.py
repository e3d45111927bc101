"""Finds out whether an alarm of the broker is why processes do not report.

During a memory or disk alarm, RabbitMQ reads nothing from a connection that publishes, so no report
arrives. It tells that only a connection that publishes, too. So this opens one for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.broker import alarm
from bridge.broker.connection import connect
from bridge.broker.url import Urls
from bridge.errors import BrokerError

LOOK_AGAIN = 10.0
"""Seconds between two looks without an alarm: each is a connection."""


class Alarm:
    """Which alarm there was at the latest look."""

    def __init__(self, url: Urls, exchange: str) -> None:
        """`exchange` is one that the monitor's user may publish to, without a queue for `none`."""
        self._url = url
        self._exchange = exchange
        self._looked = float("-inf")
        self.name = ""
        """`memory alarm`, `disk alarm`, or ""."""
        self._was_calm = False
        self._since: float | None = None

    async def look(self, now: float, *, at_once: bool) -> None:
        """Look; unless `at_once`, not if the latest look was a moment ago and found none."""
        if not at_once and not self.name and now - self._looked < LOOK_AGAIN:
            return
        self._looked = now
        try:
            async with connect(self._url, "alarm") as connection:
                await alarm.look(connection, self._exchange, "alarm")
                self.name = connection.health.blocked
        except BrokerError:  # the monitor's connection tells why
            self.name = ""

    def since(self, of_nodes: Sequence[str] | None, now: float, *, heard: bool) -> float | None:
        """Return since when there is an alarm, here or `of_nodes`; None if that is not known.

        `heard` tells whether processes report: without an alarm now, there was none before.
        """
        if not self.name and not of_nodes:
            self._was_calm, self._since = heard, None
        elif self._was_calm:
            self._was_calm, self._since = False, now
        return self._since
