"""The custom connector of the README, as the demo serves it."""

from bridge import Connector, InboundMessage, Reply, Request, RequestRejected


class MyIO(Connector):
    name = "myio"

    def __init__(self, username: str, url: str) -> None:
        self.username = username
        self.url = url

    def parse(self, request: Request) -> list[InboundMessage]:
        body = request.json_object()
        if not body.get("sender") or not body.get("message"):
            raise RequestRejected(400, "send 'sender' and 'message'")
        return [
            self.message(
                request,
                sender_id=body["sender"],
                text=body["message"],
                metadata=body.get("metadata"),
            )
        ]

    async def deliver(self, reply: Reply, http) -> None:
        await http.post_json(
            self.url,
            {"to": reply.recipient_id, "from": self.username, "text": reply.text or reply.content},
        )
