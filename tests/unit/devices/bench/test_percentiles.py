"""Times of queries are summed up by the nearest rank, and kept as they were measured."""

from collections.abc import Iterable

import numpy as np
import pytest

from weckd_edge.devices.bench.percentiles import nearest_rank, summarize_latency


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        (range(1, 101), 50, 50),
        (range(1, 101), 90, 90),
        (range(1, 101), 99, 99),
        (range(1, 102), 50, 51),
        (range(1, 102), 99, 100),
        ([15, 20, 35, 40, 50], 5, 15),
        ([15, 20, 35, 40, 50], 30, 20),
        ([15, 20, 35, 40, 50], 40, 20),
        ([15, 20, 35, 40, 50], 50, 35),
        ([15, 20, 35, 40, 50], 100, 50),
        ([8], 50, 8),
        ([8], 99, 8),
        ([8], 0, 8),
        (range(1, 11), 99, 10),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: Iterable[int], percent: int, expected: int) -> None:
    assert nearest_rank(list(values), percent) == expected


def test_a_percentile_is_always_a_time_that_was_measured() -> None:
    samples = [int(x) for x in np.random.default_rng(0).integers(1, 10**9, 77)]
    found = summarize_latency(samples)
    assert {found.p50_ns, found.p90_ns, found.p99_ns} <= set(samples)
    assert found.p50_ns <= found.p90_ns <= found.p99_ns


def test_the_summary_keeps_the_raw_times_in_their_order() -> None:
    found = summarize_latency([40, 10, 30, 20])
    assert found.samples_ns == (40, 10, 30, 20)
    assert (found.p50_ns, found.p90_ns, found.iqr_over_median) == (20, 40, (30 - 10) / 20)


def test_times_that_a_coarse_clock_calls_nought_have_no_spread() -> None:
    assert summarize_latency([0, 0, 0]).iqr_over_median == 0.0
