"""What a seed decides before anything runs: sizes, messages, and faults. Plain data.

Each seed enables some kinds of trouble and leaves the others out ("swarm testing"): a schedule in
which everything goes wrong reaches fewer states than many in which something does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from bridge.connectors.limits import RateLimit
from bridge.delivery.leases import leasable
from bridge.delivery.pacer import used
from bridge.messages import HIGH, LOW, NORMAL, Priority, TurnPolicy
from bridge.messages.turn_policy import COLLECT, INTERRUPT, LATEST
from tests.simulation.network import Faults

Kind = Literal[
    "ok", "fails", "fails for ever", "rejects", "hangs", "swallows", "ignores", "blocks", "kills"
]
"""How the handler treats a message."""
INNOCENT: tuple[Kind, ...] = ("ok", "swallows")
"""Kinds that must be handled, whatever goes wrong around them."""
REASONS: dict[Kind, tuple[str, ...]] = {
    "fails": ("failed",),
    "fails for ever": ("failed",),
    "rejects": ("rejected",),
    "hangs": ("timed out", "failed"),
    "ignores": ("timed out", "failed", "poison"),
    "blocks": ("timed out", "poison"),
    "kills": ("poison",),
}
"""Kind → reasons for which it may be dead-lettered."""

FAIR_WITHIN = 3.0
"""Seconds within which a message starts although another conversation fails, beside the way."""
URGENT_WITHIN = 11.0
"""Seconds within which an urgent message starts although another process has its partition: that of
the restart of a process, and of the turn that runs, which takes three at most."""
FRAMES = 10
"""Frames for whose way it may wait, each of them as late as can be: usually they are three times as
many. A partition that moves costs five on each of its queues, a look for an overflow queue eight,
and to declare one 20."""
TURN_WITHIN = 15.0
"""Seconds that the messages of a turn may take together: it is ended after 20."""
FAULT_TIME = 15.0
"""Seconds in which faults begin and messages are sent."""


@dataclass(frozen=True)
class Script:
    """What happens when a message runs."""

    conversation: str
    number: int
    kind: Kind = "ok"
    pieces: tuple[float, ...] = ()
    """Seconds of each wait of a turn."""
    clean_up: float = 0.0
    """Seconds that a cancelled turn needs to end."""
    times: int = 0
    """Attempts that fail, or seconds that it blocks."""
    replies: int = 0
    gap: float = 0.0
    """Seconds between the acknowledgement of the message before and this one."""
    priority: Priority = NORMAL
    """That of its channel; one of a conversation's channels has it."""
    alone: bool = False
    """A button or command: it has a turn for itself, whatever the policy of its channel."""

    @property
    def stream(self) -> tuple[str, Priority]:
        """The messages of a conversation from one channel: these are in order."""
        return self.conversation, self.priority

    @property
    def id(self) -> str:
        return f"{self.conversation}.{self.number}"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, once."""

    at: float
    """Seconds from the start."""
    kind: str
    target: int
    """Which process it hits, modulo their number."""
    steps: int
    """It strikes after so many further callbacks of its process: at any await."""
    seconds: float


@dataclass(frozen=True)
class Pace:
    """The rate limits of the channel, and how its service is reached."""

    total: RateLimit
    each: tuple[RateLimit, ...] = ()
    """The limits of the calls to each recipient."""
    way: float = 0.0
    """Seconds at most from a call to its arrival."""


@dataclass(frozen=True)
class Plan:
    """Everything that is fixed before a schedule begins."""

    seed: int = 0
    flow: Literal["inbound", "replies"] = "inbound"
    workers: int = 2
    partitions: int = 1
    prefetch: int = 4
    concurrency: int = 2
    slow: int = 0
    urgent: int = 0
    throttled: bool = False
    scripts: tuple[Script, ...] = ()
    faults: tuple[Fault, ...] = ()
    frames: Faults = field(default_factory=Faults)
    step_time: float = 0.0
    holding_back: float = 0.0
    within: float = 1500.0
    """Seconds of virtual time until all messages must be settled."""
    fair_within: float = 0.0
    """Seconds within which a message starts that can; 0: not checked."""
    urgent_within: float = 0.0
    """Seconds within which an urgent message starts, wherever it is; 0: not checked."""
    is_gathered: bool = False
    """Whether a turn must have all messages that are in its process and may join it: nothing goes
    wrong, and no window is full."""
    pace: Pace | None = None
    policies: tuple[tuple[Priority, TurnPolicy], ...] = ()
    """How the messages of a channel, named by its priority, become turns."""

    def policy(self, script: Script) -> TurnPolicy | None:
        """Return the policy of a message."""
        return None if script.alone else dict(self.policies).get(script.priority)

    def streams(self) -> dict[tuple[str, Priority], list[Script]]:
        """Return the messages of each conversation and channel, in their order."""
        found: dict[tuple[str, Priority], list[Script]] = {}
        for script in self.scripts:
            found.setdefault(script.stream, []).append(script)
        return found


FAULTS = (
    *("cut", "silence", "channel", "kill", "stop", "cancel", "freeze"),
    *("alarm", "restart", "outage"),
)


Theme = Literal["mixed", "poison", "suspects", "storm", "overflow", "moves", "failing", "crowd"]
"""What a seed is about: a bit of everything, processes that die of a message, long turns that look
as if they killed processes, connections that break again and again, a long conversation that fills
its window, partitions that move again and again while messages of all priorities arrive, a
conversation that fails beside others, or more conversations than slots."""
THEMES: tuple[Theme, ...] = (
    *("mixed", "mixed", "mixed", "mixed", "poison", "suspects", "storm"),
    *("overflow", "moves", "failing", "crowd"),
)


def plan(seed: int) -> Plan:
    """Return what a seed means."""
    # The other generators came later: without a pace, seeds keep their meaning.
    paced = _paced(_unpaced(seed), Random(f"pace {seed}"))
    paced = _leased(paced, Random(f"leases {seed}"))
    paced = _handed_over(paced, Random(f"pacer {seed}"))
    paced = _recalled(paced, Random(f"recalls {seed}"))
    paced = _alarmed(paced, Random(f"alarms {seed}"))
    erring = _erring(paced, Random(f"errors {seed}"))
    hasty = _hasty(erring, Random(f"haste {seed}"))
    hasty = _renewed(hasty, Random(f"copies {seed}"))
    collected = _collected(hasty, Random(f"turns {seed}"))
    return replace(collected, throttled=Random(f"throttle {seed}").random() < 0.3)


def _erring(plan: Plan, random: Random) -> Plan:
    """Return a plan whose service answers, but only with errors, for longer than a reply is tried.

    Before that, connections end while the only calls to some recipients are made. So another
    process makes these calls.
    """
    if plan.flow != "replies" or plan.pace or plan.fair_within or random.random() < 0.72:
        return plan
    errors_at = random.uniform(4, 6)
    before = tuple(
        Script(f"e{number}", 0, pieces=(random.uniform(1, 2),), gap=random.uniform(0.3, 2))
        for number in range(8)
    )
    during = tuple(
        Script(f"d{number}", 0, pieces=(0.1,), gap=errors_at + random.random())
        for number in range(12)
    )
    losses = tuple(
        replace(_fault(random, ["channel", "cut", "stop"]), at=random.uniform(0.7, 3))
        for _ in range(random.randrange(2, 5))
    )
    return replace(
        plan,
        scripts=before + during,
        faults=(*losses, Fault(errors_at, "errors", 0, 0, random.uniform(100, 150))),
        workers=2,
        partitions=2,
        prefetch=32,
        concurrency=16,
    )


def _hasty(plan: Plan, random: Random) -> Plan:
    """Return another plan in a part of the schedules with messages of users: urgent ones arrive
    while processes come and go, and the broker is so far away that many are under way."""
    if plan.flow != "inbound" or plan.fair_within or plan.frames.stall or random.random() < 0.8:
        return plan
    if random.random() < 0.4:
        return _awaiting(plan, random)
    gaps, number, until = (0.0, 0.1, 0.3), random.randrange(6, 12), 9.0
    if random.random() < 0.3:
        gaps, number, until = (0.0, 0.02, 0.1), random.randrange(2, 6), 6.0
    usual = tuple(
        Script(f"n{number}", n, pieces=(random.uniform(0.5, 2.5),), gap=random.random())
        for number in range(random.choice((1, 2, 3)))
        for n in range(4)
    )
    urgent = tuple(
        Script(
            f"u{number}",
            n,
            pieces=(random.choice((0.0, 0.05)),),
            gap=random.choice(gaps),
            priority=HIGH,
        )
        for number in range(random.choice((1, 2, 3)))
        for n in range(25)
    )
    losses = tuple(
        replace(
            _fault(random, ["stop", "stop", "stop", "kill", "channel"]),
            at=random.uniform(0.3, until),
            seconds=0.1,
        )
        for _ in range(number)
    )
    return replace(
        plan,
        workers=random.choice((2, 2, 3)),
        partitions=1,
        prefetch=random.choice((4, 8, 16)),
        concurrency=random.choice((2, 4)),
        urgent=random.choice((0, 1, 2)),
        slow=0,
        scripts=usual + urgent,
        faults=losses,
        frames=Faults(random.choice((0.05, 0.1, 0.1))),
        step_time=random.choice((0.0, 0.001)),
        holding_back=0.0,
    )


def _awaiting(plan: Plan, random: Random) -> Plan:
    """Return a plan whose urgent messages wait for a long turn of another process, and return.

    They do not fill the window before that, so further ones of their conversation arrive meanwhile.
    """
    usual = tuple(Script("n0", n, pieces=(random.uniform(1, 3),)) for n in range(10))
    urgent = tuple(Script("u0", n, gap=random.uniform(0, 0.2), priority=HIGH) for n in range(40))
    stop = Fault(random.uniform(0.3, 2.8), "stop", random.randrange(2), 0, 0.1)
    return replace(
        plan,
        workers=2,
        partitions=1,
        prefetch=64,
        concurrency=random.choice((2, 4)),
        scripts=usual + urgent,
        faults=(stop,),
        frames=Faults(0.1),
        holding_back=0.0,
        urgent_within=URGENT_WITHIN,
    )


def _renewed(plan: Plan, random: Random) -> Plan:
    """Return a plan that loses messages while a long conversation overflows, in a part of those
    with messages of users: a lost reply renews the channel on which copies are under way."""
    if plan.flow != "inbound" or plan.fair_within or plan.urgent_within or random.random() < 0.94:
        return plan
    long = tuple(
        Script("long", number, pieces=(random.uniform(1, 2),), gap=random.uniform(0, 0.4))
        for number in range(24)
    )
    others = tuple(
        Script(f"r{conversation}", n, pieces=(0.1,), replies=3, gap=random.uniform(0, 1))
        for conversation in range(4)
        for n in range(4)
    )
    return replace(
        plan,
        workers=1,
        partitions=1,
        prefetch=4,
        concurrency=4,
        scripts=long + others,
        faults=(),
        frames=Faults(0.05, lost_publish=random.uniform(0.1, 0.3)),
    )


def _collected(plan: Plan, random: Random) -> Plan:
    """Return a plan with policies for turns, in a third of the schedules with messages of users."""
    if plan.flow != "inbound" or random.random() < 0.67 or plan.fair_within:
        return plan
    quiet = random.choice((0.0, 0.2, 1.0))
    policies = tuple(
        (
            priority,
            TurnPolicy(
                random.choice((COLLECT, COLLECT, LATEST, INTERRUPT, INTERRUPT)),
                quiet=quiet,
                max_wait=quiet + random.choice((0.0, 0.5, 3.0)),
                max_messages=_at_most(random.choice((1, 2, 3, 20)), plan.scripts),
            ),
        )
        for priority in sorted({script.priority for script in plan.scripts})
        if random.random() < 0.8
    )
    dense = random.random() < 0.5
    scripts = tuple(
        replace(
            script,
            alone=random.random() < 0.15,
            gap=script.gap * random.choice((0.0, 0.1)) if dense else script.gap,
        )
        for script in plan.scripts
    )
    plan = replace(plan, policies=policies, scripts=scripts, urgent_within=0.0)
    return _gathered(plan, random) if random.random() < 0.25 else plan


def _at_most(messages: int, scripts: tuple[Script, ...]) -> int:
    """Return how many messages a turn may have, at most `messages`: together, they end in time."""
    conversations: dict[str, list[float]] = {}
    for script in scripts:
        conversations.setdefault(script.conversation, []).append(sum(script.pieces))
    longest = [sorted(seconds, reverse=True) for seconds in conversations.values()]
    while messages > 1 and max(sum(seconds[:messages]) for seconds in longest) > TURN_WITHIN:
        messages -= 1
    return messages


def _gathered(plan: Plan, random: Random) -> Plan:
    """Return a plan in which nothing goes wrong, so that it is known what joins a turn."""
    scripts = tuple(
        Script(
            f"c{conversation}",
            number,
            pieces=(random.uniform(0.2, 1),),
            gap=random.choice((0.0, 0.1, 0.5)),
            alone=random.random() < 0.1,
        )
        for conversation in range(3)
        for number in range(8)
    )
    policy = TurnPolicy(
        random.choice((COLLECT, LATEST, INTERRUPT)),
        quiet=random.choice((0.0, 0.2)),
        max_wait=random.choice((0.2, 1.0)),
        max_messages=random.choice((2, 3, 20)),
    )
    return replace(
        plan,
        workers=1,
        prefetch=64,
        scripts=scripts,
        faults=(),
        frames=Faults(0.002),
        policies=((NORMAL, policy),),
        is_gathered=True,
    )


EACH = (
    (),
    (),
    (RateLimit(1),),
    (RateLimit(1, 6),),
    (RateLimit(5, 2),),
    (RateLimit(1), RateLimit(0.25, 5)),
)
HANDOVERS = (
    *(("handover",), ("handover", "handover")),
    *(("unlink", "unlink"), ("unlink", "handover", "unlink")),
    *(("stall",), ("stall", "unlink", "stall")),
)
"""The pacer dies, stands still, or only loses its link and may become the pacer again,
at once or after more than two heartbeats."""


def _handed_over(plan: Plan, random: Random) -> Plan:
    """Return a plan whose pacers die while replies wait for it, in half of those with several."""
    if plan.pace is None or plan.workers < 2 or random.random() < 0.5:
        return plan
    deaths = tuple(
        Fault(
            random.uniform(0.5, 4),
            kind,
            target=0,
            steps=random.randrange(60),
            seconds=random.uniform(2, 6) if kind == "stall" else random.choice((0.0, 0.2, 2.5)),
        )
        for kind in random.choice(HANDOVERS)
    )
    return replace(plan, faults=plan.faults + deaths)


def _recalled(plan: Plan, random: Random) -> Plan:
    """Return a plan that returns replies while they wait for the pacer, in half of those paced."""
    if plan.pace is None or random.random() < 0.5:
        return plan
    recalls = tuple(
        Fault(random.uniform(0.5, 4), "recall", random.randrange(12), random.randrange(60), 0.0)
        for _ in range(random.randrange(2, 10))
    )
    return replace(plan, faults=plan.faults + recalls)


def _alarmed(plan: Plan, random: Random) -> Plan:
    """Return a plan with an alarm of the broker while replies wait, in a part of those paced."""
    if plan.pace is None or random.random() < 0.7:
        return plan
    alarm = Fault(random.uniform(0.5, 3), "alarm", 0, random.randrange(60), random.uniform(1, 5))
    return replace(plan, faults=(*plan.faults, alarm))


def _paced(plan: Plan, random: Random) -> Plan:
    """Return a plan with rate limits and a backlog, in a part of the schedules with replies."""
    if plan.flow != "replies" or random.random() < 0.7 or plan.fair_within:
        return plan
    rate = random.choice((0.5, 5, 10, 20))
    total = RateLimit(rate, random.choice((1, 1, 2, max(1, int(rate / 3)), max(1, int(rate)))))
    each = random.choice(EACH)
    recipients = random.choice((8, 16, 32))
    backlog = tuple(
        Script(f"p{number % recipients}", number // recipients, pieces=(random.random() * 0.2,))
        for number in range(max(6, int(rate * random.uniform(2, 5))))
    )
    soon = random.choice((0.1, 0.3, 1.0))
    return replace(
        plan,
        scripts=plan.scripts + backlog,
        faults=tuple(
            replace(fault, at=fault.at * soon, seconds=min(fault.seconds, 40.0))
            for fault in plan.faults
        ),
        partitions=random.choice((1, 2, 3)),
        prefetch=random.choice((16, 32)),
        concurrency=16,
        pace=Pace(total, each, way=random.random() * absorbed(total)),
    )


def _leased(plan: Plan, random: Random) -> Plan:
    """Return a plan with few calls, so that processes get leases, and then a backlog."""
    if plan.flow != "replies" or plan.pace or plan.fair_within or random.random() < 0.8:
        return plan
    rate = random.choice((40, 100))
    total = RateLimit(rate, random.choice((4, 5, 8)))
    recipients, quiet = 24, random.uniform(3, 5)
    scripts = []
    for number in range(recipients):
        few = sorted(random.uniform(0.5, quiet) for _ in range(round(rate * 0.15 * quiet / 24)))
        many = [quiet + random.random() * 0.1] * round(rate * random.uniform(1.1, 1.6) / 24)
        before = 0.0
        for order, at in enumerate((*few, *many)):
            scripts.append(Script(f"p{number}", order, pieces=(0.05,), gap=max(0.0, at - before)))
            before = at
    return replace(
        plan,
        scripts=tuple(scripts),
        faults=(
            *(
                replace(fault, at=fault.at * 0.3, seconds=min(fault.seconds, 40.0))
                for fault in plan.faults[: random.choice((0, 0, 1, 2))]
            ),
            *(
                Fault(quiet + random.uniform(0, 1), "unlink", 0, random.randrange(60), 0.2)
                for _ in range(random.choice((0, 1, 1)))
            ),
        ),
        frames=Faults() if random.random() < 0.5 else plan.frames,
        workers=random.choice((2, 2, 3)),
        partitions=random.choice((2, 3, 4)),
        prefetch=64,
        concurrency=32,
        pace=Pace(total, way=random.random() * absorbed(total)),
    )


def absorbed(limit: RateLimit) -> float:
    """Return by how many seconds the times that calls take to the service may differ.

    One twentieth of the rate, and the part of the burst that is neither promised nor leased, absorb
    delays, half of them on the way.
    """
    promised = used(limit)
    kept = limit.burst - promised.burst - leasable(limit, promised).burst
    return (limit.rate - promised.rate + kept) / limit.rate / 2


def _unpaced(seed: int) -> Plan:
    random = Random(f"plan {seed}")  # a text, so that its hash does not matter
    theme = random.choice(THEMES)
    if theme == "storm":
        enabled = ["cut", "cut", "channel", "silence", "restart"]
        number = random.randrange(3, 10)
    elif theme == "moves" or (theme == "poison" and random.random() < 0.5):
        enabled = ["stop", "stop", "kill", "channel", "cut"]
        number = random.randrange(3, 8)
    elif theme in ("failing", "crowd"):
        enabled, number = [], 0
    else:
        enabled = [kind for kind in FAULTS if random.random() < 0.35]
        number = random.randrange(6) if enabled else 0
    flow: Literal["inbound", "replies"] = "replies" if random.random() < 0.3 else "inbound"
    priorities: tuple[Priority, ...] = (NORMAL,)
    if flow == "inbound" and random.random() < 0.5:
        priorities = random.choice(((NORMAL, HIGH), (NORMAL, HIGH, LOW), (HIGH,), (HIGH, LOW)))
    if theme == "moves":
        flow, priorities = "inbound", (NORMAL, HIGH, LOW)
    kinds = _kinds_of(theme, random)
    scripts = _scripts(random, kinds, priorities)
    if theme in ("overflow", "moves"):
        scripts += _long_conversation(random, priorities)
    plan = Plan(
        seed,
        flow,
        workers=random.choice((1, 2, 2, 3)),
        partitions=random.choice((1, 1, 2, 3)),
        prefetch=random.choice((1, 2, 4, 8)),
        concurrency=random.choice((1, 2, 4)),
        slow=random.choice((0, 0, 3)),
        urgent=random.choice((0, 1, 2)),
        scripts=scripts,
        faults=tuple(_fault(random, enabled) for _ in range(number)),
        frames=_frames(random, often=0.6 if theme == "overflow" else 0.3),
        step_time=random.choice((0.0, 0.001, 0.02)),
        holding_back=random.choice((0.0, 0.0, 0.3)),
    )
    if theme == "moves":
        return replace(plan, workers=max(2, plan.workers), partitions=1)
    if theme == "crowd":
        return _with_crowd(plan, random)
    if theme == "suspects":
        return _with_suspects(plan, random)
    return _with_failures(plan, random) if theme == "failing" else plan


def _with_crowd(plan: Plan, random: Random) -> Plan:
    """Return a plan with many conversations that wait for a slot, and some urgent messages.

    In half of them, the waits end with connections.
    """
    losses = tuple(
        replace(_fault(random, ["channel"]), at=random.uniform(0.4, 8))
        for _ in range(random.choice((0, random.randrange(4, 8))))
    )
    usual = tuple(
        Script(f"b{number}", n, pieces=(random.uniform(0.3, 1.5),), priority=priority)
        for number in range(random.randrange(10, 16))
        for priority in (random.choice((NORMAL, NORMAL, LOW)),)
        for n in range(random.choice((1, 1, 2)))
    )
    urgent = tuple(
        Script(
            random.choice((f"u{number}", f"b{random.randrange(5, 10)}")),
            9 + number,
            gap=random.uniform(0.1, 2),
            priority=HIGH,
        )
        for number in range(random.randrange(1, 4))
    )
    return replace(
        plan,
        flow="inbound",
        partitions=1,
        workers=1,
        prefetch=32,
        concurrency=random.choice((1, 2)),
        urgent=random.choice((0, 0, 1)),
        scripts=usual + urgent,
        faults=losses,
        frames=Faults(plan.frames.latency),
    )


def _with_suspects(plan: Plan, random: Random) -> Plan:
    """Return a plan whose processes are killed while long turns run, and then lose connections."""
    kills = tuple(
        replace(_fault(random, ["kill"]), at=0.4 + 1.2 * number + random.random(), target=number)
        for number in range(random.randrange(4, 7))
    )
    losses = tuple(
        replace(_fault(random, ["cut", "channel"]), at=random.uniform(5.0, FAULT_TIME), seconds=0.2)
        for _ in range(random.randrange(4, 8))
    )
    long = tuple(
        Script(f"s{number}", 0, pieces=(random.uniform(6.0, 15.0),), clean_up=random.random())
        for number in range(random.choice((1, 2)))
    )
    return replace(
        plan, flow="inbound", partitions=1, faults=kills + losses, scripts=long + plan.scripts[:6]
    )


def _with_failures(plan: Plan, random: Random) -> Plan:
    """Return a plan with a conversation that fails and fills its window, and nothing else wrong.

    In a part of them, many fail instead, each of them after seconds.
    """
    if random.random() < 0.3:
        return _with_slow_failures(plan, random)
    scripts = tuple(
        replace(script, pieces=tuple(0.02 for _ in script.pieces)) for script in plan.scripts
    )
    size = random.randrange(8, 16)
    priority = random.choice(scripts).priority
    failing = tuple(
        Script("failing", number, "fails for ever", priority=priority) for number in range(size)
    )
    return replace(
        plan,
        scripts=failing + scripts,
        frames=Faults(plan.frames.latency),
        prefetch=random.choice((4, 8)),
        concurrency=random.choice((1, 2, 4)),
        fair_within=FAIR_WITHIN + FRAMES * plan.frames.latency,
    )


def _with_slow_failures(plan: Plan, random: Random) -> Plan:
    """Return a plan whose failing conversations would take all slots, if that was allowed.

    These are turns. If a service refuses all calls that it gets, it counts as down, which is no
    failure of the conversations: they begin anew, in all slots, once it answers.
    """
    failing = tuple(
        Script(f"failing{number}", 0, "fails for ever", pieces=(random.uniform(2.5, 4),))
        for number in range(random.randrange(10, 14))
    )
    usual = tuple(
        Script(f"h{number}", 0, pieces=(0.02,), gap=random.uniform(16, 40)) for number in range(20)
    )
    return replace(
        plan,
        flow="inbound",
        scripts=failing + usual,
        frames=Faults(plan.frames.latency),
        partitions=1,
        workers=1,
        prefetch=64,
        concurrency=4,
        slow=0,
        fair_within=FAIR_WITHIN + FRAMES * plan.frames.latency,
    )


def _kinds_of(theme: Theme, random: Random) -> tuple[Kind, ...]:
    """Return kinds of messages, each as often as it is to occur."""
    if theme == "failing":
        return ("ok",)
    if theme == "moves":
        return (*("ok",) * 6, "fails")
    return _poison(random) if theme == "poison" else _kinds(random)


def _kinds(random: Random) -> tuple[Kind, ...]:
    """Return kinds of messages, each as often as it is to occur."""
    trouble: list[Kind] = [kind for kind in REASONS if random.random() < 0.2]
    if random.random() < 0.3:
        trouble.append("swallows")
    ok: tuple[Kind, ...] = ("ok",)
    return ok * (1 + len(trouble) * random.choice((1, 4, 12))) + tuple(trouble)


def _poison(random: Random) -> tuple[Kind, ...]:
    ok: tuple[Kind, ...] = ("ok",)
    return (*ok * random.choice((4, 8)), "kills")


def _scripts(
    random: Random, kinds: tuple[Kind, ...], priorities: tuple[Priority, ...]
) -> tuple[Script, ...]:
    slow_clean_up = random.random() < 0.4
    found = []
    for conversation in range(random.choice((1, 2, 3, 5))):
        for number in range(random.randrange(1, 7)):
            found.append(
                Script(
                    f"c{conversation}",
                    number,
                    random.choice(kinds),
                    pieces=tuple(random.random() ** 3 * 4 for _ in range(random.randrange(4))),
                    clean_up=random.random() * 4 if slow_clean_up else 0.0,
                    times=random.choice((1, 2, 3, 12, 30)),
                    replies=random.choice((0, 0, 1, 2)),
                    gap=random.choice((0.0, 0.0, random.random() * 3)),
                    priority=random.choice(priorities),
                )
            )
    return tuple(found)


def _long_conversation(random: Random, priorities: tuple[Priority, ...]) -> tuple[Script, ...]:
    """Return the messages of a conversation that are sent one after the other, and take long."""
    return tuple(
        Script(
            "long",
            number,
            pieces=(random.random(),),
            replies=random.choice((0, 1)),
            gap=random.choice((0.0, 0.0, random.random())),
            priority=random.choice(priorities),
        )
        for number in range(random.randrange(6, 12))
    )


def _fault(random: Random, enabled: list[str]) -> Fault:
    kind = random.choice(enabled)
    longest = 150.0 if kind in ("alarm", "outage") else 40.0
    return Fault(
        at=random.random() * FAULT_TIME if random.random() < 0.8 else 0.0,
        kind=kind,
        target=random.randrange(12),
        steps=random.randrange(60),
        seconds=random.choice((0.1, 1.0, 5.0, longest)) * random.random(),
    )


def _frames(random: Random, often: float) -> Faults:
    def sometimes(share: float) -> float:
        return random.random() * share if random.random() < often else 0.0

    return Faults(
        latency=random.choice((0.0, 0.002, 0.05)),
        stall=sometimes(0.1),
        lost_confirm=sometimes(0.3),
        lost_publish=sometimes(0.3),
        late_confirm=sometimes(0.3),
        refused=sometimes(0.3),
        notices=random.choice((33.0, 183.0)),
    )
