"""Measure a bundle on this machine: single queries one after another, every raw time kept.

End-to-end latency and the network alone are measured in one run, one after the other. Opening to first answer, and the
largest resident memory, come from a process of its own, so that nothing this process has loaded counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import weckd_edge
from weckd_edge.artifacts import Latency, MachineRecord, Measurement, PowerRecord
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import EXTRA_OF, is_installed
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.devices.bench.early_stopping import early_stop
from weckd_edge.devices.bench.energy import energy_of
from weckd_edge.devices.bench.folder import FRAME, NETWORK, BenchFolder
from weckd_edge.devices.bench.loadgen_backend import LIBRARY, MAX_BYTES, loadgen_memory_bytes, run_loadgen
from weckd_edge.devices.bench.machine_log import MachineFiles, counter_rises
from weckd_edge.devices.bench.percentiles import summarize_latency
from weckd_edge.devices.bench.poller import Poller
from weckd_edge.devices.bench.power.base import PowerSource, Reading
from weckd_edge.devices.bench.power.null_source import NullSource
from weckd_edge.devices.bench.rules import Rules, find_rules
from weckd_edge.devices.bench.single_stream import Sink, TimedRun, run_single_stream, warm_up
from weckd_edge.devices.bench.verdict import LARGEST_SPREAD, spread_text
from weckd_edge.devices.machine.detect import DetectedMachine, detect
from weckd_edge.devices.runtime.backends.base import AnyRunner, ModelSource, NetworkRunner
from weckd_edge.devices.runtime.backends.table import BACKENDS, open_network, open_runner
from weckd_edge.devices.runtime.golden_arrays import load_golden
from weckd_edge.devices.runtime.input_guard import OpenGuard, open_guard
from weckd_edge.devices.runtime.model_choice import choose_model, read_model_bytes

Generator = Literal["auto", "builtin", "loadgen"]
"""What sends the queries; ``auto``: LoadGen where it is installed and the rules are MLPerf's, else the builtin generator."""

_COLD_TIMEOUT_S = 300
_WATCH_PERIOD_S = 1.0
_END_TOLERANCE_S = 0.1
"""LoadGen counts its minimum from a moment before the first query."""

_EXPECTED_NS = 1_000_000
"""Of one query, where none was run before."""

