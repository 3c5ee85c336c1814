"""Measure a bundle or a model on this machine: single queries one after another, every raw time kept.

End-to-end latency, the network alone, and then the parts in turns are measured one after the other. The time to the first
prediction and the largest resident memory come from a process of its own, so that nothing this process has loaded counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Latency, Measurement, Precision
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ModelError
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.devices.bench.benched_model import BenchedModel, ColdStart
from weckd_edge.devices.bench.early_stopping import early_stop
from weckd_edge.devices.bench.folder import FRAME, NETWORK, BenchFolder
from weckd_edge.devices.bench.load_generator.generator import choose_generator
from weckd_edge.devices.bench.load_generator.rules import Rules
from weckd_edge.devices.bench.load_generator.single_stream import Sink, run_single_stream, warm_up
from weckd_edge.devices.bench.parts import time_parts
from weckd_edge.devices.bench.percentiles import summarize_latency
from weckd_edge.devices.bench.settings import QUICK, BenchSettings
from weckd_edge.devices.bench.verdict import LARGEST_SPREAD, spread_text
from weckd_edge.devices.bench.watched_run import THIS_MACHINE, BenchMachine, WatchedRun, run_watched
from weckd_edge.devices.machine.detect import DetectedMachine
from weckd_edge.devices.native.library import describe_library
from weckd_edge.devices.runtime.backends.base import NetworkRunner
from weckd_edge.devices.runtime.golden_arrays import load_golden_frames
from weckd_edge.devices.runtime.input_guard import open_guard
from weckd_edge.devices.runtime.model_choice import choose_model, read_model_bytes

_END_TOLERANCE_S = 0.1
"""LoadGen counts its minimum from a moment before the first query, so that a run may seem this much too short, seconds."""

_NO_TIME = Latency(samples_ns=(), p50_ns=0, p90_ns=0, p99_ns=0, iqr_over_median=0.0)


def bench(
    bundle: Bundle,
    settings: BenchSettings = QUICK,
    *,
    backend: str | None = None,
    precision: Precision | None = None,
    machine: BenchMachine = THIS_MACHINE,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Measure a bundle on its own golden frames.

    Args:
        bundle: An opened bundle.
        settings: Settings of the bench.
        backend: Name in the backend table; None takes the best one that is here.
        precision: Precision of the model; None takes the best one that is here.
        machine: The machine that the bench runs on, with its power source.
        out: Folder to keep the bench in; None keeps none.
        progress: Shows the three parts of the bench; None shows nothing.

    Raises:
        WeckdError: The bundle holds no golden frames, or its model cannot be opened here.
    """
    choice = choose_model(bundle, backend, precision)
    frames = load_golden_frames(bundle)
    manifest = bundle.manifest
    model = BenchedModel(
        backend=choice.backend,
        model=choice.model,
        input=manifest.input,
        precision=choice.precision,
        half=choice.half,
        by_device=choice.running.by_device,
        note=choice.running.note or "",
        labels=manifest.labels,
        network_input_name=manifest.network_input_name,
        onnx=read_model_bytes(bundle, manifest.onnx),
        guard=open_guard(bundle),
        operating_point=manifest.operating_point,
    )
    return bench_model(model, frames, settings, machine=machine, out=out, progress=progress)


