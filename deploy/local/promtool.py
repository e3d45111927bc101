#!/usr/bin/env python3
"""Print the path of promtool, which tests Prometheus alerts; download it if it is missing.

    python3 deploy/local/promtool.py

The script uses an installed promtool, else the one it downloaded before, else the one in Debian's
prometheus package: it extracts that file and installs nothing. Exit code 3: no promtool is
available. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from debian_root import CACHE
from processes import StartFailed, failure, locked, say, succeeds

FETCHED = CACHE / "promtool"


def find() -> str | None:
    return shutil.which("promtool") or (str(FETCHED) if FETCHED.exists() else None)


def fetch() -> None:
    """Create FETCHED, completely or not at all.

    Raises:
        StartFailed: the download failed, or the package contains no promtool that runs.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (
        locked(CACHE / "promtool.lock", patience=300, waiting="Waiting: another download runs …"),
        tempfile.TemporaryDirectory(prefix="promtool.partial-", dir=CACHE) as partial,
    ):
        if FETCHED.exists():
            return
        say("Downloading promtool (once, 20 MB) …")
        package = download(Path(partial))
        found = Path(partial) / "root" / "usr" / "bin" / "promtool"
        extracted = succeeds("dpkg", "-x", str(package), f"{partial}/root", timeout=60)
        if not extracted or not succeeds(str(found), "--version"):
            raise StartFailed(f"{package.name} contains no promtool that runs")
        found.rename(FETCHED)


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
    if find() is None:
        if shutil.which("apt-get") is None:
            raise failure(3, "promtool is missing: install Prometheus, or add promtool to PATH.")
        try:
            fetch()
        except StartFailed as error:
            raise failure(3, f"promtool is missing: {error}; install Prometheus.") from error
    print(find())


if __name__ == "__main__":
    main()
