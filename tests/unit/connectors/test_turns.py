"""The option `turns` of a channel: what is accepted, and which messages it concerns."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connectors.registry import load_channel
from bridge.connectors.turns import policy_of
from bridge.errors import SettingsError
from bridge.messages import Command, InboundMessage, ReplyTo, TurnPolicy, commanding, decode, encode
from tests.support.fakes import an_inbound

WHATSAPP = {"phone_number_id": "1", "access_token": "t", "app_secret": "s", "verify": "v"}


def policy(**options: Any) -> TurnPolicy | None:
    return load_channel("callback", {"url": "http://x/", **options}).connector.turns


def concerned(message: InboundMessage, turns: str = "collect", channel: str = "whatsapp") -> bool:
    section = WHATSAPP if channel == "whatsapp" else {"url": "http://x/"}
    connector = load_channel(channel, {**section, "turns": turns}).connector
    return policy_of(message, connector) is not None


def test_each_message_has_a_turn_by_default() -> None:
    assert policy() is None
    assert policy(turns="each") is None
    assert b"turns" not in encode(an_inbound("e1")), "the message is as before"


def test_the_keys_become_a_policy() -> None:
    assert policy(turns="collect") == TurnPolicy("collect", 1.5, 6.0, "\n", 20)
    assert policy(turns="latest") == TurnPolicy("latest", 0.0, 6.0)
    assert policy(bridge={"turns": "interrupt", "quiet": "0.5", "joiner": " "}) == TurnPolicy(
        "interrupt", 0.5, 6.0, " "
    )
    assert policy(turns="collect", quiet=10, max_messages=3) == TurnPolicy(
        "collect", 10.0, 10.0, "\n", 3
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"turns": "sometimes"}, "'turns' must be one of: each, collect, latest, interrupt"),
        ({"quiet": 2}, "'quiet' has no effect without 'turns'"),
        ({"turns": "collect", "quiet": "soon"}, "'quiet' must be a number of seconds"),
        ({"turns": "collect", "quiet": -1}, "'quiet' must be a number of seconds"),
        ({"turns": "collect", "quiet": True}, "'quiet' must be a number of seconds"),
        ({"turns": "collect", "max_wait": float("inf")}, "'max_wait' must be a number"),
        ({"turns": "collect", "quiet": 3, "max_wait": 2}, "'max_wait' must be at least 'quiet'"),
        ({"turns": "collect", "joiner": 7}, "'joiner' must be a text"),
        ({"turns": "collect", "max_messages": 0}, "'max_messages' must be a number from 1"),
        ({"turns": "collect", "max_messages": 2.5}, "'max_messages' must be a number from 1"),
    ],
)
def test_a_wrong_key_is_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        policy(**options)


@pytest.mark.parametrize("channel", ["rest", "rasa", "hangouts", "twilio_voice"])
def test_a_channel_that_answers_in_the_response_accepts_only_each(channel: str) -> None:
    section = {"hangouts": {"project_id": "p"}, "rasa": {"url": "http://x/"}}.get(channel, {})
    assert load_channel(channel, {**section, "turns": "each"}).connector.turns is None
    with pytest.raises(SettingsError, match="'turns' must be 'each'"):
        load_channel(channel, {**section, "turns": "collect"})


def test_only_texts_are_joined() -> None:
    assert concerned(an_inbound("e1"))
    assert not concerned(an_inbound("e1", text=" /order{}"))
    assert not concerned(an_inbound("e1", parse_data={"intent": {}}))
    assert not concerned(an_inbound("e1", metadata={"media": {"type": "image"}}))
    assert not concerned(an_inbound("e1", metadata={"title": "Yes"}))
    assert concerned(an_inbound("e1", metadata={"name": "Ada", "media": None}))
    assert not concerned(an_inbound("e1", reply_to=ReplyTo("q", "t")))
    assert not concerned(commanding(an_inbound("e1"), Command("restart")))


def test_clients_that_choose_metadata_do_not_choose_the_turn() -> None:
    assert concerned(an_inbound("e1", metadata={"title": "My page"}), channel="callback")


def test_a_newer_message_supersedes_all_but_what_controls_the_conversation() -> None:
    assert concerned(an_inbound("e1", text='/set{"at": 3}'), "latest")
    assert concerned(an_inbound("e1", metadata={"location": {}}), "latest")
    assert not concerned(an_inbound("e1", text="/restart"), "latest")


def test_a_policy_survives_the_wire_and_a_later_one_is_read() -> None:
    message = an_inbound("e1", turns=TurnPolicy("collect", quiet=0.2))
    assert decode(encode(message), InboundMessage) == message
    later = encode(message).replace(b'"collect"', b'"of a later version"')
    assert decode(later, InboundMessage).turns == TurnPolicy("of a later version", quiet=0.2)
