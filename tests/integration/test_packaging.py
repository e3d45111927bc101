"""The wheel and the source distribution: their exact contents and their metadata.

Both are built offline with the tools of .venv. The wheel is built from the source distribution, so
a file that is missing there is missing here, too.
"""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

import bridge
from tests.support.broker import TOP

if importlib.util.find_spec("build") is None or importlib.util.find_spec("hatchling") is None:
    pytest.skip("the build tools are in .venv only", allow_module_level=True)

NAME = f"rasa_channel_bridge-{bridge.__version__}"
SUFFIXES = {".py", ".typed", ".html", ".css", ".js", ".svg"}
"""What a package may contain: no settings, no keys, no databases."""
REPOSITORY = "https://git.example/somebody/rasa-channel-bridge"
META = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"]


def packaged() -> set[str]:
    """Return the paths of all files of the two packages, as they are in the repository."""
    files = [path for name in ("bridge", "worker") for path in (TOP / name).rglob("*")]
    return {
        path.relative_to(TOP).as_posix()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the two distributions."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), "."]
    env = {**os.environ, "REPOSITORY_URL": REPOSITORY}
    run = subprocess.run(command, cwd=TOP, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "warning" not in run.stderr.lower(), run.stderr
    return directory


@pytest.fixture(scope="module")
def wheel(dist: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> Message:
    return Parser().parsestr(wheel[f"{NAME}.dist-info/METADATA"].decode())


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: dict[str, bytes]) -> None:
    assert set(wheel) == packaged() | {f"{NAME}.dist-info/{name}" for name in META}


def test_the_source_distribution_adds_only_what_a_build_and_a_reader_need(dist: Path) -> None:
    """No tests: they need this repository's broker, demo bot and environments."""
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = {member.name for member in archive.getmembers() if member.isfile()}
    # hatchling adds .gitignore, by which it decides what to leave out.
    files = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", ".gitignore"}
    files.add("deploy/package_metadata.py")  # a build needs it
    assert names == {f"{NAME}/{name}" for name in packaged() | files}


def test_a_package_holds_code_and_the_monitor_page_only() -> None:
    assert {Path(path).suffix for path in packaged()} <= SUFFIXES
    assert {"bridge/py.typed", "worker/py.typed", "bridge/monitor/page/index.html"} <= packaged()


def test_the_metadata_is_valid_and_the_readme_renders(dist: Path) -> None:
    files = sorted(str(path) for path in dist.iterdir())
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_metadata_names_what_an_installer_and_a_user_ask_for(
    metadata: Message, wheel: dict[str, bytes]
) -> None:
    assert metadata["Name"] == "rasa-channel-bridge"
    assert metadata["Version"] == bridge.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert wheel[f"{NAME}.dist-info/licenses/LICENSE"] == (TOP / "LICENSE").read_bytes()
    entry_points = wheel[f"{NAME}.dist-info/entry_points.txt"].decode()
    assert "rasa-bridge = bridge.cli:main" in entry_points


def test_links_and_pictures_work_on_the_page_of_an_index(metadata: Message) -> None:
    urls = dict(url.split(", ", 1) for url in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Source", "Changelog", "Issues"} <= set(urls)
    repository, tag = REPOSITORY, f"v{bridge.__version__}"
    assert urls["Homepage"] == repository
    text = str(metadata.get_payload())
    targets = re.findall(r"\]\(([^()\s]+)\)", text)
    assert len(targets) > 30
    picture = f"{repository}/raw/{tag}/docs/images/monitor.png"
    assert f"]({picture})" in text
    for target in targets:
        assert target.startswith(("http", "#")), target
        at = f"{repository}/blob/{tag}/"
        if target.startswith(at):
            assert (TOP / target.removeprefix(at).partition("#")[0]).exists(), target


def test_a_build_without_the_address_of_the_repository_warns_and_adds_no_links(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address that does not exist would be worse."""
    monkeypatch.delenv("REPOSITORY_URL", raising=False)
    path = TOP / "deploy" / "package_metadata.py"
    module = runpy.run_path(str(path))
    pyproject = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    hook = re.search(r"custom\](?:\n[^\[\n]*)*?\nrepository = \"(.*)\"", pyproject)
    assert hook is not None
    made = module["CustomMetadataHook"](str(TOP), {"repository": hook[1]})
    metadata: dict[str, Any] = {"version": bridge.__version__}
    made.update(metadata)
    if hook[1]:
        assert metadata["urls"]["Homepage"] == hook[1].rstrip("/")
        assert "OWNER" not in hook[1]
    else:
        assert "urls" not in metadata
        assert "set repository in pyproject.toml, or REPOSITORY_URL" in capsys.readouterr().err


def test_the_changelog_has_a_section_for_the_version() -> None:
    changelog = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{bridge.__version__}] - 20" in changelog
    assert "\n## [Unreleased]\n" in changelog
