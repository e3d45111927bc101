"""The script behind `make demo ONCE=1`."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.broker import TOP, free_port


def test_the_demo_completes_its_conversation_and_stops_cleanly() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "AMQP_URL"}
    run = subprocess.run(
        [sys.executable, "deploy/demo/run.py", "--once", "--port", str(free_port())],
        cwd=TOP,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("acknowledged in") == 9
    assert "gold customer" in run.stdout
    assert "as expected" in run.stdout
