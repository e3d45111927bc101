"""One call of Rasa's HTTP API, as a worker sees it: its request, its output channel, its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

import jsonschema
import rasa
from rasa.core.channels.channel import CollectingOutputChannel
from rasa.shared.core.events import Event
from rasa.shared.core.trackers import DialogueStateTracker, EventVerbosity
from rasa.shared.utils.schemas.events import EVENTS_SCHEMA

from bridge.errors import BridgeError
from bridge.messages import InboundMessage
from worker.routes import last_route

JSON = "application/json"
MARK = "rasa_bridge_call"
"""Key in the metadata of an event that a call has added: it holds the call's id."""


class Answer(NamedTuple):
    """What the HTTP request is answered with."""

    status: int
    body: str
    content_type: str = JSON


class CallRefused(BridgeError):
    """A call is answered with an error, in the form of Rasa's `ErrorResponse`."""

    def __init__(self, status: int, reason: str, problem: str, **details: Any) -> None:
        super().__init__(problem)
        self.status = status
        self.reason = reason
        self.details = details

    def answer(self) -> Answer:
        body = {
            "version": rasa.__version__,
            "status": "failure",
            "message": self.problem,
            "reason": self.reason,
            "details": self.details,
            "help": None,
            "code": self.status,
        }
        return answer_json(body, self.status)


def answer_json(body: Any, status: int = HTTPStatus.OK) -> Answer:
    """Return an answer with a JSON value; numbers of NumPy become JSON numbers."""
    return Answer(int(status), json.dumps(body, default=_plain))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def bad_request(problem: str, parameter: str = "", where: str = "body") -> CallRefused:
    details = {"parameter": parameter, "in": where}
    return CallRefused(HTTPStatus.BAD_REQUEST, "BadRequest", problem, **details)


class CollectedOutput(CollectingOutputChannel):
    """Collects replies for the answer to a call, or drops them.

    Its reminders are put aside as those of `output`.
    """

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.schedule = output.schedule


@dataclass
class Call:
    """One call, and the agent that runs it."""

    agent: Any
    message: InboundMessage
    output: Any
    """The output channel of the message, which leads to the HTTP request."""

    def __post_init__(self) -> None:
        assert self.message.command is not None
        arguments = self.message.command.arguments
        self.query: dict[str, str] = arguments.get("query", {})
        self.body: Any = arguments.get("body")
        self._channels: dict[str, Any] = arguments.get("channels", {})

    @property
    def id(self) -> str:
        return self.message.id

    @property
    def conversation(self) -> str:
        return self.message.sender_id

    async def tracker(self, output: Any) -> Any:
        """Return the tracker of the conversation, in a new session if the last one has expired."""
        return await self.agent.processor.fetch_tracker_and_update_session(
            self.conversation, output_channel=output
        )

    def field(self, name: str) -> Any:
        """Return a field of the body, None if it is missing.

        Raises:
            CallRefused: the body is not a JSON object.
        """
        if not isinstance(self.body, dict):
            raise bad_request("The request body must be a JSON object.")
        return self.body.get(name)

    def flag(self, name: str) -> bool:
        return self.query.get(name, "false").lower() == "true"

    def number(self, name: str) -> float | None:
        """Return a number of the query; None if it is missing or not a number, as in Rasa."""
        try:
            return float(self.query[name])
        except (KeyError, ValueError):
            return None

    def state(self, tracker: Any) -> dict[str, Any]:
        """Return a tracker as JSON, with the events that the request asks for.

        Raises:
            CallRefused: `include_events` has an unknown value.
        """
        state: dict[str, Any] = tracker.current_state(self.verbosity())
        return state

    def verbosity(self) -> Any:
        """Return the value of `include_events`.

        Raises:
            CallRefused: it is unknown.
        """
        name = self.query.get("include_events", EventVerbosity.AFTER_RESTART.name)
        try:
            return EventVerbosity[name.upper()]
        except KeyError:
            names = ", ".join(verbosity.name for verbosity in EventVerbosity)
            problem = f"Invalid parameter value for 'include_events'. Should be one of {names}"
            raise bad_request(problem, "include_events", "query") from None

    def channel(self, tracker: Any) -> Any:
        """Return the output channel that the request names; by default, collect for the answer.

        `latest` is the channel of the user's last message. Replies go where the user wrote last on
        the channel: to the same thread, for example.
        """
        name = self.query.get("output_channel")
        if name == "latest":
            name = tracker.get_latest_input_channel()
        where = self._channels.get(name or "")
        if not where:
            return CollectedOutput(self.output)
        return self.output.towards(**where, route=last_route(tracker, where["input_channel"]))

    def with_messages(self, tracker: Any, output: Any) -> Answer:
        """Return the state of a tracker and, if the replies were collected, the replies."""
        body: dict[str, Any] = {"tracker": self.state(tracker)}
        if isinstance(output, CollectedOutput):
            body["messages"] = output.messages
        return answer_json(body)

    def is_done(self, tracker: Any) -> bool:
        """Return whether the call was saved before: redelivered, or repeated by its client."""
        return any(
            getattr(event, "message_id", None) == self.id
            or (event.metadata or {}).get(MARK) == self.id
            for event in tracker.events
        )

    def mark(self, event: Any) -> None:
        """Have an event tell, once it is saved, that this call is done."""
        event.metadata = {**(event.metadata or {}), MARK: self.id}


async def must_exist(call: Call) -> None:
    if not await call.agent.tracker_store.exists(call.conversation):
        raise CallRefused(HTTPStatus.NOT_FOUND, "Not found", "Conversation ID not found.")


def events_of(call: Call) -> list[Any]:
    """Return the events in the body.

    Raises:
        CallRefused: they are not valid.
    """
    given = _listed(call.body)
    try:
        jsonschema.validate(given, EVENTS_SCHEMA)
        events = [event for event in map(Event.from_parameters, given) if event]
    except Exception as error:
        problem = f"Failed to validate the events format. Error: {error}"
        raise CallRefused(HTTPStatus.BAD_REQUEST, "BadRequest", problem) from error
    if not events:
        raise bad_request("Couldn't extract a proper event from the request body.")
    return events


def tracker_of(call: Call, conversation: str) -> Any:
    """Return a tracker that consists of the events in the body."""
    slots = call.agent.domain.slots
    return DialogueStateTracker.from_dict(conversation, _listed(call.body), slots)


def _listed(body: Any) -> list[Any]:
    return body if isinstance(body, list) else [body]
