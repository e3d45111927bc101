"""Actions that set, cancel and react to reminders, and react to events from outside."""

from datetime import datetime, timedelta

from rasa_sdk import Action
from rasa_sdk.events import ReminderCancelled, ReminderScheduled


class ActionSetReminder(Action):
    """Schedule a reminder that carries the entities of the message."""

    def name(self):
        return "action_set_reminder"

    def run(self, dispatcher, tracker, domain):
        seconds = int(next(tracker.get_latest_entity_values("delay")))
        dispatcher.utter_message(text=f"I will remind you in {seconds} seconds.")
        reminder = ReminderScheduled(
            "EXTERNAL_reminder",
            trigger_date_time=datetime.now() + timedelta(seconds=seconds),
            entities=tracker.latest_message.get("entities"),
            name="my_reminder",
            kill_on_user_message=False,
        )
        return [reminder]


class ActionForgetReminders(Action):
    """Cancel all reminders of the conversation."""

    def name(self):
        return "action_forget_reminders"

    def run(self, dispatcher, tracker, domain):
        dispatcher.utter_message(text="All your reminders are cancelled.")
        return [ReminderCancelled()]


class ActionRemind(Action):
    """The reminder is due: its entities are those of the message that asked for it."""

    def name(self):
        return "action_remind"

    def run(self, dispatcher, tracker, domain):
        person = next(tracker.get_latest_entity_values("person"), "someone")
        dispatcher.utter_message(text=f"Remember to call {person}!")
        return []


class ActionTellId(Action):
    """Tell the id by which the API knows the conversation."""

    def name(self):
        return "action_tell_id"

    def run(self, dispatcher, tracker, domain):
        dispatcher.utter_message(text=f"The id of this conversation is {tracker.sender_id}.")
        return []


class ActionWarn(Action):
    """An event from outside: a sensor gives an alarm."""

    def name(self):
        return "action_warn"

    def run(self, dispatcher, tracker, domain):
        sensor = next(tracker.get_latest_entity_values("sensor"), "unknown")
        dispatcher.utter_message(text=f"The sensor {sensor} gives an alarm.")
        return []
