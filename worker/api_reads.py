"""The routes of Rasa's HTTP API that only read."""

from __future__ import annotations

from http import HTTPStatus

import rasa
from rasa.constants import MINIMUM_COMPATIBLE_VERSION
from rasa.shared.core.training_data.story_writer.yaml_story_writer import YAMLStoryWriter

from worker.api_call import (
    Answer,
    Call,
    CollectedOutput,
    answer_json,
    bad_request,
    events_of,
    must_exist,
    tracker_of,
)

YAML = "application/x-yaml"


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
    await must_exist(call)
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
    events_of(call)
    verbosity, agent = call.verbosity(), call.agent
    tracker = tracker_of(call, "default")
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
