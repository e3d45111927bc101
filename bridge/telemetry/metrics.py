"""Every metric of every role. The only home of prometheus_client.

All metrics are in its default registry, so metrics that a handler defines are served too. No label
holds an id, a conversation or a text: `channel` is a key of credentials.yml ("" if a metric does
not belong to one channel), `flow` is `inbound` or `replies`, and the values of other labels are
listed here.
"""

from __future__ import annotations

import time
from itertools import product
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    make_wsgi_app,
)

from bridge.messages import FLOWS
from bridge.telemetry.durations import Durations, Waits
from bridge.telemetry.noting import NotingCounter

QUICK = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.035, 0.05, 0.075),
    *(0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 3.5, 5.0, 7.5),
    *(10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0),
)
"""Histogram bounds in seconds, for durations that a person waits for."""
SLOW = (*QUICK[2:], 600.0, 1200.0, 1800.0, 3600.0)
"""Histogram bounds in seconds, for waits while a service or all workers are down."""
TURN_SIZES = (1, 2, 3, 4, 5, 7, 10, 15, 20, 50, 100)

ERRORS = (
    "BrokerUnavailable",
    "MessageTooLarge",
    "NotDeclared",
    "PublishRefused",
    "TopologyError",
    "Unroutable",
)
MESSAGES = ("inbound", "reply", "turn_end", "dead_letter", "overflow", "lock", "reminder")
REASONS = ("undecodable", "rejected", "failed", "timed out", "poison", "unroutable", "undelivered")


def _seconds(
    name: str,
    help: str,
    labels: tuple[str, ...],
    bounds: tuple[float, ...],
    kind: type[Durations] = Durations,
) -> Durations:
    return kind(f"rasa_bridge_{name}_seconds", help, labels, unit="seconds", buckets=bounds)


def _total(name: str, help: str, labels: tuple[str, ...]) -> NotingCounter:
    return NotingCounter(f"rasa_bridge_{name}_total", help, labels)


def _now(name: str, help: str, labels: tuple[str, ...]) -> Gauge:
    return Gauge(f"rasa_bridge_{name}", help, labels)


acknowledgement = _seconds(
    "acknowledgement",
    "Time from receiving a message to the broker's confirm, after which its sender is answered.",
    ("channel",),
    QUICK,
)
queueing = _seconds(
    "queueing",
    "Time from receiving a message, or creating a reply, to its first attempt in this process.",
    ("flow", "channel"),
    SLOW,
)
turn = _seconds("turn", "Duration of one run of a turn, successful or not.", ("channel",), QUICK)
delivery = _seconds(
    "delivery", "Duration of one call to a service, successful or not.", ("channel",), QUICK
)
pace = _seconds(
    "pace",
    "Time that a call waited because of a rate limit; level: channel or recipient.",
    ("channel", "level"),
    SLOW,
    Waits,
)
time_to_delivery = _seconds(
    "time_to_delivery",
    "Time from a service's acceptance of a call to the delivery that it reports.",
    ("channel",),
    (*SLOW[4:], 4 * 3600.0, 24 * 3600.0),
)
quiet = _seconds("quiet", "Wait for a quiet conversation; not in queueing.", ("channel",), QUICK)
turn_messages = Histogram(
    "rasa_bridge_turn_messages", "Messages per collected turn.", ("channel",), buckets=TURN_SIZES
)
SKETCHED: dict[str, Durations] = {
    "acknowledgement": acknowledgement,
    "queueing": queueing,
    "turn": turn,
    "delivery": delivery,
    "time_to_delivery": time_to_delivery,
}
"""The durations whose percentiles a monitor shows."""

