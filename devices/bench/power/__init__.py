"""Power sources, one file a kind, and the energy of a run from their readings."""
