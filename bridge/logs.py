"""Logging of every role: one line an event, with ids; never a text, a credential, a signature."""

from __future__ import annotations

import logging
import sys

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
