"""Finds, replays and purges dead letters."""
