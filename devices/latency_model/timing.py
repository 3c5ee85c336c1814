"""Networks timed in rounds: each has its turn, then all again, so that a disturbance meets few of a network's turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from weckd_edge.core.errors import ConfigError

ROUND_NS = 200_000_000
"""About how long a turn lasts."""

QUERIES = (6, 40)
"""Fewest and most queries of a turn."""


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
    """Time networks; every turn opens its network anew, so that one is in memory at a time.

    Args:
        networks: What opens each, and the input it answers.
        rounds: Turns of each, at least 3.
        clock: Nanoseconds.

    Yields:
        The network's place and the median of a turn's queries, nanoseconds, turn by turn.

    Raises:
        ConfigError: Too few rounds.
    """
    if rounds < 3:
        raise ConfigError(
            f"rounds = {rounds}: expected 3 or more, as the spread of a time is told from them", code="E_CONFIG_RANGE"
        )
    for _ in range(rounds):
        for place, (opener, image) in enumerate(networks):
            runner = opener()
            try:
                yield place, time_round(runner, image, clock)
            finally:
                runner.close()


def time_round(runner: OpenNetwork, image: NDArray[Any], clock: Callable[[], int] = time.monotonic_ns) -> int:
    """Return the median of a few queries, nanoseconds, after three that are not counted."""
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


def summarise_rounds(medians_ns: Sequence[int]) -> tuple[int, float]:
    """Return the lowest of the turns' medians, nanoseconds: the turn that was disturbed least; and their spread.

    The spread is the interquartile range of the medians over the middle one.
    """
    low, middle, high = statistics.quantiles(medians_ns, n=4)
    return min(medians_ns), (high - low) / middle
