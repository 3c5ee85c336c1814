"""Teachers from outside the chain: their soft labels, computed once and kept, and the gate before the long training."""
