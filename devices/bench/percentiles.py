"""Percentiles of raw times, by nearest rank."""

from __future__ import annotations

from collections.abc import Sequence

from weckd_edge.artifacts import Latency


def summarize_latency(samples_ns: Sequence[int]) -> Latency:
    """Return the percentiles of raw times, by nearest rank, so that each is a time that was measured."""
    ordered = sorted(samples_ns)
    median = nearest_rank(ordered, 50)
    spread = (nearest_rank(ordered, 75) - nearest_rank(ordered, 25)) / median if median else 0.0
    return Latency(
        samples_ns=tuple(samples_ns),
        p50_ns=median,
        p90_ns=nearest_rank(ordered, 90),
        p99_ns=nearest_rank(ordered, 99),
        iqr_over_median=spread,
    )


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """Return the smallest value that at least ``percent`` of the sorted values do not exceed."""
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]
