"""Load generators, the loops that send queries and time them, and the rules that say when a run has lasted long enough."""
