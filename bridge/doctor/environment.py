"""Checks Python and the libraries by their metadata, without importing them."""

from __future__ import annotations

import platform
from importlib import metadata

from bridge.doctor.findings import Finding, ok, warning

LIBRARIES = ("aio-pika", "sanic", "aiohttp")


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
    return about_versions(names, rasa_version(), installed["aio-pika"] or "")


def about_versions(names: list[str], rasa: str | None, aio_pika: str) -> list[Finding]:
    """`names` are the libraries with their versions; `rasa` is None if it is not installed."""
    python = f"Python {platform.python_version()}"
    findings = [
        ok("python", f"{python}, rasa {rasa}")
        if rasa
        else ok("python", f"{python}; without rasa, which only workers need"),
        ok("libraries", ", ".join(names)),
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
