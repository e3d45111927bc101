"""A process's life: signals, supervision, child processes, retry schedules, durations."""
