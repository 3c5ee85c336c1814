"""A bench: what it measures, what it says of the machine, and what it keeps."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support import factories
from support.errors import raises
from weckd_edge.artifacts import Int8Count, MachineState, Measurement
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.bench.bench import bench, bench_model
from weckd_edge.devices.bench.benched_model import BenchedModel, ColdStart, measure_cold_start
from weckd_edge.devices.bench.cold_start import first_prediction_ns, peak_rss_bytes
from weckd_edge.devices.bench.folder import read_bench, recover_run
from weckd_edge.devices.bench.machine_log import MachineFiles
from weckd_edge.devices.bench.power.base import PowerSourceError, Reading
from weckd_edge.devices.bench.settings import BenchSettings
from weckd_edge.devices.bench.verdict import verdict_of
from weckd_edge.devices.bench.watched_run import BenchMachine
from weckd_edge.devices.runtime.backends import openvino_backend, table
from weckd_edge.devices.runtime.frame_runner import FrameRunner
from weckd_edge.devices.runtime.front_end import FrontEnd
from weckd_edge.report.bench_page import bench_page
from weckd_edge.report.json_summaries import bench_summary

INPUT = factories.input_spec(2)
LABELS = ("effusion", "normal", "wax")
COUNT = Int8Count(int8_layers=3, layers=5, float_layers=("a", "b"))


def toy_model(backend: str, model: Path) -> BenchedModel:
    """The toy's graph, as a bench has it."""
    spec = factories.input_spec(8)
    return BenchedModel(
        backend=backend, model=model, input=spec, precision="float32", labels=LABELS, network_input_name="image"
    )


