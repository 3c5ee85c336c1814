import dataclasses
import gc
import json
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from weckd_edge.artifacts import Measurement
from weckd_edge.cli.bench import command
from weckd_edge.devices import bench as bench_module
from weckd_edge.devices.bench import bench, bench_model, measure_runner, nearest_rank, summarize, verdict_of
from weckd_edge.devices.cold_start import first_answer_ns, peak_rss_bytes
from weckd_edge.errors import ConfigError, ModelError

FRAMES = [np.full((1, 2, 2, 3), value, np.uint8) for value in range(3)]


class FakeRunner:
    """Remembers the frames it is given, and whether the garbage collector was at rest."""

    name, version, input_shape = "openvino", "1", (1, 2, 2, 3)

    def __init__(self, fail_at: int | None = None) -> None:
        self.seen: list[int] = []
        self.collecting: set[bool] = set()
        self.fail_at = fail_at
        self.closed = False

    def run(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(self.seen) == self.fail_at:
            raise ModelError("broken")
        self.seen.append(int(frame.flat[0]))
        self.collecting.add(gc.isenabled())
        return np.zeros(3, np.float32)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[int]], None]:
    """Set how long each query is to take, in nanoseconds, by a clock of our own."""

    def set_durations(durations: Iterable[int]) -> None:
        def ticks() -> Iterable[int]:
            now = 1000
            for duration in durations:
                yield now
                now += duration
                yield now
                now += 7  # between two queries: not counted

        source = iter(ticks())
        monkeypatch.setattr(bench_module, "time", types.SimpleNamespace(monotonic_ns=lambda: next(source)))

    return set_durations


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        (range(1, 101), 50, 50),
        (range(1, 101), 90, 90),
        (range(1, 101), 99, 99),
        (range(1, 102), 50, 51),
        (range(1, 102), 99, 100),
        ([15, 20, 35, 40, 50], 5, 15),
        ([15, 20, 35, 40, 50], 30, 20),
        ([15, 20, 35, 40, 50], 40, 20),
        ([15, 20, 35, 40, 50], 50, 35),
        ([15, 20, 35, 40, 50], 100, 50),
        ([8], 50, 8),
        ([8], 99, 8),
        ([8], 0, 8),
        (range(1, 11), 99, 10),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: Iterable[int], percent: int, expected: int) -> None:
    assert nearest_rank(list(values), percent) == expected


def test_a_percentile_is_always_a_time_that_was_measured() -> None:
    samples = [int(x) for x in np.random.default_rng(0).integers(1, 10**9, 77)]
    found = summarize(samples)
    assert {found.p50_ns, found.p90_ns, found.p99_ns} <= set(samples)
    assert found.p50_ns <= found.p90_ns <= found.p99_ns


def test_the_summary_keeps_the_raw_times_in_their_order() -> None:
    found = summarize([40, 10, 30, 20])
    assert found.samples_ns == (40, 10, 30, 20)
    assert (found.p50_ns, found.p90_ns, found.iqr_over_median) == (20, 40, (30 - 10) / 20)


def test_times_that_a_coarse_clock_calls_nought_have_no_spread() -> None:
    assert summarize([0, 0, 0]).iqr_over_median == 0.0


def test_only_the_queries_are_timed_and_frames_are_used_in_turn(clock: Callable[[Iterable[int]], None]) -> None:
    clock([5, 9, 1, 4])
    runner = FakeRunner()
    found = measure_runner(runner, FRAMES, queries=4, warmup=2)
    assert found.samples_ns == (5, 9, 1, 4)
    assert runner.seen == [0, 1, 0, 1, 2, 0]


def test_the_garbage_collector_rests_while_queries_are_timed() -> None:
    runner = FakeRunner()
    assert gc.isenabled()
    measure_runner(runner, FRAMES, queries=3, warmup=0)
    assert runner.collecting == {False}
    assert gc.isenabled()


def test_the_garbage_collector_works_again_after_a_query_that_failed() -> None:
    with pytest.raises(ModelError, match="broken"):
        measure_runner(FakeRunner(fail_at=1), FRAMES, queries=3, warmup=0)
    assert gc.isenabled()


def test_a_garbage_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        measure_runner(FakeRunner(), FRAMES, queries=1, warmup=0)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(("frames", "queries", "warmup"), [([], 1, 0), (FRAMES, 0, 0), (FRAMES, 1, -1)])
def test_a_measurement_of_nothing_is_refused(frames: list[Any], queries: int, warmup: int) -> None:
    with pytest.raises(ConfigError, match="expected frames, queries >= 1 and warmup >= 0"):
        measure_runner(FakeRunner(), frames, queries=queries, warmup=warmup)


