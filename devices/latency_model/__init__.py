"""What a network would take on a device that is not attached: counts of its layers, a fitted model, and intervals."""
