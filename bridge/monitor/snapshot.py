"""The state of the queues at one moment, as plain data. `status --json` prints a `Snapshot`.

Ages and times are in seconds, rates are per second. None means unknown.
"""

from __future__ import annotations

import msgspec


class Latency(msgspec.Struct, frozen=True):
    """Percentiles in seconds, at most 2.5 % wrong (`telemetry.sketches`)."""

    p50: float
    p95: float
    p99: float


class Partition(msgspec.Struct, frozen=True):
    number: int
    queue: str
    ready: int
    """Messages waiting, those in overflow queues included."""
    unacked: int | None
    """Messages in flight: delivered to a consumer, not settled."""
    consumers: int
    """1, or 0 without a consumer. Standby consumers are not counted."""
    holder: str | None
    """Name of the process with the active consumer."""
    oldest_age: float | None
    """None: unknown. 0: the partition is empty."""
    at_least: bool = False
    """`oldest_age` is a lower bound: how long the monitor has seen messages waiting."""
    depth_at_least: bool = False
    """A process that does not report may hold more messages than `unacked`."""


class Pause(msgspec.Struct, frozen=True):
    """Why calls to a service are held back."""

    why: str
    """The latest error of the service."""
    since: float
    """Unix time."""
    next_at: float
    """Unix time of the next probe; 0 if no reply waits for one."""


class OperatorPause(msgspec.Struct, frozen=True):
    """Who paused a flow with `rasa-bridge pause` or on the page."""

    by: str
    """"" if it is not known (yet)."""
    since: float
    """Unix time; 0 if it is not known (yet)."""
    reason: str
    ignored_by: list[str]
    """Processes that go on nevertheless, such as those of an earlier version."""


class Incoming(msgspec.Struct, frozen=True):
    """The requests of one channel. Numbers are rates."""

    channel: str
    accepted: float
    """Messages confirmed by the broker."""
    rejected: float
    """Requests answered with status 400 or higher,"""
    statuses: dict[str, float]
    """and the same by status."""


class Outcomes(msgspec.Struct, frozen=True):
    """What a service reported of the calls that it had accepted."""

    delivered: float
    """Rate."""
    failed: float
    """Rate; those that a template replaced are included."""
    time_to_delivery: Latency | None
    codes: dict[str, float] = {}
    """Reported failures by the service's error code. Numbers are rates."""

    @property
    def share(self) -> float:
        """Share of the calls with a report that were delivered."""
        return self.delivered / (self.delivered + self.failed)


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """The inbound flow, or one channel's replies. Numbers are sums over its partitions."""

    flow: str
    channel: str
    """Empty for `inbound`: all channels share its partitions."""
    ready: int
    unacked: int | None
    """Those known to be in flight; None if that is known of no partition."""
    depth_at_least: bool = False
    """A process that does not report may hold more messages than `unacked`."""
    consumers: int
    """The minimum over the partitions: 0 if any of them has none."""
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
    dead: int = 0
    """Messages that became dead letters in the last 15 seconds (`reports.WINDOW`),"""
    done: int = 0
    """of so many that were settled."""
    dead_of: str = ""
    """Their commonest cause, an HTTP status or the class of an error; "": unknown."""
    dead_of_that: int = 0
    """How many of them have that cause."""
    turns: int = 0
    """Turns in the last 15 seconds,"""
    turn_errors: int = 0
    """and those in which Rasa logged an error, and went on."""
    turn_error: str = ""
    """The latest such error; "" if there was none since the start of the workers."""
    turn_error_at: float = 0.0
    """Unix time of the end of its turn."""
    paused: bool
    """The circuit breaker is open because the service is down."""
    pause: Pause | None = None
    """If paused: why."""
    stopped: OperatorPause | None = None
    """An operator has paused it."""
    queueing: Latency | None
    """Time from receipt to a message's first attempt."""
    work: Latency | None
    """Duration of one attempt: a turn, or a call to the service."""
    partitions: list[Partition]
    slots: int = 0
    busy: int = 0
    """Slots in use."""
    paced: int = 0
    """Lanes that wait for a rate limit,"""
    retrying: int = 0
    """and those that wait for their next attempt after a failure."""
    failing: str = ""
    """If there are some: the cause of a latest failure, the HTTP status or class of its error."""
    outcomes: Outcomes | None = None
    """None if nothing was reported lately, or the channel's receipts are not joined."""

    @property
    def depth(self) -> int:
        """Messages waiting or in flight, as far as they are known: see `depth_at_least`."""
        return self.ready + (self.unacked or 0)

    @property
    def is_depth_unknown(self) -> bool:
        """Whether the depth may be anything."""
        return self.depth_at_least and not self.depth


class Silent(msgspec.Struct, frozen=True):
    """Processes that consume a flow, or a channel's replies, and do not report: they hang.

    Or webhooks; then the flow is `webhook`.
    """

    flow: str
    channel: str
    number: int
    reporting: int
    """The consumers that do report."""
    since: float
    """Unix time."""
    names: list[str]
    """Those that have reported before; the others are unknown."""


class Process(msgspec.Struct, frozen=True):
    name: str
    role: str
    uptime: float
    consumes: list[tuple[str, str]]
    """(flow, channel) of each flow that it consumes; empty for a webhook process."""
    partitions: int
    """Partitions of which it is the active consumer."""
    lanes: int
    slots: int
    busy: int
    model: str = ""
    """The model that answers; "" if the process has none."""
    silent_for: float = 0.0
    """Seconds since its latest report, if it is connected and does not report any more."""
    quiet: int = 0
    """Lanes that wait until their conversation is quiet: no backlog."""
    clock_ahead: float = 0.0
    """Seconds by which its clock is ahead of the monitor's, negative if behind; 0 below 5."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    """Unix time."""
    namespace: str
    broker: str
    """URL without the password."""
    sources: list[str]
    """Some of `amqp`, `reports` (of the processes) and `management` (RabbitMQ's API)."""
    flows: list[Flow]
    """`inbound` first."""
    processes: list[Process]
    dead: dict[str, int]
    """Flow → number of dead letters."""
    being_read: list[str] = []
    """Flows whose dead letters are being read: the reader may hold more than that number."""
    acknowledged: float | None
    """Rate of messages that webhook processes acknowledged to their senders."""
    rejected: float | None
    """Rate of requests answered with status 400 or higher."""
    acknowledgement: Latency | None
    """Time until the sender gets the acknowledgement."""
    alarms: list[str]
    """Problems of the broker's nodes, according to the management API, or to the broker itself if
    it accepts no reports."""
    alarms_since: float | None = None
    """Unix time since which there is an alarm; None if it was there before the first look."""
    missing: list[str]
    """Names of the queues that do not exist."""
    silent: list[Silent] = []
    incoming: list[Incoming] = []
    """One per channel that got requests lately. Its channel is empty for unknown URLs."""
    unbound: list[str] = []
    """Names of the queues without their binding, according to the management API."""
    webhooks: int | None = None
    """Connected webhooks; None: unknown, or there was none in the last week."""
    closed_since: float | None = None
    """Unix time since which `topology resize` keeps messages from the inbound queues, as far as it
    was seen; None if it does not."""
    is_recovering: bool = False
    """The broker was away until a moment ago, and the processes connect again."""
