"""Logging of every role: one line an event, with ids; never a text, a credential, a signature."""

from __future__ import annotations

import logging
import sys
import traceback

from bridge.errors import BridgeError

LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


def configure(role: str, level: int = logging.INFO) -> None:
    """Log to stderr; libraries only from WARNING up, since some of them log whole messages."""
    logging.basicConfig(
        level=logging.WARNING,
        format=f"%(asctime)s %(levelname)-7s {role}: %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
    for ours in ("bridge", "worker"):
        logging.getLogger(ours).setLevel(level)
    # Both report each lost connection with a traceback; our links say it in one line.
    for noisy in ("aiormq", "aio_pika"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def described(error: Exception) -> str:
    """Class and, for our own errors, text: a foreign error's text may quote a message's."""
    if isinstance(error, BridgeError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def frames(error: Exception) -> str:
    """Where a foreign error was raised, without its text, for the log of a last attempt."""
    if isinstance(error, BridgeError):
        return ""
    return "\n" + "".join(traceback.format_tb(error.__traceback__)).rstrip()
