"""A Debian root file system with RabbitMQ 4, for Debian and Ubuntu machines without Docker.

It is built once per user and release, and shared by all brokers. Each process mounts what it needs
in its own mount namespace: no mount outlives its process, and the rest of the machine sees none of
them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from processes import StartFailed, failure, follow, locked, say, succeeds

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rasa-channel-bridge"
RELEASES = {"4.0": "trixie", "4.3": "sid"}
"""Release of RabbitMQ → Debian suite that has it."""
DEFAULT = "4.0"
DATA = "/srv"  # the data directory, as seen from inside
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


def root(release: str) -> Path:
    """Return the root file system of a release, which may not be built yet."""
    return CACHE / ("rabbitmq-4" if release == DEFAULT else f"rabbitmq-{release}")


def inside(data: Path, release: str) -> list[str]:
    """Return the prefix that makes a command line run inside the root file system."""
    return [*UNSHARE, "sh", "-c", ENTER, "sh", str(root(release)), str(data)]


def build(release: str) -> None:
    """Build a root file system, completely or not at all. A second process waits for the first.

    Raises:
        StartFailed: debootstrap is missing or failed, or no Debian suite has the release.
    """
    if release not in RELEASES:
        raise StartFailed(f"no Debian suite has RabbitMQ {release}; known: {', '.join(RELEASES)}")
    target = root(release)
    if target.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    waiting = f"Waiting: another process is building the RabbitMQ {release} root file system …"
    with locked(CACHE / f"{target.name}.lock", patience=900, waiting=waiting):
        if target.exists():
            return
        for left_over in CACHE.glob(f"{target.name}.partial-*"):
            remove_tree(left_over)
        install_debootstrap()
        say(f"Building a RabbitMQ {release} root file system (once, about a minute) …")
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=CACHE))
        partial.chmod(0o755)
        # In a PID namespace, too: when this script dies, all of debootstrap dies with it.
        command = [*UNSHARE, "--pid", "--fork", "--kill-child", "--mount-proc", "debootstrap"]
        command += ["--variant=minbase", "--include=rabbitmq-server"]
        command += [RELEASES[release], str(partial)]
        log = CACHE / f"{target.name}.log"
        if not follow(command, log):
            raise StartFailed(f"could not build the root file system; see {log}")
        for needless in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(partial / needless, ignore_errors=True)
        (partial / "etc/hosts").write_text("127.0.0.1 localhost\n")
        partial.rename(target)


def install_debootstrap() -> None:
    if shutil.which("debootstrap"):
        return
    say("Installing debootstrap …")
    if not apt_install("debootstrap", "debian-archive-keyring"):
        raise StartFailed("debootstrap is missing; run: apt-get install debootstrap")


def apt_install(*packages: str) -> bool:
    """Install packages as root; if that fails, update the package lists and try once more."""
    install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends"]
    install += ["-oDPkg::Lock::Timeout=120", *packages]
    if succeeds(*install, timeout=600):
        return True
    return succeeds("apt-get", "update", timeout=300) and succeeds(*install, timeout=600)


def remove_tree(tree: Path) -> None:
    if f" {tree}/" in Path("/proc/self/mountinfo").read_text():
        raise failure(1, f"{tree} contains mounted file systems; unmount them, then remove it.")
    shutil.rmtree(tree)
