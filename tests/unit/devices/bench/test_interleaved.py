"""Models timed in turn."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.interleaved import time_interleaved

FRAME = [np.zeros((1, 2, 2, 3), dtype=np.uint8)]


class Sleeper:
    """Takes a known time, and writes down when it was asked."""

    def __init__(self, name: str, seconds: float, log: list[str]) -> None:
        self.name, self.seconds, self.log = name, seconds, log

    def run(self, frame: Any) -> None:
        self.log.append(self.name)
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            pass


def test_models_take_turns_and_ratios_are_to_the_first() -> None:
    log: list[str] = []
    one, two = time_interleaved([Sleeper("a", 1e-4, log), Sleeper("b", 3e-4, log)], FRAME, rounds=8, queries=3)
    assert log == ["a"] * 3 + ["b"] * 3 + (["a"] * 3 + ["b"] * 3) * 8
    assert one.relative == 1.0
    assert two.low <= two.relative <= two.high
    assert two.relative > 1.5, "three times the work"
    assert one.median_ns >= 100_000


@pytest.mark.parametrize(("count", "frames", "rounds"), [(0, FRAME, 8), (1, [], 8), (1, FRAME, 3)])
def test_interleaved_timing_without_models_frames_or_rounds_is_refused(count: int, frames: list[Any], rounds: int) -> None:
    with raises(ConfigError, "E_CONFIG_RANGE"):
        time_interleaved([Sleeper("a", 0, [])] * count, frames, rounds=rounds)
