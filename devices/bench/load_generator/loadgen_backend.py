"""MLPerf's LoadGen as a load generator (``mlcommons-loadgen``); the one file that imports it.

Each query is timed twice: around the runner, as the builtin generator does it, and by LoadGen, whose time includes its call
into Python. The first is kept as the latency; LoadGen's own result is recorded beside it.
"""

from __future__ import annotations

import json
import tempfile
import time
from array import array
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from weckd_edge.artifacts import LoadgenRecord
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.bench.load_generator.rules import Rules
from weckd_edge.devices.bench.load_generator.single_stream import FLUSH_NS, Sink, TimedRun, no_collection
from weckd_edge.devices.runtime.backends.base import AnyRunner

LIBRARY = "mlperf_loadgen"
_DISTRIBUTION = "mlcommons-loadgen"
_SLACK = 1.5
"""Factor from the fastest query seen to the time that LoadGen is told to expect of one.

LoadGen makes its queries beforehand: twice what its minimum time holds at the expected time of one. So an expected time of
one and a half times the fastest query's gives a third more than can be needed.
"""

_BYTES = 430
"""Memory of one query that LoadGen makes, bytes: 320 to 430 were seen on x86-64 (LoadGen 6.0.17, 1 to 4 million queries)."""

MAX_BYTES = 1 << 30
"""Most memory that LoadGen may take for its queries, bytes; with more, LoadGen itself decides what the machine does."""


def loadgen_memory_bytes(rules: Rules, fastest_ns: int) -> int:
    """Return the approximate memory of the queries that LoadGen makes before it sends the first one, bytes.

    Args:
        rules: Rules of the run.
        fastest_ns: The fastest query seen, nanoseconds.
    """
    made = 2 * rules.min_seconds * 1e9 / max(1.0, fastest_ns * _SLACK)
    return int(_BYTES * max(rules.min_queries, made))


def run_loadgen(
    runner: AnyRunner,
    frames: Sequence[NDArray[Any]],
    rules: Rules,
    fastest_ns: int,
    sink: Sink | None = None,
    *,
    trace: Path | None = None,
) -> TimedRun:
    """Time single queries that LoadGen sends, with the garbage collector off.

    Args:
        runner: Warm model.
        frames: Inputs as the runner takes them; LoadGen picks among them at random.
        rules: Rules that say when the run ends. LoadGen knows no ``max_seconds`` below its minimum and runs without it.
        fastest_ns: The fastest query seen, nanoseconds. Where queries are faster still, LoadGen runs out of them: the run
            ends early and its rules are not met.
        sink: Takes the times while the run goes on, between two queries.
        trace: Folder to keep LoadGen's logs in, with its time of every query; None keeps none.

    Raises:
        ConfigError: No frame.
        ModelError: LoadGen left no result, or would take too much memory.
        MissingDependency: LoadGen is not installed.
    """
    if not frames:
        raise ConfigError("expected frames, got none; a bench needs at least one input", code="E_CONFIG_VALUE")
    if (needed := loadgen_memory_bytes(rules, fastest_ns)) > MAX_BYTES:
        raise ModelError(
            f"LoadGen would take about {needed / 2**20:.0f} MiB for queries it makes beforehand (at most "
            f"{MAX_BYTES / 2**20:.0f}): the model is too fast for so long a run; pass --generator builtin",
            code="E_MODEL_LOADGEN",
        )
    loadgen = require("mlperf_loadgen", "send queries as MLPerf does")
    version = f"LoadGen {metadata.version(_DISTRIBUTION)}"
    stream = _QueryStream(loadgen, runner, frames, sink)
    with tempfile.TemporaryDirectory(prefix="weckd-loadgen-") as temporary:
        folder = Path(temporary) if trace is None else trace
        settings, logs = _test_settings(loadgen, rules, fastest_ns), _log_settings(loadgen, folder, trace is not None)
        system = loadgen.ConstructFastSUT(stream.issue, lambda: None)
        library = loadgen.ConstructQSL(len(frames), len(frames), lambda _: None, lambda _: None)
        try:
            with no_collection():
                stream.start()
                # LoadGen looks for audit.config in the working folder, where a stray one would change the run.
                loadgen.StartTestWithLogSettings(system, library, settings, logs, str(folder / "none.config"))
        finally:
            loadgen.DestroyFastSUT(system)
            loadgen.DestroyQSL(library)
            stream.flush()
        if stream.failure is not None:
            raise stream.failure
        record = read_record(folder, version)
    return TimedRun(
        samples_ns=stream.samples,
        start_ns=stream.first_ns,
        end_ns=stream.last_ns,
        generator=version,
        loadgen=record,
    )


