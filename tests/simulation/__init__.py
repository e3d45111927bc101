"""A deterministic simulator: the real core under seeded schedules (docs/explanation/simulation.md)."""
