"""What a client of Socket.IO can send; the event names are those of the keys' defaults."""

from bridge.connectors.toolkit.events import Kinds

KINDS = Kinds(turn=("user_uttered",), answered=("connect", "session_request", "disconnect"))