def measured(samples: Iterable[int]) -> Measurement:
    return Measurement(
        device="generic-x86",
        host="h",
        backend="openvino",
        backend_version="1",
        precision="int8",
        rules="r",
        threads=1,
        frame_to_answer=summarize(list(samples)),
        network=None,
        cold_start_ns=1,
        peak_rss_bytes=None,
        energy_mj=None,
    )


def test_a_quiet_run_of_enough_queries_may_be_quoted() -> None:
    verdict, reason = verdict_of(measured([1000] * 64))
    assert (verdict, reason[:10]) == ("VALID", "64 queries")


def test_a_noisy_run_may_not_be_quoted_and_says_what_to_do() -> None:
    verdict, reason = verdict_of(measured([1000, 2000] * 64))
    assert verdict == "INVALID"
    assert "spans 1.00 of the median" in reason
    assert "close other programs" in reason


@pytest.mark.parametrize(("spread", "verdict"), [(100, "VALID"), (101, "INVALID")])
def test_a_spread_of_a_tenth_is_the_most_that_is_quiet(spread: int, verdict: str) -> None:
    samples = [1000] * 48 + [1000 + spread] * 32
    assert summarize(samples).iqr_over_median == spread / 1000
    assert verdict_of(measured(samples))[0] == verdict


def test_too_few_queries_may_not_be_quoted_however_quiet() -> None:
    verdict, reason = verdict_of(measured([1000] * 63))
    assert verdict == "INVALID"
    assert "63 queries" in reason
    assert "at least 64" in reason


def test_a_bundle_is_measured_on_its_golden_frames(toy: ModuleType, machines: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    root = machines.x86(tmp_path / "root", cores=2)
    bundle = toy.write_bundle(tmp_path / "b")
    found = bench(bundle, queries=9, warmup=1, root=root)
    assert (found.backend, found.precision, found.threads) == ("openvino", "int8", 1)
    assert (found.device, found.host) == ("generic-x86", "Intel(R) Xeon(R) Processor @ 2.10GHz")
    assert found.rules == "single-stream, 9 queries after 1, nearest-rank percentiles"
    assert len(found.frame_to_answer.samples_ns) == 9
    assert found.network is not None
    assert len(found.network.samples_ns) == 9
    assert min(found.frame_to_answer.samples_ns) > 0
    assert found.cold_start_ns > 0
    assert found.peak_rss_bytes is None or found.peak_rss_bytes > 1 << 20
    assert found.energy_mj is None
    assert verdict_of(found)[0] == "INVALID"


def test_onnxruntime_measures_too_and_says_that_it_cannot_cut(toy: ModuleType, machines: ModuleType, tmp_path: Path) -> None:
    root = machines.x86(tmp_path / "root", cores=1)
    machines.set_governors(root, "schedutil")
    found = bench(toy.write_bundle(tmp_path / "b"), backend="onnxruntime", queries=3, warmup=0, threads=2, root=root)
    assert (found.backend, found.threads, found.network) == ("onnxruntime", 2, None)
    told = "\n".join(found.warnings)
    assert "the network alone was not timed: onnxruntime cannot cut a graph" in told
    assert "the clock governor is schedutil" in told
    assert "2 threads on 1 cores" in told


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeRunner]:
    """Runners in place of the backends, and a process in place of the fresh one."""
    runners = {"whole": FakeRunner(), "network": FakeRunner()}
    runners["network"].dtype = np.dtype("float32")  # type: ignore[attr-defined]
    monkeypatch.setattr(bench_module, "open_runner", lambda backend, model, threads: runners["whole"])
    monkeypatch.setattr(bench_module, "open_network", lambda backend, model, name, threads: runners["network"])
    done = types.SimpleNamespace(returncode=0, stdout='noise\n{"cold_start_ns": 5, "peak_rss_bytes": null}\n', stderr="")
    monkeypatch.setattr(bench_module.subprocess, "run", lambda command, **kw: done)
    return runners


def run_fake(tmp_path: Path, **kw: Any) -> Measurement:
    frames = np.zeros((2, 2, 2, 3), np.uint8)
    arguments: dict[str, Any] = {"queries": 4, "warmup": 0, **kw}
    return bench_model(
        "openvino",
        tmp_path / "m.xml",
        frames,
        precision="int8",
        network_input_name="image",
        root=tmp_path,
        **arguments,
    )


