"""What the worker reports about a bad model and about a tracker store that cannot be shared."""

from __future__ import annotations

from tests.acceptance.stack import MODEL, START
from tests.support.processes import Project


async def test_a_missing_model_is_reported_in_one_line_with_exit_code_2(project: Project) -> None:
    worker = project.bridge("worker", "-m", "nowhere")
    assert await worker.ends(START) == 2
    assert "nowhere: no such model; train one with 'rasa train'" in worker.log
    assert "Traceback" not in worker.log


async def test_a_file_that_is_not_a_model_is_refused_before_the_worker_consumes(
    project: Project,
) -> None:
    project.write("models/broken.tar.gz", "this is no archive")
    worker = project.bridge("worker")
    assert await worker.ends(START) == 2
    assert "models" in worker.log
    assert "consuming" not in worker.log
    assert "Traceback" not in worker.log


async def test_stores_that_rasa_replaces_silently_cause_warnings_that_name_the_fix(
    project: Project,
) -> None:
    endpoints = (project.directory / "endpoints.yml").read_text()
    broker = "event_broker:\n  type: addons.LoggerEventBroker\n"
    project.write("endpoints.yml", endpoints + broker)
    # With imports in the order of a new process.
    worker = project.bridge("worker", "-m", str(MODEL), fork=False)
    await worker.prints("consuming", patience=START)
    assert "WARNING" in worker.log
    assert "DeprecationWarning" not in worker.log
    assert "tracker_store" in worker.log
    assert "Rasa cannot load the event broker 'addons.LoggerEventBroker', so it" in worker.log
