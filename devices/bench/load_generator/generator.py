"""Choice of the load generator that sends the queries of a run: MLPerf's LoadGen or the builtin one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from weckd_edge.core.optional_imports import EXTRA_OF, is_installed
from weckd_edge.devices.bench.load_generator.loadgen_backend import (
    LIBRARY,
    MAX_BYTES,
    loadgen_memory_bytes,
    run_loadgen,
)
from weckd_edge.devices.bench.load_generator.rules import Generator, Rules
from weckd_edge.devices.bench.load_generator.single_stream import Sink, TimedRun, run_single_stream
from weckd_edge.devices.runtime.backends.base import AnyRunner

_TOO_FAST = "LoadGen would need too much memory for this many queries; the builtin generator sent them"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadGenerator:
    """The load generator of one run.

    Attributes:
        loadgen: Whether LoadGen sends the queries; else the builtin generator does.
        may_fall_back: Whether the builtin generator takes over where LoadGen would need too much memory.
        note: Warning for the record, empty where there is none.
    """

    loadgen: bool
    may_fall_back: bool = False
    note: str = ""

    def send(
        self,
        runner: AnyRunner,
        frames: Sequence[NDArray[Any]],
        rules: Rules,
        fastest_ns: int,
        sink: Sink | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> TimedRun:
        """Send the queries of a run and time them.

        Args:
            runner: Warm model.
            frames: Inputs as the runner takes them.
            rules: Rules that say when the run ends.
            fastest_ns: Fastest query seen while warming up, nanoseconds.
            sink: Takes the times while the run goes on.
            clock: Monotonic clock of the builtin generator, nanoseconds; LoadGen reads its own.

        Raises:
            ModelError: LoadGen left no result, or would take too much memory and must be used.
            MissingDependency: LoadGen must be used and is not installed.
        """
        if self.loadgen and not (self.may_fall_back and loadgen_memory_bytes(rules, fastest_ns) > MAX_BYTES):
            return run_loadgen(runner, frames, rules, fastest_ns, sink)
        run = run_single_stream(runner, frames, rules, sink, clock)
        return replace(run, note=_TOO_FAST) if self.loadgen else run


def choose_generator(generator: Generator, rules: Rules) -> LoadGenerator:
    """Return the load generator that a setting and the rules ask for, with a note where the wanted one is missing.

    Args:
        generator: Load generator of the settings.
        rules: Rules of the run.
    """
    if generator != "auto":
        return LoadGenerator(loadgen=generator == "loadgen")
    if rules.name == "quick":
        return LoadGenerator(loadgen=False)
    if is_installed(LIBRARY):
        return LoadGenerator(loadgen=True, may_fall_back=True)
    extra = f"pip install 'weckd-edge[{EXTRA_OF[LIBRARY]}]'"
    note = f"MLPerf's LoadGen is not installed ({extra}); the builtin generator sent the queries, by the same rules"
    return LoadGenerator(loadgen=False, note=note)
