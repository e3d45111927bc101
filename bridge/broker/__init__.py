"""The home of aio_pika: connections, channels, topology. Knows nothing of what a message means."""
