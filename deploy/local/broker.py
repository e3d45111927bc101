#!/usr/bin/env python3
"""Run one private RabbitMQ 4 in the foreground, for the demo and the tests.

    python3 deploy/local/broker.py run [--port N] [--data DIR] [--management-port N] [--join DIR]
                                       [--release 4.0|4.3]

Once the broker accepts connections, one line `AMQP_URL=amqp://…` appears on stdout; progress goes
to stderr. SIGTERM or Ctrl-C stops it. The script uses the first of these that is available: the
broker in AMQP_URL, Docker, an installed RabbitMQ 4, or a Debian root file system, which it builds
once. Standard library only. Not for production.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import debian_root
from processes import (
    StartFailed,
    accepts_amqp,
    die_with_parent,
    failure,
    free_ports,
    locked,
    say,
    succeeds,
)

IMAGE = "rabbitmq:{release}-management"
START_SECONDS = 120
# Constant, so that a restarted broker finds its data again. Each broker runs its own epmd.
NODE = "bridge@localhost"
COOKIE = ".erlang.cookie"
# Few threads, and no busy-waiting: several brokers may run beside the tests.
ERL_ARGS = "+S 2:2 +SDio 4 +stbt u +sbwt none +sbwtdcpu none +sbwtdio none"


class Node(NamedTuple):
    """A running broker."""

    process: subprocess.Popen[bytes]  # ends when the broker ends
    pid: int  # the broker's own process id
    stop: Callable[[bool], None]  # True: orderly; False: at once, the data may be lost


class Plan(NamedTuple):
    """What to start."""

    data: Path  # log, pid and messages (Docker keeps the messages in a volume)
    keep: bool
    port: int
    management_port: int | None
    join: Path | None = None  # data directory of a broker whose cluster this one joins
    release: str | None = None  # of RabbitMQ, such as 4.3; None: any 4, preferably the default

    @property
    def image(self) -> str:
        return IMAGE.format(release=self.release or "4")

    @property
    def node(self) -> str:
        name, _, host = NODE.partition("@")
        return f"{name}-{short_hash(self.data)}@{host}" if self.join else NODE


def short_hash(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


# ---- Docker --------------------------------------------------------------------------------------


def docker_answers() -> bool:
    return shutil.which("docker") is not None and succeeds("docker", "info", timeout=5)


def start_container(plan: Plan) -> Node:
    if plan.join:
        raise StartFailed("--join does not work with Docker; use --via local or --via chroot")
    command = ["docker", "run", "--rm", "--detach", "--label", "rasa-channel-bridge"]
    command += ["--publish", f"127.0.0.1:{plan.port}:5672"]
    if plan.management_port:
        command += ["--publish", f"127.0.0.1:{plan.management_port}:15672"]
    if plan.keep:  # a volume, because the container's user cannot write to `data`
        command += ["--volume", f"rasa-bridge-{short_hash(plan.data)}:/var/lib/rabbitmq"]
    arguments = f"{ERL_ARGS} -rabbit disk_free_limit 50000000"
    command += ["--env", f"RABBITMQ_NODENAME={NODE}"]
    command += ["--env", f"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS={arguments}", plan.image]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode != 0:
        raise StartFailed(f"docker run {plan.image} failed; see its output above")
    container = run.stdout.strip()
    (plan.data / "container").write_text(container)

    def stop(orderly: bool) -> None:
        if orderly:
            succeeds("docker", "stop", "-t", "15", container, timeout=30)
        succeeds("docker", "rm", "--force", "--volumes", container, timeout=30)

    inspect = ["docker", "inspect", "--format", "{{.State.Pid}}", container]
    pid = subprocess.run(inspect, stdout=subprocess.PIPE, text=True).stdout.strip()
    with (plan.data / "broker.log").open("ab") as log:
        follow = ["docker", "logs", "--follow", container]
        process = subprocess.Popen(follow, stdout=log, stderr=log, start_new_session=True)
    return Node(process, int(pid or 0), stop)


# ---- an Erlang node: an installed RabbitMQ, or the one in the root file system -------------------


def installed_server(release: str | None = None) -> str | None:
    """Return the start script of an installed RabbitMQ 4 or newer, or of this release."""
    # Debian's wrapper insists on its own user and directory; the script that it calls does not.
    for script in (debian_root.SERVER, shutil.which("rabbitmq-server")):
        if script and os.access(script, os.X_OK):
            version = re.search(r"[/-]((\d+)\.\d+)\.\d+", os.path.realpath(script))
            if version and (version[1] == release if release else int(version[2]) >= 4):
                return script
    return None


def start_installed(plan: Plan) -> Node:
    server = installed_server(plan.release)
    if server is None:
        raise StartFailed(f"the installed RabbitMQ is not {plan.release}")
    return start_erlang(plan, [], str(plan.data), server, os.environ["PATH"])


def start_in_root(plan: Plan) -> Node:
    release = plan.release or debian_root.DEFAULT
    debian_root.build(release)
    (plan.data / "release").write_text(f"{release}\n")
    return start_erlang(plan, *in_root(plan.data))


def in_root(data: Path) -> tuple[list[str], str, str, str]:
    """Return the command-line prefix that enters the root, then HOME, server and PATH in there."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    release = (data / "release").read_text().strip()
    return debian_root.inside(data, release), debian_root.DATA, debian_root.SERVER, path