class FakeRunner:
    """Counts the frames it is given, and whether it was closed."""

    name, version, input_shape, dtype = "openvino", "1", (1, 2, 2, 3), np.dtype("float32")

    def __init__(self, fail_at: int | None = None) -> None:
        self.seen: list[int] = []
        self.fail_at = fail_at
        self.closed = False
        self.takes: Callable[[], object] = lambda: None

    def run(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        if len(self.seen) == self.fail_at:
            raise ModelError("broken", code="E_MODEL_GRAPH")
        self.takes()
        self.seen.append(int(frame.flat[0]))
        return np.zeros(3, np.float32)

    def close(self) -> None:
        self.closed = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class FakeModel(BenchedModel):
    """A model whose runners are the test's own, and which starts no process."""

    whole: FakeRunner = dataclasses.field(default_factory=FakeRunner)
    network: FakeRunner = dataclasses.field(default_factory=FakeRunner)

    def open(self, threads: int) -> FrameRunner:
        return FrameRunner(self.whole, FrontEnd(self.input, self.guard))

    def open_network(self, threads: int) -> tuple[FakeRunner, str]:
        return self.network, ""

    def count_int8(self) -> Int8Count:
        return COUNT

    def cold_start(self, frames: NDArray[np.uint8], threads: int) -> ColdStart:
        return ColdStart(first_prediction_ns=5, peak_rss_bytes=None)


def test_a_bundle_is_measured_on_its_golden_frames(toy: ModuleType, machines: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    root = machines.x86(tmp_path / "root", cores=2)
    bundle = toy.write_bundle(tmp_path / "b")
    found = bench(bundle, BenchSettings(queries=9, warmup=1), machine=BenchMachine(root=root))
    assert (found.backend, found.precision, found.threads) == ("openvino", "int8", 1)
    assert (found.device, found.host) == ("generic-x86", "Intel(R) Xeon(R) Processor @ 2.10GHz")
    assert found.rules.startswith("quick (seconds, for builds; shorter than any MLPerf run): single-stream, 9 queries in ")
    assert found.rules.endswith(" s after 1, nearest-rank percentiles")
    assert (found.rule_set, found.generator, found.rules_met) == ("quick", "builtin", True)
    assert len(found.end_to_end.samples_ns) == 9
    assert found.network is not None
    assert len(found.network.samples_ns) == 9
    assert found.parts is not None
    assert [name for name, _ in found.parts.named] == ["graph", "decision"], "no guard, and the graph resizes"
    assert found.parts.end_to_end_over_network is not None
    assert min(found.end_to_end.samples_ns) > 0
    assert found.cold_start_ns > 0
    assert found.peak_rss_bytes is None or found.peak_rss_bytes > 1 << 20
    assert found.energy_mj is None
    assert verdict_of(found)[0] == "INVALID"


def test_onnxruntime_measures_too_and_says_that_it_cannot_cut(toy: ModuleType, machines: ModuleType, tmp_path: Path) -> None:
    root = machines.x86(tmp_path / "root", cores=1)
    machines.set_governors(root, "schedutil")
    settings = BenchSettings(queries=3, warmup=0, threads=2)
    found = bench(toy.write_bundle(tmp_path / "b"), settings, backend="onnxruntime", machine=BenchMachine(root=root))
    assert (found.backend, found.threads, found.network) == ("onnxruntime", 2, None)
    told = "\n".join(found.warnings)
    assert "the network alone was not timed: onnxruntime cannot cut a graph" in told
    assert "the clock governor is schedutil" in told
    assert "2 threads on 1 cores" in told


@pytest.fixture
def model(tmp_path: Path) -> FakeModel:
    return FakeModel(
        backend="openvino",
        model=tmp_path / "m.xml",
        input=INPUT,
        precision="int8",
        labels=LABELS,
        network_input_name="image",
    )


FRAMES = np.zeros((2, 2, 2, 3), np.uint8)


def run_fake(
    model: BenchedModel,
    root: Path,
    *,
    machine: Any = (),
    out: Path | None = None,
    parts: bool = True,
    **settings: Any,
) -> Measurement:
    """Bench on a machine that shows the files below ``root``; four queries unless told otherwise."""
    return bench_model(
        model,
        FRAMES,
        BenchSettings(**{"queries": 4, "warmup": 0, **settings}),
        machine=BenchMachine(root=root, **dict(machine)),
        parts=parts,
        out=out,
    )


def test_both_runners_are_closed_and_unknown_memory_stays_unknown(tmp_path: Path, model: FakeModel) -> None:
    found = run_fake(model, tmp_path)
    assert (found.cold_start_ns, found.peak_rss_bytes) == (5, None)
    assert (model.whole.closed, model.network.closed) == (True, True)


def test_a_runner_that_fails_is_closed(tmp_path: Path, model: FakeModel) -> None:
    model.whole.fail_at = 0
    with pytest.raises(ModelError):
        run_fake(model, tmp_path)
    assert model.whole.closed


class Clock:
    """Stands still but for what runners take."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def advance_by(self, durations_ns: Iterable[int]) -> Callable[[], None]:
        """Return a query that takes these times, one after another."""
        listed = list(durations_ns)
        left = itertools.chain(listed, itertools.repeat(listed[-1]))

        def takes() -> None:
            self.now_ns += next(left)

        return takes


def test_noise_is_reported_in_the_warnings_of_the_measurement(tmp_path: Path, model: FakeModel) -> None:
    clock = Clock()
    model.whole.takes, model.network.takes = clock.advance_by([100, 100, 200, 200]), clock.advance_by([100] * 4)
    found = run_fake(model, tmp_path, machine={"clock": clock})
    assert found.end_to_end.samples_ns == (100, 100, 200, 200)
    assert found.network is not None
    assert found.network.samples_ns == (100,) * 4
    (warning,) = found.warnings
    assert "end-to-end latency: the middle half of the times spans 1.00" in warning
    assert "too noisy" in warning


class Looks:
    """Counts what a thread of its own reads, so that a query can last until it has been read again."""

    def __init__(self) -> None:
        self.seen = threading.Semaphore(0)

    def note(self) -> None:
        self.seen.release()

    def wait_for(self, count: int) -> None:
        while self.seen.acquire(blocking=False):
            pass
        for _ in range(count):
            assert self.seen.acquire(timeout=30)


class Meter(Looks):
    """Reads 2 W while nothing runs and 6 W from the first query on."""

    name, rails, period_s = "meter", ("ALL",), 0.005

    def __init__(self, runner: FakeRunner, fail_after: int | None = None) -> None:
        super().__init__()
        self.runner, self.fail_after, self.reads = runner, fail_after, 0

    def read(self) -> Reading:
        self.reads += 1
        if self.reads == self.fail_after:
            raise PowerSourceError("the cable fell out", code="E_DEVICE_POWER_SOURCE")
        self.note()
        return Reading(at_ns=time.monotonic_ns(), power_mw=6000.0 if self.runner.seen else 2000.0)

    def close(self) -> None:
        return None


def test_energy_is_what_a_frame_takes_above_idle(tmp_path: Path, model: FakeModel) -> None:
    meter = Meter(model.whole)
    model.whole.takes = lambda: meter.wait_for(2)
    found = run_fake(model, tmp_path, queries=64, machine={"power": meter}, parts=False)
    assert found.power is not None
    assert found.power.idle_mw == pytest.approx(2000)
    assert found.power.run_mw == pytest.approx(6000, rel=0.05)  # the first query's first readings are still idle
    assert found.duration_ns is not None
    frame_s = found.duration_ns / 1e9 / 64
    assert found.energy_mj == found.power.net_mj == pytest.approx(4000 * frame_s, rel=0.1)
    assert found.power.gross_mj == pytest.approx(6000 * frame_s, rel=0.1)


def test_a_meter_that_breaks_leaves_the_times_and_says_why(tmp_path: Path, model: FakeModel) -> None:
    found = run_fake(model, tmp_path, machine={"power": Meter(model.whole, fail_after=5)})
    assert (found.energy_mj, len(found.end_to_end.samples_ns)) == (None, 4)
    assert found.power is not None
    assert found.power.reason == "the cable fell out"


class WatchedClock(Looks):
    """The real clock; it notes when the watch reads it, once for each look at the machine."""

    def __call__(self) -> int:
        if threading.current_thread().name == "weckd-watch":
            self.note()
        return time.monotonic_ns()


def clock_file_of(root: Path, khz: int) -> Path:
    file = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    file.parent.mkdir(parents=True)
    file.write_text(f"{khz}\n")
    return file


def test_the_machine_is_watched_before_during_and_after(tmp_path: Path, model: FakeModel) -> None:
    clock_file_of(tmp_path, 1_000_000)
    clock = WatchedClock()
    model.whole.takes = lambda: clock.wait_for(1)
    settings = {"clock": clock, "watch_period_s": 0.001}
    machine = run_fake(model, tmp_path, queries=3, machine=settings, parts=False).machine
    assert machine is not None
    assert machine.shown == ("processor clock",)
    assert machine.before.at_ns < 0 < machine.after.at_ns
    assert len(machine.during) >= 3
    assert {state.cpu_khz for state in machine.during} == {1_000_000}


def test_a_watch_that_breaks_is_reported(tmp_path: Path, model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read = MachineFiles.read_state

    def break_in_the_run(files: MachineFiles) -> MachineState:
        if threading.current_thread().name == "weckd-watch":
            raise ValueError("scaling_cur_freq: expected a number")
        return read(files)

    monkeypatch.setattr(MachineFiles, "read_state", break_in_the_run)
    found = run_fake(model, tmp_path, parts=False)
    assert found.warnings[0] == (
        "clocks and throttling were not watched to the end of the run: scaling_cur_freq: expected a number"
    )


def test_a_clock_that_falls_during_the_run_makes_it_invalid(tmp_path: Path, model: FakeModel) -> None:
    file = clock_file_of(tmp_path, 1_500_000)
    clock = WatchedClock()

    def falling() -> None:
        if len(model.whole.seen) == 20:
            clock.wait_for(2)
            file.write_text("600000\n")
            clock.wait_for(2)

    model.whole.takes = falling
    found = run_fake(model, tmp_path, queries=64, machine={"clock": clock, "watch_period_s": 0.001})
    verdict, reason = verdict_of(found)
    assert verdict == "INVALID"
    assert "the processor clock changed during the run, 600 to 1500 MHz" in reason


def test_a_bench_under_an_emulator_is_invalid(tmp_path: Path, machines: ModuleType, model: FakeModel) -> None:
    root = machines.x86(tmp_path)
    found = run_fake(model, root, queries=64, machine={"architecture": "aarch64"})
    assert (found.device, found.machine is not None and found.machine.emulated) == ("generic-arm64", "aarch64 on x86_64")
    verdict, reason = verdict_of(found)
    assert verdict == "INVALID"
    assert reason.startswith("an emulator ran it (aarch64 on x86_64), whose times say nothing about a device")


def test_mlperfs_rules_without_loadgen_run_in_the_builtin_generator_and_say_so(
    tmp_path: Path, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    found = run_fake(model, tmp_path, rules="mlperf")
    assert found.generator == "builtin"
    assert (
        "LoadGen is not installed (pip install 'weckd-edge[bench]'); the builtin generator sent the queries"
        in found.warnings[0]
    )
    assert "LoadGen" not in " ".join(run_fake(model, tmp_path).warnings)


def test_mlperfs_rules_run_in_loadgen_where_it_is_installed(tmp_path: Path, model: FakeModel) -> None:
    pytest.importorskip("mlperf_loadgen")
    found = run_fake(model, tmp_path, rules="mlperf", queries=64)
    assert found.generator.startswith("LoadGen ")
    assert found.loadgen is not None
    assert found.loadgen.queries == len(found.end_to_end.samples_ns) == 64
    assert found.early_stopping[0].estimate_ns == max(found.end_to_end.samples_ns)
    assert run_fake(model, tmp_path, rules="mlperf", generator="builtin").generator == "builtin"


def test_a_model_too_fast_for_loadgen_is_timed_by_the_builtin_generator(tmp_path: Path, model: FakeModel) -> None:
    pytest.importorskip("mlperf_loadgen")
    clock = Clock()
    # Two quick queries to warm up, which LoadGen's memory is reckoned from; ten seconds each, so that the run soon ends.
    model.whole.takes = clock.advance_by([1000, 1000, *[10_000_000_000] * 100])
    model.network.takes = clock.advance_by([10_000_000_000] * 100)
    found = run_fake(model, tmp_path, rules="mlperf", queries=None, warmup=2, machine={"clock": clock})
    assert found.generator == "builtin"
    assert "LoadGen would need too much memory" in found.warnings[0]
    assert found.rules_met


def test_a_bench_that_breaks_leaves_what_it_had(tmp_path: Path, model: FakeModel) -> None:
    model.whole.fail_at = 3
    with raises(ModelError, "E_MODEL_GRAPH", says="broken"):
        run_fake(model, tmp_path, out=tmp_path / "kept")
    found = recover_run(tmp_path / "kept")
    assert len(found.end_to_end.samples_ns) == 3
    assert (found.backend, found.cold_start_ns, found.rules_met) == ("openvino", 5, False)


def test_a_bench_that_is_kept_is_the_one_that_was_returned(tmp_path: Path, model: FakeModel) -> None:
    found = run_fake(model, tmp_path, queries=64, out=tmp_path / "kept")
    assert read_bench(tmp_path / "kept") == found
    assert found.int8 == COUNT
    assert bench_summary(found, "VALID", "r")["int8"] == COUNT
    assert "3 of 5" in bench_page(found)
    assert not (tmp_path / "kept/power.jsonl").exists()


def test_a_model_that_lost_the_tensors_name_is_cut_in_its_onnx_graph(toy: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    built = toy.write_graph(tmp_path / "built.onnx", image="fused")
    model = toy_model("openvino", built)
    settings = BenchSettings(queries=4, warmup=0)
    graph = toy.write_graph(tmp_path / "m.onnx")
    found = bench_model(dataclasses.replace(model, onnx=graph), toy.frames(2), settings)
    assert found.network is not None
    assert "the network alone was timed on m.onnx" in "\n".join(found.warnings)
    without = bench_model(model, toy.frames(2), settings)
    assert without.network is None
    assert "'image'" in "\n".join(without.warnings)


@pytest.mark.parametrize("by", ["compiled", "numpy"])
def test_what_computes_on_frames_is_recorded_and_numpy_is_warned_of_where_there_is_work(
    by: str, toy: ModuleType, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"frames_by_{by}")
    for resize in ("bilinear", "area"):
        found = bench(toy.write_bundle(tmp_path / resize, resize=resize), BenchSettings(queries=2, warmup=0))
        assert str(found.pixels).startswith("compiled library" if by == "compiled" else "NumPy")
        told = [text for text in found.warnings if "NumPy" in text]
        assert len(told) == (1 if by == "numpy" and resize == "area" else 0)
        assert str(found.pixels) in bench_page(found)
        assert bench_summary(found, "VALID", "r")["pixels"] == found.pixels


@pytest.mark.parametrize(("half", "as_written"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("image", ["image", "fused"])
def test_the_network_alone_computes_as_the_whole_model_does(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool, as_written: bool, image: str
) -> None:
    pytest.importorskip("openvino")
    asked: list[dict[str, Any]] = []
    settings_for = openvino_backend.settings_for

    def note(**how: Any) -> Any:
        asked.append(settings_for(**how))
        return asked[-1]

    monkeypatch.setattr(openvino_backend, "settings_for", note)
    monkeypatch.setattr(openvino_backend, "computes_in_half", lambda: True)
    monkeypatch.setattr(table, "is_computed_as_written", lambda backend, model: as_written)
    built, graph = toy.write_graph(tmp_path / "built.onnx", image=image), toy.write_graph(tmp_path / "m.onnx")
    model = dataclasses.replace(toy_model("openvino", built), onnx=graph, half=half)
    model.open(2).close()
    network, _ = model.open_network(2)
    network.close()
    assert asked == [settings_for(threads=2, half=half, reference=as_written)] * 2


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo Traceback >&2; echo 'ModelError: no such file' >&2; exit 1", "ModelError: no such file"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_a_fresh_process_that_dies_is_reported_in_one_line(tmp_path: Path, script: str, told: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(ModelError) as caught:
        measure_cold_start(toy_model("openvino", tmp_path / "m.xml"), FRAMES[:1], 1, python=str(python))
    assert str(caught.value) == f"m.xml: a fresh process could not predict one frame ({told})"


def test_a_fresh_process_that_hangs_is_given_up(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nread line <> hangs\n".replace("hangs", str(tmp_path / "hangs")))
    python.chmod(0o755)
    os.mkfifo(tmp_path / "hangs")
    with raises(ModelError, "E_MODEL_COLD_START", says="0.05"):
        measure_cold_start(toy_model("openvino", tmp_path / "m.xml"), FRAMES[:1], 1, python=str(python), timeout_s=0.05)


def test_a_fresh_process_opens_the_model_and_runs_it(toy: ModuleType, tmp_path: Path) -> None:
    found = measure_cold_start(toy_model("onnxruntime", toy.write_graph(tmp_path / "m.onnx")), toy.frames(1), 1)
    assert found.first_prediction_ns > 0
    assert found.peak_rss_bytes is None or found.peak_rss_bytes > 1 << 20


def test_the_largest_memory_is_read_from_linux_and_none_elsewhere(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t  999999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t  1 kB\n")
    assert peak_rss_bytes(status) == 12345 * 1024
    status.write_text("Name:\tpython\n")
    assert peak_rss_bytes(status) is None
    assert peak_rss_bytes(tmp_path / "none") is None


def test_the_first_prediction_takes_time(toy: ModuleType, tmp_path: Path) -> None:
    model = toy.write_graph(tmp_path / "m.onnx")
    np.save(tmp_path / "frame.npy", toy.frames(1))
    assert first_prediction_ns("onnxruntime", model, factories.input_spec(toy.SIDE), tmp_path / "frame.npy", 1) > 0


def test_the_command_prints_one_object(toy: ModuleType, tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    pytest.importorskip("openvino")
    toy.write_bundle(tmp_path / "b")
    arguments = ("bench", tmp_path / "b", "--queries", "64", "--power", "none")
    data = json.loads(run(*arguments, "--out", tmp_path / "kept", "--json")[1])
    kept = read_bench(tmp_path / "kept")
    assert data.keys() >= {"device", "rules", "verdict", "cold_start_ns", "peak_rss_bytes", "energy_mj", "warnings"}
    latency = kept.end_to_end
    assert data["end_to_end"] == {
        "p50_ns": latency.p50_ns,
        "p90_ns": latency.p90_ns,
        "p99_ns": latency.p99_ns,
        "samples": 64,
        "iqr_over_median": latency.iqr_over_median,
    }
    assert kept.network is not None
    assert data["network"]["p90_ns"] == kept.network.p90_ns
    assert (data["verdict"], data["reason"]) == verdict_of(kept)
    assert data["peak_rss_bytes"] == kept.peak_rss_bytes
    _, out, err = run(*arguments)
    assert "end-to-end latency" in out
    assert "VALID: " in err


def test_the_bench_can_be_imported_without_the_command_line() -> None:
    code = (
        "import sys; sys.modules.update(click=None, rich=None, jinja2=None, mlperf_loadgen=None); "
        "import weckd_edge.devices.bench.bench, weckd_edge.devices.bench.compare, weckd_edge.devices.bench.power.table"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
