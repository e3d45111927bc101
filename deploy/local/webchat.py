#!/usr/bin/env python3
"""Fetch the chat widget of npm that the tests open in a browser, and print its folder.

Standard library only, besides npm.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from processes import failure, locked, say, succeeds

CACHE = Path(__file__).resolve().parents[2] / ".cache"
PACKAGE = "rasa-webchat@1.0.1"
FETCHED = CACHE / PACKAGE


def fetch() -> bool:
    """Create FETCHED, completely or not at all; return whether it exists."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (
        locked(CACHE / "webchat.lock", patience=300, waiting="Waiting: another download runs …"),
        tempfile.TemporaryDirectory(prefix="webchat.partial-", dir=CACHE) as partial,
    ):
        if FETCHED.exists():
            return True
        say("Downloading the chat widget (once, 2 MB) …")
        pack = ["npm", "pack", "--silent", "--pack-destination", partial, PACKAGE]
        if not succeeds(*pack, timeout=300):
            return False
        (archive,) = Path(partial).glob("*.tgz")
        shutil.unpack_archive(archive, partial)
        (Path(partial) / "package").rename(FETCHED)
        return True


def main() -> None:
    if not FETCHED.exists():
        if shutil.which("npm") is None:
            raise failure(3, "npm is missing: the test of the chat widget is skipped.")
        if not fetch():
            raise failure(3, "The chat widget cannot be downloaded: its test is skipped.")
    print(FETCHED)


if __name__ == "__main__":
    main()
