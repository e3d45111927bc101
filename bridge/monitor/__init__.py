"""What an operator sees: depth, oldest age, rates, consumers, dead letters."""
