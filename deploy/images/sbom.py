"""Writes what an image contains besides its base image, as a CycloneDX 1.6 bill of materials.

    python deploy/images/sbom.py deploy/requirements/edges-image.txt > edges.cdx.json

It needs no container engine, but `packaging` or pip. The build adds the result to the image as
/opt/bridge/sbom.cdx.json; `docker buildx build --sbom=true` lists the base image's packages too.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    from packaging.markers import Marker
except ImportError:  # in the build of an image
    from pip._vendor.packaging.markers import Marker  # type: ignore[import-not-found, no-redef]

PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;\\]+)([^\n]*)\n?")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
LINUX = {
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
}
NAME = "rasa-channel-bridge"


def components(requirements: str, python: str, without: set[str]) -> Iterator[Any]:
    """Yield the libraries that a pinned requirements file installs on a Python version."""
    for entry in re.split(r"\n(?=[A-Za-z0-9])", requirements):
        pin = PIN.match(entry)
        if pin is None or not _applies(pin[3], python) or pin[1].lower() in without:
            continue
        name, version = pin[1].lower().replace("_", "-"), pin[2]
        yield {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "hashes": [{"alg": "SHA-256", "content": digest} for digest in HASH.findall(entry)],
        }


def _applies(marker: str, python: str) -> bool:
    condition = marker.strip().removeprefix(";").rstrip("\\ ").strip()
    full = {"python_full_version": f"{python}.0", "python_version": python}
    return not condition or Marker(condition).evaluate({**LINUX, **full})


def bill(requirements: str, version: str, python: str, without: set[str]) -> Any:
    """Return the bill of materials as data."""
    project = {
        "type": "application",
        "name": NAME,
        "version": version,
        "purl": f"pkg:pypi/{NAME}@{version}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": project},
        "components": [*components(requirements, python, without)],
    }


def main(file: str, python: str = "3.13", *without: str) -> None:
    """Print the bill for a requirements file, a Python version, and what was removed again."""
    init = Path(__file__).resolve().parents[2] / "bridge" / "__init__.py"
    found = re.search(r'^__version__ = "(.*)"', init.read_text(), re.MULTILINE)
    assert found
    print(json.dumps(bill(Path(file).read_text(), found[1], python, {*without}), indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
