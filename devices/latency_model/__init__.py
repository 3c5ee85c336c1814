"""Estimated latency of a network on a device that is not attached: counts of its layers, fitted prices, intervals."""