def start_erlang(plan: Plan, enter: list[str], home: str, server: str, path: str) -> Node:
    """Start a node and its epmd; a node that joins a cluster uses the epmd of the first node.

    `home` is the data directory's path as the node sees it.
    """
    epmd_port, distribution_port = free_ports(2, avoid=(plan.port, plan.management_port))
    if plan.join:
        epmd_port = int((plan.join / "epmd-port").read_text())
        shutil.copy2(plan.join / COOKIE, plan.data / COOKIE)
    (plan.data / "epmd-port").write_text(f"{epmd_port}\n")
    (plan.data / "node").write_text(f"{plan.node}\n")
    write_configuration(plan)
    environment = {
        "PATH": path,
        "HOME": home,  # Erlang writes the cookie there
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP_SECONDS": "0",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
        "RABBITMQ_MNESIA_BASE": f"{home}/data",
        "RABBITMQ_LOG_BASE": f"{home}/log",
        "RABBITMQ_NODENAME": plan.node,
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            f"{ERL_ARGS} -kernel inet_dist_use_interface {{127,0,0,1}}"
        ),
        # Makes the script exec Erlang instead of starting a child: our pid is the broker's, and
        # our signals reach the broker.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    options: dict[str, Any] = {"env": environment, "start_new_session": True}
    options |= {"preexec_fn": die_with_parent, "stdin": subprocess.DEVNULL}
    epmd = ["epmd", "-port", str(epmd_port), "-address", "127.0.0.1"]
    with (plan.data / "broker.log").open("ab") as log:
        options |= {"stdout": log, "stderr": log}
        processes: list[subprocess.Popen[bytes]] = [subprocess.Popen([*enter, server], **options)]
        # Otherwise Erlang starts an epmd that outlives the broker.
        if (enter or shutil.which("epmd")) and not plan.join:
            processes.append(subprocess.Popen([*enter, *epmd], **options))

    def stop(orderly: bool) -> None:
        for process in processes:
            process.terminate() if orderly else process.kill()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    return Node(processes[0], processes[0].pid, stop)


