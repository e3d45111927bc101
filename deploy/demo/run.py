"""Run the demo assistant behind the bridge, and hold a conversation through its webhook.

    python deploy/demo/run.py [--once] [--port N]

It starts a broker, the action server and all roles, on loopback only. Nothing here is part of the
bridge: it does what a user would do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from rich.markup import escape
from service import Service, console

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
LOG = TOP / ".cache" / "demo.log"
REPLY_SECONDS = 30.0
QUIET_SECONDS = 0.4
START_SECONDS = 180.0
MONITOR_PORT = 5006


class DemoFailed(Exception):
    """The demo cannot continue. The message says why, and where to look."""


# ---- processes -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def running(name: str, *command: str, **environment: str) -> AsyncIterator[Any]:
    """Run a command with its stderr in the log; send it SIGTERM at the end."""
    with LOG.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=HERE,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if name == "broker" else log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def broker_url(process: Any) -> str:
    line = (await process.stdout.readline()).decode()
    if not line.startswith("AMQP_URL="):
        # The script has already printed on stderr what to install.
        raise SystemExit(await process.wait() or 1)
    return str(line.strip().partition("=")[2])


async def until(what: str, condition: Any, *processes: Any) -> None:
    """Wait for a condition and show progress. Fail if a process ends, or after START_SECONDS."""
    began = time.monotonic()
    with console.status("") as status:
        while not await condition():
            seconds = time.monotonic() - began
            status.update(f"Waiting for the {what} ({seconds:.0f} s)")
            ended = any(p.returncode is not None for p in processes)
            if ended or seconds > START_SECONDS:
                why = "a process ended" if ended else f"not ready after {START_SECONDS:.0f} s"
                raise DemoFailed(f"the {what}: {why}. Last lines of {LOG}:\n{tail()}")
            await asyncio.sleep(0.1)
    console.print(f"The {what} is ready after {time.monotonic() - began:.1f} s", style="dim")


def tail() -> str:
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-12:])


def free_port(wanted: int = 0) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            console.print(f"Port {wanted} is in use; choosing another one", style="yellow")
            return free_port()
        return int(probe.getsockname()[1])


# ---- the demo ------------------------------------------------------------------------------------


async def demo(once: bool, wanted_port: int) -> None:
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("")
    async with contextlib.AsyncExitStack() as stack:
        replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        service = Service(replies.put_nowait)
        runner = await service.start()
        stack.push_async_callback(runner.cleanup)
        script = str(TOP / "deploy" / "local" / "broker.py")
        broker = await stack.enter_async_context(running("broker", sys.executable, script, "run"))
        url = await broker_url(broker)

        port, monitor_port = free_port(wanted_port), free_port(MONITOR_PORT)
        action_port = free_port()
        environment = {
            "AMQP_URL": url,
            "ACTION_ENDPOINT": f"http://127.0.0.1:{action_port}/webhook",
            "TRACKER_DB": str(TOP / ".cache" / "demo-trackers.db"),
            "DEMO_SERVICE": service.url,
        }
        actions = [sys.executable, "-m", "rasa_sdk", "--actions", "actions", "-p", str(action_port)]
        bridge = [sys.executable, "-m", "bridge", "up", "-m", "models", "-i", "127.0.0.1"]
        bridge += ["-p", str(port), "--monitor-port", str(monitor_port)]
        started = [
            await stack.enter_async_context(running("actions", *actions, SANIC_HOST="127.0.0.1")),
            await stack.enter_async_context(running("bridge", *bridge, **environment)),
        ]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        base = f"http://127.0.0.1:{port}"
        await until("webhook", lambda: answers(http, f"{base}/readyz"), broker, *started)
        await until(
            "action server",
            lambda: answers(http, f"http://127.0.0.1:{action_port}/health"),
            *started,
        )
        await until("worker", worker_consumes, broker, *started)
        await converse(http, base, replies)
        if once:
            console.print("\nEvery reply was as expected. Stopping.", style="bold")
            return
        explain(base, url, monitor_port)
        ended = [asyncio.ensure_future(p.wait()) for p in (broker, *started)]
        await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        raise DemoFailed(f"a process has ended. Last lines of {LOG}:\n{tail()}")


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def worker_consumes() -> bool:
    return bool(
        re.search(r"worker\[\d+\]: connected .* consuming", LOG.read_text(errors="replace"))
    )


async def converse(
    http: aiohttp.ClientSession, base: str, replies: asyncio.Queue[dict[str, Any]]
) -> None:
    """Play conversation.yml through the webhook of the `callback` channel."""
    console.print(
        "\nA conversation through the webhook, RabbitMQ and the assistant:\n", style="bold"
    )
    sender = f"demo-{int(time.time())}"
    for step in yaml.safe_load((HERE / "conversation.yml").read_text()):
        message = {"sender": sender, "message": step["say"]}
        if step.get("metadata"):
            message["metadata"] = step["metadata"]
        began = time.perf_counter()
        async with http.post(f"{base}/webhooks/callback/webhook", json=message) as response:
            milliseconds = (time.perf_counter() - began) * 1000
            if response.status != 200:
                raise DemoFailed(f"the webhook answered {response.status}: {await response.text()}")
        extra = f" [dim]{escape(json.dumps(step['metadata']))}[/]" if step.get("metadata") else ""
        console.print(
            f"  [cyan]you[/]  {escape(step['say'])}{extra}"
            f"  [dim]acknowledged in {milliseconds:.1f} ms[/]"
        )
        await hear(replies, step["expect"])


async def hear(replies: asyncio.Queue[dict[str, Any]], expected: str) -> None:
    """Wait for the expected reply, and for any that follow it closely."""
    found = False
    while True:
        try:
            wait = QUIET_SECONDS if found else REPLY_SECONDS
            reply = await asyncio.wait_for(replies.get(), wait)
        except asyncio.TimeoutError:
            if found:
                return
            raise DemoFailed(
                f"no reply contains {expected!r}. Last lines of {LOG}:\n{tail()}"
            ) from None
        found = found or expected in str(reply.get("text"))


def explain(base: str, url: str, monitor_port: int) -> None:
    rasa_bridge = os.path.relpath(Path(sys.executable).with_name("rasa-bridge"))
    data = json.dumps({"sender": "user1", "message": "hello"})
    json_header = '-H "Content-type: application/json"'
    console.print("\nEverything keeps running. See the queues at ", style="bold", end="")
    console.print(f"http://127.0.0.1:{monitor_port}/", style="bold cyan")
    console.print("\nTry these in another terminal:\n", style="bold")
    for what, command in (
        (
            "send a message to the custom channel; its reply appears here",
            f"curl -XPOST {base}/webhooks/myio/webhook \\\n    -d '{data}' \\\n    {json_header}",
        ),
        (
            "send it to the REST channel; its reply is in the response",
            f"curl -XPOST {base}/webhooks/rest/webhook \\\n    -d '{data}' \\\n    {json_header}",
        ),
        (
            "send a message through the queue, without a webhook",
            f"AMQP_URL={url} \\\n    {rasa_bridge} send 'show me the menu' --sender u1",
        ),
        ("follow the log of all roles", f"tail -f {os.path.relpath(LOG)}"),
    ):
        console.print(f"  # {what}", style="dim")
        console.print(f"  {command}\n", markup=False, soft_wrap=True)
    console.print("Press Ctrl-C to stop. Replies to your messages:\n")


async def main(options: argparse.Namespace) -> int:
    task = asyncio.ensure_future(demo(options.once, options.port))
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        console.print("Stopped." if stopped else "Cancelled.")
    except DemoFailed as error:
        console.print(f"The demo failed: {error}", style="red", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--once", action="store_true", help="stop after the conversation")
    parser.add_argument(
        "--port", type=int, default=5005, help="port of the webhook (default: 5005)"
    )
    sys.exit(asyncio.run(main(parser.parse_args())))
