"""The webhook process on the broker: publisher, private queue, events for sockets."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.broker.presence import WEBHOOKS
from bridge.broker.receipts import ReceiptQueue
from bridge.broker.relay import RelayReceiver
from bridge.connectors.registry import Channel
from bridge.node import Node
from bridge.settings.files import BrokerSettings
from bridge.webhook.collect import ReplyCollector
from bridge.webhook.inbox import QueueInbox
from bridge.webhook.receipts import QueueReceipts


class WebhookNode(Node):
    """A node with the inbox that its channels put their messages into."""

    def __init__(
        self, broker: BrokerSettings, channels: Mapping[str, Channel], *, api: bool = False
    ) -> None:
        """With `api`, calls of Rasa's HTTP API are collected as well."""
        super().__init__("webhook", broker, broker.topology_of(channels.values()))
        self.show_presence(WEBHOOKS)
        collector = ReplyCollector(self.url, f"{self.name} replies", self.topology)
        if api or any(channel.connector.collects for channel in channels.values()):
            self.add(collector.link)
        for channel in channels.values():
            if channel.has_sockets:
                answer = self.publisher.unconfirmed.publish
                receiver = RelayReceiver(self.url, self.name, self.topology, channel.name, answer)
                channel.connector.receiver = receiver
                self.add(receiver)
            if channel.joins_receipts:
                channel.connector.receipts = QueueReceipts(
                    ReceiptQueue(self.publisher, self.topology, channel.name)
                )
        self.inbox = QueueInbox(
            self.queues, collector, {name: channel.connector for name, channel in channels.items()}
        )
