"""A Debian 13 root file system with RabbitMQ 4, for Debian and Ubuntu machines without Docker.

Built once per user, used by all brokers. Every mount is made in a namespace of the process that
needs it, so none outlives its process and none is ever seen by the rest of the machine.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from processes import StartFailed, failure, follow, locked, say, succeeds

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rasa-channel-bridge"
ROOT = CACHE / "rabbitmq-4"
DATA = "/srv"  # where the data directory appears inside
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
UNSHARE = ["unshare", "--mount", "--propagation", "private"]
ENTER = """set -e; root=$1 data=$2; shift 2
for dir in proc dev sys; do mount --rbind /$dir "$root/$dir"; done
mount --bind "$data" "$root/srv"
exec chroot "$root" "$@"
"""


def possible() -> bool:
    debian = sys.platform == "linux" and Path("/etc/debian_version").exists()
    return debian and os.geteuid() == 0 and succeeds(*UNSHARE, "true")


def inside(data: Path) -> list[str]:
    """The start of a command line that runs the rest of it in the root file system."""
    return [*UNSHARE, "sh", "-c", ENTER, "sh", str(ROOT), str(data)]


def build() -> None:
    """Make ROOT, all or nothing; a second process that wants it waits for the first.

    Raises:
        StartFailed: debootstrap is missing or did not succeed.
    """
    if ROOT.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    waiting = "Waiting for another process that builds the RabbitMQ 4 root file system …"
    with locked(CACHE / "rabbitmq-4.lock", patience=900, waiting=waiting):
        if ROOT.exists():
            return
        for left_over in CACHE.glob("rabbitmq-4.partial-*"):
            remove_tree(left_over)
        install_debootstrap()
        say("Building a RabbitMQ 4 root file system (once, about a minute) …")
        partial = Path(tempfile.mkdtemp(prefix="rabbitmq-4.partial-", dir=CACHE))
        partial.chmod(0o755)
        # A process namespace too: whatever ends this script ends all of debootstrap.
        command = [*UNSHARE, "--pid", "--fork", "--kill-child", "--mount-proc", "debootstrap"]
        command += ["--variant=minbase", "--include=rabbitmq-server", "trixie", str(partial)]
        log = CACHE / "rabbitmq-4.log"
        if not follow(command, log):
            raise StartFailed(f"the root file system could not be built, see {log}")
        for needless in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(partial / needless, ignore_errors=True)
        (partial / "etc/hosts").write_text("127.0.0.1 localhost\n")
        partial.rename(ROOT)


def install_debootstrap() -> None:
    if shutil.which("debootstrap"):
        return
    say("Installing debootstrap …")
    if not apt_install("debootstrap", "debian-archive-keyring"):
        raise StartFailed("debootstrap is missing: apt-get install debootstrap")


def apt_install(*packages: str) -> bool:
    """Install packages as root, with the list that is there or, if need be, a new one."""
    install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends"]
    install += ["-oDPkg::Lock::Timeout=120", *packages]
    if succeeds(*install, timeout=600):
        return True
    return succeeds("apt-get", "update", timeout=300) and succeeds(*install, timeout=600)


def remove_tree(tree: Path) -> None:
    if f" {tree}/" in Path("/proc/self/mountinfo").read_text():
        raise failure(1, f"{tree} has file systems mounted in it; unmount them, then remove it.")
    shutil.rmtree(tree)
