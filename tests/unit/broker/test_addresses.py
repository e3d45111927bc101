"""Connections to an address verify the host name. The rest: integration/test_several_brokers."""

from __future__ import annotations

import ssl

from yarl import URL

from bridge.broker.addresses import _tls_context
from bridge.broker.url import safe_url, virtual_host


def test_a_connection_to_an_address_verifies_the_host_name_of_the_url() -> None:
    context = _tls_context(URL("amqps://u:p@broker.example:5671/"))
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    side = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="10.0.0.1")
    assert side.server_hostname == "broker.example"


def test_verification_can_be_turned_off_as_in_aiormq() -> None:
    context = _tls_context(URL("amqps://u:p@broker.example:5671/?no_verify_ssl=1"))
    assert context.verify_mode == ssl.CERT_NONE


def test_several_urls_are_shown_without_passwords() -> None:
    urls = ("amqp://u:secret@a:5672/v", "amqp://u:secret@b:5672/v?heartbeat=5")
    assert safe_url(urls) == "amqp://u@a:5672/v, amqp://u@b:5672/v"
    assert virtual_host(urls) == "v"
