"""Which origins a list allows, and how a command line names them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.commands.webhook import command as webhook
from bridge.errors import SettingsError
from bridge.http.cors import Origins, may_connect
from bridge.settings.files import load_broker

SITE = "https://shop.example"


@pytest.mark.parametrize(
    ("entries", "origin", "allowed"),
    [
        ([SITE], SITE, True),
        (["https://Shop.Example/"], SITE, True),
        (["https://shop.example:443"], SITE, True),
        (["http://shop.example"], SITE, False),
        ([SITE], f"{SITE}:8443", False),
        ([SITE], f"{SITE}.evil.example", False),
        ([SITE], "null", False),
        (["null"], "null", True),
        (["http://a.example", SITE], SITE, True),
        ([f"http://a.example, {SITE}"], SITE, True),
        (["*"], SITE, True),
        (["*"], "null", True),
        ([], SITE, False),
        ([""], SITE, False),
        (["https://*.example"], SITE, True),
        (["https://*.shop.example"], "https://ashop.example", False),
        (["https://*.shop.example"], "https://eu.shop.example", True),
        (["http://localhost:*"], "http://localhost:3000", True),
        (["http://localhost:*"], "http://localhost", False),
        ([r"https://.*\.shop\.example"], "https://eu.shop.example", True),
        ([r"https://.*\.shop\.example"], "https://eu.shop.example.evil.example", False),
        ([r"https://(eu|us)\.shop\.example"], "https://us.shop.example", True),
        ([".*"], SITE, True),
    ],
)
def test_an_origin_is_allowed_if_an_entry_is_equal_or_matches_all_of_it(
    entries: list[str], origin: str, allowed: bool
) -> None:
    assert Origins(entries).allows(origin) is allowed


@pytest.mark.parametrize("entry", ["shop.example", "https://shop.example/chat", "https://[", "("])
def test_an_entry_that_can_match_no_origin_is_an_error(entry: str) -> None:
    with pytest.raises(SettingsError, match="CORS: '"):
        Origins([entry])


@pytest.mark.parametrize("entry", ["'*'", "“*”", f'"{SITE}"', f"‘{SITE}’"])
def test_an_entry_with_quotes_is_an_error(entry: str) -> None:
    with pytest.raises(SettingsError, match="contains quotes; write it without them"):
        Origins(["https://a.example", entry])


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (["--cors", "*", "--debug"], ("*",)),
        (["--cors", "http://a", "http://b", "-p", "5006"], ("http://a", "http://b")),
        (["--cors=http://a", "--cors", "http://b"], ("http://a", "http://b")),
        (["--cors"], ()),
        (["--cors", "--port", "5006"], ()),
        (["--cor", "*"], ("*",)),
    ],
)
def test_the_command_line_is_that_of_rasa_run(line: list[str], named: tuple[str, ...]) -> None:
    assert webhook.make_context("webhook", line).params["cors"] == named


def test_the_beginning_of_an_option_suffices_as_in_rasa() -> None:
    given = webhook.make_context("webhook", ["--endpoint", "e.yml", "--cred=c.yml"]).params
    assert (given["endpoints"], given["credentials"]) == ("e.yml", "c.yml")


@pytest.mark.parametrize("text", [f"cors: '{SITE}'", f"cors: ['{SITE}']"])
def test_origins_may_be_listed_in_endpoints_yml(text: str, tmp_path: Path) -> None:
    (tmp_path / "e.yml").write_text(f"bridge:\n  {text}\n")
    assert load_broker(str(tmp_path / "e.yml")).cors == (SITE,)


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "", "null", "\udcff", "http://a]b"])
def test_an_origin_that_is_no_url_may_not_open_a_socket(origin: str) -> None:
    request: Any = SimpleNamespace(
        app=SimpleNamespace(ctx=SimpleNamespace(origins=Origins([SITE]))),
        headers={"origin": origin, "host": "bot.example"},
    )
    assert may_connect(request) is (origin == "")
