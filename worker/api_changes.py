"""The routes of Rasa's HTTP API that change a conversation. Each runs in its lane, and once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rasa.core.channels.channel import UserMessage
from rasa.core.policies.policy import PolicyPrediction
from rasa.shared.core.events import do_events_begin_with_session_start

from worker.api_call import (
    Answer,
    Call,
    CallRefused,
    answer_json,
    bad_request,
    events_of,
    must_exist,
    tracker_of,
)
from worker.reminders import trigger


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
    await must_exist(call)
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
    events = events_of(call)
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
    events_of(call)
    call.verbosity()
    async with call.agent.lock_store.lock(call.conversation):
        tracker = tracker_of(call, call.conversation)
        await call.agent.tracker_store.save(tracker)
    return answer_json(call.state(tracker))


async def predict(call: Call) -> Answer:
    await must_exist(call)
    result = await call.agent.predict_next_for_sender_id(call.conversation)
    result["scores"] = sorted(result["scores"], key=lambda one: (-one["score"], one["action"]))
    return answer_json(result)


async def _opened(call: Call) -> tuple[Any, Any, Any]:
    """Return the agent, the stored tracker of the conversation, and the output channel."""
    tracker = await call.agent.processor.get_tracker(call.conversation)
    return call.agent, tracker, call.channel(tracker)
