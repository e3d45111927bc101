#!/usr/bin/env python3
"""Print the path of promtool, Prometheus's tester of alerts; fetch it first where it is missing.

    python3 deploy/local/promtool.py

The first one is taken: an installed promtool, the one that was fetched before, the one in Debian's
package of Prometheus, of which nothing else is kept and nothing is started. Exit code 3: none can
be had. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from debian_root import CACHE
from processes import StartFailed, failure, locked, say, succeeds

FETCHED = CACHE / "promtool"


def find() -> str | None:
    return shutil.which("promtool") or (str(FETCHED) if FETCHED.exists() else None)


def fetch() -> None:
    """Make FETCHED, all or nothing.

    Raises:
        StartFailed: the package cannot be downloaded, or does not hold a promtool that runs.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (
        locked(CACHE / "promtool.lock", patience=300, waiting="Waiting for another download …"),
        tempfile.TemporaryDirectory(prefix="promtool.partial-", dir=CACHE) as partial,
    ):
        if FETCHED.exists():
            return
        say("Downloading promtool (once, 20 MB) …")
        package = download(Path(partial))
        found = Path(partial) / "root" / "usr" / "bin" / "promtool"
        extracted = succeeds("dpkg", "-x", str(package), f"{partial}/root", timeout=60)
        if not extracted or not succeeds(str(found), "--version"):
            raise StartFailed(f"there is no promtool in {package.name}")
        found.rename(FETCHED)


def download(directory: Path) -> Path:
    # An unprivileged user may download, but not renew an old list of packages.
    command = ["apt-get", "download", "-qq", "prometheus"]
    for renew in (False, True):
        if renew and (os.geteuid() != 0 or not succeeds("apt-get", "update", timeout=300)):
            break
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 300}
        if subprocess.run(command, cwd=directory, **quiet).returncode == 0:
            return next(directory.glob("*.deb"))
    raise StartFailed("Debian's package of Prometheus could not be downloaded")


def main() -> None:
    if find() is None:
        if shutil.which("apt-get") is None:
            raise failure(3, "No promtool: install Prometheus, or put promtool into the PATH.")
        try:
            fetch()
        except StartFailed as error:
            raise failure(3, f"No promtool: {error}; install Prometheus.") from error
    print(find())


if __name__ == "__main__":
    main()
