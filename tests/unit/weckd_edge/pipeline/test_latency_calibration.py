"""The ladder as it is really timed, on three small networks, and the command that uses it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.errors import raises

pytest.importorskip("openvino")

import onnx

from weckd_edge.cli.estimate import command
from weckd_edge.compile.cost.calibration_networks import NetworkRecipe, build_network
from weckd_edge.compile.cost.onnx_costs import count_onnx
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.latency_model.counts import write_counts
from weckd_edge.devices.latency_model.measurements import TimedNetwork, read_measurements
from weckd_edge.pipeline import latency_calibration
from weckd_edge.pipeline.latency_calibration import count_file, time_calibration_networks

FEW = (
    NetworkRecipe(block="plain", width=8, side=32),
    NetworkRecipe(block="inverted", width=8, side=32, activation="HardSwish", gate=True),
    NetworkRecipe(block="separable", width=8, side=32, frame=(48, 64)),
)


@pytest.fixture(scope="module")
def few() -> tuple[TimedNetwork, ...]:
    return time_calibration_networks(SilentProgress(), device="generic-x86", rounds=3, recipes=FEW)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    onnx.save(build_network(FEW[0]), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def run(*arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(command, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_every_network_is_timed_in_both_precisions(few: tuple[TimedNetwork, ...]) -> None:
    assert [(timed.family, timed.precision) for timed in few] == [
        (block, precision) for block in ("plain", "inverted", "separable") for precision in ("float32", "int8")
    ]
    assert {(timed.device, timed.backend, timed.threads) for timed in few} == {("generic-x86", "openvino", 1)}
    assert all(timed.latency_ns > 0 and timed.noise >= 0 for timed in few)


def test_a_timed_network_is_measured_and_another_device_stays_unknown(
    few: tuple[TimedNetwork, ...], graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in: Callable[..., Any] = lambda *_, **__: few  # noqa: E731
    monkeypatch.setattr(latency_calibration, "time_calibration_networks", stand_in)
    times = tmp_path / "times.jsonl"
    assert run("--calibrate", times)["networks"] == 6
    assert len(read_measurements(times)) == 6
    found = run(graph, "--device", "generic-x86", "--device", "generic-arm64", "--measurements", times)
    first, second = (row["estimate"] for row in found["devices"])
    assert (first["label"], first["latency_ns"]) == ("measured", few[0].latency_ns)
    assert (second["label"], second["latency_ns"]) == ("unknown", None)
    assert found["precision"] == "float32"


def test_a_table_says_label_and_interval(graph: Path) -> None:
    done = CliRunner().invoke(command, [str(graph), "--device", "raspberry-pi-5"], catch_exceptions=False)
    assert "estimated" in done.stdout
    assert "5 published latencies of Raspberry Pi 5 (BCM2712)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a MODEL and a --device"),
        (["m.onnx"], "expected a MODEL and a --device"),
        (["m.onnx", "--calibrate", "t"], "give no MODEL with it"),
        (["--calibrate", "t", "--device", "a", "--device", "b"], "one --device at most"),
    ],
)
def test_a_wrong_request_says_what_is_right(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_counts_are_taken_from_a_file_of_their_own(graph: Path, tmp_path: Path) -> None:
    counts = count_onnx(onnx.load(graph))
    write_counts(tmp_path / "counts.json", counts)
    assert count_file(tmp_path / "counts.json") == counts == count_file(graph)
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED", says="--network-only"):
        count_file(tmp_path / "counts.json", network_only=True)
    with raises(ModelError, "E_FILE_MISSING"):
        count_file(tmp_path / "none.onnx")


def test_a_bundles_counts_are_of_what_the_processor_runs(toy: Any, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "bundle")
    assert count_file(bundle.folder).macs > 0
