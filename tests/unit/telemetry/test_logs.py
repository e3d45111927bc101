"""The two log formats, the ids in a line, and the texts that no line quotes."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis.strategies import dictionaries, integers, sampled_from, text

from bridge.errors import BridgeError
from bridge.messages import trace_id
from bridge.telemetry import logs
from bridge.telemetry.log_words import words
from bridge.telemetry.logs import Console, JsonLines, bind, bind_own, bound, configure, event
from tests.support.broker import TOP
from tests.support.logged import leaks


class Log:
    """A logger of the bridge and one of a library, and the lines that both have written."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter)
        self.ours = logging.getLogger("bridge.some.module")
        self.library = logging.getLogger("library")

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def said(self) -> list[str]:
        """Console lines without time, level and role."""
        return [line.partition(" test[")[2].partition("]: ")[2] for line in self.text.splitlines()]

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def logging_to(formatter: logging.Formatter) -> Iterator[Log]:
    log = Log(formatter)
    logging.getLogger().addHandler(log.handler)
    yield log
    logging.getLogger().removeHandler(log.handler)


@pytest.fixture
def console() -> Iterator[Log]:
    yield from logging_to(Console("test"))


@pytest.fixture
def machine() -> Iterator[Log]:
    yield from logging_to(JsonLines("test"))


def fail(text: str) -> Exception:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_console_line_has_time_level_role_text_and_message_ids(console: Log) -> None:
    with bound(channel="slack", inbound="e1"):
        console.ours.warning("turn took %d ms", 12)
    time, level, rest = console.text.split(maxsplit=2)
    assert datetime.strptime(time, "%H:%M:%S")
    assert level == "WARNING"
    assert rest.startswith("test[")
    assert console.said == ["turn took 12 ms  channel=slack inbound=e1"]


def test_json_logs_have_one_object_per_line_with_the_time_in_utc(machine: Log) -> None:
    with bound(channel="slack", inbound="e1", attempt=2):
        machine.ours.error("said \N{SNOWMAN}\nand a frame\nand another")
    machine.ours.error("next")
    line, after = machine.objects
    time = datetime.fromisoformat(line.pop("time").replace("Z", "+00:00"))
    assert time.utcoffset() is not None
    assert line.pop("process").rpartition(":")[2].isdigit()
    assert line == {
        "level": "ERROR",
        "logger": "bridge.some.module",
        "role": "test",
        "message": "said \N{SNOWMAN}",
        "channel": "slack",
        "inbound": "e1",
        "attempt": 2,
        "details": "and a frame\nand another",
    }
    assert {"channel", "inbound", "attempt", "details"}.isdisjoint(after)


def test_empty_ids_are_omitted_and_nested_ids_end_with_their_block(console: Log) -> None:
    bind(inbound="of nobody")
    with bound(channel="slack", trace_id=None, partition=""):
        with bound(inbound="e1"):
            bind(attempt=1)
            bind(attempt=2)
            console.ours.error("in")
        console.ours.error("between")
    console.ours.error("out")
    assert console.said == [
        "in  channel=slack inbound=e1 attempt=2",
        "between  channel=slack",
        "out",
    ]


def test_an_id_that_is_bound_again_is_not_changed_for_tasks_of_before(console: Log) -> None:
    with bound({"channel": "slack", "inbound": ""}):
        before = copy_context()
        bind_own("attempt", 1)
        began = copy_context()
        bind_own("attempt", 2)
        for context in (before, began, copy_context()):
            context.run(console.ours.error, "in")
    bind_own("attempt", 3)
    console.ours.error("out")
    said = [f"in  channel=slack attempt={number}" for number in (1, 1, 2)]
    assert console.said == [*said, "out"]


@given(dictionaries(sampled_from(["channel", "inbound", "partition"]), text() | integers()))
@example({"channel": "a inbound=b", "inbound": "c"})
@example({"channel": "a" * 301, "inbound": "\ud800"})
def test_ids_together_are_written_as_each_alone(ids: dict[str, object]) -> None:
    assert words(ids) == "".join(words({name: id}) for name, id in ids.items())
    assert len(words(ids).split(" ")) == len(words(ids).split("=")) == len(ids) + 1 or any(
        set(" =") & set(str(id)) for id in ids.values()
    )


