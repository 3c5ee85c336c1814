"""Our own single-stream loop: one query after another until the rules are met, every time kept."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from weckd_edge.artifacts import LoadgenRecord
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.rules import MINIMUM_QUERIES, Rules
from weckd_edge.devices.runtime.backends.base import AnyRunner

FLUSH_NS = 1_000_000_000
"""How often times are handed on while a run goes on, nanoseconds."""

Sink = Callable[["array[int]"], None]
"""Takes times, nanoseconds, in order; each is handed over once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedRun:
    """One finished run.

    Attributes:
        samples_ns: Every query, in order.
        start_ns: Of the first query, by the monotonic clock.
        end_ns: Of the last one.
        generator: What sent the queries.
        loadgen: What LoadGen says of the same run; None where it was not used.
    """

    samples_ns: array[int]
    start_ns: int
    end_ns: int
    generator: str
    loadgen: LoadgenRecord | None = None


def warm_up(runner: AnyRunner, frames: Sequence[NDArray[Any]], queries: int) -> int | None:
    """Classify frames in turn, and return the fastest time, nanoseconds; None where there are no queries."""
    fastest_ns = None
    for index in range(queries):
        start_ns = time.monotonic_ns()
        runner.run(frames[index % len(frames)])
        taken_ns = time.monotonic_ns() - start_ns
        fastest_ns = taken_ns if fastest_ns is None else min(fastest_ns, taken_ns)
    return fastest_ns


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector at rest, and put it back as it was."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def run_single_stream(runner: AnyRunner, frames: Sequence[NDArray[Any]], rules: Rules, sink: Sink | None = None) -> TimedRun:
    """Time single queries, one after another, with the garbage collector at rest.

    Between two queries stand two comparisons and one append of eight bytes; times are handed on once a second.

    Args:
        runner: What answers; it must be warm.
        frames: Inputs as the runner takes them, used in turn.
        rules: When to stop.
        sink: Takes the times while the run goes on; what it does lies between two queries and is not timed.

    Raises:
        ConfigError: No frame.
    """
    if not frames:
        raise ConfigError("expected frames, got none; a bench needs at least one input", code="E_CONFIG_VALUE")
    run, clock, count = runner.run, time.monotonic_ns, len(frames)
    samples = array("q")
    keep, given, index, now = samples.append, 0, 0, 0
    enough = rules.min_queries
    with no_collection():
        start_ns = clock()
        until, latest = start_ns + int(rules.min_seconds * 1e9), None
        if rules.max_seconds is not None:
            latest = start_ns + int(rules.max_seconds * 1e9)
        flush_at = start_ns + FLUSH_NS
        try:
            while len(samples) < enough or now < until:
                frame = frames[index]
                index += 1
                if index == count:
                    index = 0
                start = clock()
                run(frame)
                now = clock()
                keep(now - start)
                if now >= flush_at:
                    if sink is not None:
                        sink(samples[given:])
                        given = len(samples)
                    flush_at = now + FLUSH_NS
                    if latest is not None and now >= latest and len(samples) >= MINIMUM_QUERIES:
                        break
        finally:
            if sink is not None:
                sink(samples[given:])
    return TimedRun(samples_ns=samples, start_ns=start_ns, end_ns=now, generator="builtin")
