"""URLs with another heartbeat."""

from __future__ import annotations

from bridge.broker.url import beating, longest_heartbeat


def test_the_heartbeat_of_every_url_is_replaced() -> None:
    urls = ("amqp://u:p%2F@a:1/%2F?heartbeat=60&cafile=x", "amqp://b/")
    assert longest_heartbeat(beating(urls, 1)) == 1
    assert beating(urls, 1) == (
        "amqp://u:p%2F@a:1/%2F?heartbeat=1&cafile=x",
        "amqp://b/?heartbeat=1",
    )


def test_a_malformed_url_stays_as_it_is() -> None:
    assert beating("amqp://[", 1) == ("amqp://[",)
