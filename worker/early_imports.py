"""Imports that are much cheaper before rasa's."""

from __future__ import annotations

import tarfile
import zlib
from contextlib import suppress
from pathlib import Path


def import_skops(model: str) -> None:
    """Import `skops` if the newest model in a folder, or the model at a path, was saved with it.

    Rasa's classifiers of scikit-learn import it as they load. The import looks up hundreds of types
    in all modules that are there (`skops.io._utils.whichmodule`), and after rasa's 3,000 it takes
    four times as long: several seconds of each start.
    """
    path = Path(model)
    if path.is_dir():
        path = max(path.glob("*.tar.gz"), key=lambda file: file.stat().st_ctime, default=path)
    # Rasa reports a file that is no model.
    with suppress(OSError, EOFError, tarfile.TarError, zlib.error):
        with tarfile.open(path, "r|gz") as archive:
            needed = any(member.name.endswith(".skops") for member in archive)
        if needed:
            with suppress(ImportError):
                import skops.io  # noqa: F401
