"""Models timed in turn."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.interleaved import time_interleaved

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


@pytest.mark.parametrize(("count", "frames", "rounds"), [(0, FRAME, 8), (1, [], 8), (1, FRAME, 3)])
def test_interleaved_timing_without_models_frames_or_rounds_is_refused(count: int, frames: list[Any], rounds: int) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE"):
        time_interleaved([Worker("a", [0], Clock(), [])] * count, frames, rounds=rounds)
