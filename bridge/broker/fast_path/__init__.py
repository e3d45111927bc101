"""The fast path: publishes and consumes on a connection's transport, beside aiormq.

aio_pika opens, declares, watches and closes. Only frames that exist once or more per message
(publish, confirm, return, deliver, ack) pass here, because each costs aiormq a task or several
passes of the event loop.
"""