_NO_TIME = Latency(samples_ns=(), p50_ns=0, p90_ns=0, p99_ns=0, iqr_over_median=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchSpec:
    """What is measured of a model, and for how long.

    Attributes:
        rules: How long: ``mlperf``, ``mobile`` or ``quick``; see ``rules.RULES``.
        queries: Exactly so many, in place of what the rules say.
        warmup: How many before, untimed, in place of what the rules say.
        threads: Processor threads one query may use.
        generator: What sends the queries.
        network: Whether the network alone is timed too; ``add_network`` does it later.
    """

    rules: str = "quick"
    queries: int | None = None
    warmup: int | None = None
    threads: int = 1
    generator: Generator = "auto"
    network: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchedModel:
    """A model that is measured.

    Attributes:
        backend: A name of the backend table.
        model: What it opens: a file, or the bytes of a bundle that were proved.
        precision: Of the model, for the record.
        network_input_name: Where to cut the graph to time the network alone.
        onnx: The graph the model came from, to cut where the built model has lost that name.
    """

    backend: str
    model: ModelSource
    precision: str
    network_input_name: str
    onnx: ModelSource | None = None


def bench(
    bundle: Bundle,
    *,
    rules: str = "quick",
    queries: int | None = None,
    warmup: int | None = None,
    threads: int = 1,
    backend: str | None = None,
    generator: Generator = "auto",
    power: PowerSource | None = None,
    out: Path | None = None,
    root: Path = Path("/"),
    progress: Progress | None = None,
) -> Measurement:
    """Measure a bundle on its own golden frames.

    Args:
        bundle: An opened bundle.
        rules: How long: ``mlperf``, ``mobile`` or ``quick``; see ``rules.RULES``.
        queries: Exactly so many, in place of what the rules say.
        warmup: How many before, untimed, in place of what the rules say.
        threads: Processor threads one query may use.
        backend: See ``choice.choose_model``.
        generator: What sends the queries.
        power: Where power is read; None: nowhere. It stays open.
        out: Folder to keep the bench in; see ``bench_folder``.
        root: Where ``proc``, ``sys`` and ``etc`` lie.
        progress: Where to show it.

    Raises:
        WeckdError: The bundle holds no golden frames, or its model cannot be opened here.
    """
    choice = choose_model(bundle, backend)
    frames, _ = load_golden(bundle)
    manifest = bundle.manifest
    return bench_model(
        BenchedModel(
            backend=choice.backend,
            model=choice.model,
            precision=choice.precision,
            network_input_name=manifest.network_input_name,
            onnx=read_model_bytes(bundle, manifest.onnx),
        ),
        frames,
        BenchSpec(rules=rules, queries=queries, warmup=warmup, threads=threads, generator=generator),
        power=power,
        guard=open_guard(bundle),
        out=out,
        root=root,
        progress=progress,
    )


def bench_model(
    model: BenchedModel,
    frames: NDArray[np.uint8],
    spec: BenchSpec,
    *,
    power: PowerSource | None = None,
    guard: OpenGuard | None = None,
    out: Path | None = None,
    root: Path = Path("/"),
    progress: Progress | None = None,
) -> Measurement:
    """Measure one model.

    Args:
        model: The model.
        frames: uint8 ``[N, H, W, 3]``, used in turn.
        spec: What is measured, and for how long.
        power: Where power is read; None: nowhere. It stays open.
        guard: Looks at each frame first, and its time counts; every frame is answered, whatever it says.
        out: Folder to keep the bench in; see ``bench_folder``.
        root: Where ``proc``, ``sys`` and ``etc`` lie.
        progress: Where to show it.

    Raises:
        WeckdError: The model cannot be opened here.
    """
    held = find_rules(spec.rules, queries=spec.queries, warmup=spec.warmup)
    kept = BenchFolder(out) if out is not None else None
    found = detect(root)
    backend, threads = model.backend, spec.threads
    warnings = _machine_warnings(found, threads)
    use_loadgen, note = _choose_generator(spec.generator, held)
    warnings += [note] if note else []
    with (progress or SilentProgress()).task(f"bench {backend}", total=3) as task:
        cold_start_ns, peak_rss_bytes = _cold_start(backend, model.model, frames[:1], threads)
        task.advance()
        runner = open_runner(backend, model.model, threads=threads)
        draft = Measurement(
            device=found.profile,
            host=found.host,
            backend=backend,
            backend_version=runner.version,
            precision=model.precision,
            rules=held.text(0, 0.0),
            threads=threads,
            end_to_end=_NO_TIME,
            network=None,
            cold_start_ns=cold_start_ns,
            peak_rss_bytes=peak_rss_bytes,
            energy_mj=None,
            warnings=tuple(warnings),
            rule_set=held.name,
            rules_met=False,
        )
        try:
            single = [np.ascontiguousarray(frame[None]) for frame in frames]
            with kept.stream(FRAME, draft) if kept else nullcontext() as sink:
                answering = runner if guard is None else _Guarded(runner, guard)
                timed = _timed_run(
                    answering, single, held, use_loadgen, spec.generator == "auto", power or NullSource(), sink, root
                )
        finally:
            runner.close()
        task.advance()
        draft = _with_run(draft, timed, held, found)
        measurement = replace(draft, warnings=(*draft.warnings, *_closing_warnings(draft, found)))
        if spec.network:
            measurement = add_network(measurement, model, spec, kept)
        task.advance()
    if kept is not None:
        kept.finish(measurement, timed.readings)
    return measurement


def add_network(
    measurement: Measurement, model: BenchedModel, spec: BenchSpec, kept: BenchFolder | None = None
) -> Measurement:
    """Return a bench with the time of the network alone, without its preprocessing, measured now.

    Args:
        measurement: A bench of the same model, without it.
        model: The model.
        spec: As it was measured.
        kept: Where the bench is kept; None: nowhere.
    """
    rules = find_rules("quick", queries=spec.queries, warmup=spec.warmup)
    with kept.stream(NETWORK, measurement) if kept else nullcontext() as sink:
        network, note = _network_alone(model, rules, spec.threads, sink)
    warnings = []
    if network is None:
        warnings.append(f"the network alone was not timed: {note}")
    elif note:
        warnings.append(note)
    if network is not None and network.iqr_over_median > LARGEST_SPREAD:
        warnings.append(_noisy("network alone", network))
    return replace(measurement, network=network, warnings=(*measurement.warnings, *warnings))


@dataclass(frozen=True, slots=True)
class _Guarded:
    """A model behind its guard, for timing."""

    runner: AnyRunner
    guard: OpenGuard

    def run(self, frame: Any) -> Any:
        self.guard.check(frame)
        return self.runner.run(frame)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Timed:
    """A run with what was watched around it."""

    run: TimedRun
    machine: MachineRecord
    power: PowerRecord
    readings: tuple[Reading, ...]
    note: str


def _timed_run(
    runner: AnyRunner,
    frames: Sequence[NDArray[Any]],
    rules: Rules,
    use_loadgen: bool,
    may_choose: bool,
    source: PowerSource,
    sink: Sink | None,
    root: Path,
) -> _Timed:
    """Read idle power, warm up, and time the queries while the machine is watched."""
    measures = source.read() is not None
    with MachineFiles(root) as machine, Poller(source.read, source.period_s) if measures else nullcontext() as meter:
        before, mode_before, counts = machine.read_state(), machine.mode(), machine.counters()
        idle_start_ns = time.monotonic_ns()
        if measures:
            time.sleep(rules.idle_seconds)
        idle_end_ns = time.monotonic_ns()
        fastest_ns = warm_up(runner, frames, rules.warmup) or _EXPECTED_NS
        note = ""
        if use_loadgen and may_choose and loadgen_memory_bytes(rules, fastest_ns) > MAX_BYTES:
            use_loadgen = False
            note = "LoadGen would need too much memory for this many queries; the builtin generator sent them"
        with Poller(machine.read_state, _WATCH_PERIOD_S) as watch:
            if use_loadgen:
                run = run_loadgen(runner, frames, rules, fastest_ns, sink)
            else:
                run = run_single_stream(runner, frames, rules, sink)
        after, mode_after, rose = machine.read_state(), machine.mode(), counter_rises(counts, machine.counters())
        if measures:
            time.sleep(2 * source.period_s)  # so that readings span the run
        shown = machine.shown
    readings = tuple(reading for reading in meter.readings if reading is not None) if meter is not None else ()
    if isinstance(source, NullSource):
        trouble: str | None = source.reason
    else:
        trouble = str(meter.failure) if meter is not None and meter.failure is not None else None
    figures = energy_of(
        source,
        readings,
        idle=(idle_start_ns, idle_end_ns),
        run=(run.start_ns, run.end_ns),
        frames=len(run.samples_ns),
        trouble=trouble,
    )
    record = MachineRecord(
        before=replace(before, at_ns=before.at_ns - run.start_ns),
        during=tuple(replace(state, at_ns=state.at_ns - run.start_ns) for state in watch.readings),
        after=replace(after, at_ns=after.at_ns - run.start_ns),
        mode_before=mode_before,
        mode_after=mode_after,
        throttle_events=rose,
        shown=shown,
    )
    return _Timed(run=run, machine=record, power=figures, readings=readings, note=note)


def _with_run(draft: Measurement, timed: _Timed, rules: Rules, found: DetectedMachine) -> Measurement:
    run = timed.run
    samples = run.samples_ns.tolist()
    seconds = (run.end_ns - run.start_ns) / 1e9
    met = len(samples) >= rules.min_queries and seconds >= rules.min_seconds - _END_TOLERANCE_S
    return replace(
        draft,
        rules=rules.text(len(samples), seconds),
        end_to_end=summarize_latency(samples),
        energy_mj=timed.power.net_mj,
        generator=run.generator,
        duration_ns=run.end_ns - run.start_ns,
        rules_met=met or (rules.max_seconds is not None and seconds >= rules.max_seconds),
        early_stopping=tuple(early_stop(samples, percent) for percent in (90, 99)),
        loadgen=run.loadgen,
        warnings=(*draft.warnings, timed.note) if timed.note else draft.warnings,
        power=timed.power,
        machine=replace(timed.machine, emulated=found.identity.emulation if found.identity else None),
    )


def _choose_generator(generator: Generator, rules: Rules) -> tuple[bool, str]:
    """Return whether LoadGen sends the queries, and what is to be said where it cannot."""
    if generator != "auto":
        return generator == "loadgen", ""
    if rules.name == "quick":
        return False, ""
    if is_installed(LIBRARY):
        return True, ""
    extra = f"pip install 'weckd-edge[{EXTRA_OF[LIBRARY]}]'"
    return False, f"MLPerf's LoadGen is not installed ({extra}); the builtin generator sent the queries, by the same rules"


def _closing_warnings(draft: Measurement, found: DetectedMachine) -> list[str]:
    warnings = []
    if draft.end_to_end.iqr_over_median > LARGEST_SPREAD:
        warnings.append(_noisy("end-to-end latency", draft.end_to_end))
    load = draft.machine.before.load_average if draft.machine else None
    if load is not None and found.cores and load > found.cores / 2:
        warnings.append(
            f"the load average was {load:.1f} on {found.cores} cores before the run: other programs were running"
        )
    return warnings


def _noisy(name: str, latency: Latency) -> str:
    return f"{name}: {spread_text(latency)}; this machine was too noisy to trust the figures"


def _machine_warnings(found: DetectedMachine, threads: int) -> list[str]:
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


def _network_alone(model: BenchedModel, rules: Rules, threads: int, sink: Sink | None) -> tuple[Latency | None, str]:
    """Return the time of the network without its preprocessing, and what is to be said about it."""
    backend, onnx = model.backend, model.onnx
    if not BACKENDS[backend].network_only:
        return None, f"{backend} cannot cut a graph"
    note = ""
    try:
        runner = open_network(backend, model.model, model.network_input_name, threads=threads)
    except ModelError as err:
        if onnx is None or onnx == model.model:
            return None, str(err)
        try:
            runner = open_network(backend, onnx, model.network_input_name, threads=threads)
        except ModelError as second:
            return None, str(second)
        note = f"the network alone was timed on {onnx.name}: in {model.model.name} it cannot be told from the preprocessing"
    try:
        tensors = [_any_tensor(runner)]
        warm_up(runner, tensors, rules.warmup)
        return summarize_latency(run_single_stream(runner, tensors, rules, sink).samples_ns), note
    finally:
        runner.close()


def _any_tensor(runner: NetworkRunner) -> NDArray[Any]:
    """Return a normalised image's similarity: standard normal values, or any bytes for an integer input."""
    random = np.random.default_rng(0)
    if runner.dtype.kind == "f":
        return random.standard_normal(runner.input_shape).astype(runner.dtype)
    return random.integers(0, 127, runner.input_shape).astype(runner.dtype)


def _cold_start(backend: str, model: ModelSource, frames: NDArray[np.uint8], threads: int) -> tuple[int, int | None]:
    """Open and answer once in a fresh process; return the time it took and the process's largest resident memory."""
    package = Path(weckd_edge.__file__).parent.parent
    code = (  # ours first, as another version may be installed; behind everything else for whatever is imported next
        f"import sys; sys.path.insert(0, {str(package)!r}); import weckd_edge; sys.path.append(sys.path.pop(0)); "
        "from weckd_edge.devices.bench.cold_start import main; main()"
    )
    with tempfile.TemporaryDirectory(prefix="weckd-bench-") as folder:
        path = Path(folder) / "frame.npy"
        np.save(path, frames)
        file = model.resolve() if isinstance(model, Path) else model.write(Path(folder))
        command = [sys.executable, "-c", code, backend, str(file), str(path), str(threads)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_COLD_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as err:
            raise ModelError(
                f"{model.name}: no first answer within {_COLD_TIMEOUT_S} s in a fresh process", code="E_MODEL_COLD_START"
            ) from err
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"{model.name}: a fresh process could not answer one frame ({last})", code="E_MODEL_COLD_START")
    record = json.loads(done.stdout.splitlines()[-1])
    rss = record["peak_rss_bytes"]
    return int(record["cold_start_ns"]), None if rss is None else int(rss)