def _test_settings(loadgen: Any, rules: Rules, fastest_ns: int) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = int(rules.min_seconds * 1000)
    settings.min_query_count = rules.min_queries
    settings.max_query_count = 0 if rules.min_seconds else rules.min_queries
    settings.single_stream_expected_latency_ns = max(1, int(fastest_ns * _SLACK))
    settings.single_stream_target_latency_percentile = 0.9
    return settings


def _log_settings(loadgen: Any, folder: Path, trace: bool) -> Any:
    logs = loadgen.LogSettings()
    logs.log_output.outdir = str(folder)
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = trace
    return logs


class _QueryStream:
    """Runs the model on LoadGen's queries and keeps their times; an error is kept until LoadGen has come to its end."""

    def __init__(self, loadgen: Any, runner: AnyRunner, frames: Sequence[NDArray[Any]], sink: Sink | None) -> None:
        self.samples = array("q")
        self.failure: BaseException | None = None
        self.first_ns = self.last_ns = 0
        self._frames, self._run, self._sink = frames, runner.run, sink
        self._complete, self._response = loadgen.QuerySamplesComplete, loadgen.QuerySampleResponse
        self._given, self._flush_at = 0, 0

    def start(self) -> None:
        now = time.monotonic_ns()
        self.first_ns, self.last_ns, self._flush_at = now, now, now + FLUSH_NS

    def issue(self, ids: list[int], indices: list[int]) -> None:
        if self.failure is None:
            try:
                frame = self._frames[indices[0]]
                start = time.monotonic_ns()
                self._run(frame)
                now = time.monotonic_ns()
                if not self.samples:
                    self.first_ns = start
                self.samples.append(now - start)
                self.last_ns = now
            except BaseException as err:  # an exception must not cross LoadGen; its queries soon run out
                self.failure = err
        self._complete([self._response(ids[0], 0, 0)])
        if self.last_ns >= self._flush_at:
            try:
                self.flush()
            except Exception as err:
                self.failure = err

    def flush(self) -> None:
        self._flush_at = self.last_ns + FLUSH_NS
        if self._sink is not None:
            given, self._given = self._given, len(self.samples)
            self._sink(self.samples[given:])


def read_record(folder: Path, version: str) -> LoadgenRecord:
    """Return LoadGen's own result from its log.

    Raises:
        ModelError: The log holds no result.
    """
    found: dict[str, Any] = {}
    try:
        for line in (folder / "mlperf_log_detail.txt").read_text(encoding="utf-8", errors="replace").splitlines():
            _, _, text = line.partition(":::MLLOG ")
            if text:
                entry = json.loads(text)
                found[entry["key"]] = entry["value"]
        p99 = found.get("early_stopping_latency_ms")
        return LoadgenRecord(
            version=version,
            valid=found["result_validity"] == "VALID",
            queries=int(found["result_query_count"]),
            p90_ns=int(found["result_90.00_percentile_latency_ns"]),
            p99_ns=int(found["result_99.00_percentile_latency_ns"]),
            early_stopping_p90_ns=int(found["early_stopping_latency_ss"]) or None,
            early_stopping_p99_ns=int(p99) if p99 else None,
        )
    except (OSError, KeyError, ValueError) as err:
        raise ModelError(
            f"{version} left no result (expected mlperf_log_detail.txt with one: {err}); pass --generator builtin",
            code="E_MODEL_LOADGEN",
        ) from err
