"""The page about `rasa run` lists what the installed Rasa has; a model in a remote storage."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import rasa

from bridge.commands import up
from bridge.commands.rasa_line import OF_RASA
from tests.acceptance.stack import MODEL, START
from tests.support.broker import TOP
from tests.support.processes import Project

PAGE = (TOP / "docs" / "reference" / "rasa-run.md").read_text(encoding="utf-8")
OPTION = re.compile(r"(?<![\w-])-(?:-[a-z][a-z-]+|[a-z]{1,2})\b")
STORE = f"""
import shutil

class Local:
    def retrieve(self, name, target):
        assert name == "released"
        shutil.copy({str(MODEL)!r}, target)
"""


def test_the_page_lists_every_option_of_rasa_run_and_up_accepts_it() -> None:
    run = [sys.executable, "-m", "rasa", "run", "--help"]
    text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    options = {
        option
        for line in re.findall(r"^  (-.*?)(?:  |$)", text, re.MULTILINE)
        for option in OPTION.findall(line)
    }
    assert {"--cors", "-vv", "--logging-config-file"} <= options
    rows = re.findall(r"^\| (`-.*?) \| ", PAGE, re.MULTILINE)
    assert {option for row in rows for option in OPTION.findall(row)} == options
    accepted = {name for parameter in up.command.params for name in parameter.opts}
    accepted |= {"-h", "--help", "-vv"}
    assert options <= accepted
    assert {name for name in options if name.startswith("--")} == OF_RASA


def test_the_page_lists_every_variable_that_rasa_reads() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(rasa.__file__).parent.rglob("*.py")
    )
    own = set(re.findall(r"[\"'](RASA_[A-Z_]+)[\"']", source)) - {"RASA_ENVIRONMENT_NOT_SET"}
    listed = set(re.findall(r"`([A-Z][A-Z_]+)`", PAGE.partition("## Environment variables")[2]))
    assert own <= listed
    assert all(f'"{name}"' in source for name in listed)


async def test_a_model_is_fetched_from_a_remote_storage(project: Project) -> None:
    project.write("my_store.py", STORE)
    worker = project.bridge("worker", "--remote-storage", "my_store.Local", "-m", "released")
    await worker.prints("consuming", patience=START)
    worker.terminate()
    other = project.bridge("worker", "--remote-storage", "my_store.Local", "wrong")
    assert await other.ends(START) == 2
    assert "the model 'wrong' cannot be loaded from there; check its name" in other.log
