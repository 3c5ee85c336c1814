"""Many trainings compared: studies and the search for settings."""