published = _total(
    "published",
    "Messages confirmed by the broker, except replies for which an HTTP request waits.",
    ("flow", "channel"),
)
messages = _total(
    "messages",
    "Settled messages; outcome: handled, repeated (completed before, not run again), superseded (by"
    " a newer one) or dead.",
    ("flow", "channel", "outcome"),
)
retries = _total(
    "retries", "Failed attempts that are followed by another one.", ("flow", "channel")
)
turn_errors = _total(
    "turn_errors",
    "Turns in which Rasa logged an error and went on, such as that of a custom action.",
    ("channel",),
)
interrupted = _total("turns_interrupted", "Turns that a new message interrupted.", ("channel",))
events_ignored = _total(
    "events_ignored",
    "Events of a service that become no message; kind: see the page of the channel.",
    ("channel", "kind"),
)
receipts = _total(
    "receipts",
    "What services report of sent messages; outcome: sent, delivered, read or failed.",
    ("channel", "outcome"),
)
receipt_failures = _total(
    "receipt_failures",
    "Messages that a service accepted and did not deliver; code: that of the service, or other.",
    ("channel", "code"),
)
reply_outcomes = _total(
    "reply_outcomes",
    "What became of the calls that a service accepted; outcome: delivered, dead_letter, template"
    " or unreported; unmatched counts receipts of calls that the bridge does not know.",
    ("channel", "outcome"),
)
notes_lost = _total(
    "notes_lost", "Accepted calls that could not be remembered for their receipts.", ("channel",)
)
replies_missed = _total(
    "replies_missed", "Replies dropped because their client did not return in time.", ("channel",)
)
redeliveries = _total(
    "redeliveries", "Messages that RabbitMQ had delivered before.", ("flow", "channel")
)
dead_letters = _total(
    "dead_letters", f"Dead-lettered messages; reason: {', '.join(REASONS)}.", ("flow", "reason")
)
publish_failures = _total(
    "publish_failures",
    f"Unconfirmed publishes; message: {', '.join(MESSAGES)}; error: {', '.join(ERRORS)}.",
    ("message", "error"),
)
reminders = _total(
    "reminders",
    "Reminders of the assistant; outcome: scheduled, fired or outdated (for example, cancelled).",
    ("outcome",),
)
trace_hops = _total(
    "trace_hops",
    "Hops of messages for the trace; outcome: written or dropped (no room while RabbitMQ is away).",
    ("outcome",),
)
requests_rejected = _total(
    "requests_rejected",
    "Requests answered with status 400 or above; channel is empty for other URLs.",
    ("channel", "status"),
)

connected = _now(
    "connected",
    "1 while a connection is ready; link: publisher, consumer, collector, relay, seen, pacer,"
    " reminders, receipts, trace or monitor.",
    ("link", "channel"),
)
publishers_blocked = _now(
    "publishers_blocked",
    "1 while RabbitMQ blocks publishers because of a memory or disk alarm.",
    (),
)
partitions_consumed = _now(
    "partitions_consumed",
    "Partitions that this process consumes or stands by for.",
    ("flow", "channel"),
)
partitions_active = _now(
    "partitions_active",
    "Partitions that delivered a message to this process in the last 10 seconds.",
    ("flow", "channel"),
)
lanes = _now("lanes", "Conversations (or recipients) with messages in memory.", ("flow", "channel"))
overflow_messages = _now(
    "overflow_messages",
    "Messages of stalled conversations (or recipients) in overflow queues.",
    ("flow", "channel"),
)
oldest_held = _now(
    "oldest_held_age_seconds",
    "Age of the oldest message in memory, 0 if there is none.",
    ("flow", "channel"),
)
slots = _now("slots", "Maximum number of concurrent attempts.", ("flow", "channel"))
slots_busy = _now("slots_busy", "Attempts that hold a slot now.", ("flow", "channel"))
breaker_open = _now(
    "breaker_open",
    "1 while calls are held back: the service is down, or asked the channel to wait.",
    ("channel",),
)

receipts_awaited = _now(
    "receipts_awaited", "Accepted calls whose final receipt has not come.", ("channel",)
)

queue_messages = _now(
    "queue_messages",
    "Monitor: messages in the queues, waiting or in flight; at least those that are known, NaN if"
    " none are.",
    ("flow", "channel"),
)
oldest_message = _now(
    "oldest_message_age_seconds",
    "Monitor: age of the oldest message in the queues, 0 if there is none, NaN if unknown; without"
    " a consumer, the time for which the monitor has seen messages wait.",
    ("flow", "channel"),
)
queue_consumers = _now(
    "queue_consumers",
    "Monitor: 0 while a partition has no consumer, otherwise 1.",
    ("flow", "channel"),
)
partitions_held = _now(
    "partitions_held",
    "Monitor: partitions whose active consumer is the process.",
    ("flow", "channel", "process"),
)
flow_paused = _now(
    "flow_paused",
    "Monitor: 1 while an operator has paused the flow (`rasa-bridge pause`).",
    ("flow", "channel"),
)
dead_letters_waiting = _now(
    "dead_letters_waiting", "Monitor: dead letters waiting for a replay or a purge.", ("flow",)
)

# An alert on an increase needs the zero before it.
for _labels in product(MESSAGES, ERRORS):
    publish_failures.labels(*_labels)
for _labels in product(FLOWS, REASONS):
    dead_letters.labels(*_labels)


def since(at: float) -> float:
    """Return the seconds since a Unix time; 0 if the clock of its machine is ahead of ours."""
    return max(0.0, time.time() - at)


def wsgi_app() -> Any:
    """Return a WSGI application that answers with the metrics."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return make_wsgi_app()


def exposition() -> tuple[bytes, str]:
    """Return the response body of /metrics and its content type."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return generate_latest(), CONTENT_TYPE_LATEST
