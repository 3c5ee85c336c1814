"""Compare two benches: is the second faster, slower, or is no difference shown?

Times that follow each other resemble each other, so that single times are not independent; whole blocks of them are drawn
again instead (moving blocks: Kuensch 1989, Annals of Statistics 17:1217). Where both runs used the same frames in the same
turn, query i of one is set against query i of the other, and what differs between frames cancels.

The interval speaks of these two runs. Two runs of one and the same model differ by more than it: where a process lies in
memory and what else the machine does are drawn once a run. So a difference counts only where it is larger than a margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Measurement
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.load_generator.rules import MINIMUM_QUERIES
from weckd_edge.devices.bench.verdict import invalid_reasons

DRAWS = 2000
"""Number of bootstrap draws."""

MARGIN = 0.05
"""Smallest relative difference that counts, as runs of one model were seen to differ; see ``docs/how-to/bench.md``."""

_LARGEST = 20_000
"""Most pairs that are drawn from; of a longer run every second, third, ... pair is taken, from the first to the last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchComparison:
    """Comparison of two benches by end-to-end latency; differences are second minus first, nanoseconds.

    Attributes:
        verdict: ``faster`` or ``slower`` where the whole interval of the ratio is beyond the margin and both benches are
            VALID; else ``not shown``.
        reason: Reason for the verdict, in words.
        queries: Number of pairs that were compared.
        block: Length of a block of the bootstrap, pairs.
        difference_ns: Median of the paired differences.
        low_ns: Lower end of the 95 % interval of ``difference_ns``.
        high_ns: Upper end of that interval.
        ratio: Median of the second bench divided by the median of the first.
        ratio_low: Lower end of the 95 % interval of ``ratio``.
        ratio_high: Upper end of that interval.
        p90_difference_ns: Difference of the 90th percentiles.
        p90_low_ns: Lower end of the 95 % interval of ``p90_difference_ns``.
        p90_high_ns: Upper end of that interval.
        unlike: Differences between the two machines and settings, in words.
    """

    verdict: Literal["faster", "slower", "not shown"]
    reason: str
    queries: int
    block: int
    difference_ns: float
    low_ns: float
    high_ns: float
    ratio: float
    ratio_low: float
    ratio_high: float
    p90_difference_ns: float
    p90_low_ns: float
    p90_high_ns: float
    unlike: tuple[str, ...]


