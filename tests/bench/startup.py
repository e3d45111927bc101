"""Measures how long the roles take to start, and what a worker adds to loading its model.

    python -m tests.bench.startup [--rounds 3]

Each start is that of a new interpreter with compiled imports; the topology is declared already. A
worker with a model needs rasa and deploy/demo/models: then a bare `Agent.load` of the same model
runs between the rounds. Prints medians and spreads in seconds, of time and of CPU time; other work
on the machine disturbs the second less. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import cpu
from tests.support.broker import TOP, free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Project

MODELS = TOP / "deploy" / "demo" / "models"
BARE = f"""
from rasa.core.agent import Agent
Agent.load({str(MODELS)!r})
print("loaded", flush=True)
"""


def starts(port: int) -> dict[str, tuple[list[str], str]]:
    """Return what is started → its command, and what it prints once it is ready."""
    bridge = [sys.executable, "-m", "bridge"]
    found = {
        "webhook": ([*bridge, "webhook", "-i", "127.0.0.1", "-p", str(port)], "listening on"),
        "deliver": ([*bridge, "deliver"], "consuming"),
        "worker --handler": ([*bridge, "worker", "--handler", "echo:handle"], "consuming"),
    }
    if importlib.util.find_spec("rasa") and MODELS.is_dir():
        found["worker --model"] = ([*bridge, "worker", "--model", str(MODELS)], "consuming")
        found["Agent.load"] = ([sys.executable, "-c", BARE], "loaded")
    return found


async def measure(rounds: int) -> None:
    broker = make_broker()
    broker.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    took: dict[str, list[float]] = {}
    used: dict[str, list[float]] = {}
    try:
        project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:1\n")
        project.write("echo.py", ECHO)
        for n in range(rounds + 1):  # the first round declares and compiles
            for name, (command, ready) in starts(free_port()).items():
                began = time.perf_counter()
                process = project.start(f"{name} {n}", command)
                await process.prints(ready, patience=300)
                if n:
                    took.setdefault(name, []).append(time.perf_counter() - began)
                    used.setdefault(name, []).append(cpu.seconds(process.popen.pid))
                process.popen.terminate()
                process.popen.wait()
    finally:
        project.close()
        broker.close()
    for name, values in took.items():
        columns = []
        for what, each in (("", values), (" of CPU time", used[name])):
            spread = f"{min(each):.2f} to {max(each):.2f}"
            columns.append(f"{statistics.median(each):6.2f} s{what} ({spread})")
        print(f"{name:17} {', '.join(columns)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    asyncio.run(measure(parser.parse_args().rounds))
