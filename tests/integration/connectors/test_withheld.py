"""Least privilege: each role starts without the other role's secrets, and works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from bridge.connectors import registry
from bridge.connectors.registry import CONNECTORS, load_channels
from bridge.connectors.withheld import Role
from bridge.errors import SettingsError
from bridge.settings.files import load_credentials
from tests.integration.connectors import runner, telegram_table
from tests.integration.connectors.runner import a_dispatcher, a_webhook
from tests.integration.connectors.tables import Post, Table
from tests.integration.connectors.test_blank_keys import SECTIONS
from tests.integration.connectors.test_connectors import TABLES, each_table
from tests.support.fakes import a_reply
from tests.support.service import FakeService

SECRETS = ("token", "secret", "password", "pw", "jwt_key", "shared_key")
"""Parts of the names of keys that hold a secret."""


def load(path: Path, sections: Mapping[str, Any], role: Role | None) -> dict[str, Any]:
    path.write_text(yaml.safe_dump(sections))
    return load_channels(load_credentials(str(path), strict=False), str(path), role)


def without(section: Mapping[str, Any], keys: Any) -> dict[str, Any]:
    """Return a section in which these keys come from variables that are not set."""
    return {**section, **dict.fromkeys(keys, "${NOT_SET}")}


def class_of(channel: str) -> Any:
    return registry._import(CONNECTORS[channel])


@pytest.mark.parametrize("channel", CONNECTORS)
def test_a_role_needs_the_keys_that_it_uses_and_no_others(channel: str, tmp_path: Path) -> None:
    path, section, cls = tmp_path / "credentials.yml", SECTIONS[channel], class_of(channel)
    everything = {*section, *cls.only_webhook, *cls.only_deliver}
    roles: dict[Role, frozenset[str]] = {
        "webhook": cls.only_deliver,
        "deliver": cls.only_webhook,
        "queues": frozenset(everything),
    }
    for role, needless in roles.items():
        loaded = load(path, {channel: without(section, needless)}, role)[channel]
        full = load(path, {channel: section}, None)[channel]
        assert loaded.has_reply_queues == full.has_reply_queues
        assert loaded.has_sockets == full.has_sockets
        assert loaded.connector.withheld == needless
        for key in everything - needless:
            with pytest.raises(SettingsError, match=f"{key}: .* NOT_SET is not set"):
                load(path, {channel: without(section, [key])}, role)


@pytest.mark.parametrize("channel", CONNECTORS)
def test_without_a_role_every_key_is_needed(channel: str, tmp_path: Path) -> None:
    for key in SECTIONS[channel]:
        sections = {channel: without(SECTIONS[channel], [key])}
        with pytest.raises(SettingsError, match="NOT_SET is not set"):
            load(tmp_path / "credentials.yml", sections, None)


def of_role(table: Table, role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """Return the table with the credentials that a role needs, loaded as that role does."""
    needless = getattr(
        class_of(table.channel), "only_deliver" if role == "webhook" else "only_webhook"
    )

    def loaded(sections: Mapping[str, Any]) -> dict[str, Any]:
        return load(tmp_path / "credentials.yml", sections, role)

    monkeypatch.setattr(runner, "load_channels", loaded)
    return replace(table, credentials=lambda url: without(table.credentials(url), needless))


@each_table
async def test_a_webhook_without_the_secrets_of_deliver_accepts_and_refuses_as_ever(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_webhook(of_role(table, "webhook", tmp_path, monkeypatch)) as webhook:
        for genuine in table.genuine:
            post = genuine.post(genuine.value)
            assert (await webhook.post(post))[0] == 200
            for header in table.signed_by:
                unsigned = {k: v for k, v in post.headers.items() if k != header}
                assert (await webhook.post(Post(post.body, unsigned)))[0] == 403
        assert webhook.messages


@pytest.mark.parametrize("table", [t for t in TABLES if t.outgoing], ids=str)
async def test_deliver_without_the_secrets_of_the_webhook_makes_the_same_calls(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: FakeService
) -> None:
    table = of_role(table, "deliver", tmp_path, monkeypatch)
    case = next(case for case in table.outgoing if case.calls and not case.settings)
    async with a_dispatcher(table, service) as dispatcher:
        await dispatcher.deliver(a_reply(**{"channel": table.channel, **case.reply}))
    assert [call.path for call in service.calls] == [sent.path for sent in case.calls]


async def test_telegram_without_its_token_does_not_set_the_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: FakeService
) -> None:
    service.answer = lambda call: web.json_response({"ok": True, "result": True})
    table = of_role(telegram_table.TABLE, "webhook", tmp_path, monkeypatch)
    settings = {"api_url": service.url, "webhook_url": "https://bot.example/"}
    async with a_webhook(table, settings) as webhook:
        status, answer, _ = await webhook.post(Post(path="set_webhook"))
        assert (status, "'access_token'" in answer) == (400, True)
        await webhook.post(table.genuine[0].post(table.genuine[0].value))
        (message,) = webhook.messages
        assert message.id.startswith("telegram:")
    assert not service.calls


def test_a_key_that_holds_a_secret_belongs_to_one_role_or_is_known_to_belong_to_both() -> None:
    both = {
        ("facebook", "secret"),  # also the proof of each call
        ("mattermost", "token"),  # also the bot's own id
        ("mattermost", "pw"),
        ("mattermost", "outgoing_webhook_token"),  # also signs the buttons
        ("twilio", "auth_token"),  # signs requests, and is the password of calls
        ("webexteams", "access_token"),  # messages are fetched with it
        ("webhook", "secret"),  # signs both ways
        ("whatsapp", "app_secret"),
    }
    found = set()
    for channel in CONNECTORS:
        cls = class_of(channel)
        for key in {*SECTIONS[channel], *cls.only_webhook, *cls.only_deliver}:
            is_secret = any(part in key for part in SECRETS) and key != "webhook_url"
            if is_secret and key not in cls.only_webhook | cls.only_deliver:
                found.add((channel, key))
    assert found <= both
