"""Checks of Python and the libraries, by their metadata: nothing is imported for it."""

from __future__ import annotations

import platform
from importlib import metadata

from bridge.doctor.findings import Finding, ok, warning

LIBRARIES = ("aio-pika", "sanic", "aiohttp")


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def rasa_version() -> str | None:
    """Return the version of the rasa that is installed, Open Source or Pro."""
    return version_of("rasa") or version_of("rasa-pro")


def check_versions() -> list[Finding]:
    """List the versions; warn where they are known to be slow."""
    installed = {name: version_of(name) for name in LIBRARIES}
    names = [f"{name} {version}" for name, version in installed.items()]
    return about_versions(names, rasa_version(), installed["aio-pika"] or "")


def about_versions(names: list[str], rasa: str | None, aio_pika: str) -> list[Finding]:
    """`names` are the libraries with their versions; `rasa` is None where it is not installed."""
    python = f"Python {platform.python_version()}"
    findings = [
        ok("python", f"{python}, rasa {rasa}")
        if rasa
        else ok("python", f"{python}; no rasa: for webhook and deliver"),
        ok("libraries", ", ".join(names)),
    ]
    if aio_pika.startswith("8."):
        findings.append(
            warning(
                "aio-pika 8",
                "consuming costs about 3.7 times the CPU",
                "run webhook and deliver on a current Python without rasa",
            )
        )
    return findings
