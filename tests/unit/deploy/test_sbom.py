"""The bill of materials of an image lists exactly what its build installs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

import bridge
from tests.support.broker import TOP

LABELS = ("title", "description", "licenses", "version", "revision", "source")


def dockerfile(name: str) -> str:
    return (TOP / "deploy" / "images" / f"{name}.Dockerfile").read_text()


def bill(name: str) -> Any:
    """Return the bill that the build of an image writes."""
    found = re.search(r"^RUN python (\S+) (\S+) (.*) > /sbom.cdx.json$", dockerfile(name), re.M)
    assert found
    file = TOP / "deploy" / "requirements" / found[2]
    command = [sys.executable, str(TOP / found[1]), str(file), *found[3].split()]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize(
    ("name", "python", "has", "lacks"),
    [
        ("edges", "3.13", {"sanic", "aio-pika", "pyyaml"}, {"rasa"}),
        ("worker", "3.10", {"rasa", "tensorflow", "aio-pika"}, {"jax", "jaxlib", "libclang"}),
    ],
)
def test_a_bill_lists_each_library_once_with_version_and_hash(
    name: str, python: str, has: set[str], lacks: set[str]
) -> None:
    written = bill(name)
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.6")
    assert written["metadata"]["component"]["version"] == bridge.__version__
    names = [component["name"] for component in written["components"]]
    assert len(names) == len({*names}) > 30
    assert has <= {*names}
    assert not lacks & {*names}
    assert all(component["hashes"] for component in written["components"])
    assert f"FROM python:{python}." in dockerfile(name)


def test_what_the_build_of_the_worker_removes_is_not_in_its_bill() -> None:
    text = dockerfile("worker")
    removed = re.search(r"uninstall --yes ([a-z -]+) \\", text)
    listed = re.search(r"rasa-image.txt 3.10 (.*) > ", text)
    assert removed
    assert listed
    assert removed[1] == listed[1]
    assert "jax jaxlib libclang tensorboard-data-server > build" in (TOP / "Makefile").read_text()


@pytest.mark.parametrize("name", ["edges", "worker"])
def test_an_image_has_labels(name: str) -> None:
    found = re.findall(r'org\.opencontainers\.image\.(\w+)="[^"]+"', dockerfile(name))
    assert tuple(found) == LABELS
