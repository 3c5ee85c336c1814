"""Models timed in turn."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.interleaved import summarize_rounds, time_in_rounds, time_interleaved

FRAME = [np.zeros((1, 2, 2, 3), dtype=np.uint8)]


class Clock:
    """Stands still but for what runners take."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class Worker:
    """Takes known times, one after another, and writes down when it was asked."""

    def __init__(self, name: str, times_ns: Iterable[int], clock: Clock, log: list[str]) -> None:
        self.name, self.times_ns, self.clock, self.log = name, cycle(times_ns), clock, log

    def run(self, frame: Any) -> None:
        self.log.append(self.name)
        self.clock.now_ns += next(self.times_ns)


def test_models_take_turns_and_ratios_are_to_the_first() -> None:
    log: list[str] = []
    clock = Clock()
    workers = [Worker("a", [100], clock, log), Worker("b", [300], clock, log)]
    one, two = time_interleaved(workers, FRAME, rounds=8, queries=3, clock=clock)
    assert log == ["a"] * 3 + ["b"] * 3 + (["a"] * 3 + ["b"] * 3) * 8
    assert (one.median_ns, one.relative, one.low, one.high) == (100, 1.0, 1.0, 1.0)
    assert (two.median_ns, two.relative, two.low, two.high) == (300, 3.0, 3.0, 3.0)


def test_of_each_turn_the_fastest_query_counts_and_of_all_turns_the_median() -> None:
    clock = Clock()
    slow_now_and_then = Worker("b", [400, 200, 900], clock, [])
    busy_round = [200] * 3 * 5 + [600] * 3 + [200] * 3 * 3
    one, two = time_interleaved(
        [slow_now_and_then, Worker("c", busy_round, clock, [])], FRAME, rounds=9, queries=3, warmup=0, clock=clock
    )
    assert (one.median_ns, two.median_ns) == (200, 200)
    assert (two.low, two.relative, two.high) == (1.0, 1.0, 1.0), "one round of nine was disturbed"


def test_of_each_turn_the_median_counts_where_it_is_asked_for() -> None:
    clock = Clock()
    (timing,) = time_interleaved(
        [Worker("b", [400, 200, 900], clock, [])],
        FRAME,
        rounds=4,
        queries=3,
        warmup=0,
        of_turn=statistics.median,
        clock=clock,
    )
    assert timing.median_ns == 400


@pytest.mark.parametrize(("count", "frames", "rounds"), [(0, FRAME, 8), (1, [], 8), (1, FRAME, 3)])
def test_interleaved_timing_without_models_frames_or_rounds_is_refused(count: int, frames: list[Any], rounds: int) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE"):
        time_interleaved([Worker("a", [0], Clock(), [])] * count, frames, rounds=rounds)


class Steady:
    """Takes a millisecond by a clock of its own; the first query of a turn ten."""

    def __init__(self, clock: list[int]) -> None:
        self.clock, self.queries, self.closed = clock, 0, False

    def run(self, frame: Any) -> None:
        self.clock[0] += 10_000_000 if self.queries == 0 else 1_000_000
        self.queries += 1

    def close(self) -> None:
        self.closed = True


def test_networks_take_turns_and_are_closed_after_each() -> None:
    clock, opened = [0], []

    def opener() -> Steady:
        opened.append(Steady(clock))
        return opened[-1]

    image = np.zeros(1)
    turns = list(time_in_rounds([(opener, image), (opener, image)], rounds=3, clock=lambda: clock[0]))
    assert turns == [(0, 1_000_000), (1, 1_000_000)] * 3
    assert all(runner.closed for runner in opened)
    with raises(ConfigError, "E_CONFIG_RANGE", says="3"):
        list(time_in_rounds([(opener, image)], rounds=2))


def test_a_time_is_that_of_the_least_disturbed_turn_with_the_spread_of_all() -> None:
    assert summarize_rounds([100, 100, 100]) == (100, 0.0)
    latency_ns, noise = summarize_rounds([110, 90, 100])
    assert latency_ns == 90
    assert noise == pytest.approx(0.2)
