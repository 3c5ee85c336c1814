"""The last link learns on under int8 rounding."""
