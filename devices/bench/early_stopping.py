"""MLPerf's early stopping: what a run of n queries proves about a percentile, and how many queries would decide.

A query is over the true percentile p with probability 1 - p, however times are distributed. So the number of queries over it
is binomial, and an estimate that leaves few enough queries above itself is too low only with probability 1 - confidence.
MLPerf Inference defines this for queries that are independent of each other; where slow queries come in bursts, the true
confidence is smaller. The binomial tail is summed here, so that no SciPy is needed on a device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from weckd_edge.artifacts import EarlyStop, Verdict
from weckd_edge.core.errors import ConfigError

CONFIDENCE = 0.99
"""Confidence that MLPerf asks for."""

MAX_QUERIES = 10_000_000
"""Most queries that ``more_queries`` looks at; a limit that needs more to decide lies on the percentile itself."""


def binomial_tail(maximum: int, trials: int, rate: float) -> float:
    """Return the probability that at most ``maximum`` of ``trials`` succeed, each with probability ``rate`` (0..1)."""
    if maximum < 0:
        return 0.0
    if maximum >= trials or rate <= 0:
        return 1.0
    if rate >= 1:
        return 0.0
    if maximum > trials * rate:  # the other tail is the short one
        return max(0.0, 1.0 - _lower_sum(trials - maximum - 1, trials, 1 - rate))
    return min(1.0, _lower_sum(maximum, trials, rate))


def _lower_sum(maximum: int, trials: int, rate: float) -> float:
    """Sum the terms from ``maximum`` down to 0; each is a known multiple of the last, and the distant ones vanish."""
    if maximum < 0:
        return 0.0
    log_term = (
        math.lgamma(trials + 1)
        - math.lgamma(maximum + 1)
        - math.lgamma(trials - maximum + 1)
        + maximum * math.log(rate)
        + (trials - maximum) * math.log1p(-rate)
    )
    if log_term < -700:
        return 0.0
    term = total = math.exp(log_term)
    odds = (1 - rate) / rate
    for k in range(maximum, 0, -1):
        term *= k / (trials - k + 1) * odds
        total += term
        if term < total * 1e-17:
            break
    return total


def max_over(queries: int, percentile: float, confidence: float = CONFIDENCE) -> int:
    """Return the most queries that may be over an estimate which still proves the percentile; 0 where no estimate does.

    MLPerf's rule is the largest t >= 1 such that t or fewer over it happen with probability at most 1 - confidence.

    Args:
        queries: Number of timed queries.
        percentile: Percentile as a fraction between 0 and 1, such as 0.9.
        confidence: Confidence between 0 and 1.

    Raises:
        ConfigError: A number is out of range.
    """
    if queries < 0 or not 0 < percentile < 1 or not 0 < confidence < 1:
        raise ConfigError(
            f"expected queries >= 0 and 0 < percentile, confidence < 1; got {queries}, {percentile}, {confidence}",
            code="E_CONFIG_RANGE",
        )
    low, high = 0, queries  # low proves it (or is none), high does not
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_tail(middle, queries, 1 - percentile) <= 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def queries_needed(percentile: float, confidence: float = CONFIDENCE) -> int:
    """Return the fewest queries that give any estimate: 64 for the 90th percentile, 662 for the 99th."""
    low, high = 1, 2
    while not max_over(high, percentile, confidence):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if max_over(middle, percentile, confidence) else (middle, high)
    return high


def early_stop(samples_ns: Sequence[int], percent: int, confidence: float = CONFIDENCE) -> EarlyStop:
    """Return MLPerf's early-stopping estimate: a time under which the percentile lies with that confidence.

    Args:
        samples_ns: Raw times, nanoseconds.
        percent: Percentile, 1 to 99.
        confidence: Confidence between 0 and 1.
    """
    over = max_over(len(samples_ns), percent / 100, confidence)
    return EarlyStop(
        percent=percent,
        estimate_ns=sorted(samples_ns)[-over] if over else None,
        confidence=confidence,
        over=over,
        needed=queries_needed(percent / 100, confidence),
    )


def decide_percentile(over: int, queries: int, percentile: float, confidence: float = CONFIDENCE) -> Verdict:
    """Tell whether the percentile is proven to be within a limit, proven to be over it, or neither.

    Args:
        over: Number of queries that took longer than the limit.
        queries: Number of all queries.
        percentile: Percentile as a fraction between 0 and 1.
        confidence: Confidence of each of the two decisions, between 0 and 1.
    """
    rate = 1 - percentile
    if queries and binomial_tail(over, queries, rate) <= 1 - confidence:
        return "PASS"
    if over and 1 - binomial_tail(over - 1, queries, rate) <= 1 - confidence:
        return "FAIL"
    return "INCONCLUSIVE"


def more_queries(over: int, queries: int, percentile: float, confidence: float = CONFIDENCE) -> int | None:
    """Return the number of further queries that would decide, if the same part of them is over the limit; None: none would.

    Args:
        over: Number of queries that took longer than the limit.
        queries: Number of all queries; 0 asks for the fewest queries that any estimate needs.
        percentile: Percentile as a fraction between 0 and 1.
        confidence: Confidence of the decision, between 0 and 1.
    """
    if not queries:
        return queries_needed(percentile, confidence)
    fraction = over / queries
    if decide_percentile(over, queries, percentile, confidence) != "INCONCLUSIVE":
        return 0
    # A fraction that passes is rounded up and one that fails is rounded down: more whole queries only make it clearer.
    passes = fraction < 1 - percentile

    def decides(total: int) -> bool:
        scaled = fraction * total
        count = min(total, math.ceil(scaled - 1e-9) if passes else math.floor(scaled + 1e-9))
        return decide_percentile(count, total, percentile, confidence) != "INCONCLUSIVE"

    low, high = queries, queries * 2
    while not decides(high):
        if high > MAX_QUERIES:
            return None
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high - queries
