"""What happens between the moment that is granted and the call: the process stands still, or the
broker takes the reply back."""

from __future__ import annotations

import asyncio

import pytest

from bridge.connectors.limits import RateLimit
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.delivery.grants import Grants
from bridge.delivery.pacer import Grant, late
from bridge.http.client import HttpClient
from bridge.messages import Reply
from bridge.processing.outcomes import Drained
from bridge.runtime.work import Work, working
from tests.support.fakes import a_reply
from tests.support.virtual_time import run_virtually

LIMIT = RateLimit(10, 1)


class Clock:
    """The time of the loop, and that for which the process stood still."""

    def __init__(self) -> None:
        self.still = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.still


class Asked:
    """Grants, and how often they asked for more."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.number = 0
        self.grants = Grants("x", LIMIT, self.ask, lambda: 0.0, lambda: False, self.clock)

    def ask(self, number: int, calls: int, alarm: int, lease: float) -> None:
        self.number = number

    def grant(self) -> None:
        """Grant a call for now."""
        time = self.clock()
        answer = Grant(number=self.number, pacer="p", asked_at=time, at=time, moments=[0.0])
        self.grants.granted(answer)


async def waiting(asked: Asked) -> asyncio.Future[float]:
    call = asyncio.ensure_future(asked.grants.take())
    while not asked.number:
        await asyncio.sleep(0)
    return call


def test_a_moment_is_lost_if_the_process_stands_still_before_its_call() -> None:
    async def main() -> None:
        asked = Asked()
        call = await waiting(asked)
        asked.grant()
        asked.clock.still += 2 * late(LIMIT)
        await asyncio.sleep(0.01)
        assert not call.done()
        asked.grant()
        await call

    run_virtually(main())


class Connector:
    """Counts its calls."""

    calls = 0

    def unprefixed(self, reply: Reply) -> Reply:
        return reply

    def split(self, reply: Reply) -> list[Reply]:
        return [reply]

    async def deliver(self, part: Reply, http: object) -> None:
        self.calls += 1


@pytest.mark.parametrize("is_current", [True, False])
def test_a_reply_that_was_returned_while_it_waited_is_not_sent(is_current: bool) -> None:
    async def main() -> None:
        asked, connector = Asked(), Connector()
        returned = False
        async with HttpClient() as http:
            dispatcher = Dispatcher(connector, http, CircuitBreaker("x"))  # type: ignore[arg-type]
            dispatcher.limit(asked.grants)

            async def deliver() -> None:
                with working(Work("x", is_current=lambda: not returned)):
                    await dispatcher.deliver(a_reply("1:0"))

            delivering = asyncio.ensure_future(deliver())
            while not asked.number and not delivering.done():
                await asyncio.sleep(0)
            returned = not is_current
            asked.grant()
            [result] = await asyncio.gather(delivering, return_exceptions=True)
            assert isinstance(result, Drained) is not is_current
            assert connector.calls == is_current

    run_virtually(main())
