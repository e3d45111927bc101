"""RabbitMQ's management API, where it can be reached: what the broker itself knows of the queues.

https://www.rabbitmq.com/docs/http-api-reference; its numbers are up to five seconds old.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple
from urllib.parse import quote

from yarl import URL

from bridge.broker.topology import Depth
from bridge.errors import DeliveryError
from bridge.http.client import HttpClient

DEFAULT_PORT = {"amqp": 15672, "amqps": 15671}
PAGE = 500
"""Queues asked for at a time: the most that the API gives."""
TIMEOUT = 3.0
"""Seconds that it has to answer."""
RETRY = 30.0
"""Seconds after which an API that did not answer is asked again."""


def default_url(amqp_url: str) -> str:
    """Return where the API of a broker is by default."""
    url = URL(amqp_url)
    scheme = "https" if url.scheme == "amqps" else "http"
    return str(URL.build(scheme=scheme, host=url.host or "", port=DEFAULT_PORT[url.scheme]))


class Answer(NamedTuple):
    depths: dict[str, Depth]
    """Queue → depth."""
    alarms: list[str]
    """What is wrong with the broker's nodes."""


class Management:
    """Asks the API as the broker's user, who needs the tag `monitoring`."""

    def __init__(self, http: HttpClient, url: str, amqp_url: str) -> None:
        broker = URL(amqp_url)
        self._http = http
        self._url = url.rstrip("/")
        self._vhost = quote(vhost_of(amqp_url), safe="")
        self._user = broker.user or "guest", broker.password or "guest"
        self._not_before = 0.0
        self.problem = ""
        """Why it gave no answer, if it gave none."""

    async def ask(self, prefix: str) -> Answer | None:
        """Return what it says of the queues whose name begins so; None while it cannot be asked."""
        if time.monotonic() < self._not_before:
            return None
        try:
            answer = Answer(await self._depths(prefix), await self._alarms())
        except DeliveryError as error:
            self.problem = str(error)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.problem = "its answer is not that of RabbitMQ's API"
        else:
            self.problem = ""
            return answer
        self._not_before = time.monotonic() + RETRY
        return None

    async def _depths(self, prefix: str) -> dict[str, Depth]:
        found: dict[str, Depth] = {}
        page, pages = 0, 1
        while page < pages:
            page += 1
            columns = "name,messages_ready,messages_unacknowledged,consumers"
            path = f"/api/queues/{self._vhost}?page={page}&page_size={PAGE}&columns={columns}"
            answer = await self._get(f"{path}&use_regex=false&name={quote(prefix, safe='')}")
            pages = int(answer["page_count"])
            for queue in answer["items"]:
                # A queue that was declared a moment ago has no numbers yet.
                if queue["name"].startswith(prefix) and "messages_ready" in queue:
                    found[queue["name"]] = Depth(
                        int(queue["messages_ready"]),
                        int(queue["consumers"]),
                        int(queue["messages_unacknowledged"]),
                    )
        return found

    async def _alarms(self) -> list[str]:
        nodes = await self._get("/api/nodes?columns=name,running,mem_alarm,disk_free_alarm")
        alarms = []
        for node in nodes:
            if not node["running"]:
                alarms.append(f"node {node['name']} does not run")
            if node.get("mem_alarm"):
                alarms.append(f"node {node['name']} is out of memory: publishers are blocked")
            if node.get("disk_free_alarm"):
                alarms.append(f"node {node['name']} is out of disk: publishers are blocked")
        return alarms

    async def _get(self, path: str) -> Any:
        return (await self._http.get(self._url + path, basic_auth=self._user)).json()


def vhost_of(amqp_url: str) -> str:
    """Return the virtual host that an AMQP URL names; `/` if it names none."""
    path = URL(amqp_url).path
    return path[1:] if len(path) > 1 else "/"
