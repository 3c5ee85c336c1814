"""Measure a bundle on this machine: single queries one after another, every raw time kept.

Frame to answer and the network alone are measured in one run, one after the other. Opening to first answer, and the
largest resident memory, come from a process of its own, so that nothing this process has loaded counts.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import weckd_edge
from weckd_edge.artifacts import Latency, Measurement
from weckd_edge.bundle import Bundle
from weckd_edge.devices.backends.base import NetworkRunner
from weckd_edge.devices.backends.table import BACKENDS, open_network, open_runner
from weckd_edge.devices.detect import Detected, detect
from weckd_edge.devices.infer import choose_model
from weckd_edge.devices.verify_bundle import load_golden
from weckd_edge.errors import ConfigError, ModelError
from weckd_edge.progress import Progress, SilentProgress

MINIMUM_QUERIES = 64
LARGEST_SPREAD = 0.1
_COLD_TIMEOUT_S = 300


class _Runnable(Protocol):
    def run(self, frame: Any) -> Any: ...


def measure_runner(runner: _Runnable, frames: Sequence[NDArray[Any]], *, queries: int, warmup: int) -> Latency:
    """Time single queries, one after another, with the garbage collector at rest.

    Args:
        runner: What answers.
        frames: Inputs as the runner takes them, used in turn.
        queries: How many are timed, at least 1.
        warmup: How many run before, untimed.

    Raises:
        ConfigError: No frame, no query, or a negative warm-up.
    """
    if not frames or queries < 1 or warmup < 0:
        raise ConfigError(f"expected frames, queries >= 1 and warmup >= 0; got {len(frames)}, {queries} and {warmup}")
    run, clock, count = runner.run, time.monotonic_ns, len(frames)
    order = [frames[index % count] for index in range(queries)]
    samples: list[int] = []
    for index in range(warmup):
        run(frames[index % count])
    collecting = gc.isenabled()
    gc.disable()
    try:
        for frame in order:
            start = clock()
            run(frame)
            samples.append(clock() - start)
    finally:
        if collecting:
            gc.enable()
    return summarize(samples)


def summarize(samples_ns: Sequence[int]) -> Latency:
    """Return the percentiles of raw times, by nearest rank: each is a time that was really measured."""
    ordered = sorted(samples_ns)
    median = nearest_rank(ordered, 50)
    spread = (nearest_rank(ordered, 75) - nearest_rank(ordered, 25)) / median if median else 0.0
    return Latency(
        samples_ns=tuple(samples_ns),
        p50_ns=median,
        p90_ns=nearest_rank(ordered, 90),
        p99_ns=nearest_rank(ordered, 99),
        iqr_over_median=spread,
    )


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """Return the smallest value that at least ``percent`` of the sorted values do not exceed."""
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def verdict_of(measurement: Measurement) -> tuple[str, str]:
    """Return ``VALID`` or ``INVALID`` and the reason: may the times be quoted?"""
    latency = measurement.frame_to_answer
    count = len(latency.samples_ns)
    if count < MINIMUM_QUERIES:
        return "INVALID", f"{count} queries; a 90th percentile needs at least {MINIMUM_QUERIES}"
    if latency.iqr_over_median > LARGEST_SPREAD:
        return "INVALID", f"{_spread(latency)}; close other programs and run it again"
    return "VALID", f"{count} queries, {_spread(latency)}"


def _spread(latency: Latency) -> str:
    bar = f"at most {LARGEST_SPREAD:g} is quiet"
    return f"the middle half of the times spans {latency.iqr_over_median:.2f} of the median ({bar})"


def bench(
    bundle: Bundle,
    *,
    queries: int = 1024,
    warmup: int = 50,
    threads: int = 1,
    backend: str | None = None,
    root: Path = Path("/"),
    progress: Progress | None = None,
) -> Measurement:
    """Measure a bundle on its own golden frames.

    Args:
        bundle: An opened bundle.
        queries: How many frames are timed.
        warmup: How many before, untimed.
        threads: Processor threads one query may use.
        backend: See ``infer.choose_model``.
        root: Where ``proc``, ``sys`` and ``etc`` lie.
        progress: Where to show it.

    Raises:
        WeckdError: The bundle holds no golden frames, or its model cannot be opened here.
    """
    choice = choose_model(bundle, backend)
    frames, _ = load_golden(bundle)
    manifest = bundle.manifest
    return bench_model(
        choice.backend,
        choice.path,
        frames,
        precision=choice.precision,
        network_input_name=manifest.network_input_name,
        onnx=bundle.folder / manifest.onnx.path,
        queries=queries,
        warmup=warmup,
        threads=threads,
        root=root,
        progress=progress,
    )


def bench_model(
    backend: str,
    model: Path,
    frames: NDArray[np.uint8],
    *,
    precision: str,
    network_input_name: str,
    onnx: Path | None = None,
    queries: int = 1024,
    warmup: int = 50,
    threads: int = 1,
    root: Path = Path("/"),
    progress: Progress | None = None,
) -> Measurement:
    """Measure one model file.

    Args:
        backend: A name of the backend table.
        model: What it opens.
        frames: uint8 ``[N, H, W, 3]``, used in turn.
        precision: Of the model, for the record.
        network_input_name: Where to cut the graph to time the network alone.
        onnx: The graph the model came from, to cut where the built model has lost that name.
        queries: How many frames are timed.
        warmup: How many before, untimed.
        threads: Processor threads one query may use.
        root: Where ``proc``, ``sys`` and ``etc`` lie.
        progress: Where to show it.

    Raises:
        WeckdError: The model cannot be opened here.
    """
    found = detect(root)
    warnings = _machine_warnings(found, threads)
    with (progress or SilentProgress()).task(f"bench {backend}", total=3) as task:
        cold_start_ns, peak_rss_bytes = _cold_start(backend, model, frames[:1], threads)
        task.advance()
        runner = open_runner(backend, model, threads=threads)
        try:
            single = [np.ascontiguousarray(frame[None]) for frame in frames]
            whole = measure_runner(runner, single, queries=queries, warmup=warmup)
            version = runner.version
        finally:
            runner.close()
        task.advance()
        network, note = _network_alone(backend, model, onnx, network_input_name, queries, warmup, threads)
        task.advance()
    if network is None:
        warnings.append(f"the network alone was not timed: {note}")
    elif note:
        warnings.append(note)
    for name, latency in (("frame to answer", whole), ("network alone", network)):
        if latency is not None and latency.iqr_over_median > LARGEST_SPREAD:
            warnings.append(f"{name}: {_spread(latency)}; this machine was too noisy to trust the figures")
    return Measurement(
        device=found.profile,
        host=found.host,
        backend=backend,
        backend_version=version,
        precision=precision,
        rules=f"single-stream, {queries} queries after {warmup}, nearest-rank percentiles",
        threads=threads,
        frame_to_answer=whole,
        network=network,
        cold_start_ns=cold_start_ns,
        peak_rss_bytes=peak_rss_bytes,
        energy_mj=None,
        warnings=tuple(warnings),
    )


def _machine_warnings(found: Detected, threads: int) -> list[str]:
    warnings = []
    slow = [name for name in found.governors if name != "performance"]
    if slow:
        warnings.append(
            f"the clock governor is {', '.join(slow)}: clocks change during the run; "
            "for steady figures: sudo cpupower frequency-set -g performance"
        )
    if found.cores and threads > found.cores:
        warnings.append(f"{threads} threads on {found.cores} cores: they wait for each other")
    return warnings


def _network_alone(
    backend: str, model: Path, onnx: Path | None, tensor_name: str, queries: int, warmup: int, threads: int
) -> tuple[Latency | None, str]:
    """Return the time of the network without its preprocessing, and what is to be said about it."""
    if not BACKENDS[backend].network_only:
        return None, f"{backend} cannot cut a graph"
    note = ""
    try:
        runner = open_network(backend, model, tensor_name, threads=threads)
    except ModelError as err:
        if onnx is None or onnx == model:
            return None, str(err)
        try:
            runner = open_network(backend, onnx, tensor_name, threads=threads)
        except ModelError as second:
            return None, str(second)
        note = f"the network alone was timed on {onnx.name}: in {model.name} it cannot be told from the preprocessing"
    try:
        return measure_runner(runner, [_any_tensor(runner)], queries=queries, warmup=warmup), note
    finally:
        runner.close()


def _any_tensor(runner: NetworkRunner) -> NDArray[Any]:
    """Return a normalised image's likeness: standard normal values, or any bytes for an integer input."""
    random = np.random.default_rng(0)
    if runner.dtype.kind == "f":
        return random.standard_normal(runner.input_shape).astype(runner.dtype)
    return random.integers(0, 127, runner.input_shape).astype(runner.dtype)


def _cold_start(backend: str, model: Path, frames: NDArray[np.uint8], threads: int) -> tuple[int, int | None]:
    """Open and answer once in a fresh process; return the time it took and the process's largest resident memory."""
    package = Path(weckd_edge.__file__).parent.parent
    code = f"import sys; sys.path.append({str(package)!r}); from weckd_edge.devices.cold_start import main; main()"
    with tempfile.TemporaryDirectory(prefix="weckd-bench-") as folder:
        path = Path(folder) / "frame.npy"
        np.save(path, frames)
        command = [sys.executable, "-c", code, backend, str(model.resolve()), str(path), str(threads)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_COLD_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as err:
            raise ModelError(f"{model.name}: no first answer within {_COLD_TIMEOUT_S} s in a fresh process") from err
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"{model.name}: a fresh process could not answer one frame ({last})")
    figures = json.loads(done.stdout.splitlines()[-1])
    rss = figures["peak_rss_bytes"]
    return int(figures["cold_start_ns"]), None if rss is None else int(rss)
