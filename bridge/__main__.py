"""`python -m bridge` is `rasa-bridge`. Our processes start each other by the path of this file.

By its path, because `-m` searches the working directory first, and a user's folder may hold a
`bridge.py`. Until `bridge` is imported, only modules that Python has already loaded are safe here.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    # Python put this file's folder first, where our `http` hides the standard library's.
    del sys.path[0]

if "bridge" not in sys.modules:
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("bridge", [os.path.dirname(HERE)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules["bridge"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["bridge"])

from bridge.cli import main  # noqa: E402
from bridge.runtime.imports import claim_names  # noqa: E402

claim_names()

# A child that `multiprocessing` spawns, for example in a handler, imports this file again.
if __name__ == "__main__":
    main()
