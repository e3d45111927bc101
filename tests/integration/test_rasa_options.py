"""The options of `rasa run`, with real processes: HTTPS, log file, channel, CORS, time limit."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from bridge.errors import SettingsError
from bridge.http.tls import server_context
from tests.support.broker import free_port
from tests.support.cli import only_line, run_bridge
from tests.support.processes import Project

BOT = """
import asyncio

async def handle(message, output):
    if message.text == "slow":
        await asyncio.sleep(3)
    await output.send_text_message(message.sender_id, message.text)
"""
HELLO = {"sender": "ada", "message": "hello"}
SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of 127.0.0.1, its key, and the key encrypted with `hunter2`."""
    folder = tmp_path_factory.mktemp("pki")
    for name in ("server", "other"):
        run = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        run += ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", "/CN=127.0.0.1"]
        run += ["-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(run, cwd=folder, check=True, capture_output=True)
    run = ["openssl", "rsa", "-aes256", "-in", "server.key", "-out", "locked.key"]
    run += ["-passout", "pass:hunter2"]
    subprocess.run(run, cwd=folder, check=True, capture_output=True)
    return folder


async def test_up_serves_https_and_takes_the_options_of_rasa_run(
    project: Project, pki: Path
) -> None:
    project.write("bot.py", BOT)
    project.write("credentials.yml", "rest:\ncallback:\n  url: http://127.0.0.1:1/\n")
    port = free_port()
    tls = ["--ssl-certificate", str(pki / "server.pem"), "--ssl-keyfile", str(pki / "locked.key")]
    up = project.bridge(
        *["up", "--handler", "bot:handle", "-i", "127.0.0.1", "-p", str(port), "--debug", *tls],
        *["--ssl-password", "hunter2", "--connector", "rest", "--log-file", "out.log"],
        *["--response-timeout", "1", "--request-timeout", "60", "--cors", SHOP, "http://a.example"],
        fork=False,
    )
    await up.prints(f"listening on https://127.0.0.1:{port}: /webhooks/rest/webhook")
    await up.prints("consuming", count=1)
    assert up.log.count("--request-timeout has no effect") == 1
    trusted = ssl.create_default_context(cafile=str(pki / "server.pem"))
    async with aiohttp.ClientSession(f"https://127.0.0.1:{port}") as http:

        async def ask(path: str, text: str = "hello") -> tuple[int, object, str | None]:
            body = {**HELLO, "message": text}
            headers = {"Origin": SHOP}
            async with http.post(path, json=body, headers=headers, ssl=trusted) as response:
                allowed = response.headers.get("Access-Control-Allow-Origin")
                return response.status, await response.json(), allowed

        answer = [{"recipient_id": "ada", "text": "hello"}]
        assert await ask("/webhooks/rest/webhook") == (200, answer, SHOP)
        assert (await ask("/webhooks/rest/webhook", "slow"))[0] == 504
        assert (await ask("/webhooks/callback/webhook"))[0] == 404
    up.terminate()
    assert await up.ends() == 0
    lines = (project.directory / "out.log").read_text().splitlines()
    for role in ("webhook", "worker", "deliver"):
        assert any(f" {role}[" in line for line in lines), role
    assert "hunter2" not in up.log


@pytest.mark.parametrize(
    ("certificate", "key", "password", "named"),
    [
        ("server.pem", "server.key", None, None),
        ("server.pem", "locked.key", "hunter2", None),
        ("server.pem", "locked.key", None, "the private key is encrypted; add --ssl-password"),
        ("server.pem", "locked.key", "wrong", "--ssl-certificate, --ssl-keyfile or --ssl-password"),
        ("server.pem", "other.key", None, "--ssl-certificate, --ssl-keyfile"),
        ("missing.pem", "server.key", None, "No such file"),
        ("server.key", None, None, "--ssl-certificate"),
        (None, "server.key", None, "--ssl-keyfile needs a certificate"),
        (None, None, None, None),
    ],
)
def test_files_that_do_not_fit_are_an_error_that_names_the_option(
    certificate: str | None, key: str | None, password: str | None, named: str | None, pki: Path
) -> None:
    files = [str(pki / name) if name else None for name in (certificate, key)]
    if named is None:
        assert (server_context(files[0], files[1], None, password) is None) == (not certificate)
        return
    with pytest.raises(SettingsError, match=named):
        server_context(files[0], files[1], None, password)


def test_a_wrong_option_is_one_line_with_exit_code_2(project: Project) -> None:
    project.write("credentials.yml", "rest:\n")
    for line, named in (
        (["--cors", "shop.example"], "'shop.example' is not an origin"),
        (["--ssl-certificate", "missing.pem"], "No such file"),
        (["--connector", "slcak"], "unknown channel 'slcak'; did you mean 'slack'"),
        (["--log-file", "no/such/folder"], "--log-file"),
    ):
        assert named in only_line(run_bridge(project.directory, "webhook", *line), 2)
