"""What Prometheus sees: every metric of every role, counted where the thing itself happens.

The only home of prometheus_client. All are in its default registry, so that what a handler counts
by itself is served, too. No label ever holds an id, a conversation or a text: `channel` is a key
of credentials.yml and empty where a metric concerns no one channel, `flow` is `inbound` or
`replies`, the other labels have the values that stand here.
"""

from __future__ import annotations

import logging
import time
from itertools import product

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)

from bridge.errors import SettingsError

log = logging.getLogger(__name__)

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds in seconds, for what somebody waits for."""
SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Bounds in seconds, for what waits while a service or all workers are down."""

ERRORS = ("BrokerUnavailable", "PublishRefused", "TopologyError", "Unroutable")
MESSAGES = ("inbound", "reply", "turn_end", "dead_letter")
REASONS = ("undecodable", "rejected", "failed", "poison", "unroutable")


def _seconds(name: str, help: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> Histogram:
    return Histogram(f"rasa_bridge_{name}_seconds", help, labels, unit="seconds", buckets=bounds)


def _total(name: str, help: str, labels: tuple[str, ...]) -> Counter:
    return Counter(f"rasa_bridge_{name}_total", help, labels)


def _now(name: str, help: str, labels: tuple[str, ...]) -> Gauge:
    return Gauge(f"rasa_bridge_{name}", help, labels)


acknowledgement = _seconds(
    "acknowledgement",
    "From receiving a message to the broker's confirm, after which the sender gets its answer.",
    ("channel",),
    QUICK,
)
queueing = _seconds(
    "queueing",
    "From the message's time (received, or the reply created) to the start of its first attempt in"
    " this process.",
    ("flow", "channel"),
    SLOW,
)
turn = _seconds("turn", "One run of a turn, however it ended.", ("channel",), QUICK)
delivery = _seconds("delivery", "One call to a service, however it ended.", ("channel",), QUICK)
BOUNDS = {"acknowledgement": QUICK, "queueing": SLOW, "turn": QUICK, "delivery": QUICK}

published = _total(
    "published",
    "Messages confirmed on the queues. Replies that a request waits for are not included.",
    ("flow", "channel"),
)
messages = _total(
    "messages",
    "Settled messages; outcome: handled, repeated (completed before, not run again) or dead.",
    ("flow", "channel", "outcome"),
)
retries = _total("retries", "Failed attempts that are followed by another.", ("flow", "channel"))
redeliveries = _total("redeliveries", "Messages that were handed out before.", ("flow", "channel"))
dead_letters = _total(
    "dead_letters", f"Dead-lettered messages; reason: {', '.join(REASONS)}.", ("flow", "reason")
)
publish_failures = _total(
    "publish_failures",
    f"Publishes without a confirm; message: {', '.join(MESSAGES)}; error: {', '.join(ERRORS)}.",
    ("message", "error"),
)
requests_rejected = _total(
    "requests_rejected",
    "Requests answered with status 400 or above; channel is empty for URLs of no channel.",
    ("channel", "status"),
)

connected = _now(
    "connected",
    "1 while a connection is open and set up; link: publisher, consumer, collector or monitor.",
    ("link", "channel"),
)
partitions_consumed = _now(
    "partitions_consumed",
    "Partitions that this process consumes, actively or as a stand-by.",
    ("flow", "channel"),
)
partitions_active = _now(
    "partitions_active",
    "Its share: partitions that delivered a message in the last 10 seconds.",
    ("flow", "channel"),
)
lanes = _now("lanes", "Conversations, or recipients, with messages in memory.", ("flow", "channel"))
oldest_held = _now(
    "oldest_held_age_seconds",
    "Age of the oldest message in memory, 0 if there is none.",
    ("flow", "channel"),
)
slots = _now("slots", "Attempts that may run at a time.", ("flow", "channel"))
slots_busy = _now("slots_busy", "Attempts that run now.", ("flow", "channel"))
breaker_open = _now(
    "breaker_open", "1 while calls are held back because the service is down.", ("channel",)
)

queue_messages = _now(
    "queue_messages",
    "Monitor: messages in the queues, waiting or in flight.",
    ("flow", "channel"),
)
oldest_message = _now(
    "oldest_message_age_seconds",
    "Monitor: age of the oldest of them, 0 if there is none. Without a consumer it is the time for"
    " which the monitor has seen them wait.",
    ("flow", "channel"),
)
queue_consumers = _now(
    "queue_consumers",
    "Monitor: 1, or 0 while any of the partitions has no consumer.",
    ("flow", "channel"),
)
partitions_held = _now(
    "partitions_held",
    "Monitor: partitions of which a process is the active consumer.",
    ("flow", "channel", "process"),
)
dead_letters_waiting = _now(
    "dead_letters_waiting",
    "Monitor: dead letters that have not been replayed or purged.",
    ("flow",),
)

REPORTED: tuple[Counter | Histogram, ...] = (
    acknowledgement,
    queueing,
    turn,
    delivery,
    published,
    messages,
    retries,
    redeliveries,
    dead_letters,
    publish_failures,
    requests_rejected,
)
"""Those whose increase a process reports to the monitor."""

Readings = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""(Name, labels) of a sample → its value since the process started."""

# An alert on an increase needs the zero before it.
for _labels in product(MESSAGES, ERRORS):
    publish_failures.labels(*_labels)
for _labels in product(("inbound", "replies"), REASONS):
    dead_letters.labels(*_labels)


def readings() -> Readings:
    """Return every sample of `REPORTED` that is not 0; names without `rasa_bridge_`."""
    return {
        (sample.name.removeprefix("rasa_bridge_"), tuple(sample.labels.items())): sample.value
        for metric in REPORTED
        for family in metric.collect()
        for sample in family.samples
        if sample.value and not sample.name.endswith("_created")
    }


def since(at: float) -> float:
    """Seconds since a Unix time; 0 if another machine's clock is ahead of ours."""
    return max(0.0, time.time() - at)


def serve(host: str, port: int | None) -> None:
    """Serve /metrics from a thread, which answers also while a turn keeps the event loop busy.

    No port: nothing is served.

    Raises:
        SettingsError: the address is taken or not ours.
    """
    if port is None:
        return
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        start_http_server(port, host)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port} for metrics: {error.strerror}; choose another with"
            " --metrics-port or --metrics-host"
        ) from error
    log.info("metrics on http://%s:%d/metrics", host, port)


def exposition() -> tuple[bytes, str]:
    """Return what /metrics answers, and its content type, for a role with a server of its own."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return generate_latest(), CONTENT_TYPE_LATEST
