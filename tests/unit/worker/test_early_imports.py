"""`skops` is imported before rasa, if the model needs it."""

from __future__ import annotations

import os
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from worker.early_imports import import_skops


@pytest.fixture
def skops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name of a module that exists, and is not imported yet."""
    package = tmp_path / "skops"
    package.mkdir()
    for name in ("__init__", "io"):
        (package / f"{name}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "skops"]:
        monkeypatch.delitem(sys.modules, name)
    # So that what the test imports is taken away after it.
    monkeypatch.setitem(sys.modules, "skops.io", ModuleType("skops.io"))
    monkeypatch.delitem(sys.modules, "skops.io")
    return "skops.io"


def a_model(path: Path, *files: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for file in files:
            archive.addfile(tarfile.TarInfo(f"components/{file}"))
    return path


def test_a_model_of_scikit_learn_needs_it(skops: str, tmp_path: Path) -> None:
    import_skops(str(a_model(tmp_path / "a.tar.gz", "domain.yml", "train_Logistic2/it.skops")))
    assert skops in sys.modules


def test_other_models_do_not_pay_for_it(skops: str, tmp_path: Path) -> None:
    import_skops(str(a_model(tmp_path / "a.tar.gz", "domain.yml")))
    assert skops not in sys.modules


def test_the_newest_model_of_a_folder_decides(skops: str, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    old = a_model(models / "old.tar.gz", "it.skops")
    new = a_model(models / "new.tar.gz", "domain.yml")
    while new.stat().st_ctime_ns <= old.stat().st_ctime_ns:
        os.utime(new)
    import_skops(str(models))
    assert skops not in sys.modules


@pytest.mark.parametrize("name", ["missing.tar.gz", "empty", "text.tar.gz", "cut.tar.gz"])
def test_what_is_no_model_is_left_to_rasa(skops: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tar.gz").write_text("text")
    whole = a_model(tmp_path / "whole.tar.gz", "it.skops").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    import_skops(str(tmp_path / name))
    assert skops not in sys.modules
