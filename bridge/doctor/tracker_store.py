"""Checks the tracker store described in endpoints.yml (rasa/core/tracker_store.py)."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bridge.doctor.findings import Finding, error, ok, warning
from bridge.doctor.reachable import CONNECT_TIMEOUT, connects

SUBJECT = "tracker store"
IN_MEMORY = "conversations are lost at a restart, and not shared by workers"
SHARE = "add a tracker_store (SQL or Redis) to endpoints.yml"
FIX = "start it, or fix tracker_store in endpoints.yml"


async def check_tracker_store(section: dict[str, Any]) -> Finding:
    """Check the store that a worker would open: connect to its server, and log in for SQL."""
    given = str(section.get("store_type") or section.get("type") or "")
    kind = given.lower()
    if kind == "sql":
        return await _check_sql(section)
    if kind in ("redis", "mongod"):
        problem, where = await _connects(section, kind)
        return problem or ok(SUBJECT, f"{where} answers (login not checked)")
    if kind == "dynamo" or "." in kind:
        return ok(SUBJECT, f"{given} (not checked)")
    what = f"Rasa does not know the type '{given}' and uses memory" if kind else "in memory"
    return warning(SUBJECT, f"{what}: {IN_MEMORY}", SHARE)


async def _check_sql(section: dict[str, Any]) -> Finding:
    url = str(section.get("url") or "")
    scheme, complete, path = url.partition("://")
    dialect = scheme if complete else str(section.get("dialect") or "sqlite")
    database = path[1:] if complete else str(section.get("db", "rasa.db") or "")
    if dialect == "sqlite":
        return check_sqlite(database)
    problem, where = await _connects(section, dialect.partition("+")[0])
    if problem:
        return problem
    if importlib.util.find_spec("sqlalchemy") is None:
        return ok(SUBJECT, f"{where} answers (login not checked: rasa is not installed)")
    refused = await asyncio.to_thread(_login, section, url if complete else None, dialect)
    return error(SUBJECT, f"{where}: {refused}", FIX) if refused else ok(SUBJECT, where)


def check_sqlite(database: str) -> Finding:
    """Check a database file without creating it; `database` is a path."""
    if database in ("", ":memory:"):
        return warning(SUBJECT, f"SQLite in memory: {IN_MEMORY}", SHARE)
    file = Path(database).absolute()
    target = file if file.exists() else file.parent
    if not os.access(target, os.W_OK):
        what = "is not writable" if target.exists() else "does not exist"
        return error(SUBJECT, f"SQLite {database}: {target} {what}", "fix tracker_store.db")
    if not file.exists():
        return ok(SUBJECT, f"SQLite {database}, which the first worker will create")
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.Error as problem:
        return error(
            SUBJECT, f"SQLite {database}: {problem}", "move the file away, or fix tracker_store.db"
        )
    return ok(SUBJECT, f"SQLite {database}, for workers on one machine only")


async def _connects(section: dict[str, Any], kind: str) -> tuple[Finding | None, str]:
    url = str(section.get("url") or "localhost")
    return await connects(SUBJECT, FIX, kind, url, section.get("port"))


def _login(section: dict[str, Any], url: str | None, dialect: str) -> str | None:
    """Log in with the library that Rasa uses; return the problem, without the password."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    waits = dialect.partition("+")[0] in ("postgresql", "mysql")
    try:
        engine = sqlalchemy.create_engine(
            url or _sqlalchemy_url(section, dialect),
            connect_args={"connect_timeout": int(CONNECT_TIMEOUT)} if waits else {},
        )
        with engine.connect():
            return None
    except Exception as problem:
        # Only the driver's text: SQLAlchemy's may contain the complete URL.
        driver: object = getattr(problem, "orig", None)
        text = " ".join(str(driver).split()) if driver else ""
        for secret in (str(section.get("password") or ""), _password(url)):
            text = text.replace(secret, "***") if secret else text
        return f"{type(problem).__name__}{': ' if text else ''}{text}"


def _sqlalchemy_url(section: dict[str, Any], dialect: str) -> Any:
    """Return the URL that Rasa builds (SQLTrackerStore.get_db_url)."""
    parts = urlsplit(f"//{section.get('url') or ''}")
    return importlib.import_module("sqlalchemy.engine.url").URL.create(
        dialect,
        username=section.get("username"),
        password=section.get("password"),
        host=parts.hostname,
        port=parts.port or section.get("port"),
        database=section.get("login_db") or section.get("db", "rasa.db"),
        query=section.get("query") or {},
    )


def _password(url: str | None) -> str:
    return unquote(urlsplit(url or "").password or "")
