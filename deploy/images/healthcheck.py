"""Check a role's health: `python healthcheck.py URL` exits with 0 or 1. Standard library only.

URL is the webhook's /readyz, or another role's /metrics, which must show every connection as up.
"""

import sys
from urllib.request import urlopen

url = sys.argv[1]
with urlopen(url, timeout=5) as response:  # raises HTTPError on a 503
    lines = response.read().decode().splitlines()
connected = [line for line in lines if line.startswith("rasa_bridge_connected{")]
if url.endswith("/metrics") and not connected:
    sys.exit("not started yet")
down = [line for line in connected if not line.endswith(" 1.0")]
sys.exit(f"not connected: {down}" if down else 0)
