"""The acceptance tests need rasa: without it they are not collected."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("rasa") is None:
    collect_ignore_glob = ["*"]
