#!/usr/bin/env python3
"""Print the path of promtool, which tests Prometheus alerts; download it if it is missing.

    python3 deploy/local/promtool.py [prometheus]

The script uses an installed promtool, else the one it downloaded before, else the one in Debian's
prometheus package: it extracts that file and installs nothing. With `prometheus`, the same for the
server. Exit code 3: it is not available. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from debian_root import CACHE
from processes import StartFailed, failure, locked, say, succeeds

PROGRAMS = ("promtool", "prometheus")


def find(program: str) -> str | None:
    fetched = CACHE / program
    return shutil.which(program) or (str(fetched) if fetched.exists() else None)


def fetch() -> None:
    """Create both programs in CACHE, each completely or not at all.

    Raises:
        StartFailed: the download failed, or the package contains no program that runs.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (
        locked(CACHE / "promtool.lock", patience=300, waiting="Waiting: another download runs …"),
        tempfile.TemporaryDirectory(prefix="promtool.partial-", dir=CACHE) as partial,
    ):
        if all((CACHE / program).exists() for program in PROGRAMS):
            return
        say("Downloading Prometheus (once, 40 MB) …")
        package = download(Path(partial))
        extracted = succeeds("dpkg", "-x", str(package), f"{partial}/root", timeout=120)
        for program in PROGRAMS:
            found = Path(partial) / "root" / "usr" / "bin" / program
            if not extracted or not succeeds(str(found), "--version", timeout=60):
                raise StartFailed(f"{package.name} contains no {program} that runs")
            found.rename(CACHE / program)


def download(directory: Path) -> Path:
    # An unprivileged user may download, but may not update the package lists.
    command = ["apt-get", "download", "-qq", "prometheus"]
    for renew in (False, True):
        if renew and (os.geteuid() != 0 or not succeeds("apt-get", "update", timeout=300)):
            break
        if succeeds(*command, cwd=directory, timeout=300):
            return next(directory.glob("*.deb"))
    raise StartFailed("could not download Debian's prometheus package")


def main() -> None:
    program = "prometheus" if "prometheus" in sys.argv[1:] else "promtool"
    if find(program) is None:
        if shutil.which("apt-get") is None:
            raise failure(3, f"{program} is missing: install Prometheus, or add it to PATH.")
        try:
            fetch()
        except StartFailed as error:
            raise failure(3, f"{program} is missing: {error}; install Prometheus.") from error
    print(find(program))


if __name__ == "__main__":
    main()
