"""Custom actions of the demo assistant, run by the action server of rasa_sdk."""

from __future__ import annotations

import re
from typing import Any

from rasa_sdk import Action, FormValidationAction, Tracker
from rasa_sdk.events import SlotSet
from rasa_sdk.executor import CollectingDispatcher

DISCOUNTS = {"bronze": 5, "silver": 10, "gold": 20}
SIZES = ("small", "medium", "large")
NAME_INTRODUCTION = re.compile(
    r"^(my name is|the name is|i am|i'm|it is|it's|for)\s+", re.IGNORECASE
)


def customer_tier(tracker: Tracker) -> str | None:
    """Return the tier that the channel sent in the metadata of the latest message, if any."""
    metadata = tracker.latest_message.get("metadata")
    tier = metadata.get("customer_tier") if isinstance(metadata, dict) else None
    return tier.lower() if isinstance(tier, str) else None


def forget_order() -> list[dict[str, Any]]:
    """Return the events that clear the slots of the order form."""
    return [SlotSet("name", None), SlotSet("size", None)]


class ActionAccount(Action):
    """Tell the customer their discount, which depends on the metadata of the message."""

    def name(self) -> str:
        return "action_account"

    def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]
    ) -> list[dict[str, Any]]:
        tier = customer_tier(tracker)
        if tier in DISCOUNTS:
            text = f"You are a {tier} customer: {DISCOUNTS[tier]} % off every ice cream."
        else:
            text = "I do not know you as a regular customer yet, so the normal price applies."
        dispatcher.utter_message(text=text)
        return []


class ActionPlaceOrder(Action):
    """Confirm the order and forget it, so that the next order asks again."""

    def name(self) -> str:
        return "action_place_order"

    def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]
    ) -> list[dict[str, Any]]:
        dispatcher.utter_message(
            response="utter_order_placed",
            name=tracker.get_slot("name"),
            size=tracker.get_slot("size"),
        )
        return forget_order()


class ActionCancelOrder(Action):
    """Say that nothing is ordered, and forget what was asked so far."""

    def name(self) -> str:
        return "action_cancel_order"

    def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]
    ) -> list[dict[str, Any]]:
        dispatcher.utter_message(response="utter_cancelled")
        return forget_order()


class ValidateOrderForm(FormValidationAction):
    """Take the name out of "my name is Ada", and accept only sizes that the shop sells."""

    def name(self) -> str:
        return "validate_order_form"

    def validate_name(
        self,
        slot_value: Any,
        dispatcher: CollectingDispatcher,
        tracker: Tracker,
        domain: dict[str, Any],
    ) -> dict[str, Any]:
        return {"name": NAME_INTRODUCTION.sub("", str(slot_value)).strip(" .!") or None}

    def validate_size(
        self,
        slot_value: Any,
        dispatcher: CollectingDispatcher,
        tracker: Tracker,
        domain: dict[str, Any],
    ) -> dict[str, Any]:
        words = re.findall(r"\w+", str(slot_value).lower())
        size = next((size for size in SIZES if size in words), None)
        if size is None:
            dispatcher.utter_message(response="utter_wrong_size")
        return {"size": size}