def write_configuration(plan: Plan) -> None:
    lines = [f"listeners.tcp.1 = 127.0.0.1:{plan.port}", "disk_free_limit.absolute = 50MB"]
    lines += ["log.console = true", "log.file = false", "raft.wal_max_size_bytes = 67108864"]
    if plan.management_port:
        lines += ["management.tcp.ip = 127.0.0.1"]
        lines += [f"management.tcp.port = {plan.management_port}"]
    if plan.join:
        lines += ["cluster_formation.peer_discovery_backend = classic_config"]
        lines += [f"cluster_formation.classic_config.nodes.1 = {NODE}"]
        lines += [f"cluster_formation.classic_config.nodes.2 = {plan.node}"]
    (plan.data / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    plugins = "rabbitmq_management" if plan.management_port else ""
    (plan.data / "enabled_plugins").write_text(f"[{plugins}].\n")


# ---- commands ------------------------------------------------------------------------------------

WAYS: dict[str, tuple[Callable[[], object], Callable[[Plan], Node]]] = {
    "docker": (docker_answers, start_container),
    "local": (installed_server, start_installed),
    "chroot": (debian_root.possible, start_in_root),
}


def possible_ways(wanted: str | None) -> Iterator[str]:
    for way, (possible, _) in WAYS.items():
        if wanted in (None, way) and possible():
            yield way


def start(way: str, plan: Plan) -> Node:
    """Start a broker and wait until it accepts connections.

    Raises:
        StartFailed: its port is taken, or it did not become ready.
    """
    if accepts_amqp(plan.port):
        raise StartFailed(f"another broker uses port {plan.port}; choose another --port")
    node = WAYS[way][1](plan)
    began = time.monotonic()
    try:
        while not accepts_amqp(plan.port):
            if node.process.poll() is not None:
                raise StartFailed(f"RabbitMQ exited during start-up; see {plan.data}/broker.log")
            if time.monotonic() - began > START_SECONDS:
                raise StartFailed(
                    f"RabbitMQ was not ready after {START_SECONDS} s; see {plan.data}/broker.log"
                )
            time.sleep(0.1)
    except BaseException:
        node.stop(False)
        raise
    say(f"RabbitMQ is ready after {time.monotonic() - began:.1f} s ({way})")
    return node


def start_first_possible(wanted: str | None, plan: Plan) -> Node:
    tried = False
    for way in possible_ways(wanted):
        tried = True
        try:
            return start(way, plan)
        except StartFailed as error:
            say(f"Could not start RabbitMQ ({way}): {error}")
    if tried:
        raise failure(1, "Could not start RabbitMQ; see above.")
    raise failure(
        3,
        f"Found no way to run RabbitMQ 4 (tried: {wanted or ', '.join(WAYS)}).",
        "Start Docker, install RabbitMQ 4, or set AMQP_URL to a running broker.",
    )


def run(options: argparse.Namespace) -> None:
    if os.environ.get("AMQP_URL") and not options.via:
        print(f"AMQP_URL={os.environ['AMQP_URL']}", flush=True)
        while True:
            signal.pause()
    keep = bool(options.data or options.keep_data)
    data = Path(options.data or tempfile.mkdtemp(prefix="rasa-bridge-broker-")).resolve()
    data.mkdir(parents=True, exist_ok=True)
    port = options.port or free_ports(1, avoid=(options.management_port,))[0]
    refusal = f"Another broker uses {data}; stop that one, or choose another --data."
    with locked(data / "lock", patience=15, refusal=refusal):
        try:
            join = Path(options.join).resolve() if options.join else None
            if join and not (join / "epmd-port").exists():
                raise StartFailed(
                    f"{join} is not the data directory of a running broker;"
                    " pass that broker's --data to --join"
                )
            plan = Plan(data, keep, port, options.management_port, join, options.release)
            serve(options.via, plan)
        except SystemExit as stopped:
            if stopped.code in (0, 3) and not keep:  # after other errors, the log helps
                shutil.rmtree(data, ignore_errors=True)
            raise


def serve(wanted: str | None, plan: Plan) -> None:
    for name in ("pid", "container", "node", "release"):  # left by a broker.py that was killed
        with contextlib.suppress(FileNotFoundError):
            (plan.data / name).unlink()
    node = start_first_possible(wanted, plan)
    try:
        (plan.data / "pid").write_text(f"{node.pid}\n")
        print(f"AMQP_URL=amqp://guest:guest@127.0.0.1:{plan.port}/", flush=True)
        code = node.process.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        (plan.data / "pid").unlink()
        node.stop(plan.keep)
    raise failure(1, f"RabbitMQ exited with code {code}; see {plan.data}/broker.log")


def kill(options: argparse.Namespace) -> None:
    """Kill the broker of --data with SIGKILL, for tests of a crashed broker.

    A quorum queue declared less than about a second earlier does not survive: RabbitMQ writes a
    new queue's local member to disk with a delay.
    """
    data = Path(options.data)
    if (data / "container").exists():
        subprocess.run(["docker", "kill", (data / "container").read_text()], check=True)
    else:
        os.kill(int((data / "pid").read_text()), signal.SIGKILL)


def ctl(options: argparse.Namespace) -> None:
    """Become `rabbitmqctl` for the broker of --data."""
    data = Path(options.data).resolve()
    if (data / "container").exists():
        command = [
            "docker",
            "exec",
            "--interactive",
            (data / "container").read_text(),
            "rabbitmqctl",
        ]
        os.execvp(command[0], [*command, *options.arguments])
    enter, server, environment = environment_of(data)
    node = (data / "node").read_text().strip()
    command = [*enter, str(Path(server).with_name("rabbitmqctl")), "--quiet", "--node", node]
    os.execvpe(command[0], [*command, *options.arguments], environment)


def evaluate(options: argparse.Namespace) -> None:
    """Evaluate an Erlang expression on the broker of --data, and print the result.

    `erl_call` takes a hundredth of the CPU time of `rabbitmqctl`, which starts a virtual machine.
    """
    data = Path(options.data).resolve()
    if not (data / "container").exists():
        enter, _, environment = environment_of(data)
        if enter or shutil.which("erl_call"):
            node = (data / "node").read_text().strip()
            command = [*enter, "erl_call", "-n", node, "-e"]
            expression = f"{options.expression}\n"
            done = subprocess.run(command, input=expression, text=True, env=environment)
            sys.exit(done.returncode)
    options.arguments = ["eval", options.expression]
    ctl(options)


def environment_of(data: Path) -> tuple[list[str], str, dict[str, str]]:
    """Return how to enter the root of a running node, its server, and its variables."""
    server = installed_server()
    if server and not (data / "release").exists():
        enter, home, path = list[str](), str(data), os.environ["PATH"]
    else:
        enter, home, server, path = in_root(data)
    return (
        enter,
        server,
        {
            "PATH": path,
            "HOME": home,
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": (data / "epmd-port").read_text().strip(),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        },
    )


def ways(options: argparse.Namespace) -> None:
    """Print the ways that work on this machine, in order of preference."""
    print(*possible_ways(options.via))


def prepare(options: argparse.Namespace) -> None:
    """Do the slow part of the first start now."""
    if os.environ.get("AMQP_URL") and not options.via:
        return
    if next(possible_ways(options.via), None) == "chroot":
        debian_root.build(options.release or debian_root.DEFAULT)


# ---- command line --------------------------------------------------------------------------------

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for function, text in (
        (run, "run a broker until SIGTERM or Ctrl-C"),
        (prepare, "do the slow part of the first start now"),
        (ways, "print the ways to run a broker on this machine"),
        (kill, "kill the broker of --data with SIGKILL"),
        (ctl, "run rabbitmqctl on the broker of --data"),
        (evaluate, "evaluate an Erlang expression on the broker of --data"),
    ):
        command = commands.add_parser(function.__name__, help=text)
        command.set_defaults(function=function)
        if function in (kill, ctl, evaluate):
            command.add_argument("--data", required=True, help="data directory of the broker")
        else:
            command.add_argument(
                "--via",
                choices=tuple(WAYS),
                default=os.environ.get("RASA_BRIDGE_BROKER_VIA") or None,
                help="run it this way only, and ignore AMQP_URL"
                " (default: $RASA_BRIDGE_BROKER_VIA, else the first that works)",
            )
            command.add_argument(
                "--release",
                choices=tuple(debian_root.RELEASES),
                default=os.environ.get("RASA_BRIDGE_RABBITMQ") or None,
                help="run this release of RabbitMQ"
                f" (default: $RASA_BRIDGE_RABBITMQ, else {debian_root.DEFAULT})",
            )
        if function is run:
            command.add_argument("--port", type=int, default=0, help="AMQP port (default: any)")
            command.add_argument(
                "--data",
                help="directory for data, log and pid (default: a temporary one)",
            )
            command.add_argument(
                "--management-port",
                type=int,
                help="port of the management page (default: no page)",
            )
            command.add_argument(
                "--keep-data", action="store_true", help="keep the temporary directory at the end"
            )
            command.add_argument(
                "--join",
                metavar="DATA",
                help="form a cluster with the running broker of this data directory",
            )
        if function is ctl:
            command.add_argument(
                "arguments", nargs=argparse.REMAINDER, help="arguments of rabbitmqctl"
            )
        if function is evaluate:
            command.add_argument("expression", help="ends with a full stop")
    return parser.parse_args()


def main() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))
    options = parse_arguments()
    try:
        options.function(options)
    except StartFailed as error:
        raise failure(1, str(error))


if __name__ == "__main__":
    main()
