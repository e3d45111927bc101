"""Bugs that are planted into what makes turns of several messages, see `planted`."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.messages.grouped import as_one
from bridge.messages.turn_policy import INTERRUPT, LATEST
from bridge.processing import gathering, turns
from bridge.processing.ahead import Ahead
from bridge.processing.gathering import Gathering
from tests.simulation.ledger import ENDS, ORDER, SAVED, SETTLED, UNBROKEN
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted, _overflows
from worker import duplicates

_as_one, _end, _group, _behind = as_one, Gathering.end, turns.group, Ahead.behind


def _end_all(self: Gathering[Any], message: Any, failure: Any) -> tuple[Any, str]:
    lane = self._lanes.get(message.lane())
    if message.turns is not None and failure is None and lane is not None:
        for _, other in lane.items:
            self._processor.completed.add(self._key(other))
    return _end(self, message, failure)


def _first_only(messages: Any) -> Any:
    return _as_one(messages[:1])


def _supersede_all(head: Any, behind: Any) -> Any:
    newest = list(behind)[-1:]
    return newest[0] if newest and head.turns.kind == LATEST else None


def _with_suspects(items: Any, joins: Any) -> Any:
    return _group(items, lambda delivery, message: joins(delivery, message) is not None)


async def _sleep_on(self: Gathering[Any], waiting: Any, seconds: float) -> None:
    waiting.woken = asyncio.get_running_loop().create_future()
    await waiting.woken


def _collects(plan: Plan) -> bool:
    return any(policy.joins and policy.max_messages > 1 for _, policy in plan.policies)


def _collects_amid_faults(plan: Plan) -> bool:
    return _collects(plan) and any(fault.kind in ("kill", "cut") for fault in plan.faults)


def _collects_killers(plan: Plan) -> bool:
    killers = [script for script in plan.scripts if script.kind == "kills" and script.times > 3]
    return _collects(plan) and any(plan.policy(script) for script in killers)


def _interrupts(plan: Plan) -> bool:
    return any(policy.kind == INTERRUPT for _, policy in plan.policies)


def _supersedes(plan: Plan) -> bool:
    latest = {priority for priority, policy in plan.policies if policy.kind == LATEST}
    return any(script.priority in latest and script.alone for script in plan.scripts)


def _waits(plan: Plan) -> bool:
    return any(policy.quiet for _, policy in plan.policies)


def _amid_overflow(plan: Plan) -> bool:
    return _collects(plan) and _overflows(plan)


BUGS = [
    Planted(
        ORDER,
        "what is read ahead joins a turn in reverse",
        Ahead,
        "behind",
        lambda *where: list(reversed(_behind(*where))),
        _amid_overflow,
    ),
    Planted(
        SETTLED,
        "what arrives during a turn is taken for a part of it",
        Gathering,
        "end",
        _end_all,
        _collects,
    ),
    Planted(
        SETTLED,
        "a turn has only the first of its messages",
        gathering,
        "as_one",
        _first_only,
        _collects,
    ),
    Planted(
        UNBROKEN,
        "nothing tells that a turn is being saved",
        duplicates,
        "seal",
        lambda: None,
        _interrupts,
    ),
    Planted(SETTLED, "a button supersedes", turns, "successor", _supersede_all, _supersedes),
    Planted(ENDS, "suspects run together", turns, "group", _with_suspects, _collects_killers),
    Planted(ENDS, "a lane waits for a message", Gathering, "_sleep", _sleep_on, _waits),
    Planted(
        SAVED,
        "only the last message of a turn is recognised",
        duplicates,
        "ids_in",
        lambda *_: [],
        _collects_amid_faults,
    ),
]
