"""Names that our packages and users' files share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.runtime.imports import HOME, add_working_directory, refuse_shadowed
from bridge.runtime.processes import bridge_command


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_the_working_directory_is_searched_first_and_added_once(folder: Path) -> None:
    add_working_directory()
    before = list(sys.path)
    add_working_directory()
    assert sys.path == before
    assert sys.path[0] == str(folder)


def test_what_the_event_loop_imports_late_is_not_a_users_file(folder: Path) -> None:
    (folder / "queue.py").write_text("raise SystemExit('ran the file of a user')\n")
    code = (
        "import sys\nsys.path.remove('')\n"
        "import asyncio\nfrom bridge.runtime.imports import add_working_directory\n"
        "add_working_directory()\n"
        "asyncio.run(asyncio.to_thread(print, 'ran in a thread'))"
    )
    environment = {"PYTHONPATH": HOME}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert run.stdout == "ran in a thread\n", run.stderr


@pytest.mark.parametrize("module", ["bot", "worker", "bridge.errors", "bridges", ""])
def test_without_a_file_of_the_same_name_nothing_is_refused(module: str) -> None:
    refuse_shadowed(module)


def test_our_own_folder_is_not_taken_for_a_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HOME)
    refuse_shadowed("worker.handler")


@pytest.mark.parametrize("on_path", [False, True])
def test_a_users_file_with_the_name_of_our_package_is_refused_with_the_fix(
    on_path: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "worker.py").touch()
    if on_path:
        monkeypatch.chdir("/")
        sys.path.append(str(folder))
    with pytest.raises(SettingsError) as caught:
        refuse_shadowed("worker.bot", "here: ")
    assert str(caught.value) == (
        "here: 'worker' is a package of rasa-channel-bridge, which hides your worker.py;"
        " rename worker.py, for example to my_worker.py"
    )


def test_a_child_runs_our_code_without_the_working_directory_on_its_path(folder: Path) -> None:
    for name in ("bridge", "worker", "http", "typing", "importlib"):
        (folder / f"{name}.py").write_text("1 / 0\n")
    ran = subprocess.run(bridge_command("--version"), capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("rasa-bridge, version ")
