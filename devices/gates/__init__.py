"""Gates: measured values against the limits of a build."""
