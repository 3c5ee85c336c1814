"""The builtin load generator: one query after another until the rules are met, every time kept."""

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
from weckd_edge.devices.bench.load_generator.rules import MINIMUM_QUERIES, Rules
from weckd_edge.devices.runtime.backends.base import AnyRunner

FLUSH_NS = 1_000_000_000
"""Time between two calls of a sink while a run goes on, nanoseconds."""

Sink = Callable[["array[int]"], None]
"""Function that takes times, nanoseconds, in order; each time is handed over once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedRun:
    """One finished run.

    Attributes:
        samples_ns: Time of every query, in order, nanoseconds.
        start_ns: Start of the first query by the monotonic clock, nanoseconds.
        end_ns: End of the last query by the same clock.
        generator: Name of the load generator.
        loadgen: LoadGen's own result of the same run; None where the builtin generator sent the queries.
        note: Warning about the generator for the record, empty where there is none.
    """

    samples_ns: array[int]
    start_ns: int
    end_ns: int
    generator: str
    loadgen: LoadgenRecord | None = None
    note: str = ""


def warm_up(
    runner: AnyRunner, frames: Sequence[NDArray[Any]], queries: int, clock: Callable[[], int] = time.monotonic_ns
) -> int | None:
    """Run frames in turn, and return the fastest time, nanoseconds; None where there are no queries."""
    fastest_ns = None
    for index in range(queries):
        start_ns = clock()
        runner.run(frames[index % len(frames)])
        taken_ns = clock() - start_ns
        fastest_ns = taken_ns if fastest_ns is None else min(fastest_ns, taken_ns)
    return fastest_ns


@contextmanager
def no_collection() -> Iterator[None]:
    """Switch the garbage collector off for a block of code, and put it back as it was."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def run_single_stream(
    runner: AnyRunner,
    frames: Sequence[NDArray[Any]],
    rules: Rules,
    sink: Sink | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> TimedRun:
    """Time single queries, one after another, with the garbage collector off.

    Between two queries stand two comparisons and one append of eight bytes; times are handed on once a second.

    Args:
        runner: Warm model.
        frames: Inputs as the runner takes them, used in turn.
        rules: Rules that say when the run ends.
        sink: Takes the times while the run goes on; what it does lies between two queries and is not timed.
        clock: Monotonic clock, nanoseconds.

    Raises:
        ConfigError: No frame.
    """
    if not frames:
        raise ConfigError("expected frames, got none; a bench needs at least one input", code="E_CONFIG_VALUE")
    run, count = runner.run, len(frames)
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