async def test_concurrent_tasks_keep_their_ids_apart_and_pass_them_on(console: Log) -> None:
    async def work(id: str) -> None:
        with bound(inbound=id):
            await asyncio.sleep(0)
            console.ours.error("here")
            await asyncio.create_task(later())

    async def later() -> None:
        console.library.error("later")

    await asyncio.gather(work("e1"), work("e2"))
    assert sorted(console.said) == [
        f"{w}  inbound={i}" for w in ("here", "later") for i in ("e1", "e2")
    ]


@pytest.mark.parametrize("id", ["a\nb", "a b", "a=b", "\x1b[31m", 'a"b', "a\u2028b", "\x7f"])
def test_an_external_id_is_escaped_to_one_word_on_one_line(id: str, console: Log) -> None:
    with bound(inbound=id):
        console.ours.error("said")
    assert console.said == [f"said  inbound={id!r}"]


def test_a_foreign_error_is_logged_with_class_and_place_but_without_its_text(
    console: Log, machine: Log
) -> None:
    console.library.error("failed", exc_info=fail("quotes my secret"))
    first, *frames = console.text.splitlines()
    assert first.endswith("failed (ValueError)")
    assert "test_logs.py" in frames[0]
    (line,) = machine.objects
    assert (line["message"], "test_logs.py" in line["details"]) == ("failed (ValueError)", True)
    assert "secret" not in console.text + machine.text


def test_a_bridge_error_is_logged_with_its_text(console: Log) -> None:
    console.library.error("failed", exc_info=BridgeError("queue full"))
    assert console.said == ["failed (BridgeError: queue full)"]


async def test_an_unretrieved_task_exception_is_not_quoted(console: Log) -> None:
    """asyncio quotes the exception in the second line, as part of the task."""

    async def fails(text: str) -> None:
        raise ValueError(text)

    task = asyncio.create_task(fails("quotes my" + " secret"))
    await asyncio.wait([task])
    del task
    assert console.said[0] == "Task exception was never retrieved (ValueError)"
    assert "secret" not in console.text


@pytest.mark.parametrize(
    ("traceparent", "id"),
    [
        (f"00-{'ab' * 16}-{'cd' * 8}-01", "ab" * 16),
        (f"00-{'AB' * 16}-{'cd' * 8}-01", None),
        ("my secret", None),
        (None, None),
    ],
)
def test_the_trace_id_is_taken_only_from_a_valid_traceparent(
    traceparent: str | None, id: str | None
) -> None:
    assert trace_id(traceparent) == id


@pytest.mark.parametrize(("format", "ends"), [("json", '"message": "on"}'), ("console", ": on")])
def test_the_environment_sets_the_format_and_warnings_are_logged(format: str, ends: str) -> None:
    script = (
        "import logging, warnings; from bridge.telemetry import logs; logs.configure('test');"
        "logging.getLogger('bridge').info('on'); logging.getLogger('other').info('off');"
        "warnings.warn('old')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"RASA_BRIDGE_LOG_FORMAT": format, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
    )
    first, second = done.stderr.splitlines()
    assert first.endswith(ends)
    assert "\033" not in first
    assert "UserWarning: old" in second


def test_the_suites_log_check_finds_private_text() -> None:
    lines = ["turn took 12 ms", "turn of 'show me the menu' took 12 ms"]
    assert leaks(lines, ["show me the menu", "xoxb-secret"]) == [
        "'show me the menu' in: turn of 'show me the menu' took 12 ms"
    ]


