"""The connector of docs/how-to/custom-connector.md; a test keeps the two identical."""

from bridge import Connector, HttpClient, InboundMessage, Reply, Request, RequestRejected


class MyIO(Connector):
    name = "myio"

    def __init__(self, username: str, url: str) -> None:
        self.username = username
        self.url = url

    def parse(self, request: Request) -> list[InboundMessage]:
        body = request.json_object()
        sender, text = body.get("sender"), body.get("message")
        if not sender or not text:
            raise RequestRejected(400, "send 'sender' and 'message'")
        return [self.message(request, sender_id=sender, text=text, metadata=body.get("metadata"))]

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        text = reply.text or reply.content
        body = {"to": reply.recipient_id, "from": self.username, "text": text}
        await http.post_json(self.url, body)
