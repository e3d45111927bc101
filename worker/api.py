"""Rasa's HTTP API (rasa/server.py, 3.6), one function per route. `answer` runs one call.

What changes a conversation runs in its lane, and once: the tracker tells whether a call was saved
before. Unlike in Rasa, such a call is retried when it fails, like a turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import jsonschema
import rasa
from rasa.constants import MINIMUM_COMPATIBLE_VERSION
from rasa.core.channels.channel import UserMessage
from rasa.core.lock_store import LockError
from rasa.core.policies.policy import PolicyPrediction
from rasa.shared.core.events import Event, do_events_begin_with_session_start
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.shared.core.training_data.story_writer.yaml_story_writer import YAMLStoryWriter
from rasa.shared.exceptions import RasaException
from rasa.shared.utils.schemas.events import EVENTS_SCHEMA

from bridge.errors import BridgeError, MessageError, MessageTooLarge
from bridge.messages import InboundMessage
from worker.api_call import Answer, Call, CallRefused, CollectedOutput, answer_json, bad_request
from worker.reminders import trigger

YAML = "application/x-yaml"


async def answer(agent: Any, message: InboundMessage, output: Any) -> None:
    """Run the call of a message, and send its answer to the request that waits for it.

    Raises:
        MessageError: this worker does not know the call.
        Exception: a call that changes a conversation failed; the message is retried.
    """
    assert message.command is not None
    run = ROUTES.get(message.command.name)
    if run is None:
        raise MessageError("the command is unknown to this process", fix="upgrade it")
    try:
        result = await run(Call(agent, message, output))
    except CallRefused as refusal:
        result = refusal.answer()
    except (BridgeError, LockError):
        raise
    except Exception as error:
        # Rasa's own errors, such as an unknown action, would be the same in the next attempt.
        if not message.command.reads and not isinstance(error, RasaException):
            raise
        result = _failed(error)
    try:
        await output.answer(result._asdict())
    except MessageTooLarge as error:
        await output.answer(_failed(error)._asdict())


def _failed(error: Exception) -> Answer:
    problem = f"An unexpected error occurred. Error: {error}"
    return CallRefused(HTTPStatus.INTERNAL_SERVER_ERROR, "ConversationError", problem).answer()


# ---- what changes a conversation -----------------------------------------------------------------


async def trigger_intent(call: Call) -> Answer:
    name = call.field("name")
    if not name:
        raise bad_request("Name of the intent not provided in request body.", "name")
    call.verbosity()
    agent, tracker, output = await _opened(call)
    async with agent.lock_store.lock(call.conversation):
        if name not in agent.domain.intents:
            problem = f"The intent {name} does not exist in the domain."
            raise CallRefused(HTTPStatus.NOT_FOUND, "NotFound", problem)
        tracker = await call.tracker(output)
        if not call.is_done(tracker):
            await trigger(agent, tracker, output, call.id, name, call.field("entities"))
    return call.with_messages(tracker, output)


async def execute(call: Call) -> Answer:
    await _must_exist(call)
    name = call.field("name")
    if not name:
        raise bad_request("Name of the action not provided in request body.", "name")
    call.verbosity()
    agent, tracker, output = await _opened(call)
    processor = agent.processor
    async with agent.lock_store.lock(call.conversation):
        # As `MessageProcessor.execute_action`, which would not tell which events are new.
        tracker = await call.tracker(output)
        if not call.is_done(tracker):
            before = len(tracker.events)
            prediction = PolicyPrediction.for_action_name(
                agent.domain, name, call.field("policy"), call.field("confidence") or 0.0
            )
            action = processor._get_action(name)
            await processor._run_action(action, tracker, output, processor.nlg, prediction)
            for event in list(tracker.events)[before:][-1:]:
                call.mark(event)
            await processor.save_tracker(tracker)
    return call.with_messages(tracker, output)


async def add_message(call: Call) -> Answer:
    sender, text = call.field("sender"), call.field("text")
    if sender != "user":
        problem = (
            "Currently, only user messages can be passed to this endpoint. Messages of sender"
            f" '{sender}' cannot be handled."
        )
        raise bad_request(problem, "sender")
    if not isinstance(text, str):
        raise bad_request("No text message defined in request body.", "text")
    call.verbosity()
    processor = call.agent.processor
    async with call.agent.lock_store.lock(call.conversation):
        tracker = await processor.get_tracker(call.conversation)
        if not call.is_done(tracker):
            message = UserMessage(
                text, None, call.conversation, call.field("parse_data"), message_id=call.id
            )
            tracker = await processor.log_message(message, should_save_tracker=False)
            tracker = await processor.run_action_extract_slots(message.output_channel, tracker)
            await processor.save_tracker(tracker)
    return answer_json(call.state(tracker))


async def append_events(call: Call) -> Answer:
    events = _events(call)
    call.verbosity()
    processor = call.agent.processor
    async with call.agent.lock_store.lock(call.conversation):
        tracker = await processor.get_tracker(call.conversation)
        if call.is_done(tracker):
            return answer_json(call.state(tracker))
        if not do_events_begin_with_session_start(events):
            tracker = await processor.fetch_tracker_with_initial_session(call.conversation)
        call.mark(events[-1])
        for event in events:
            tracker.update(event, call.agent.domain)
        if call.flag("execute_side_effects"):
            await processor.execute_side_effects(events, tracker, call.channel(tracker))
        await processor.save_tracker(tracker)
    return answer_json(call.state(tracker))


async def replace_events(call: Call) -> Answer:
    _events(call)
    call.verbosity()
    async with call.agent.lock_store.lock(call.conversation):
        tracker = _tracker_of(call, call.conversation)
        await call.agent.tracker_store.save(tracker)
    return answer_json(call.state(tracker))


async def predict(call: Call) -> Answer:
    await _must_exist(call)
    result = await call.agent.predict_next_for_sender_id(call.conversation)
    result["scores"] = sorted(result["scores"], key=lambda one: (-one["score"], one["action"]))
    return answer_json(result)


async def _opened(call: Call) -> tuple[Any, Any, Any]:
    """Return the agent, the stored tracker of the conversation, and the output channel."""
    tracker = await call.agent.processor.get_tracker(call.conversation)
    return call.agent, tracker, call.channel(tracker)


async def _must_exist(call: Call) -> None:
    if not await call.agent.tracker_store.exists(call.conversation):
        raise CallRefused(HTTPStatus.NOT_FOUND, "Not found", "Conversation ID not found.")


def _events(call: Call) -> list[Any]:
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


def _tracker_of(call: Call, conversation: str) -> Any:
    """Return a tracker that consists of the events in the body."""
    slots = call.agent.domain.slots
    return DialogueStateTracker.from_dict(conversation, _listed(call.body), slots)


def _listed(body: Any) -> list[Any]:
    return body if isinstance(body, list) else [body]


# ---- what only reads -----------------------------------------------------------------------------


async def read_tracker(call: Call) -> Answer:
    verbosity = call.verbosity()
    tracker = await call.agent.processor.fetch_full_tracker_with_initial_session(
        call.conversation, output_channel=CollectedOutput(call.output)
    )
    until = call.number("until")
    if until is not None:
        tracker = tracker.travel_back_in_time(until)
    return answer_json(tracker.current_state(verbosity))


async def read_story(call: Call) -> Answer:
    await _must_exist(call)
    processor, until = call.agent.processor, call.number("until")
    if call.flag("all_sessions"):
        trackers = await processor.get_trackers_for_all_conversation_sessions(call.conversation)
    else:
        trackers = [await processor.get_tracker(call.conversation)]
    if until is not None:
        trackers = [tracker.travel_back_in_time(until) for tracker in trackers]
        trackers = [tracker for tracker in trackers if len(tracker.events)]
    steps = []
    for number, tracker in enumerate(trackers, 1):
        tracker.sender_id = call.conversation
        if len(trackers) > 1:
            tracker.sender_id += f", story {number}"
        steps += tracker.as_story().story_steps
    story = YAMLStoryWriter().dumps(steps, is_test_story=True)
    return Answer(HTTPStatus.OK, story, "text/plain; charset=utf-8")


async def parse(call: Call) -> Answer:
    text = call.field("text")
    if call.query.get("emulation_mode"):
        problem = "Invalid parameter value for 'emulation_mode'. The bridge emulates no service."
        raise bad_request(problem, "emulation_mode", "query")
    if not isinstance(text, str):
        raise bad_request("No text message defined in request_body.", "text")
    return answer_json(await call.agent.parse_message(text))


async def predict_events(call: Call) -> Answer:
    _events(call)
    verbosity, agent = call.verbosity(), call.agent
    tracker = _tracker_of(call, "default")
    return answer_json(agent.predict_next_with_tracker(tracker, verbosity))


async def status(call: Call) -> Answer:
    agent = call.agent
    return answer_json(
        {
            "model_file": agent.processor.model_filename,
            "model_id": agent.model_id,
            "num_active_training_jobs": 0,
        }
    )


async def version(call: Call) -> Answer:
    known = {
        "version": rasa.__version__,
        "minimum_compatible_version": MINIMUM_COMPATIBLE_VERSION,
    }
    return answer_json(known)


async def domain(call: Call) -> Answer:
    if call.query.get("format") == "yaml":
        return Answer(HTTPStatus.OK, call.agent.domain.as_yaml(), YAML)
    return answer_json(call.agent.domain.as_dict())


ROUTES: dict[str, Callable[[Call], Awaitable[Answer]]] = {
    "trigger_intent": trigger_intent,
    "execute": execute,
    "messages": add_message,
    "append_events": append_events,
    "replace_events": replace_events,
    "predict": predict,
    "tracker": read_tracker,
    "story": read_story,
    "parse": parse,
    "predict_events": predict_events,
    "status": status,
    "version": version,
    "domain": domain,
}
"""Name of a command → what it does. `bridge.webhook.api` names the same ones."""
