"""`make simulate`: run schedules; see docs/explanation/simulation.md."""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.simulation.plan import plan
from tests.simulation.runner import cores, simulate, trace


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--number", type=int, default=100_000, help="schedules to run")
    parser.add_argument(
        "--first", type=int, help="seed of the first one, by default one that was never run before"
    )
    parser.add_argument("--processes", type=int, default=cores(), help="by default one a core")
    parser.add_argument("--seed", type=int, help="run only this one, and print its trace")
    options = parser.parse_args()
    if options.seed is not None:
        lines, holds = trace(plan(options.seed))
        print("\n".join(lines))
        return 0 if holds else 1
    first = options.first if options.first is not None else 1_000_000 + secrets.randbelow(10**12)
    return simulate(range(first, first + options.number), options.processes)


if __name__ == "__main__":
    sys.exit(main())
