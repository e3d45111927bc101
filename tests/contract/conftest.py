"""The contract tests need a Rasa; without one, pytest does not collect them."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from pathlib import Path

import pytest

if importlib.util.find_spec("rasa") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    with warnings.catch_warnings():
        # Its libraries warn at import; here, a warning is an error.
        warnings.simplefilter("ignore")
        importlib.import_module("worker.agent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rasa's libraries also warn when they are used."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
