"""What `import bridge` offers."""

from __future__ import annotations

import inspect

import pytest

import bridge


@pytest.mark.parametrize("name", [name for name in bridge.__all__ if name != "QueueInput"])
def test_every_public_name_can_be_imported_and_is_documented(name: str) -> None:
    value = getattr(bridge, name)
    # Not isinstance: on Python 3.10 an alias such as `Handler` passes for a class.
    if issubclass(type(value), type) or inspect.isfunction(value):
        assert inspect.getdoc(value)


def test_the_list_of_names_and_their_homes_agree() -> None:
    assert sorted(bridge.__all__) == bridge.__all__
    assert set(bridge.__all__) == set(bridge._HOME_OF)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Conector'"):
        bridge.Conector  # noqa: B018
