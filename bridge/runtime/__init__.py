"""The life of a process: signals, shutdown, child processes, retry schedules, durations."""