def bench_model(
    model: BenchedModel,
    frames: NDArray[np.uint8],
    settings: BenchSettings,
    *,
    machine: BenchMachine = THIS_MACHINE,
    parts: bool = True,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Measure one model.

    Args:
        model: The model.
        frames: uint8 ``[N, H, W, 3]``, used in turn.
        settings: Settings of the bench.
        machine: The machine that the bench runs on, with its power source.
        parts: Whether the network alone and the parts are timed too; ``add_parts`` does it later.
        out: Folder to keep the bench in; None keeps none.
        progress: Shows the three parts of the bench; None shows nothing.

    Raises:
        WeckdError: The model cannot be opened here.
    """
    rules = settings.end_to_end_rules()
    kept = BenchFolder(out) if out is not None else None
    found = machine.detect()
    generator = choose_generator(settings.generator, rules)
    warnings = [*_machine_warnings(found, settings.threads), *filter(None, [generator.note, model.note])]
    with (progress or SilentProgress()).task(f"bench {model.backend}", total=3) as task:
        cold = model.cold_start(frames[:1], settings.threads)
        task.advance()
        runner = model.open(settings.threads)
        draft = _draft(model, runner.version, settings, cold, found, warnings)
        if runner.front_end.computes and draft.pixels is not None and not draft.pixels.startswith("compiled"):
            warning = f"the front end's bytes are the same, and take longer: {draft.pixels}"
            draft = replace(draft, warnings=(*draft.warnings, warning))
        try:
            with kept.stream(FRAME, draft) if kept else nullcontext() as sink:
                run = run_watched(model.predictor(runner), _single(frames), rules, generator, machine, sink)
        finally:
            runner.close()
        task.advance()
        measurement = replace(_with_run(draft, run, rules, found), int8=model.count_int8())
        if parts:
            measurement = add_parts(measurement, model, frames, settings, kept, machine.clock)
        task.advance()
    if kept is not None:
        kept.finish(measurement, run.readings)
    return measurement


def _draft(
    model: BenchedModel,
    version: str,
    settings: BenchSettings,
    cold: ColdStart,
    found: DetectedMachine,
    warnings: list[str],
) -> Measurement:
    """Return the record as it is known before the first query."""
    rules = settings.end_to_end_rules()
    return Measurement(
        device=found.profile,
        host=found.host,
        backend=model.backend,
        backend_version=version,
        precision=model.precision,
        by_device=model.by_device,
        pixels=describe_library(),
        rules=rules.text(0, 0.0),
        threads=settings.threads,
        end_to_end=_NO_TIME,
        network=None,
        cold_start_ns=cold.first_prediction_ns,
        peak_rss_bytes=cold.peak_rss_bytes,
        energy_mj=None,
        warnings=tuple(warnings),
        rule_set=rules.name,
        rules_met=False,
    )


def add_parts(
    measurement: Measurement,
    model: BenchedModel,
    frames: NDArray[np.uint8],
    settings: BenchSettings,
    kept: BenchFolder | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Measurement:
    """Time the network alone and the parts of a prediction, and return the bench with them.

    Args:
        measurement: A bench of the same model, without them.
        model: The model.
        frames: uint8 ``[N, H, W, 3]``, used in turn.
        settings: Settings that the bench ran by.
        kept: Folder that the bench is kept in; None keeps none.
        clock: Monotonic clock, nanoseconds.
    """
    rules = settings.network_rules()
    with kept.stream(NETWORK, measurement) if kept else nullcontext() as sink, ExitStack() as opened:
        latency, alone = None, None
        try:
            network, note = model.open_network(settings.threads)
        except ModelError as err:
            warnings = [f"the network alone was not timed: {err}"]
        else:
            opened.callback(network.close)
            latency, alone = _time_network(network, rules, sink, clock), partial(network.run, _any_tensor(network))
            warnings = [note] if note else []
            if latency.iqr_over_median > LARGEST_SPREAD:
                warnings.append(_noisy("network alone", latency))
        runner = model.open(settings.threads)
        opened.callback(runner.close)
        parts = time_parts(model.predictor(runner), alone, _single(frames), rules, clock)
    return replace(measurement, network=latency, parts=parts, warnings=(*measurement.warnings, *warnings))


def _single(frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [np.ascontiguousarray(frame[None]) for frame in frames]


def _time_network(runner: NetworkRunner, rules: Rules, sink: Sink | None, clock: Callable[[], int]) -> Latency:
    tensors = [_any_tensor(runner)]
    warm_up(runner, tensors, rules.warmup, clock)
    return summarize_latency(run_single_stream(runner, tensors, rules, sink, clock).samples_ns)


def _any_tensor(runner: NetworkRunner) -> NDArray[Any]:
    """Return a tensor that resembles a normalised image: standard normal values, or any bytes for an integer input."""
    random = np.random.default_rng(0)
    if runner.dtype.kind == "f":
        return random.standard_normal(runner.input_shape).astype(runner.dtype)
    return random.integers(0, 127, runner.input_shape).astype(runner.dtype)


def _with_run(draft: Measurement, watched: WatchedRun, rules: Rules, found: DetectedMachine) -> Measurement:
    """Fill a draft with the end-to-end run, and with the warnings that the run gives reason to."""
    run = watched.run
    samples = run.samples_ns.tolist()
    seconds = (run.end_ns - run.start_ns) / 1e9
    met = len(samples) >= rules.min_queries and seconds >= rules.min_seconds - _END_TOLERANCE_S
    latency = summarize_latency(samples)
    warnings = [*draft.warnings, *filter(None, [run.note])]
    if watched.unwatched is not None:
        warnings.append(f"clocks and throttling were not watched to the end of the run: {watched.unwatched}")
    if latency.iqr_over_median > LARGEST_SPREAD:
        warnings.append(_noisy("end-to-end latency", latency))
    load = watched.machine.before.load_average
    if load is not None and found.cores and load > found.cores / 2:
        warnings.append(
            f"the load average was {load:.1f} on {found.cores} cores before the run: other programs were running"
        )
    return replace(
        draft,
        rules=rules.text(len(samples), seconds),
        end_to_end=latency,
        energy_mj=watched.power.net_mj,
        generator=run.generator,
        duration_ns=run.end_ns - run.start_ns,
        rules_met=met or (rules.max_seconds is not None and seconds >= rules.max_seconds),
        early_stopping=tuple(early_stop(samples, percent) for percent in (90, 99)),
        loadgen=run.loadgen,
        warnings=tuple(warnings),
        power=watched.power,
        machine=replace(watched.machine, emulated=found.identity.emulation if found.identity else None),
    )


def _noisy(name: str, latency: Latency) -> str:
    return f"{name}: {spread_text(latency)}; this machine was too noisy to trust the latencies"


def _machine_warnings(found: DetectedMachine, threads: int) -> list[str]:
    warnings = []
    slow = [name for name in found.governors if name != "performance"]
    if slow:
        warnings.append(
            f"the clock governor is {', '.join(slow)}: clocks change during the run; "
            "for steady latencies: sudo cpupower frequency-set -g performance"
        )
    if found.cores and threads > found.cores:
        warnings.append(f"{threads} threads on {found.cores} cores: they wait for each other")
    return warnings
