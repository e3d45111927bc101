"""The simulator: the real core under seeded schedules; see docs/explanation/simulation.md."""
