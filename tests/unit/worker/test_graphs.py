"""A graph as Rasa builds it is run node by node, each once, without dask."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from worker import graphs


class Node:
    """As Rasa's `GraphNode`: takes the results of its needs, returns its name and output."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    def __call__(self, *inputs: Any) -> tuple[str, Any]:
        self.calls.append(self.name)
        return self.name, [given[1] if isinstance(given, tuple) else given for given in inputs]


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def graph(calls: list[str]) -> dict[str, Any]:
    """Two branches from one node, joined again; an input, and one that no node provides."""
    needs = {
        "last": ("left", "right"),
        "right": ("first", "__tracker__"),
        "left": ("first",),
        "first": ("__message__", "absent"),
        "unused": ("first",),
    }
    tasks = {name: (Node(name, calls), *given) for name, given in needs.items()}
    return {**tasks, "__message__": ("__message__", [1]), "__tracker__": ("__tracker__", "t")}


def test_each_node_runs_once_after_those_that_it_needs(
    graph: dict[str, Any], calls: list[str]
) -> None:
    (last,) = graphs.get(graph, ["last"])
    assert last == ("last", [[[[1], "absent"]], [[[1], "absent"], "t"]])
    assert calls == ["first", "left", "right", "last"]


def test_each_target_has_its_result(graph: dict[str, Any], calls: list[str]) -> None:
    results = dict(graphs.get(graph, ["right", "first"]))
    assert results == {"right": [[[1], "absent"], "t"], "first": [[1], "absent"]}
    assert calls == ["first", "right"]


def test_an_error_of_a_node_ends_the_run(graph: dict[str, Any], calls: list[str]) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a component")

    graph["left"] = (fail, "first")
    with pytest.raises(RuntimeError, match="a component"):
        graphs.get(graph, ["last"])
    assert calls == ["first"]


def test_an_unknown_target_is_an_error(graph: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        graphs.get(graph, ["nowhere"])


def test_rasas_runner_uses_it() -> None:
    runner = SimpleNamespace(dask=SimpleNamespace(get=None))
    graphs.run_directly(runner)
    assert runner.dask.get is graphs.get
