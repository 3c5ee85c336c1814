"""Settings ``[bench]``: the latency measurement of a build."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.config.base import check_setting, check_within
from weckd_edge.core.bounds import MAX_THREADS

MAX_QUERIES = 10_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """The latency measurement of a build.

    Attributes:
        queries: Number of timed frames, one after another, 64 to 10,000,000.
        warmup: Number of untimed frames before them, 0 to 10,000,000.
        threads: Number of processor threads that the model may use.
    """

    queries: int = 1024
    warmup: int = 50
    threads: int = 1

    def __post_init__(self) -> None:
        check_setting(self.queries >= 64, f"queries = {self.queries}: a 90th percentile needs at least 64")
        check_within("queries", self.queries, 64, MAX_QUERIES)
        check_within("warmup", self.warmup, 0, MAX_QUERIES)
        check_within("threads", self.threads, 1, MAX_THREADS)
