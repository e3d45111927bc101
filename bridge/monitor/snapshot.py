"""What is known of the queues at one moment, as plain data: what `status --json` prints.

Ages and times are in seconds, rates are per second. None stands for what nobody could tell.
"""

from __future__ import annotations

import msgspec


class Latency(msgspec.Struct, frozen=True):
    """Percentiles; upper bounds of the histogram's bucket, interpolated within it."""

    p50: float
    p95: float
    p99: float


class Partition(msgspec.Struct, frozen=True):
    number: int
    queue: str
    ready: int
    """Messages that wait."""
    unacked: int | None
    """Messages that a consumer holds: handed out, not settled."""
    consumers: int
    """1, or 0 if there is none: those that stand by are not counted."""
    holder: str | None
    """Name of the process whose consumer is the active one."""
    oldest_age: float | None
    """None: nobody knows. 0: there is no message."""
    at_least: bool = False
    """`oldest_age` is only how long the monitor has seen messages wait."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """The inbound flow, or one channel's replies; numbers are sums over its partitions."""

    flow: str
    channel: str
    """Empty for `inbound`: messages of all channels come on the same partitions."""
    ready: int
    unacked: int | None
    consumers: int
    """0 if any of the partitions has none."""
    oldest_age: float | None
    at_least: bool
    published: float | None
    """Rate."""
    settled: float | None
    """Rate."""
    retries: float | None
    """Rate."""
    redeliveries: float | None
    """Rate."""
    paused: bool
    """Calls are held back, since the service is down."""
    queueing: Latency | None
    """Time until a message's first attempt."""
    work: Latency | None
    """Time of one attempt: a turn, or a call to the service."""
    partitions: list[Partition]

    @property
    def depth(self) -> int:
        """Messages that wait or are held."""
        return self.ready + (self.unacked or 0)


class Process(msgspec.Struct, frozen=True):
    name: str
    role: str
    uptime: float
    consumes: list[tuple[str, str]]
    """(Flow, channel) of what it consumes; nothing, if it is a webhook."""
    partitions: int
    """Of which it is the active consumer."""
    lanes: int
    slots: int
    busy: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    """Unix time."""
    namespace: str
    broker: str
    """URL without its password."""
    sources: list[str]
    """Of `amqp`, `reports` (of the processes) and `management` (RabbitMQ's API)."""
    flows: list[Flow]
    """`inbound` first."""
    processes: list[Process]
    dead: dict[str, int]
    """Flow → dead letters that wait."""
    acknowledged: float | None
    """Rate of messages that webhooks confirmed to their senders."""
    rejected: float | None
    """Rate of requests answered with a status of 400 or more."""
    acknowledgement: Latency | None
    """Time until the sender is answered."""
    alarms: list[str]
    """What is wrong with the broker's nodes, as the management API says."""
    missing: list[str]
    """Queues that should be there and are not."""
