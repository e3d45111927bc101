"""What an operator sees of the queues: depth, oldest age, rates, consumers, dead letters."""
