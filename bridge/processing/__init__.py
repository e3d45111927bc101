"""A delivery until it is settled: lanes, admission, attempts, quarantine."""
