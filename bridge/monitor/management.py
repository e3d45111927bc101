"""Client of RabbitMQ's management API: unacknowledged counts, node alarms and bindings.

https://www.rabbitmq.com/docs/http-api-reference. Its numbers are up to five seconds old.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from yarl import URL

from bridge.broker.topology import Depth, Queue
from bridge.broker.url import Urls, each, virtual_host
from bridge.errors import DeliveryError
from bridge.http.client import HttpClient

DEFAULT_PORT = {"amqp": 15672, "amqps": 15671}
PAGE = 500
"""Queues per request, the API's maximum."""
TIMEOUT = 3.0
"""Seconds for one request."""
NOT_FOUND = 404
RETRY = 30.0
"""Seconds between a failed request and the next one."""
BLOCKED = "publishers are blocked, so webhooks answer 503 and no process can report"


def default_url(urls: Urls) -> str:
    """Return the default URL of a broker's API; with several nodes, that of the first."""
    url = URL(each(urls)[0])
    scheme = "https" if url.scheme == "amqps" else "http"
    return str(URL.build(scheme=scheme, host=url.host or "", port=DEFAULT_PORT[url.scheme]))


class Answer(NamedTuple):
    depths: dict[str, Depth]
    """Queue → depth."""
    alarms: list[str]
    """Problems of the broker's nodes, one line each."""
    bindings: set[tuple[str, str, str]]
    """(Exchange, routing key, queue) of each binding."""

    def refined(self, depths: Mapping[str, Depth]) -> dict[str, Depth]:
        """Return depths with the number of unacked messages, where the API knows it."""
        return {
            name: depth._replace(unacked=self.depths[name].unacked)
            if name in self.depths
            else depth
            for name, depth in depths.items()
        }

    def unbound(self, queues: Iterable[Queue]) -> list[str]:
        """Return the names of the queues that exist without their binding."""
        return [
            queue.name
            for queue in queues
            if queue.name in self.depths
            and (queue.exchange, queue.routing_key, queue.name) not in self.bindings
        ]


class Management:
    """Queries the API as the user of the AMQP URL, who needs the tag `monitoring`."""

    def __init__(self, http: HttpClient, url: str | None, amqp_url: Urls) -> None:
        """`url` is that of the API; None means `default_url(amqp_url)`."""
        broker = URL(each(amqp_url)[0])
        self._http = http
        self._url = (url or default_url(amqp_url)).rstrip("/")
        self._vhost = quote(virtual_host(amqp_url), safe="")
        self._user = broker.user or "guest", broker.password or "guest"
        self._not_before = 0.0
        self._known = ""
        self.problem = ""
        """Why the latest request failed; empty if it succeeded."""

    async def ask(self, prefix: str, known: str = "") -> Answer | None:
        """Return the queues whose names start with `prefix`, and all alarms; None on failure.

        `known` is a queue of this broker that no other one has. The default URL is a guess, and a
        second broker of the same machine may answer there, with queues of the same names.
        """
        if time.monotonic() < self._not_before:
            return None
        try:
            if known != self._known:
                await self._get(f"/api/queues/{self._vhost}/{quote(known, safe='')}?columns=name")
                self._known = known
            answer = Answer(
                await self._depths(prefix), await self._alarms(), await self._bindings(prefix)
            )
        except DeliveryError as error:
            is_other = error.status == NOT_FOUND and known != self._known
            self.problem = "the API is that of another broker" if is_other else str(error)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.problem = "the answer is not one of RabbitMQ's management API"
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
                # A newly declared queue has no numbers yet.
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
                alarms.append(f"node {node['name']} is not running")
            if node.get("mem_alarm"):
                alarms.append(f"node {node['name']} has a memory alarm: {BLOCKED}")
            if node.get("disk_free_alarm"):
                alarms.append(f"node {node['name']} has a disk alarm: {BLOCKED}")
        return alarms

    async def _bindings(self, prefix: str) -> set[tuple[str, str, str]]:
        columns = "source,routing_key,destination"
        bindings = await self._get(f"/api/bindings/{self._vhost}?columns={columns}")
        return {
            (binding["source"], binding["routing_key"], binding["destination"])
            for binding in bindings
            if binding["source"].startswith(prefix)
        }

    async def _get(self, path: str) -> Any:
        return (await self._http.get(self._url + path, basic_auth=self._user)).json()
