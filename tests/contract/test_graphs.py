"""Rasa's runner returns with our `get` what it returns with dask's."""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import Any

import pytest

from worker import compat, graphs

pytestmark = pytest.mark.skipif(compat.IS_PRO, reason="rasa-pro runs its graph without dask")


class Doubling:
    """A component of a graph."""

    @classmethod
    def create(cls, **_: Any) -> Doubling:
        return cls()

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        return {}

    def double(self, messages: list[int]) -> list[int]:
        return [2 * message for message in messages]

    def add(self, messages: list[int], more: list[int]) -> list[int]:
        return [sum(pair) for pair in zip(messages, more, strict=True)]


def a_runner() -> Any:
    graph = importlib.import_module("rasa.engine.graph")
    runner = importlib.import_module("rasa.engine.runner.dask")

    def node(fn: str, **needs: str) -> Any:
        return graph.SchemaNode(
            needs=needs, uses=Doubling, constructor_name="create", fn=fn, config={}, eager=True
        )

    schema = graph.GraphSchema(
        {
            "twice": node("double", messages="__message__"),
            "fourfold": node("double", messages="twice"),
            "sum": node("add", messages="fourfold", more="twice"),
            "unused": node("double", messages="sum"),
        }
    )
    context = graph.ExecutionContext(graph_schema=schema)
    return runner.DaskGraphRunner(schema, None, context)


def test_a_run_has_the_same_results(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("rasa.engine.runner.dask")
    dask = importlib.import_module("dask")
    results = []
    for get in dask.get, graphs.get:
        monkeypatch.setattr(module, "dask", type("Dask", (), {"get": staticmethod(get)}))
        run = a_runner().run
        results.append(run(inputs={"__message__": [1, 2]}, targets=["sum", "twice"]))
    assert results == [{"sum": [6, 12], "twice": [2, 4]}] * 2


def test_rasa_uses_dask_for_nothing_else() -> None:
    module = importlib.import_module("rasa.engine.runner.dask")
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "dask"
    }
    assert used == {"get"}
