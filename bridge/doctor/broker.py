"""Checks of RabbitMQ: whether it answers, its version, and what is declared there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge.broker.connection import Connection, connect
from bridge.broker.declare import refuse_other_number
from bridge.broker.topology import Queue, Topology
from bridge.broker.url import safe_url
from bridge.connectors.registry import Channel
from bridge.doctor.findings import Finding, error, ok, warning
from bridge.errors import BrokerError, BrokerUnavailable, TopologyError
from bridge.settings.files import BrokerSettings

DECLARE = "start a role, or: rasa-bridge topology declare"


async def check_broker(broker: BrokerSettings, channels: Mapping[str, Channel]) -> list[Finding]:
    """Check the broker, and if it answers, what is declared there."""
    topology = broker.topology_of(channels.values())
    try:
        async with connect(broker.url, "doctor") as connection:
            return [
                about_version(connection.broker_version, safe_url(broker.url)),
                await check_topology(connection, topology),
            ]
    except BrokerUnavailable as problem:
        return [unreachable(str(problem), safe_url(broker.url))]
    except BrokerError as problem:
        return [error("topology", str(problem), "see the broker's log")]


def about_version(version: str, where: str) -> Finding:
    """`version` as RabbitMQ says it; from 4.0 on it balances queues between workers."""
    found = re.match(r"\d+", version)
    if found and int(found[0]) < 4:
        return warning(
            "broker",
            f"RabbitMQ {version} at {where}: no balance between workers, the first consumer"
            " keeps every queue",
            "upgrade to RabbitMQ 4",
        )
    return ok("broker", f"RabbitMQ {version} at {where}")


def unreachable(problem: str, where: str) -> Finding:
    """`problem` is what connecting to `where` failed with."""
    if "ACCESS_REFUSED" in problem:
        return error("broker", f"{where}: login refused", "fix user and password in bridge.url")
    if "virtual host" in problem:
        fix = "create it, or let this user use it; / is written as %2F"
        return error("broker", f"{where}: no such virtual host", fix)
    fix = "start RabbitMQ there, or fix bridge.url"
    if "SSL" in problem:
        fix = "amqps:// is for the TLS port (5671), amqp:// for 5672"
    return error("broker", problem, fix)


async def check_topology(connection: Connection, topology: Topology) -> Finding:
    """Compare what is declared with the settings; declare nothing that is not there."""
    try:
        await refuse_other_number(connection, topology)
    except TopologyError as problem:
        what, _, fix = str(problem).partition(": ")
        return error("topology", what, fix)
    queues = list(topology.queues())
    depths = await connection.depths(q.name for q in queues)
    existing = [q for q in queues if q.name in depths]
    if not existing:
        return warning("topology", f"none of {len(queues)} queues is there yet", DECLARE)
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


async def _difference(
    connection: Connection, topology: Topology, existing: list[Queue]
) -> Finding | None:
    try:
        await connection.declare(topology.exchanges, [], passive=True)
    except TopologyError as problem:
        return warning("topology", f"an exchange is missing: {problem}", DECLARE)
    try:
        # Declaring what exists makes the broker compare the arguments, and change nothing.
        await connection.declare((), existing, passive=False)
    except TopologyError as problem:
        if "ACCESS_REFUSED" in str(problem):
            # This user may not declare, so no role with it will either: they only look.
            return None
        return error(
            "topology",
            str(problem),
            "fix the settings, or once the queue is empty: rasa-bridge topology delete",
        )
    return None


def about_missing(missing: list[Queue]) -> Finding:
    """Some queues are there and these are not."""
    names = ", ".join(q.name for q in missing[:2]) + (", …" if len(missing) > 2 else "")
    return warning("topology", f"queues are missing: {names}", DECLARE)
