"""The options of Rasa's HTTP API, named as in `rasa run`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

NAMES = ("auth_token", "jwt_secret", "jwt_method")


def api(command: F) -> F:
    """Add --enable-api and the options that authenticate its callers.

    The command receives them as `enable_api` and as `api`, a mapping of those that are given.
    """

    @click.option("--enable-api", is_flag=True, help="Also serve Rasa's HTTP API on the same port.")
    @click.option(
        "-t",
        "--auth-token",
        metavar="TOKEN",
        help="Token that callers of the API send as ?token=….  [default: none]",
    )
    @click.option(
        "--jwt-secret",
        metavar="KEY",
        help="Secret, or public key, that signs the JSON web tokens of callers of the API."
        "  [default: none]",
    )
    @click.option(
        "--jwt-method",
        metavar="ALGORITHM",
        help="Algorithm of these signatures.  [default: HS256]",
    )
    @functools.wraps(command)
    def with_api(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in NAMES}
        return command(*args, api=given, **kwargs)

    return with_api  # type: ignore[return-value]
