"""The two flows of messages: inbound, from users to the assistant, and replies, back to them."""

from __future__ import annotations

from typing import Literal

Flow = Literal["inbound", "replies"]

INBOUND: Flow = "inbound"
REPLIES: Flow = "replies"
FLOWS: tuple[Flow, ...] = (INBOUND, REPLIES)
