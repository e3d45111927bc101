"""What rasa-pro says of its licence becomes one finding."""

from __future__ import annotations

import pytest

from bridge.doctor import licence


async def test_without_rasa_pro_there_is_nothing_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licence, "version_of", lambda _: None)
    assert await licence.check_licence() == []


@pytest.mark.parametrize(
    ("check", "status", "text"),
    [
        ("", "ok", "valid"),
        ("raise SystemExit('A licence is required. ')", "error", "A licence is required"),
        ("import no_such_module", "error", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "error", "exit code 3"),
    ],
)
async def test_its_check_runs_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, check: str, status: str, text: str
) -> None:
    monkeypatch.setattr(licence, "version_of", lambda _: "3.21.0")
    monkeypatch.setattr(licence, "CHECK", check)
    (finding,) = await licence.check_licence()
    assert (finding.status, finding.text) == (status, text)


async def test_a_check_that_never_ends_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licence, "version_of", lambda _: "3.21.0")
    monkeypatch.setattr(licence, "CHECK", "import time; time.sleep(60)")
    monkeypatch.setattr(licence, "TIMEOUT", 0.1)
    (finding,) = await licence.check_licence()
    assert finding.status == "warning"
