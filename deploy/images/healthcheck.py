"""Check a role's health: `python healthcheck.py URL` exits with 0 or 1. Standard library only.

URL is a role's /readyz: on the webhook's port, or on the metrics port of any role.
"""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

try:
    urlopen(sys.argv[1], timeout=5).close()
except HTTPError as error:
    sys.exit(f"{error.code}: {error.read().decode(errors='replace').strip()}")
except OSError as error:
    sys.exit(f"no answer: {error}")
