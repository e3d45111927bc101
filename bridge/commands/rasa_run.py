"""Options of `rasa run`, with its names."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from bridge.commands.rasa_line import LIST
from bridge.commands.values import FILE, Channel, Seconds
from bridge.errors import SettingsError

F = TypeVar("F", bound=Callable[..., Any])

SSL_PASSWORD = "RASA_BRIDGE_SSL_PASSWORD"  # noqa: S105 - the name of a variable
"""Environment variable of --ssl-password; other users cannot see it, unlike a command line."""


def words(given: Mapping[str, Any]) -> list[str]:
    """Return options as the words of a command line; those without a value are left out."""
    line: list[str] = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and one is not False:
                line += [option] if one is True else [option, str(one)]
    return line


def ignored(option: str, instead: str) -> Callable[[F], F]:
    """Accept an option of `rasa run` that has no effect here; say what to do instead."""

    def note(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None:
            click.secho(f"rasa-bridge: {option} has no effect: {instead}", fg="yellow", err=True)

    return click.option(
        option,
        metavar="VALUE",
        expose_value=False,
        is_eager=True,
        callback=note,
        help=f"Accepted, but without effect: {instead}.",
    )


connector = click.option(
    "--connector",
    type=Channel(),
    metavar="CHANNEL",
    help="Use this channel of the credentials file only.  [default: all]",
)


def serving(command: F) -> F:
    """Add the options of the server; the command receives them as the mapping `serving`."""
    names = ["cors", "ssl_certificate", "ssl_keyfile", "ssl_ca_file", "response_timeout"]

    def keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is not None:
            os.environ[SSL_PASSWORD] = value

    @click.option(
        LIST,
        multiple=True,
        metavar="ORIGIN…",
        help="Let pages of these origins use the webhooks; * for all.  [default: bridge.cors]",
    )
    @click.option(
        "--ssl-certificate",
        type=FILE,
        metavar="FILE",
        help="Serve HTTPS with this certificate (PEM, with its chain).",
    )
    @click.option(
        "--ssl-keyfile", type=FILE, metavar="FILE", help="Private key of the certificate."
    )
    @click.option(
        "--ssl-ca-file",
        type=FILE,
        metavar="FILE",
        help="Certificates of the authorities to trust.  [default: those of the system]",
    )
    @click.option(
        "--ssl-password",
        metavar="TEXT",
        envvar=SSL_PASSWORD,
        show_envvar=True,
        expose_value=False,
        callback=keep,
        help="Password of the private key.",
    )
    @click.option(
        "--response-timeout",
        type=Seconds(min=0, min_open=True),
        metavar="SECONDS",
        help="How long a request may wait for its turn, in channels that answer in the response."
        " Their key 'timeout' takes precedence.  [default: 60]",
    )
    @ignored("--jwt-private-key", "the bridge checks tokens, and signs none")
    @ignored("--request-timeout", "a request's body must arrive within 15 seconds")
    @functools.wraps(command)
    def with_serving(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in names}
        return command(*args, serving=given, **kwargs)

    return with_serving  # type: ignore[return-value]


def model(command: F) -> F:
    """Add the options that name a model: the command receives `model` and `remote_storage`."""

    @click.option(
        "-m",
        "--model",
        type=FILE,
        metavar="PATH",
        default="models",
        show_default=True,
        help="Trained model: a file, or a folder whose newest model is used.",
    )
    @click.option(
        "--remote-storage",
        metavar="NAME",
        help="Fetch the model of that name from there, as Rasa does: aws, gcs, azure, or the"
        " module path of a class.",
    )
    @click.argument("model_too", type=FILE, metavar="[MODEL]", required=False)
    @functools.wraps(command)
    def with_model(*args: Any, model: str, model_too: str | None, **kwargs: Any) -> Any:
        if model_too == "actions" and not os.path.exists(model_too):
            raise SettingsError(
                "this command does not run the action server",
                fix="start it as before: rasa run actions",
            )
        return command(*args, model=model_too or model, **kwargs)

    return with_model  # type: ignore[return-value]
