"""Which waiting messages become one turn, and when it starts."""

from __future__ import annotations

from typing import Any

from bridge.messages import InboundMessage, TurnPolicy
from bridge.messages.grouped import as_one, ids_in, without
from bridge.processing import turns
from tests.support.fakes import an_inbound

COLLECT = TurnPolicy("collect", quiet=1.5, max_wait=6.0, max_messages=3)
LATEST = TurnPolicy("latest")


def said(id: str, policy: TurnPolicy | None = COLLECT, **changes: object) -> InboundMessage:
    return an_inbound(id, turns=policy, **changes)


def grouped(
    *messages: InboundMessage, known: str = "", suspect: str = ""
) -> tuple[list[str], bool]:
    def joins(_: object, message: InboundMessage) -> bool | None:
        return None if message.id in known else message.id not in suspect

    found = turns.group([(None, message) for message in messages], joins)
    return [message.id for message in found.messages], found.is_closed


def test_messages_of_one_policy_become_one_turn() -> None:
    assert grouped(said("a")) == (["a"], False)
    assert grouped(said("a"), said("b")) == (["a", "b"], False)
    assert grouped(said("a"), said("b"), said("c"), said("d")) == (["a", "b", "c"], True)


def test_a_message_without_a_policy_ends_the_collection_and_runs_alone() -> None:
    button = said("b", None)
    assert grouped(said("a"), button, said("c")) == (["a"], True)
    assert grouped(button, said("c")) == (["b"], True)


def test_a_message_of_another_channel_or_policy_does_not_join() -> None:
    assert grouped(said("a"), said("b", channel="telegram")) == (["a"], True)
    assert grouped(said("a"), said("b", LATEST)) == (["a"], True)
    assert grouped(said("a"), said("b", TurnPolicy("collect", quiet=9.0))) == (["a", "b"], False)
    assert grouped(said("a", TurnPolicy("of a later version")), said("b")) == (["a"], True)


def test_a_repeated_message_is_left_out_and_a_suspect_ends_the_collection() -> None:
    assert grouped(said("a"), said("b"), said("a"), said("c"), known="b") == (["a", "c"], False)
    assert grouped(said("a"), said("b"), suspect="b") == (["a"], True)
    assert grouped(said("a"), said("b"), suspect="a") == (["a"], True)


def test_the_texts_of_a_turn_are_no_longer_than_that_of_a_message() -> None:
    long = "x" * (turns.LONGEST_TEXT // 2)
    assert grouped(said("a", text=long), said("b", text=long), said("c")) == (["a"], True)


def test_the_newest_message_supersedes_those_before_it() -> None:
    newest = turns.successor(said("a", LATEST), [said("b", LATEST), said("c", LATEST)])
    assert newest is not None
    assert newest.id == "c"
    assert turns.successor(said("a", LATEST), []) is None
    copied = turns.successor(said("a", LATEST), [said("a", LATEST)])
    assert copied is None, "a copy of a message does not supersede it"
    restart = said("r", None)
    assert turns.successor(said("a", LATEST), [restart, said("c", LATEST)]) is None
    assert turns.successor(said("a"), [said("b")]) is None


def test_a_turn_starts_when_all_is_quiet_but_its_first_message_waits_for_a_limited_time() -> None:
    assert turns.due(COLLECT, 10.0, 10.0) == 11.5
    assert turns.due(COLLECT, 10.0, 12.0) == 13.5
    assert turns.due(COLLECT, 10.0, 15.9) == 16.0


def test_several_messages_as_one_have_all_texts_and_are_the_last_one_otherwise() -> None:
    first = said("a", text=" hey ", route={"thread": "1"}, redelivered=True, received_at=1.0)
    last = said("b", text="where is it?", route={"thread": "2"}, metadata={"name": "Ada"})
    one = as_one([first, said("", text="  "), last])
    assert (one.id, one.text, one.route) == ("b", "hey\nwhere is it?", {"thread": "2"})
    assert one.redelivered
    assert one.metadata is not None
    assert one.metadata["name"] == "Ada"
    assert one.metadata["messages"][0] == {"id": "a", "text": "hey", "received_at": 1.0}
    assert [part.id for part in one.parts] == ["a", "", "b"]


def test_a_turn_without_what_is_known_consists_of_the_others() -> None:
    one = as_one([said("a", text="1"), said("b", text="2"), said("c", text="3")])
    left = without(one, {"a", "c"})
    assert left is not None
    assert (left.id, left.text, [part.id for part in left.parts]) == ("b", "2", ["b"])
    assert left.metadata is not None
    assert ids_in(left.metadata, "b") == ["b"]
    assert without(one, {"a", "b", "c"}) is None


def test_metadata_that_a_user_chose_names_no_messages() -> None:
    chosen: Any
    for chosen in (
        None,
        "messages",
        {"messages": "b"},
        {"messages": []},
        {"messages": [{"id": "x"}, 3]},
        {"messages": [{"id": "b"}, {"id": "c"}]},
        {"messages": [None, {"id": ["b"]}]},
    ):
        assert ids_in(chosen, "b") == []
