"""What everything else stands on: errors, the store, JSON records, progress, optional imports."""
