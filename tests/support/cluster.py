"""A private cluster of three RabbitMQ nodes, run by the script. Not available through Docker."""

from __future__ import annotations

import os
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

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on node 0; return its output."""
        command = [sys.executable, str(SCRIPT), "ctl", "--data", str(self.nodes[0].data)]
        run = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        if run.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {run.stdout}{run.stderr}")
        return run.stdout

    def leaders(self, namespace: str) -> dict[str, str]:
        """Return the leader node of each queue of a namespace.

        Raises:
            AssertionError: a queue lacks a member on some node, so that node could not take over.
        """
        lines = self.ctl("list_queues", "--no-table-headers", "name", "leader", "members")
        rows = [line.split("\t") for line in lines.splitlines() if line.startswith(f"{namespace}.")]
        for name, _, members in rows:
            assert members.count("@") == SIZE, f"{name} has members {members}"
        return {name: leader for name, leader, _ in rows}

    def move_leaders(self, namespace: str, node: int) -> None:
        """Make one node the leader of all queues of a namespace."""
        self.ctl("eval", MOVE % {"namespace": namespace, "node": self.names[node]})

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.close()


MOVE = """
[rabbit_quorum_queue:transfer_leadership(Q, '%(node)s')
    || Q <- rabbit_amqqueue:list(<<"/">>), amqqueue:is_quorum(Q),
    {_, _, _, Name} <- [amqqueue:get_name(Q)],
    string:prefix(Name, <<"%(namespace)s.">>) =/= nomatch].
"""


def way() -> str | None:
    """Return the way to run a cluster on this machine, or None."""
    command = [sys.executable, str(SCRIPT), "ways"]
    environment = {k: v for k, v in os.environ.items() if k != "RASA_BRIDGE_BROKER_VIA"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return next((way for way in run.stdout.split() if way != "docker"), None)
