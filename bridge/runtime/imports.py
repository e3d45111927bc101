"""Where modules are imported from: our packages from their own folder, users' from theirs.

`bridge` and `worker` are short names, and a user's folder may hold a `bridge.py` or a `worker/`.
Python looks a package up once, so a package that is already imported cannot be shadowed.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec

from bridge.errors import SettingsError

OURS = ("bridge", "worker")
HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folder that holds our packages."""


def claim_names() -> None:
    """Import `worker` from beside `bridge`, whatever else on sys.path has that name."""
    spec = PathFinder.find_spec("worker", [HOME])
    if "worker" in sys.modules or spec is None or spec.loader is None:
        return
    sys.modules["worker"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["worker"])


def add_working_directory() -> None:
    """Let users' modules be imported from the working directory, as `rasa run` does."""
    # asyncio imports it late, and with it `queue`: a user's `queue.py` must not be taken for it.
    import concurrent.futures.thread  # noqa: F401

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def refuse_missing_rasa(why: object = "") -> None:
    """Explain why rasa is not there, if it is not: an extra installs none on the wrong Python.

    `why` says so if rasa is installed, but cannot be imported.

    Raises:
        SettingsError: this Python has no rasa, or `why` is given.
    """
    if not why and find_spec("rasa") is not None:
        return
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    extra = "rasa" if sys.version_info < (3, 11) else "rasa-pro"
    if why:
        problem = f"rasa cannot be imported ({why})"
    elif extra == "rasa":
        problem = "rasa is not installed"
    else:
        problem = f"rasa is not installed: rasa 3.6 exists for Python 3.10, and this is {version}"
    raise SettingsError(
        problem,
        fix=f"run: pip install 'rasa-channel-bridge[{extra}]'"
        + (", or [rasa] in an environment of Python 3.10" if extra == "rasa-pro" else "")
        + "; or use --handler or --rasa-url",
    )


def refuse_shadowed(module: str, where: str = "") -> None:
    """Explain why a user's module was not imported, if its name is one of ours.

    `module` may be dotted; `where` is put in front of the message.

    Raises:
        SettingsError: `module` names one of our packages, and a user's file has the same name.
    """
    name = module.partition(".")[0]
    theirs = _user_file(name) if name in OURS else None
    if theirs is None:
        return
    raise SettingsError(
        f"{where}'{name}' is a package of rasa-channel-bridge, which hides your {theirs}",
        fix=f"rename {theirs}, for example to my_{theirs}",
    )


def where_failed(error: BaseException) -> str:
    """Return one line that says what a user's code raised, and where."""
    import traceback  # seldom needed, and not cheap

    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {text}"
    line = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({os.path.basename(line.filename)}:{line.lineno})"


def _user_file(name: str) -> str | None:
    """Return the file or folder called `name` that our package of that name shadows."""
    ours = os.path.join(HOME, name)
    for folder in [os.getcwd(), *sys.path]:
        for found in (f"{name}.py", name):
            path = os.path.join(folder, found)
            if os.path.exists(path) and not os.path.samefile(path, ours):
                return found if found.endswith(".py") else f"{found}/"
    return None
