"""A private cluster of three RabbitMQ nodes, run by the script. Not available through Docker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.support.broker import SCRIPT, ScriptBroker

SIZE = 3


class Cluster:
    """Nodes 0, 1 and 2. Clients know node 0 only; epmd dies with it."""

    def __init__(self, way: str) -> None:
        """`way` is a value of the script's --via; the function `way` returns one."""
        via = ("--via", way)
        first = ScriptBroker(*via)
        joined = (ScriptBroker(*via, "--join", str(first.data)) for _ in range(SIZE - 1))
        self.nodes = [first, *joined]
        self.url = first.url
        self.names: list[str] = []

    def start(self) -> None:
        self.nodes[0].start()
        with ThreadPoolExecutor() as pool:
            list(pool.map(ScriptBroker.start, self.nodes[1:]))
        self.names = [(node.data / "node").read_text().strip() for node in self.nodes]

    def evaluate(self, expression: str) -> str:
        """Evaluate Erlang on node 0; return what is printed of the result."""
        return self.nodes[0].evaluate(expression)

    def leaders(self, namespace: str) -> dict[str, str]:
        """Return the leader node of each quorum queue of a namespace.

        Raises:
            AssertionError: a queue lacks a member on some node, so that node could not take over.
        """
        printed = self.evaluate(LEADERS % {"namespace": namespace})
        rows = re.findall(r"([^\s\"|;]+)\|([^|;]+)\|(\d+);", printed)
        for name, _, members in rows:
            assert int(members) == SIZE, f"{name} has {members} members"
        return {name: leader for name, leader, _ in rows}

    def move_leaders(self, namespace: str, node: int) -> None:
        """Make one node the leader of all queues of a namespace."""
        self.evaluate(MOVE % {"namespace": namespace, "node": self.names[node]})

    def revive(self) -> None:
        """Start the nodes that a failed test left dead, so that the next test finds three."""
        for node in self.nodes:
            if not node.runs:
                node.start()

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.close()


QUEUES = """
    Q <- rabbit_amqqueue:list(<<"/">>), amqqueue:is_quorum(Q),
    {_, _, _, Name} <- [amqqueue:get_name(Q)],
    string:prefix(Name, <<"%(namespace)s.">>) =/= nomatch
"""
MOVE = f"[rabbit_quorum_queue:transfer_leadership(Q, '%(node)s') || {QUEUES}]."
LEADERS = f"""
lists:flatten([io_lib:format("~s|~s|~b;", [Name, Leader, length(Members)]) || {QUEUES},
    [{{leader, Leader}}, {{members, Members}}] <- [rabbit_amqqueue:info(Q, [leader, members])]]).
"""


def way() -> str | None:
    """Return the way to run a cluster on this machine, or None."""
    command = [sys.executable, str(SCRIPT), "ways"]
    environment = {k: v for k, v in os.environ.items() if k != "RASA_BRIDGE_BROKER_VIA"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return next((way for way in run.stdout.split() if way != "docker"), None)
