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


async def test_an_in_memory_tracker_store_causes_a_warning_that_names_the_fix(
    project: Project,
) -> None:
    worker = project.bridge("worker", "-m", str(MODEL))
    await worker.prints("consuming", patience=START)
    assert "WARNING" in worker.log
    assert "tracker_store" in worker.log
