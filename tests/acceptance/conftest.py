"""Acceptance tests with a real assistant need rasa: without it they are not collected."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("rasa") is None:
    collect_ignore = [
        "channels.py",
        "test_assistant.py",
        "test_demo.py",
        "rasa_channels.py",
        "test_hosted.py",
        "test_parity.py",
        "test_worker.py",
        "test_wrapped.py",
    ]
