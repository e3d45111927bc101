"""Schedules that once showed a bug in the core. Plans instead of seeds: those change their meaning
with `plan.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.connectors.limits import RateLimit
from bridge.messages import HIGH, LOW, NORMAL, TurnPolicy
from bridge.messages.turn_policy import COLLECT, LATEST
from tests.simulation.network import Faults
from tests.simulation.plan import Fault, Pace, Plan, Script
from tests.simulation.test_every_await import QUIET
from tests.simulation.world import World

SILENT_SET_UP = replace(QUIET, seed=10, faults=(Fault(0.0, "silence", 3, 10, 0.3),))
"""Seed 502 of the first generator, shortened. The network went silent while a consumer was being
set up; only the library noticed, after up to three minutes."""

LATE_RETURN = Plan(
    seed=533,
    flow="replies",
    prefetch=8,
    urgent=2,
    scripts=(
        Script("c0", 0, "ok", (0.24513586, 1.8183925, 0.007513987), 0.0, 1, 2),
        Script("c0", 1, "ok", (), 0.0, 3, 0, 0.20758316),
        Script("c0", 2, "ok", (2.40416436, 3.62061368, 2.13138621), 0.0, 1, 2, 2.44067221),
        Script("c0", 3, "fails", (0.13487729, 0.45664241, 0.00264299), 0.0, 1),
        Script("c1", 0, "fails", (2.73404765,), 0.0, 30),
        Script("c1", 1, "swallows", (), 0.0, 12, 2),
        Script("c1", 2, "ok", (0.12166687, 0.24210742), 0.0, 12, 1, 1.25966768),
        Script("c1", 3, "swallows", (1.15088782, 1.94474742), 0.0, 30, 0, 2.30415755),
        Script("c2", 0, "hangs", (2.68800677, 2.16983705), 0.0, 3, 0, 2.14552496),
    ),
    faults=(
        Fault(0.088707458, "freeze", 6, 22, 4.56862421),
        Fault(3.96972698, "stop", 2, 26, 0.0361906),
        Fault(1.71267543, "restart", 4, 13, 0.03900624),
        Fault(4.7794638, "channel", 2, 53, 0.69325887),
        Fault(14.8643075, "kill", 1, 0, 0.07161872),
    ),
    frames=Faults(0.05, 0.0, 0.00664175, 0.04265746, 0.1208324, 0.0, 33.0),
    step_time=0.02,
)
"""Seed 533. A lane was left to another process, which died at that moment. So its oldest message
came back late, with new ones, and before the others of the lane were returned."""

LOST_COUNT = Plan(
    seed=1,
    prefetch=8,
    concurrency=8,
    scripts=(
        Script("c0", 0, "kills", (0.5,), times=4),
        Script("c1", 0, "fails for ever", (0.1,)),
    ),
    frames=Faults(lost_confirm=0.3),
)
"""Seed 104912, made smaller. The count of an attempt was stored, but not confirmed. So its end did
not reset the count, and it looked like a crash."""

EARLIER_CALL = Plan(
    seed=1,
    flow="replies",
    prefetch=4,
    concurrency=4,
    scripts=(
        Script("c1", 0, "fails for ever", (0.1,), times=12),
        Script("c1", 1, "ok", ()),
        Script("c2", 0, "rejects", (4.0,), times=30),
    ),
    faults=(Fault(1.0, "outage", 0, 0, 93.0),),
)
"""Seed 7200306, made smaller. A call was made before the service went down, and rejected later.
That closed the circuit breaker, and the replies of the only other recipient were dead-lettered."""

HANGS_TOO_LONG = Plan(
    seed=1,
    flow="replies",
    prefetch=4,
    concurrency=4,
    scripts=(
        Script("c0", 0, "hangs", (0.1,), times=2),
        Script("c0", 1, "fails for ever", (0.1,), times=12),
    ),
)
"""Seed 7200133, made smaller. Calls without an answer use up the retry time of their lane, too. The
simulator knew that of failing ones only."""

BACK_AFTER_A_DEATH = Plan(
    seed=9000529,
    concurrency=4,
    scripts=(
        Script("c0", 0, "kills", times=1, gap=0.8, priority=HIGH),
        Script("c0", 1, gap=2.0, priority=HIGH),
        Script("c1", 0, "kills", (0.0, 2.4, 2.4), priority=HIGH),
        Script("c1", 1, priority=HIGH),
        Script("c1", 2, priority=HIGH),
        Script("c1", 3, "kills", times=30, priority=HIGH),
        Script("c1", 4, priority=HIGH),
        Script("c1", 5, priority=HIGH),
    ),
    faults=(Fault(0.0, "stop", 3, 39, 4.0),),
    frames=Faults(stall=0.04, notices=183.0),
    step_time=0.001,
)
"""Seed 9000529, made smaller. A lane was left to another process, which moved most of it to an
overflow queue, and died. The oldest message came back and ran. The last one was returned, to stay
behind those that were moved. So it was before the oldest one when this process died, too."""

THREE_PRIORITIES_LEAVE = Plan(
    seed=1,
    scripts=(
        Script("c9", 0, "ok", (1.0,)),
        Script("c0", 0, "fails", times=12, gap=0.3, priority=HIGH),
        Script("c0", 1, gap=3.0, priority=HIGH),
        Script("c0", 2, gap=0.5),
        Script("c0", 3, gap=0.6, priority=LOW),
    ),
    faults=(Fault(0.0, "freeze", 2, 0, 2.0),),
)
"""Seed 9005193, made smaller. A lane that fails is left to another process, and messages of both
other priorities wait in it. The normal one was the lock of the low one, and was returned first: it
waited for the low one, which waited for its turn to be returned."""

NEEDLESS_TAKEOVER = Plan(
    seed=2,
    concurrency=4,
    holding_back=0.3,
    scripts=(
        Script("c0", 0, "fails for ever", (2.5,), priority=HIGH),
        Script("c1", 0, "fails for ever"),
        Script("c1", 1, gap=0.1),
        Script("c2", 0, "ok", (4.0,), gap=1.7),
        Script("c2", 1),
    ),
    faults=(Fault(12.0, "kill", 1, 0, 0.0),),
)
"""Seed 9010034, made smaller. A lane that fails was left, and its oldest message came back to the
same process: behind the others of the lane, which had stayed. So it was the last one that returned
when the process died."""

PART_WAS_SAVED = Plan(
    seed=1,
    concurrency=4,
    scripts=(
        Script("c0", 0, "ok", (1.0,)),
        Script("c0", 1, "fails for ever", gap=0.2),
        Script("c0", 2, gap=1.5),
        Script("c0", 3),
        Script("c0", 4),
    ),
    faults=(Fault(1.3034, "kill", 1, 0, 0.0),),
    frames=Faults(0.0),
    policies=((NORMAL, TurnPolicy(COLLECT, quiet=0.0, max_wait=0.0, max_messages=2)),),
)
"""Seed 9010425, made smaller. The oldest message of a turn was in a saved turn before. The
simulator took the next one, which moves to the overflow queue, for the oldest one."""

BEFORE_IT_CAN_RING = Plan(
    seed=4,
    concurrency=4,
    scripts=(
        Script("c0", 0, "ok", (0.02,), priority=HIGH),
        Script("c1", 0, gap=1.1, priority=HIGH),
    ),
    frames=Faults(0.05),
    step_time=0.02,
    fair_within=2.0,
)
"""Seed 9005452, made smaller. A worker had urgent messages before it could publish. It rang again
after a second, and returned them two seconds later to the worker that had the lock."""

OUTAGE_OF_AN_EXHAUSTED_LANE = Plan(
    seed=1,
    flow="replies",
    concurrency=4,
    scripts=(
        Script("c1", 0, gap=55.0),
        Script("c0", 0, "fails for ever", (0.1,)),
        Script("c0", 1),
    ),
    faults=(Fault(60.0, "outage", 0, 0, 40.0),),
)
"""Seed 9010185, made smaller. One reply failed for so long that it was given up, and by then the
service was down. The next one to the same recipient had one attempt only, and was given up, too."""

BACK_WHILE_IT_IS_LEFT = Plan(
    seed=61,
    prefetch=2,
    scripts=(
        Script("c0", 0, priority=HIGH),
        Script("c1", 0, clean_up=2.927159524472022, replies=2, priority=LOW),
        Script("c1", 1, gap=2.0),
        Script("c1", 2),
        Script("c1", 4, kind="fails", times=12, gap=0.7, priority=HIGH),
        Script("c2", 0, pieces=(2.0,), priority=LOW),
        Script("long", 0, gap=0.09, priority=HIGH),
        Script("long", 1, pieces=(0.95,), replies=1, gap=0.5149737785562076),
        Script("long", 2, pieces=(0.8,), priority=LOW),
        Script("long", 3),
        Script("long", 8),
    ),
    faults=(
        Fault(0.3, "channel", 3, 15, 0.05),
        Fault(6.0, "stop", 1, 0, 0.02),
    ),
    frames=Faults(latency=0.0, lost_publish=0.1099626180123637, refused=0.1),
    step_time=0.001,
)
"""Seed 21002961, with another seed and made smaller. A lane was left to another process, and its
oldest message came back before all others were requeued. Some of them were never settled."""

SUPERSEDED_ONCE_BACK = Plan(
    seed=310000440,
    workers=3,
    partitions=2,
    prefetch=2,
    concurrency=2,
    scripts=(
        Script("c0", 0, "hangs", (0.2,), clean_up=2.7, times=2),
        Script("c1", 0, "hangs", (2.4,), clean_up=2.6, times=2, replies=1, priority=HIGH),
        Script("c1", 1, "hangs", (2.56, 1.3, 1.0), clean_up=3.3, times=1, replies=1),
        Script("c1", 2, pieces=(0.7, 3.6), clean_up=2.3, replies=2),
        Script("c1", 3, priority=HIGH),
        Script("c1", 5, "hangs", (1.06, 1.1, 0.8), clean_up=1.4, times=30, priority=LOW),
        Script("c2", 0, pieces=(0.01,), clean_up=2.6),
    ),
    frames=Faults(latency=0.05, notices=183.0),
    holding_back=0.3,
    policies=((LOW, TurnPolicy(COLLECT, 0.2, 0.2)), (NORMAL, TurnPolicy(LATEST, 0.2, 3.2))),
)
"""Seed 310000440, shortened. A message that waited for its next attempt returned to its queue, came
back, and was superseded then. What was acked was its first delivery, so the lane ended at once."""

RETRIES_ELSEWHERE = Plan(
    seed=310002415,
    prefetch=2,
    concurrency=2,
    urgent=2,
    scripts=(
        Script("c1", 1, pieces=(0.46, 1.57), clean_up=1.6),
        Script("c1", 2, "fails for ever", (1.03, 0.67, 0.0047), clean_up=1.6),
        Script("c1", 3, replies=1, gap=2.6),
        Script("c1", 5, "fails for ever", (1.5, 0.087), clean_up=1.8),
        Script("c2", 1, "fails for ever", (3.9, 3.7, 1.46), clean_up=1.6),
        Script("c2", 4, pieces=(0.776, 0.107), replies=1, gap=1.02),
        Script("c2", 5, "ignores", times=30, replies=1),
    ),
    faults=(Fault(10.57, "kill", 9, 28, 29.0),),
    frames=Faults(latency=0.002, stall=0.000646536, notices=33.0),
    holding_back=0.3,
)
"""Seed 310002415, shortened. A lane had used its retry time up; another process handled its next
message, and died. The failing message after it had one attempt more, because this process still
knew the lane as failing."""

ANCHOR_IS_THE_LOCK = Plan(
    seed=500027669,
    partitions=3,
    prefetch=4,
    concurrency=1,
    slow=3,
    throttled=True,
    scripts=(
        Script("c0", 0, pieces=(0.35776094372808886, 1.9800092679827344)),
        Script("long", 0, pieces=(0.3245848747557819,)),
        Script("long", 3, pieces=(0.971258267940045,), priority=HIGH),
        Script("long", 4, pieces=(0.9274161952014259,)),
        Script("long", 7, pieces=(0.9611917339900818,), priority=HIGH),
        Script("long", 8, priority=HIGH),
        Script("long", 9, pieces=(0.9269839127389421,), priority=HIGH),
        Script("long", 10),
    ),
    faults=(
        Fault(7.156705929584566, "cancel", 9, 31, 0.08440963574234678),
        Fault(0.0, "cancel", 0, 10, 0.9399243711389671),
        Fault(0.2731477323638254, "channel", 11, 31, 0.8809727036017989),
    ),
    frames=Faults(latency=0.002, notices=183.0),
    step_time=0.001,
)
"""Seed 500027669, shortened. The settled first message of an overflow was kept as the lock when its
process gave its channel up. What told that it was settled was deleted, and then it returned."""


def left_too_early(seed: int, fault: str, steps: int) -> Plan:
    """Seed 6000000189, made smaller. A worker starts: it has the lock, but does not consume the
    queue of the messages yet. So each message that the other worker left to it came back before the
    next one was requeued. What happened in between made the first ones the last."""
    late = Fault(0.0, "freeze", 2, 44, 2.0)
    return Plan(
        seed,
        scripts=tuple(
            Script("c1", number, priority="low", gap=0.0 if number else 0.3) for number in range(3)
        ),
        faults=(late, Fault(1.302, fault, 1 if fault == "freeze" else 0, steps, 2.0)),
    )


CONVICTED_WITH_A_TOKEN = Plan(
    seed=1,
    flow="replies",
    workers=1,
    prefetch=16,
    concurrency=16,
    scripts=(Script("c0", 0, "kills", (0.1,), times=4), Script("c1", 0)),
    pace=Pace(RateLimit(20), (RateLimit(1),)),
)
"""Seed 327, made smaller. A reply was dead-lettered as poison before its call, and the token that
was reserved for that stayed reserved."""


FORMER_PACER = Plan(
    seed=910001037,
    flow="replies",
    workers=3,
    prefetch=32,
    concurrency=16,
    scripts=(
        Script("c0", 0, gap=2.860028448126051),
        *(Script(f"p{number}", 0) for number in range(1, 6)),
    ),
    faults=(
        Fault(0.0, "cut", 5, 6, 24.04109722400843),
        Fault(1.6972757909591003, "alarm", 0, 19, 3.564700309232841),
    ),
    pace=Pace(RateLimit(0.5, 1)),
)
"""Seed 910001037, made smaller. The broker lost the link of the pacer, and made another process the
pacer. The former one did not know that, and answered over the connection that publishes."""


LEFT_AFTER_ITS_TURN = Plan(
    seed=872002998,
    workers=3,
    prefetch=8,
    concurrency=4,
    urgent=1,
    scripts=(
        Script("n0", 0, pieces=(2.027427314308568,), gap=0.3314543768655167),
        Script("n0", 1, pieces=(1.7344667934528317,), gap=0.784737713238766, alone=True),
        Script("n0", 3, pieces=(0.6290283743026388,), gap=0.2281109549203192),
        Script("n1", 1, pieces=(1.648720748049646,), gap=0.7319851731330648),
        Script("n1", 2, pieces=(0.848481523745394,), gap=0.00014223066510410387),
        Script("n1", 3, pieces=(2.4026385668000927,), gap=0.07102003329332662),
        Script("n2", 0, pieces=(1.9313697591182772,), gap=0.08597472572238007),
        Script("n2", 1, pieces=(2.0101921626991404,), gap=0.8787272624634456, alone=True),
        Script("n2", 3, pieces=(0.828893239366661,), gap=0.35390698850161606),
        Script("u0", 0, pieces=(0.05,), gap=0.1, priority=HIGH),
        Script("u0", 1, pieces=(0.0,), gap=0.1, priority=HIGH),
        Script("u0", 2, pieces=(0.0,), gap=0.0, priority=HIGH),
        Script("u1", 14, pieces=(0.0,), gap=0.3, priority=HIGH),
        Script("u1", 17, pieces=(0.05,), gap=0.1, priority=HIGH),
        Script("u1", 21, pieces=(0.0,), gap=0.1, priority=HIGH),
    ),
    faults=(
        Fault(3.248727064378456, "channel", 2, 52, 0.1),
        Fault(2.306376067191469, "channel", 4, 2, 0.1),
        Fault(1.7377758526569167, "stop", 0, 21, 0.1),
        Fault(0.556825776957642, "stop", 9, 13, 0.1),
    ),
    frames=Faults(0.1),
    step_time=0.001,
    policies=(
        (HIGH, TurnPolicy(COLLECT, max_wait=0.5, max_messages=2)),
        (NORMAL, TurnPolicy(COLLECT, max_wait=0.0, max_messages=3)),
    ),
)
"""Seed 872002998, made smaller. Messages that had run in the turn of their conversation's oldest
one went to the overflow queue, and then the lane to another process: that their turn had ended was
noted for ever."""


@pytest.mark.parametrize("fault", ["freeze", "kill", "channel"])
def test_messages_left_to_a_process_that_does_not_consume_them_yet_stay_in_order(
    fault: str,
) -> None:
    for seed in range(1, 9):
        for steps in range(6):
            assert World(left_too_early(seed, fault, steps)).run() is None, (seed, steps)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(SILENT_SET_UP, id="silent set-up"),
        pytest.param(LATE_RETURN, id="late return"),
        pytest.param(LOST_COUNT, id="lost count"),
        pytest.param(EARLIER_CALL, id="earlier call"),
        pytest.param(HANGS_TOO_LONG, id="hangs too long"),
        pytest.param(BACK_AFTER_A_DEATH, id="back after a death"),
        pytest.param(THREE_PRIORITIES_LEAVE, id="three priorities leave"),
        pytest.param(NEEDLESS_TAKEOVER, id="needless takeover"),
        pytest.param(PART_WAS_SAVED, id="part was saved"),
        pytest.param(BEFORE_IT_CAN_RING, id="before it can ring"),
        pytest.param(BACK_WHILE_IT_IS_LEFT, id="back while it is left"),
        pytest.param(OUTAGE_OF_AN_EXHAUSTED_LANE, id="outage of an exhausted lane"),
        pytest.param(SUPERSEDED_ONCE_BACK, id="superseded once back"),
        pytest.param(RETRIES_ELSEWHERE, id="retries elsewhere"),
        pytest.param(ANCHOR_IS_THE_LOCK, id="anchor is the lock"),
        pytest.param(CONVICTED_WITH_A_TOKEN, id="convicted with a token"),
        pytest.param(FORMER_PACER, id="former pacer"),
        pytest.param(LEFT_AFTER_ITS_TURN, id="left after its turn"),
    ],
)
def test_a_bug_that_was_found_does_not_return(plan: Plan) -> None:
    assert World(plan).run() is None
