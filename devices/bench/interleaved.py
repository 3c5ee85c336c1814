"""Several models timed in turn, so that whatever else the machine does slows them all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.runtime.backends.base import AnyRunner


@dataclass(frozen=True, kw_only=True, slots=True)
class InterleavedTiming:
    """Time of one model among several.

    Attributes:
        median_ns: Median over rounds of what counts of a round, nanoseconds: its fastest query, the one that was disturbed
            least, unless another was asked for.
        relative: Median over rounds of this model's time divided by the first model's in the same round.
        low: First quartile of those ratios.
        high: Third quartile.
    """

    median_ns: int
    relative: float
    low: float
    high: float


def time_interleaved(
    runners: Sequence[AnyRunner],
    frames: Sequence[NDArray[Any]],
    *,
    rounds: int = 24,
    queries: int = 8,
    warmup: int = 1,
    of_turn: Callable[[list[int]], float] = min,
    clock: Callable[[], int] = time.monotonic_ns,
) -> list[InterleavedTiming]:
    """Time models round by round: each runs a few frames, then the next one does.

    Args:
        runners: The models; the first is what the others are compared with.
        frames: Inputs as the runners take them, used in turn; the same ones for all models of a round.
        rounds: Number of turns of each model, at least 4.
        queries: Number of queries of a turn.
        warmup: Number of rounds before them that are not counted.
        of_turn: What counts of the times of a turn's queries, nanoseconds.
        clock: Monotonic clock, nanoseconds.

    Raises:
        ConfigError: No model, no frame, or too few rounds.
    """
    times = time_turns(runners, frames, rounds=rounds, queries=queries, warmup=warmup, of_turn=of_turn, clock=clock)
    return [_timing([row[0] for row in times], [row[k] for row in times]) for k in range(len(runners))]


def time_turns(
    runners: Sequence[AnyRunner],
    frames: Sequence[NDArray[Any]],
    *,
    rounds: int,
    queries: int,
    warmup: int,
    of_turn: Callable[[list[int]], float] = min,
    clock: Callable[[], int] = time.monotonic_ns,
) -> list[list[int]]:
    """Return for each round what counts of each model's turn, nanoseconds; arguments as ``time_interleaved``'s.

    Raises:
        ConfigError: No model, no frame, or too few rounds.
    """
    if not runners or not frames or rounds < 4 or queries < 1:
        raise ConfigError(
            f"expected models, frames and 4 rounds or more; got {len(runners)}, {len(frames)} and {rounds}",
            code="E_CONFIG_RANGE",
        )
    for index in range(warmup):
        for runner in runners:
            _time_turn(runner, frames, index * queries, queries, clock)
    collecting = gc.isenabled()
    gc.disable()
    try:
        return [
            [int(of_turn(_time_turn(runner, frames, index * queries, queries, clock))) for runner in runners]
            for index in range(rounds)
        ]
    finally:
        if collecting:
            gc.enable()


def _time_turn(
    runner: AnyRunner, frames: Sequence[NDArray[Any]], start: int, queries: int, clock: Callable[[], int]
) -> list[int]:
    times = []
    for index in range(queries):
        frame = frames[(start + index) % len(frames)]
        begun = clock()
        runner.run(frame)
        times.append(clock() - begun)
    return times


def _timing(first: Sequence[int], own: Sequence[int]) -> InterleavedTiming:
    ratios = sorted(mine / max(1, other) for mine, other in zip(own, first, strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4)
    return InterleavedTiming(median_ns=int(statistics.median(own)), relative=middle, low=low, high=high)


ROUND_NS = 200_000_000
"""Approximate duration of a turn of ``time_in_rounds``, nanoseconds."""

QUERIES = (6, 40)
"""Fewest and most queries of a turn of ``time_in_rounds``."""


class OpenNetwork(Protocol):
    """A network that is open and can be timed."""

    def run(self, frame: NDArray[Any], /) -> object:
        """Run one query."""

    def close(self) -> None:
        """Give its memory back."""


def time_in_rounds(
    networks: Sequence[tuple[Callable[[], OpenNetwork], NDArray[Any]]],
    *,
    rounds: int,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Iterator[tuple[int, int]]:
    """Time networks in turn; every turn opens its network anew, so that one is in memory at a time.

    Args:
        networks: A function that opens each network, and the input to run it on.
        rounds: Number of turns of each network, at least 3.
        clock: Monotonic clock, nanoseconds.

    Yields:
        Index of the network and median of a turn's queries, nanoseconds, turn by turn.

    Raises:
        ConfigError: Too few rounds.
    """
    if rounds < 3:
        raise ConfigError(
            f"rounds = {rounds}: expected 3 or more, as the spread of a time is taken from them", code="E_CONFIG_RANGE"
        )
    for _ in range(rounds):
        for place, (opener, image) in enumerate(networks):
            runner = opener()
            try:
                yield place, time_round(runner, image, clock)
            finally:
                runner.close()


def time_round(runner: OpenNetwork, image: NDArray[Any], clock: Callable[[], int] = time.monotonic_ns) -> int:
    """Return the median time of a few queries, nanoseconds, after three that are not counted."""
    for _ in range(2):
        runner.run(image)
    begun = clock()
    runner.run(image)
    one = max(1, clock() - begun)
    samples = []
    for _ in range(min(QUERIES[1], max(QUERIES[0], ROUND_NS // one))):
        begun = clock()
        runner.run(image)
        samples.append(clock() - begun)
    return round(statistics.median(samples))


def summarize_rounds(medians_ns: Sequence[int]) -> tuple[int, float]:
    """Return the lowest of the turns' medians, nanoseconds, which was disturbed least, and the spread of all.

    The spread is the interquartile range of the medians divided by their median.
    """
    low, middle, high = statistics.quantiles(medians_ns, n=4)
    return min(medians_ns), (high - low) / middle
