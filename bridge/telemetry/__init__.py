"""Logs, metrics and process reports."""
