"""Rules of the length of a bench: MLPerf's, MLPerf Mobile's, and quick ones for a build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.core.errors import ConfigError, did_you_mean

Generator = Literal["auto", "builtin", "loadgen"]
"""Load generator. ``auto`` is LoadGen where it is installed and the rules are MLPerf's, else the builtin one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """Length of a single-stream run, which sends the next query when the prediction of the last one has come.

    Attributes:
        name: Name on the command line.
        min_queries: Fewest timed queries.
        min_seconds: Shortest duration of the timed queries, seconds.
        max_seconds: Duration, seconds, after which ``MINIMUM_QUERIES`` are enough, however few of ``min_queries`` there are;
            None: there is no such limit.
        warmup: Number of untimed queries before the timed ones.
        idle_seconds: Time that power is read before, with nothing running, seconds.
        note: Remark for a reader of the record.
    """

    name: str
    min_queries: int
    min_seconds: float
    max_seconds: float | None
    warmup: int
    idle_seconds: float
    note: str

    def text(self, queries: int, seconds: float) -> str:
        """Return the rules in words, with the number of queries and the duration of a run by them."""
        return (
            f"{self.name} ({self.note}): single-stream, {queries} queries in {seconds:.1f} s after {self.warmup}, "
            "nearest-rank percentiles"
        )


MINIMUM_QUERIES = 64
"""Fewest queries that say anything of a 90th percentile at 99 % confidence, as ``early_stopping`` works out."""

RULES = {
    rules.name: rules
    for rules in (
        Rules(
            name="mlperf",
            min_queries=100,
            min_seconds=600.0,
            max_seconds=None,
            warmup=50,
            idle_seconds=10.0,
            note="MLPerf's single-stream run length; not a submission to MLPerf",
        ),
        Rules(
            name="mobile",
            min_queries=1024,
            min_seconds=60.0,
            max_seconds=None,
            warmup=50,
            idle_seconds=10.0,
            note="MLPerf Mobile's run length; not a submission to MLPerf",
        ),
        Rules(
            name="quick",
            min_queries=1024,
            min_seconds=2.0,
            max_seconds=30.0,
            warmup=50,
            idle_seconds=1.0,
            note="seconds, for builds; shorter than any MLPerf run",
        ),
    )
}
"""Every set of rules, by name.

``mlperf``: LoadGen 6.0.17 carries ``mlperf.conf``, whose lines ``*.SingleStream.min_duration = 600000`` and
``*.SingleStream.target_latency_percentile = 90`` hold for every model; it names no count for single-stream, so that
LoadGen's own 100 (``TestSettings.min_query_count``) holds, and its early stopping asks for 64. A test reads these.

``mobile``: 1024 queries and 60 s, as the MLPerf Mobile app sets them.

``quick`` is this project's own.
"""


def find_rules(name: str, *, queries: int | None = None, warmup: int | None = None) -> Rules:
    """Return the rules of that name.

    Args:
        name: Key of ``RULES``.
        queries: Exact number of timed queries, however long they take; None takes the rules' own number and duration.
        warmup: Number of untimed queries before them; None takes the rules' own number.

    Raises:
        ConfigError: No rules have that name, or a number is out of range.
    """
    if name not in RULES:
        raise ConfigError(f"no rules are called '{name}'{did_you_mean(name, RULES)}", code="E_CONFIG_CHOICE")
    found = RULES[name]
    if queries is None and warmup is None:
        return found
    if (queries is not None and queries < 1) or (warmup is not None and warmup < 0):
        raise ConfigError(f"expected queries >= 1 and warmup >= 0; got {queries} and {warmup}", code="E_CONFIG_RANGE")
    own = queries is not None
    return Rules(
        name=found.name,
        min_queries=found.min_queries if queries is None else queries,
        min_seconds=0.0 if own else found.min_seconds,
        max_seconds=None if own else found.max_seconds,
        warmup=found.warmup if warmup is None else warmup,
        idle_seconds=found.idle_seconds,
        note="with a number of queries of your own, so not by those rules" if own and name != "quick" else found.note,
    )
