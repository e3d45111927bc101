"""Checks RabbitMQ: whether it answers, its version, and the declared topology."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge.broker.connection import Connection, connect
from bridge.broker.declare import refuse_other_number
from bridge.broker.stream import trace_stream
from bridge.broker.stream_reading import check_reading
from bridge.broker.topology import Queue, Topology
from bridge.broker.url import safe_url
from bridge.connectors.registry import Channel
from bridge.doctor.findings import Finding, error, ok, warning
from bridge.errors import AccessRefused, BrokerError, BrokerUnavailable, NotDeclared, TopologyError
from bridge.settings.files import BrokerSettings

DECLARE = "start a role, or run: rasa-bridge topology declare"


async def check_broker(broker: BrokerSettings, channels: Mapping[str, Channel]) -> list[Finding]:
    """Check the broker and, if it answers, its topology."""
    topology = broker.topology_of(channels.values())
    try:
        async with connect(broker.url, "doctor") as connection:
            findings = [
                about_version(connection.broker_version, safe_url(broker.url)),
                await check_topology(connection, topology),
            ]
            if broker.trace:
                findings.append(await check_trace(connection, topology))
            return findings
    except BrokerUnavailable as problem:
        return [unreachable(problem)]
    except BrokerError as problem:
        return [error("topology", problem.problem, problem.fix or "see the broker's log")]


def about_version(version: str, where: str) -> Finding:
    """Check the broker's own version; from 4.0 on, queues are balanced between workers."""
    found = re.match(r"\d+", version)
    if found and int(found[0]) < 4:
        return warning(
            "broker",
            f"RabbitMQ {version} at {where}: queues are not balanced between workers; the first"
            " consumer keeps every queue",
            "upgrade to RabbitMQ 4",
        )
    return ok("broker", f"RabbitMQ {version} at {where}")


def unreachable(problem: BrokerUnavailable) -> Finding:
    """Return the finding for a failed attempt to connect."""
    return error(
        "broker", problem.problem, problem.fix or "start RabbitMQ there, or fix bridge.url"
    )


async def check_topology(connection: Connection, topology: Topology) -> Finding:
    """Compare the declared queues and exchanges with the settings; declare nothing new."""
    try:
        await refuse_other_number(connection, topology)
    except TopologyError as problem:
        return error("topology", problem.problem, problem.fix)
    queues = list(topology.queues())
    depths = await connection.depths(q.name for q in queues)
    existing = [q for q in queues if q.name in depths]
    if not existing:
        return warning("topology", f"none of the {len(queues)} queues exists yet", DECLARE)
    difference = await _difference(connection, topology, existing)
    if difference:
        return difference
    if len(existing) < len(queues):
        return about_missing([q for q in queues if q.name not in depths])
    dead = sum(depths[q.name].ready for q in topology.dead_queues())
    messages = sum(depth.ready for depth in depths.values()) - dead
    return ok(
        "topology", f"{len(queues)} queues; messages waiting: {messages}, dead letters: {dead}"
    )


async def check_trace(connection: Connection, topology: Topology) -> Finding:
    """Check that the stream of hops exists, and that this user may read it."""
    name = trace_stream(topology).name
    try:
        await check_reading(connection, topology)
    except NotDeclared:
        return warning("trace", f"stream {name} does not exist yet", DECLARE)
    except AccessRefused:
        return warning(
            "trace",
            f"this user may not read {name}, as 'trace' and the monitor do",
            f"grant the permission to read {name} to the user of these commands",
        )
    except BrokerError as problem:
        return warning("trace", problem.problem, problem.fix or "see the broker's log")
    return ok("trace", f"stream {name} can be read")


async def _difference(
    connection: Connection, topology: Topology, existing: list[Queue]
) -> Finding | None:
    try:
        await connection.declare(topology.exchanges, [], passive=True)
    except TopologyError as problem:
        return warning("topology", f"an exchange is missing: {problem.problem}", DECLARE)
    try:
        # The broker compares the arguments of queues that exist, and changes nothing.
        await connection.declare((), existing, passive=False)
    except AccessRefused:
        # Roles with this user cannot declare either: they only check that the queues exist.
        return None
    except TopologyError as problem:
        return error(
            "topology",
            problem.problem,
            problem.fix
            or "fix the settings, or empty the queue and run: rasa-bridge topology delete",
        )
    return None


def about_missing(missing: list[Queue]) -> Finding:
    """Return the finding for queues that are missing while others exist."""
    names = ", ".join(q.name for q in missing[:2]) + (", …" if len(missing) > 2 else "")
    return warning("topology", f"queues are missing: {names}", DECLARE)