def compare_benches(
    first: Measurement, second: Measurement, *, allow_different_devices: bool = False, margin: float = MARGIN, seed: int = 0
) -> BenchComparison:
    """Compare two benches, end-to-end latency.

    Args:
        first: The bench to compare with.
        second: The bench that is judged.
        allow_different_devices: Compare although the devices are not alike.
        margin: Smallest relative difference that counts, at least 0 and under 1.
        seed: Seed of the bootstrap.

    Raises:
        ConfigError: The devices are not alike, there are too few queries, or the margin is out of range.
    """
    if not 0 <= margin < 1:
        raise ConfigError(f"margin = {margin}: expected 0 up to under 1 (0.05 for 5 %)", code="E_CONFIG_RANGE")
    unlike = machine_differences(first, second)
    if unlike and not allow_different_devices:
        raise ConfigError(
            f"the two benches are of unlike devices ({'; '.join(unlike)}): expected the same device, host and threads; "
            "add --allow-different-devices to compare them all the same",
            code="E_CONFIG_UNLIKE_DEVICES",
        )
    queries = min(len(first.end_to_end.samples_ns), len(second.end_to_end.samples_ns))
    if queries < MINIMUM_QUERIES:
        raise ConfigError(
            f"expected at least {MINIMUM_QUERIES} queries in both benches, got {queries}; run them longer",
            code="E_CONFIG_RANGE",
        )
    step = -(-queries // _LARGEST) | 1 if queries > _LARGEST else 1  # odd, so that no frame is always left out
    a, b = (np.asarray(m.end_to_end.samples_ns[:queries:step], np.float64) for m in (first, second))
    queries = len(a)
    block = max(_block_length(a), _block_length(b))
    random = np.random.default_rng(seed)
    draws = np.empty((DRAWS, 3))
    for index in range(DRAWS):
        places = _blocks(random, queries, block)
        draws[index] = _latency_facts(a[places], b[places])
    difference, ratio, p90 = _latency_facts(a, b)
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    verdict, reason = _verdict(first, second, ratio, (float(low[1]), float(high[1])), margin)
    return BenchComparison(
        verdict=verdict,
        reason=reason,
        queries=queries,
        block=block,
        difference_ns=float(difference),
        low_ns=float(low[0]),
        high_ns=float(high[0]),
        ratio=float(ratio),
        ratio_low=float(low[1]),
        ratio_high=float(high[1]),
        p90_difference_ns=float(p90),
        p90_low_ns=float(low[2]),
        p90_high_ns=float(high[2]),
        unlike=unlike,
    )


def machine_differences(first: Measurement, second: Measurement) -> tuple[str, ...]:
    """Return the differences between the machines of two benches, in words; the model and its backend may differ."""
    modes = [m.machine.mode_before if m.machine else None for m in (first, second)]
    pairs = [
        ("device", first.device, second.device),
        ("host", first.host, second.host),
        ("threads", first.threads, second.threads),
        ("power mode", *modes),
        ("front end", *_front_ends(first, second)),
    ]
    return tuple(f"{name}: {a} and {b}" for name, a, b in pairs if a != b)


def _front_ends(first: Measurement, second: Measurement) -> tuple[str, str]:
    """Return what computed on the frames of each, without the reason; equal where one of them does not say."""
    if first.pixels is None or second.pixels is None:
        return "", ""
    return first.pixels.partition(",")[0], second.pixels.partition(",")[0]


def _verdict(
    first: Measurement, second: Measurement, ratio: float, span: tuple[float, float], margin: float
) -> tuple[Literal["faster", "slower", "not shown"], str]:
    reasons = f"the second takes {ratio:.3f} times as long (95 % interval {span[0]:.3f} to {span[1]:.3f})"
    invalid = [
        f"the {name} bench is INVALID: {'; '.join(found)}"
        for name, measurement in (("first", first), ("second", second))
        if (found := invalid_reasons(measurement))
    ]
    if invalid:
        return "not shown", f"{reasons}, but {'; '.join(invalid)}"
    if span[1] < 1 - margin:
        return "faster", reasons
    if span[0] > 1 + margin:
        return "slower", reasons
    if span[0] <= 1 <= span[1]:
        return "not shown", f"{reasons}, and the interval holds 1"
    return "not shown", f"{reasons}; two runs of one model may differ by {margin:.0%}"


def _latency_facts(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float, float]:
    p90 = np.percentile(b, 90) - np.percentile(a, 90)
    return float(np.median(b - a)), float(np.median(b) / max(float(np.median(a)), 1.0)), float(p90)


def _block_length(values: NDArray[np.float64]) -> int:
    """Return the length of a block: how far apart two times must be to be independent, at least the cube root of all.

    It is twice the first lag at which the autocorrelation of the ranks falls under two standard errors, and at most a tenth
    of all times. Ranks are taken so that one very slow query does not hide the rest.
    """
    count = len(values)
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(np.float64)
    ranks -= ranks.mean()
    maximum = max(1, count // 10)
    spectrum = np.fft.rfft(ranks, 2 * count)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[: maximum + 1]
    correlation = correlation / max(correlation[0], 1e-12)
    quiet = np.flatnonzero(correlation[1:] < 2 / np.sqrt(count))
    lag = int(quiet[0]) + 1 if len(quiet) else maximum
    return int(min(maximum, max(2 * lag, round(count ** (1 / 3)))))


def _blocks(random: np.random.Generator, count: int, block: int) -> NDArray[np.int64]:
    starts = random.integers(0, count - block + 1, -(-count // block))
    places: NDArray[np.int64] = (starts[:, None] + np.arange(block)[None, :]).reshape(-1)[:count]
    return places
