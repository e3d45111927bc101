"""Custom actions of the demo assistant. The rasa_sdk action server runs them."""

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
    """Return the customer tier from the metadata of the latest message, if there is one."""
    metadata = tracker.latest_message.get("metadata")
    tier = metadata.get("customer_tier") if isinstance(metadata, dict) else None
    return tier.lower() if isinstance(tier, str) else None


def forget_order() -> list[dict[str, Any]]:
    """Return the events that clear the order form's slots."""
    return [SlotSet("name", None), SlotSet("size", None)]


class ActionAccount(Action):
    """Tell customers their discount, which depends on the message's metadata."""

    def name(self) -> str:
        return "action_account"

    def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]
    ) -> list[dict[str, Any]]:
        tier = customer_tier(tracker)
        if tier in DISCOUNTS:
            text = f"You are a {tier} customer: {DISCOUNTS[tier]}% off every ice cream."
        else:
            text = "You are not a regular customer yet, so the normal price applies."
        dispatcher.utter_message(text=text)
        return []


class ActionPlaceOrder(Action):
    """Confirm the order and clear it, so that the next order starts afresh."""

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
    """Confirm the cancellation and clear the order."""

    def name(self) -> str:
        return "action_cancel_order"

    def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]
    ) -> list[dict[str, Any]]:
        dispatcher.utter_message(response="utter_cancelled")
        return forget_order()


class ValidateOrderForm(FormValidationAction):
    """Extract the name from "my name is Ada", and accept only sizes that the shop sells."""

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
