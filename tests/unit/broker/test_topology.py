"""Names, arguments and routing, and the arithmetic with which the broker balances workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from bridge.broker.arguments import DELIVERY_LIMIT, HELD_AT_MOST
from bridge.broker.hashing import MOST_PARTITIONS
from bridge.broker.topology import Topology, consumer_priority, partition_of
from bridge.messages import PRIORITIES

DELAY_KEYS = ("0.25", "1", "4", "16", "64", "256", "1024", "4096", "16384", "65536")
TOPOLOGY = Topology(channels=["slack", "callback"])


def owners(workers: Iterable[str], queues: Iterable[str]) -> dict[str, str]:
    """Choose as the broker does: the consumer with the highest priority is active."""
    return {q: max(workers, key=lambda worker: consumer_priority(worker, q)) for q in queues}


def worker_names(number: int, cluster: int = 0) -> list[str]:
    return [f"worker host-{cluster}:{4000 + n}:{n * 7919 + cluster:06x}" for n in range(number)]


@pytest.mark.parametrize(
    ("conversation", "of_32", "of_8"),
    [
        ("", 0, 0),
        ("123456789", 6, 6),
        ("ada", 8, 0),
        ("U024BE7LH", 18, 2),
        ("+4915112345678", 9, 1),
        ("Zoë", 10, 2),
        ("会話", 0, 0),
        ("👩‍🚀", 1, 1),
    ],
)
def test_the_partition_is_the_crc32_of_utf_8_modulo_partitions(
    conversation: str, of_32: int, of_8: int
) -> None:
    """Fixed vectors: a publisher in another language must compute the same partitions.

    `123456789` is the check value of CRC-32/ISO-HDLC, 0xCBF43926.
    """
    assert partition_of(conversation, 32) == of_32
    assert partition_of(conversation, 8) == of_8


@given(st.text(), st.integers(1, MOST_PARTITIONS))
def test_a_partition_is_always_one_of_the_partitions(conversation: str, partitions: int) -> None:
    assert 0 <= partition_of(conversation, partitions) < partitions


def test_half_a_surrogate_pair_also_has_a_partition() -> None:
    assert 0 <= partition_of("\ud800", 32) < 32


def test_conversations_spread_over_all_partitions() -> None:
    sizes = Counter(partition_of(f"user-{n}", 32) for n in range(32_000))
    assert len(sizes) == 32
    assert min(sizes.values()) > 500
    assert max(sizes.values()) < 2000


def test_every_name_starts_with_the_namespace() -> None:
    topology = Topology("shop", 2, 1, ["slack"])
    flows = ("shop.inbound", "shop.replies", "shop.dead")
    assert topology.exchanges == (*flows, "shop.private", "shop.reports", "shop.reminders")
    assert [queue.name for queue in topology.queues()] == [
        "shop.dead.inbound",
        "shop.dead.replies",
        "shop.reminders.due",
        *(f"shop.reminders.{delay}" for delay in DELAY_KEYS),
        "shop.inbound.01",
        "shop.inbound.00",
        "shop.inbound.high.01",
        "shop.inbound.high.00",
        "shop.inbound.low.01",
        "shop.inbound.low.00",
        "shop.replies.slack.00",
    ]


def test_a_publisher_with_a_different_number_of_partitions_finds_no_queue() -> None:
    def keys(partitions: int) -> set[tuple[str, str]]:
        topology = Topology("shop", partitions, partitions, ["slack"])
        return {(q.exchange, q.routing_key) for flow in topology.flows() for q in flow}

    assert keys(4).isdisjoint(keys(8))


def test_sockets_add_an_exchange_and_a_queue_for_each_process() -> None:
    topology = Topology("shop", 2, 1, ["chat"], sockets=True)
    assert topology.exchanges[6:] == ("shop.socketio",)
    queue = topology.sockets_queue("chat", "webhook host:1:ab")
    assert queue.name == "shop.socketio.chat.webhook.host:1:ab"
    assert (queue.exchange, queue.routing_key) == ("shop.socketio", "chat")
    assert queue not in list(topology.queues())


def test_the_default_is_32_inbound_partitions_and_8_per_channel() -> None:
    assert [q.name for q in TOPOLOGY.inbound_queues()] == [
        f"bridge.inbound.{n:02}" for n in range(32)
    ]
    assert [q.name for q in TOPOLOGY.reply_queues("slack")] == [
        f"bridge.replies.slack.{n:02}" for n in range(8)
    ]
    assert len(list(TOPOLOGY.queues())) == 2 + 11 + 3 * 32 + 2 * 8


def test_more_than_a_hundred_partitions_leave_the_names_of_the_first_hundred_as_they_are() -> None:
    many = Topology(inbound_partitions=MOST_PARTITIONS)
    names = [queue.name for queue in many.inbound_queues()]
    assert names[:32] == [queue.name for queue in TOPOLOGY.inbound_queues()]
    assert names[99:101] == ["bridge.inbound.99", "bridge.inbound.100"]
    assert many.key_of("bridge.inbound.100") == f"100/{MOST_PARTITIONS}"


def test_partition_queues_keep_order_and_lose_nothing() -> None:
    queues = {q.name: q.arguments for q in TOPOLOGY.queues()}
    further = {"x-consumer-timeout": HELD_AT_MOST}
    for flow in ("inbound", "replies"):
        partitions = [a for name, a in queues.items() if name.startswith(f"bridge.{flow}.")]
        assert partitions
        for arguments in partitions:
            assert arguments == {
                "x-queue-type": "quorum",
                "x-single-active-consumer": True,
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": "bridge.dead",
                "x-dead-letter-routing-key": flow,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                **further,
            }


def test_dead_letters_are_kept_however_often_they_are_read() -> None:
    for queue in TOPOLOGY.dead_queues():
        assert set(queue.arguments) == {"x-queue-type", "x-delivery-limit"}
        assert queue.arguments["x-queue-type"] == "quorum"
        assert queue.arguments["x-delivery-limit"] >= 1_000_000


def test_any_client_can_encode_every_argument() -> None:
    """pamqp 3 cannot encode a negative number; its connection then closes without an error."""
    for queue in TOPOLOGY.queues():
        for value in queue.arguments.values():
            assert isinstance(value, (str, bool)) or 0 <= value < 2**31


def test_a_message_that_a_partition_rejects_is_routed_to_a_dead_letter_queue() -> None:
    bound = {(q.exchange, q.routing_key) for q in TOPOLOGY.dead_queues()}
    for queue in (queue for flow in TOPOLOGY.flows() for queue in flow):
        where = queue.arguments
        assert (where["x-dead-letter-exchange"], where["x-dead-letter-routing-key"]) in bound


topologies = st.builds(
    Topology,
    namespace=st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True),
    inbound_partitions=st.integers(1, MOST_PARTITIONS),
    reply_partitions=st.integers(1, MOST_PARTITIONS),
    channels=st.lists(
        st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), min_size=1, max_size=4, unique=True
    ),
)


@given(topologies, st.text())
def test_every_routing_key_of_a_publisher_is_bound_to_exactly_one_queue(
    topology: Topology, conversation: str
) -> None:
    queues = list(topology.queues())
    keys = [
        (topology.inbound_exchange, topology.inbound_key(conversation, priority))
        for priority in PRIORITIES
    ]
    keys += [
        (topology.replies_exchange, topology.reply_key(channel, conversation))
        for channel in topology.channels
    ]
    keys += [(topology.dead_exchange, flow) for flow in ("inbound", "replies")]
    for exchange, key in keys:
        assert exchange in topology.exchanges
        bound = [q for q in queues if (q.exchange, q.routing_key) == (exchange, key)]
        assert len(bound) == 1


@given(topologies)
def test_no_two_queues_share_a_name_or_a_binding(topology: Topology) -> None:
    queues = list(topology.queues())
    assert len({q.name for q in queues}) == len(queues)
    assert len({(q.exchange, q.routing_key) for q in queues}) == len(queues)


@given(topologies)
def test_surplus_queues_belong_only_to_a_larger_topology(topology: Topology) -> None:
    larger = Topology(
        topology.namespace,
        topology.inbound_partitions + 1,
        topology.reply_partitions + 1,
        topology.channels,
    )
    surplus = set(topology.surplus_queues())
    assert surplus.isdisjoint(q.name for q in topology.queues())
    assert surplus <= {q.name for q in larger.queues()}
    assert len(surplus) == 3 + len(topology.channels)


@given(st.text(), st.text())
def test_a_consumer_priority_fits_into_amqp(worker: str, queue: str) -> None:
    assert 0 <= consumer_priority(worker, queue) <= 31_999


def test_a_consumer_priority_is_the_same_in_every_process_and_version() -> None:
    assert consumer_priority("worker a:1:x", "bridge.inbound.00") == 15988
    assert consumer_priority("worker b:2:y", "bridge.inbound.31") == 20863


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 6, 8])
def test_every_worker_gets_a_share_of_32_partitions(workers: int) -> None:
    queues = [TOPOLOGY.inbound_queue(n) for n in range(32)]
    fair = 32 / workers
    idle = 0
    for cluster in range(50):
        names = worker_names(workers, cluster)
        shares = Counter(owners(names, queues).values())
        idle += sum(1 for name in names if not shares[name])
        assert max(shares.values()) <= min(32, 3 * fair + 2)
    # A fair die leaves a worker without any of the 32 partitions in (1 - 1/w)^32 of all cases.
    assert idle / (50 * workers) <= 2 * (1 - 1 / workers) ** 32 + 0.005


def test_the_shares_are_fair_on_average() -> None:
    queues = [TOPOLOGY.inbound_queue(n) for n in range(32)]
    total: Counter[str] = Counter()
    for cluster in range(200):
        ranks = {name: f"rank {n}" for n, name in enumerate(worker_names(4, cluster))}
        total.update(ranks[owner] for owner in owners(ranks, queues).values())
    assert all(0.9 < total[f"rank {n}"] / (200 * 32 / 4) < 1.1 for n in range(4))


@pytest.mark.parametrize("workers", [2, 3, 4, 8])
def test_when_a_worker_leaves_only_its_partitions_move(workers: int) -> None:
    queues = [TOPOLOGY.inbound_queue(n) for n in range(32)]
    for cluster in range(20):
        names = worker_names(workers, cluster)
        before = owners(names, queues)
        for leaver in names:
            after = owners([name for name in names if name != leaver], queues)
            moved = {q for q in queues if before[q] != after[q]}
            assert moved == {q for q in queues if before[q] == leaver}


def test_the_partitions_of_a_leaving_worker_go_to_several_workers() -> None:
    """With crc32, which mixes poorly, one worker would inherit nearly all of them."""
    queues = [TOPOLOGY.inbound_queue(n) for n in range(32)]
    heirs = 0
    for cluster in range(20):
        names = worker_names(4, cluster)
        before, after = owners(names, queues), owners(names[1:], queues)
        heirs += len({after[q] for q in queues if before[q] == names[0]})
    assert heirs / 20 > 2
