"""Publishes without confirms on a channel that aiormq has opened."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping

from bridge.broker.fast_path.codec import Encoder, id_of
from bridge.broker.fast_path.tap import Tap


class Sending:
    """The messages of one channel. aiormq answers everything that the broker says there."""

    def __init__(self, tap: Tap, channel: int, frame_max: int) -> None:
        self._tap = tap
        self._encoder = Encoder(channel, frame_max, confirms=False)
        self._is_open = True
        self._prefix = uuid.uuid4().hex
        self._numbers = itertools.count()
        tap.attach(channel, self)

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        kind: str,
        correlation_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> bool:
        """Send one message now, or return False: the socket is full, or the channel has closed.

        Raises:
            ValueError: a name is longer than 255 bytes.
        """
        if self._tap.is_full or not self._is_open:
            return False
        frames = self._encoder.publish(
            exchange,
            routing_key,
            body,
            kind,
            id_of(correlation_id),
            f"{self._prefix}-{next(self._numbers):x}",
            None,
            headers,
        )
        self._tap.write(frames)
        # Otherwise aiormq could close the channel first, and then this would end the connection.
        self._tap.flush()
        return True

    def take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> int:
        """Leave all frames to aiormq."""
        return 0

    def close(self) -> None:
        """Send nothing more."""
        self._is_open = False
