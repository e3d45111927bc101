"""The Cloud API's webhook events, parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their source:
https://developers.facebook.com/documentation/business-messaging/whatsapp (Webhooks, messages).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from bridge.connectors.base import Connector
from bridge.connectors.toolkit import receipts
from bridge.connectors.toolkit.events import UNKNOWN, compact, converted
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.connectors.whatsapp.content import Content, Context, content_of
from bridge.connectors.whatsapp.kinds import OUTCOMES, PAYMENT
from bridge.messages import InboundMessage

log = logging.getLogger(__name__)


def parse(connector: Connector, request: Request, number: str) -> list[InboundMessage]:
    """Return the messages of a batch of events to one phone number (its id), in order.

    Raises:
        RequestRejected: 400 or 415, it is not a batch of events.
    """
    expect_json(request)
    return [
        connector.message(
            request,
            id=utterance.id,
            sender_id=utterance.user,
            text=utterance.text,
            metadata=utterance.metadata,
            route={"to": utterance.phone} if utterance.phone else {},
        )
        for utterance in utterances(connector, request.decode(Batch), number)
    ]


class Message(Content, kw_only=True):
    id: str
    sender: str | None = field(default=None, name="from")
    """A phone number; missing if the user has a username instead."""
    from_user_id: str | None = None
    """The user's id within the business, independent of the phone number."""
    group_id: str | None = None
    context: Context | None = None
    referral: dict[str, Any] | None = None


class Profile(Struct):
    name: str | None = None
    username: str | None = None


class Contact(Struct):
    wa_id: str | None = None
    user_id: str | None = None
    profile: Profile | None = None


class Number(Struct):
    phone_number_id: str | None = None


class Error(Struct):
    code: int | str | None = None


class Status(Struct):
    status: str
    type: str | None = None
    """`payment` if it tells of a payment, not of a message; it fails under the same name."""
    id: str | None = None
    timestamp: Any = None
    errors: list[Error] | None = None


class Value(Struct):
    """The value of the field `messages`; its items are decoded one by one."""

    metadata: Number | None = None
    contacts: list[Any] | None = None
    messages: list[Any] | None = None
    statuses: list[Any] | None = None
    errors: list[Any] | None = None


class Change(Struct):
    field: str | None = None
    value: Any = None


class Entry(Struct):
    changes: list[Change]


class Batch(Struct):
    entry: list[Entry]


@dataclass(frozen=True)
class Utterance:
    id: str
    user: str
    phone: str | None
    text: str
    metadata: dict[str, Any]


def utterances(connector: Connector, batch: Batch, number: str) -> Iterator[Utterance]:
    """Yield the users' utterances to a number, in order; count all other events."""
    for change in (change for entry in batch.entry for change in entry.changes):
        if change.field != "messages":
            connector.ignore(change.field or UNKNOWN)
            continue
        value = connector.shaped(change.value, Value)
        if value is None:
            continue
        to = (value.metadata or Number()).phone_number_id
        _count_statuses(connector, value, is_ours=to in (None, number))
        for _ in value.errors or []:
            connector.ignore("errors")
        is_ours = to == number
        if value.messages and not is_ours:
            log.warning("ignored a message to a number other than 'phone_number_id'")
        contacts = [c for c in (converted(v, Contact) for v in value.contacts or []) if c]
        for given in value.messages or []:
            if not is_ours:
                connector.ignore("other_number")
                continue
            message = connector.shaped(given, Message)
            utterance = utterance_of(connector, message, contacts) if message else None
            if utterance is not None:
                yield utterance


def _count_statuses(connector: Connector, value: Value, is_ours: bool) -> None:
    """Count what became of sent messages; those of another number are not the bridge's."""
    for given in value.statuses or []:
        if not is_ours:
            connector.ignore("other_number")
            continue
        status = connector.shaped(given, Status)
        if status is None:
            continue
        about = status.type if status.type == PAYMENT else status.status
        outcome = OUTCOMES.get(about)
        if outcome is None:
            connector.ignore(f"status_{about}")
            continue
        code = next((error.code for error in status.errors or []), None)
        at = receipts.unix_time(status.timestamp)
        receipts.count(connector.channel, outcome, status.id, code, at)


def utterance_of(
    connector: Connector, message: Message, contacts: list[Contact]
) -> Utterance | None:
    """Return the utterance of a message, or count what it is and return None."""
    user = message.from_user_id or message.sender
    text, about = content_of(message)
    if message.group_id:
        connector.ignore("group")
        return None
    if not user or not text or not text.strip():
        says_nothing = message.type in connector.kinds.turn
        connector.ignore("empty" if says_nothing else message.type or UNKNOWN)
        return None
    contact = next((c for c in contacts if user in (c.user_id, c.wa_id)), Contact())
    profile, context = contact.profile or Profile(), message.context or Context()
    known = compact(
        **about,
        wamid=message.id,
        phone=message.sender,
        name=profile.name,
        username=profile.username,
        reply_to=context.id,
        referred_product=context.referred_product,
        forwarded=context.forwarded or context.frequently_forwarded,
        referral=message.referral,
    )
    return Utterance(message.id, user, message.sender, text, known)
