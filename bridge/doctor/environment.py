"""Checks Python and the libraries by their metadata, without importing them."""

from __future__ import annotations

import platform
from importlib import metadata

from bridge.doctor.findings import Finding, error, ok, warning

LIBRARIES = ("aio-pika", "sanic", "aiohttp")
TESTED = {"rasa": "3.6", "rasa-pro": "3.21"}
"""The minor versions of Rasa with which the bridge is tested; those of the extras."""


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def rasa_version() -> str | None:
    """Return the version of the installed rasa (Open Source or Pro), None if there is none."""
    return version_of("rasa") or version_of("rasa-pro")


def check_versions() -> list[Finding]:
    """Report the versions; warn about versions that are known to be slow."""
    installed = {name: version_of(name) for name in LIBRARIES}
    names = [f"{name} {version}" for name, version in installed.items()]
    found = {name: version for name in TESTED if (version := version_of(name))}
    return about_versions(names, found, installed["aio-pika"] or "")


def about_versions(names: list[str], rasas: dict[str, str], aio_pika: str) -> list[Finding]:
    """`names` are the libraries with their versions; `rasas` maps each installed Rasa to its."""
    python = f"Python {platform.python_version()}"
    given = ", ".join(f"{name} {version}" for name, version in rasas.items())
    findings = [
        ok(
            "python",
            f"{python}, {given}" if rasas else f"{python}; without rasa, which only workers need",
        ),
        ok("libraries", ", ".join(names)),
    ]
    if len(rasas) > 1:
        findings.append(
            error(
                "rasa",
                "rasa and rasa-pro are both installed, and each overwrites files of the other",
                "run: pip uninstall rasa rasa-pro; then install one of them",
            )
        )
    findings += [
        warning(
            "rasa",
            f"{name} {version} is not a version that the bridge is tested with ({TESTED[name]})",
            f"run: pip install 'rasa-channel-bridge[{name}]'",
        )
        for name, version in rasas.items()
        if not version.startswith(f"{TESTED[name]}.")
    ]
    if aio_pika.startswith("8."):
        findings.append(
            warning(
                "aio-pika 8",
                "consuming a message takes about 3.7 times the CPU of aio-pika 10",
                "run webhook and deliver on a current Python without rasa",
            )
        )
    return findings
