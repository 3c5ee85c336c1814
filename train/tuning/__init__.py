"""Many trainings compared: studies of strategies, and tuning of settings."""