def test_both_runners_are_closed_and_unknown_memory_stays_unknown(tmp_path: Path, fakes: dict[str, FakeRunner]) -> None:
    found = run_fake(tmp_path)
    assert (found.cold_start_ns, found.peak_rss_bytes) == (5, None)
    assert [runner.closed for runner in fakes.values()] == [True, True]


def test_a_runner_that_fails_is_closed(tmp_path: Path, fakes: dict[str, FakeRunner]) -> None:
    fakes["whole"] = FakeRunner(fail_at=0)
    with pytest.raises(ModelError):
        run_fake(tmp_path)
    assert fakes["whole"].closed


def test_noise_is_told_in_the_warnings_of_the_measurement(
    tmp_path: Path, fakes: dict[str, FakeRunner], clock: Callable[[Iterable[int]], None]
) -> None:
    clock([100, 100, 200, 200, 100, 100, 100, 100])
    (warning,) = run_fake(tmp_path).warnings
    assert "frame to answer: the middle half of the times spans 1.00" in warning
    assert "too noisy" in warning


def test_a_model_that_lost_the_tensors_name_is_cut_in_its_onnx_graph(
    tmp_path: Path, fakes: dict[str, FakeRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_network(backend: str, model: Path, name: str, threads: int) -> FakeRunner:
        if model.suffix == ".xml":
            raise ModelError("no tensor is called 'image'")
        return fakes["network"]

    monkeypatch.setattr(bench_module, "open_network", open_network)
    found = run_fake(tmp_path, onnx=tmp_path / "m.onnx")
    assert found.network is not None
    assert "the network alone was timed on m.onnx" in "\n".join(found.warnings)
    without = run_fake(tmp_path)
    assert without.network is None
    assert "no tensor is called 'image'" in "\n".join(without.warnings)


@pytest.mark.parametrize(
    ("stderr", "told"), [("Traceback\nModelError: no such file\n", "ModelError: no such file"), ("", "exit code -9")]
)
def test_a_fresh_process_that_dies_is_told_in_one_line(
    tmp_path: Path, fakes: dict[str, FakeRunner], monkeypatch: pytest.MonkeyPatch, stderr: str, told: str
) -> None:
    dead = types.SimpleNamespace(returncode=-9, stdout="", stderr=stderr)
    monkeypatch.setattr(bench_module.subprocess, "run", lambda command, **kw: dead)
    with pytest.raises(ModelError) as caught:
        run_fake(tmp_path)
    assert str(caught.value) == f"m.xml: a fresh process could not answer one frame ({told})"


def test_a_fresh_process_that_hangs_is_given_up(
    tmp_path: Path, fakes: dict[str, FakeRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(command: list[str], **kw: Any) -> None:
        raise bench_module.subprocess.TimeoutExpired(command, kw["timeout"])

    monkeypatch.setattr(bench_module.subprocess, "run", hang)
    with pytest.raises(ModelError, match="no first answer within 300 s"):
        run_fake(tmp_path)


def test_the_largest_memory_is_read_from_linux_and_none_elsewhere(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t  999999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t  1 kB\n")
    assert peak_rss_bytes(status) == 12345 * 1024
    status.write_text("Name:\tpython\n")
    assert peak_rss_bytes(status) is None
    assert peak_rss_bytes(tmp_path / "none") is None


def test_the_first_answer_takes_time(toy: ModuleType, tmp_path: Path) -> None:
    model = toy.write_graph(tmp_path / "m.onnx")
    np.save(tmp_path / "frame.npy", toy.frames(1))
    assert first_answer_ns("onnxruntime", model, tmp_path / "frame.npy", 1) > 0


def test_the_command_prints_one_object(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.write_bundle(tmp_path / "b")
    found = dataclasses.replace(measured([1000] * 64), network=summarize([500] * 64))
    monkeypatch.setattr("weckd_edge.devices.bench.bench", lambda bundle, **kw: found)
    data = json.loads(CliRunner().invoke(command, [str(tmp_path / "b"), "--json"]).stdout)
    assert data.keys() >= {"device", "rules", "verdict", "cold_start_ns", "peak_rss_bytes", "energy_mj", "warnings"}
    assert data["frame_to_answer"] == {"p50_ns": 1000, "p90_ns": 1000, "p99_ns": 1000, "samples": 64, "iqr_over_median": 0.0}
    assert data["network"]["p90_ns"] == 500
    assert (data["verdict"], data["peak_rss_bytes"]) == ("VALID", None)
    shown = CliRunner().invoke(command, [str(tmp_path / "b")])
    assert "frame to answer" in shown.stdout
    assert "VALID: 64 queries" in shown.stderr
