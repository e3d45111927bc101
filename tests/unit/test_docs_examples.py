"""README and docs: the code runs, the commands exist, and the reference names what the code has."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

import bridge
from bridge.cli import cli
from bridge.messages import DeadLetter, InboundMessage, Reply, TurnEnd
from bridge.telemetry.trace import batch
from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.records import Called, Enqueued, Turned
from tests.unit.docs_pages import TOP, code_blocks, hooks, pages
from worker.handler import load_handler

OURS = [page for page in pages() if page.name == "README.md" or TOP / "docs" in page.parents]
REFERENCE = TOP / "docs" / "reference"
WIRE_FORMAT = (REFERENCE / "wire-format.md").read_text(encoding="utf-8")


RECORDS = {"enqueued": Enqueued, "turned": Turned, "called": Called}


def examples() -> list[tuple[str, str]]:
    """Every Python example that uses the public API, with a name for its file."""
    blocks = [(page, block) for page in OURS for block in code_blocks(page, "python")]
    return [
        (f"example_{n}_{page.stem.replace('-', '_').lower()}.py", block)
        for n, (page, block) in enumerate(blocks)
        if "from bridge import" in block
    ]


def test_the_python_examples_pass_strict_type_checks(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    for name, source in examples():
        (tmp_path / name).write_text(source)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(TOP / ".mypy_cache")]
    run = subprocess.run([*command, str(tmp_path)], cwd=TOP, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("name", "source"), examples(), ids=lambda value: value[:40].split("\n")[0]
)
def test_the_python_examples_can_be_imported(name: str, source: str) -> None:
    exec(compile(source, name, "exec"), {"__name__": name})


async def test_the_smallest_example_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = (block for block in code_blocks(TOP / "README.md", "python"))
    (tmp_path / "readme_echo.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    said: list[tuple[str, str]] = []

    class Output:
        async def send_text_message(self, recipient_id: str, text: str) -> None:
            said.append((recipient_id, text))

    message = InboundMessage(
        id="1",
        channel="rest",
        sender_id="me",
        text="hello",
        input_channel="rest",
        output_channel="collector",
    )
    handler: Any = load_handler("readme_echo:handle")
    await handler(message, Output())
    assert said == [("me", "You said: hello")]


def commands() -> Iterator[tuple[str, str]]:
    """Yield each `rasa-bridge …` of the pages' code, with the page that it is on."""
    for page in OURS:
        inline = re.findall(r"`(rasa-bridge [^`]*)`", page.read_text(encoding="utf-8"))
        blocks = "\n".join(code_blocks(page, "sh", "console"))
        for line in [
            *inline,
            *re.findall(r"(?:^|\$ |;|&& |\w=\S* )(rasa-bridge .*)", blocks, re.M),
        ]:
            yield str(page.relative_to(TOP)), " ".join(line.split())


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_command_exists_with_the_options_that_are_shown(page: str, line: str) -> None:
    command: click.Command = cli
    context = click.Context(cli)
    for word in shlex.split(line.replace("…", ""), comments=True)[1:]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word == "COMMAND":
                return
            found = command.get_command(context, word)
            assert found is not None, f"no command {word}"
            command = found
        elif word.startswith("-"):
            known = {opt for param in command.get_params(context) for opt in param.opts}
            assert word.partition("=")[0] in known


def test_the_reference_of_commands_has_a_heading_for_each_of_them() -> None:
    text = hooks().generated((REFERENCE / "cli.md").read_text(encoding="utf-8"))
    for name in cli.list_commands(click.Context(cli)):
        assert f"\n## rasa-bridge {name}\n" in text


def test_the_python_reference_has_exactly_the_public_names() -> None:
    text = (REFERENCE / "python-api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: bridge\.(\w+)$", text, re.MULTILINE)) == bridge.__all__


@pytest.mark.parametrize("struct", [InboundMessage, Reply, TurnEnd])
def test_the_wire_format_lists_every_field_in_order(struct: type[msgspec.Struct]) -> None:
    section = WIRE_FORMAT.partition(f"\n## {struct.__name__}\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(struct.__struct_fields__)


def test_the_wire_format_tells_what_a_batch_of_hops_holds() -> None:
    section = WIRE_FORMAT.partition("\n## Batches of hops\n")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    hops = [*batch.decode(example.encode()).all_hops()]
    assert [hop.kind for hop in hops] == ["failed", "attempt", "reply", "turn", "settled"]
    assert list(json.loads(example)) == list(batch.Batch.__struct_fields__)
    for kind, struct in {"hops": Hop, **RECORDS}.items():
        (row,) = re.findall(rf"^\| `{kind}` \| (.*) \|$", section, re.MULTILINE)
        assert re.findall(r"`(\w+)`", row) == list(struct.__struct_fields__)


def test_the_wire_format_lists_every_header_of_a_dead_letter() -> None:
    letter = DeadLetter("inbound", "failed", "Error", 1, 0.0, 0.0, "queue", status=404, group="m-2")
    section = WIRE_FORMAT.partition("\n## Dead letters\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(x-bridge-[\w-]+)`", section)) == set(letter.headers())