def test_long_ids_and_messages_are_cut() -> None:
    for formatter in (Console("test"), JsonLines("test")):
        for log in logging_to(formatter):
            with bound(inbound="i" * 900_000, attempt=10**6):
                log.ours.warning("m" * 900_000)
            assert len(log.text) < 3000
            assert f"{'i' * 300}…" in log.text.encode().decode("unicode_escape") or "…" in log.text


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_no_color_turns_colours_off(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for value in ("", "1"):
        terminal = _Terminal()
        monkeypatch.setenv("NO_COLOR", value)
        monkeypatch.setattr(sys, "stderr", terminal)
        configure("test")
        logging.getLogger("bridge.x").warning("said")
        written.append("\033[" in terminal.getvalue())
    assert written == [True, False]


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\u2028", "\x85"])
def test_a_text_from_outside_forges_no_line_and_moves_no_cursor(console: Log, end: str) -> None:
    forged = f"{end}12:00:00 ERROR   webhook[1]: forged\x1b[2J\x9b2J\x07\u202e"
    console.ours.warning("not delivered: error %s, dead letter", forged)
    first, *further = console.text.removesuffix("\n").split("\n")
    assert " test[" in first
    assert all(line.startswith("  ") for line in further)
    assert all(line.isprintable() for line in (first, *further))


@contextmanager
def only() -> Iterator[Log]:
    """Log to one handler, as `configure` leaves it: without those of pytest and of our tests."""
    log = Log(Console("test"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(logging.getLogger(), "handlers", [log.handler])
        patched.setattr(logging.getLogger("bridge"), "handlers", [])
        patched.setattr(log.ours, "level", logging.INFO)
        patched.setattr(logs, "_own", log.handler)
        yield log


@pytest.mark.parametrize("formatter", [Console("test"), Console("test", True), JsonLines("test")])
def test_an_event_has_the_line_of_any_record(formatter: logging.Formatter) -> None:
    formatter.formatTime = lambda record, datefmt=None: "12:00:00"  # type: ignore[method-assign]
    with only() as log, bound(channel="slack", inbound="1 2"):
        log.handler.setFormatter(formatter)
        event(log.ours, "turn took %.0f ms", 1.6)
        log.ours.info("turn took %.0f ms", 1.6)
    first, second = log.text.splitlines()
    if isinstance(formatter, JsonLines):
        one, other = json.loads(first), json.loads(second)
        assert {**one, "time": ""} == {**other, "time": ""}
    else:
        assert first == second


def test_an_event_is_no_record_while_only_our_handler_would_see_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with only() as log:
        monkeypatch.setattr(log.ours, "makeRecord", None)
        event(log.ours, "enqueued")
    assert log.said == ["enqueued"]


def test_an_event_below_the_level_is_not_logged() -> None:
    with only() as log:
        log.ours.setLevel(logging.WARNING)
        event(log.ours, "enqueued")
        log.ours.setLevel(logging.INFO)
    assert log.text == ""


class Kept(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize("name", [None, "bridge", "bridge.some.module"])
def test_an_event_is_a_whole_record_for_other_handlers(name: str | None) -> None:
    kept, logger = Kept(), logging.getLogger(name)
    with only() as log:
        logger.addHandler(kept)
        event(log.ours, "enqueued")
        logger.removeHandler(kept)
    assert log.said == ["enqueued"]
    (record,) = kept.records
    here = test_an_event_is_a_whole_record_for_other_handlers.__name__
    assert (record.funcName, record.filename) == (here, "test_logs.py")


def test_an_event_passes_filters_of_others_and_what_replaces_parts_of_logging() -> None:
    seen: list[str] = []
    factory = logging.getLogRecordFactory()

    def see(*arguments: Any, **named: Any) -> bool:
        seen.append("record")
        return True

    def make(*arguments: Any, **named: Any) -> logging.LogRecord:
        see()
        return factory(*arguments, **named)

    with only() as log, pytest.MonkeyPatch.context() as patched:
        for owner in (log.ours, log.handler):
            owner.addFilter(see)
            event(log.ours, "enqueued")
            owner.removeFilter(see)
        logging.setLogRecordFactory(make)
        event(log.ours, "enqueued")
        logging.setLogRecordFactory(factory)
        patched.setattr(logging.Logger, "callHandlers", see)
        event(log.ours, "enqueued")
    assert seen == ["record"] * 4
