"""Dead letters: why a message was set aside, how to find it, how to replay it."""
