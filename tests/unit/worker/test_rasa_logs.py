"""Log lines of Rasa itself: which parts are shown, and that no user text is."""

from __future__ import annotations

import asyncio
import logging
import re
import warnings
from collections.abc import Iterator

import pytest

structlog = pytest.importorskip("structlog", reason="comes with rasa")

from bridge.runtime import work  # noqa: E402
from bridge.telemetry.logs import Console  # noqa: E402
from worker import rasa_logs  # noqa: E402

SECRET = "my secret order"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    before = logging.getLoggerClass()
    handlers = list(logging.getLogger().handlers)
    caplog.handler.setFormatter(Console("worker"))
    rasa_logs.configure(logging.DEBUG)
    rasa_logs.note_errors()
    yield caplog
    for handler in handlers:
        handler.removeFilter(rasa_logs.unquoted)
    for handler in [h for h in logging.getLogger("rasa").handlers if type(h) is rasa_logs.Noting]:
        logging.getLogger("rasa").removeHandler(handler)
    structlog.reset_defaults()
    logging.setLoggerClass(before)


def test_a_structlog_line_keeps_only_its_event_name(lines: pytest.LogCaptureFixture) -> None:
    log = structlog.get_logger("rasa.core.nlg.interpolator")
    try:
        raise KeyError(SECRET)
    except KeyError:
        log.exception("interpolator.interpolate.text", response=SECRET, event_info=SECRET)
    log.error("http.parse.text", text=SECRET, message=SECRET)
    log.error(f"said {SECRET}")
    log.info("rasa.info", text="too much")
    assert "interpolator.interpolate.text (KeyError)" in lines.text
    assert "http.parse.text" in lines.text
    assert lines.text.count("not shown (see rasa.core.nlg.interpolator, line ") == 1
    assert "rasa.info" not in lines.text
    assert SECRET not in lines.text


def test_a_logging_line_keeps_only_what_is_known_to_be_safe(
    lines: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("rasa.core.actions.action")
    log.error(f"Failed to run custom action 'action_buy'. Couldn't connect. Error: {SECRET}")
    log.error(f"INSERT INTO events … {SECRET}")
    logging.getLogger("mypackage.myio").warning("a user's own line")
    assert "Failed to run custom action 'action_buy' (see rasa.core.actions.action" in lines.text
    assert "not shown (see rasa.core.actions.action, line " in lines.text
    assert "a user's own line" in lines.text
    assert SECRET not in lines.text


def test_a_warning_keeps_only_its_category_and_place(lines: pytest.LogCaptureFixture) -> None:
    shown = warnings.formatwarning(f"Invalid: {SECRET}", UserWarning, "/a/rasa/core/p.py", 7)
    logging.getLogger("py.warnings").warning("%s", f"\033[93m{shown}")
    assert "p.py:7: UserWarning" in lines.text
    assert SECRET not in lines.text


@pytest.mark.usefixtures("lines")
async def test_the_first_error_that_is_logged_in_a_turn_is_noted_without_texts() -> None:
    log = logging.getLogger("rasa.core.processor")

    async def background() -> None:
        log.error(f"Failed to run custom action 'action_buy'. Error: {SECRET}")

    with work.working(work.Work("m1")):
        log.warning("Failed to run custom action 'none'. Only a warning.")
        assert work.logged() == ""
        await asyncio.ensure_future(background())
        log.error(f"a consequence: {SECRET}")
        assert work.logged() == "Failed to run custom action 'action_buy'"
    log.error("outside of a turn")
    assert work.logged() == ""


@pytest.mark.usefixtures("lines")
async def test_an_error_that_may_quote_a_user_is_noted_with_its_place_and_class() -> None:
    noted = []
    for said in (SECRET, f"Encountered an exception while running action 'a_b'. {SECRET}"):
        with work.working(work.Work("m1")):
            try:
                raise KeyError(SECRET)
            except KeyError:
                logging.getLogger("rasa.core.processor").exception(said)
            noted.append(work.logged())
    with work.working(work.Work("m2")):
        structlog.get_logger("rasa.nlu").error("nlu.failed", text=SECRET)
        noted.append(work.logged())
    place, action, name = noted
    assert re.fullmatch(r"see rasa\.core\.processor, line \d+ \(KeyError\)", place)
    assert action == "Encountered an exception while running action 'a_b' (KeyError)"
    assert name == "nlu.failed"
