"""A bench is judged by the limits of its bundle where it was made on the bundle's device, and nowhere else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import factories
from support.errors import raises
from weckd_edge.artifacts import Gate, MachineRecord, MachineState, Manifest, Measurement
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.gates.bundle_limits import judge_bench
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.profiles.profile import load_profile

MILLISECOND = 1_000_000
STATE = MachineState(at_ns=0, cpu_khz=None, gpu_hz=None, hottest_celsius=None, hottest_zone=None, load_average=None)
EMULATED = MachineRecord(
    before=STATE,
    during=(),
    after=STATE,
    mode_before=None,
    mode_after=None,
    throttle_events=(),
    shown=(),
    emulated="Cortex-A76 on x86_64",
)


def limit(name: str, value: float) -> Gate:
    """A limit that the build could not judge."""
    return Gate(name=name, limit=value, value=None, verdict="INCONCLUSIVE", reason="not measured there")


def manifest(device: str = "generic-x86", *gates: Gate, **changes: Any) -> Manifest:
    return factories.manifest(device=device, gates=gates or (limit("max_latency_p90_ms", 5.0),), **changes)


def bench(device: str = "generic-x86", ms: float = 1.0, **changes: Any) -> Measurement:
    return factories.measurement([ms * MILLISECOND] * 1024, device=device, **changes)


def verdicts(*args: Any) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in judge_bench(*args)}


@pytest.mark.parametrize(("ms", "verdict"), [(1.0, "PASS"), (9.0, "FAIL")])
@pytest.mark.parametrize("measured_on", ["generic-x86", "intel-n100"])
def test_a_generic_profile_takes_every_machine_of_its_architecture(measured_on: str, ms: float, verdict: str) -> None:
    assert verdicts(manifest(), bench(measured_on, ms)) == {"max_latency_p90_ms": verdict}


@pytest.mark.parametrize(
    ("built_for", "measured_on"),
    [("generic-x86", "raspberry-pi-5"), ("raspberry-pi-5", "raspberry-pi-4"), ("generic-x86", "unknown")],
)
def test_another_device_leaves_the_limit_open(built_for: str, measured_on: str) -> None:
    (gate,) = judge_bench(manifest(built_for), bench(measured_on, 9.0))
    assert gate.verdict == "INCONCLUSIVE"
    assert f"not on {built_for}" in gate.reason


def test_an_emulated_machine_leaves_it_open() -> None:
    assert verdicts(manifest("generic-arm64"), bench("generic-arm64", 9.0)) == {"max_latency_p90_ms": "FAIL"}
    found = judge_bench(manifest("generic-arm64"), bench("generic-arm64", 9.0, machine=EMULATED))
    assert [gate.verdict for gate in found] == ["INCONCLUSIVE"]


def test_what_a_bench_does_not_measure_is_not_judged_again() -> None:
    bundle = manifest("generic-x86", limit("max_memory_mib", 50.0), limit("min_accuracy", 0.9), limit("max_size_mib", 1.0))
    assert verdicts(bundle, bench()) == {"max_memory_mib": "FAIL"}
    assert judge_bench(manifest("generic-x86", limit("min_accuracy", 0.9)), bench()) == ()


def test_a_jetson_is_judged_by_its_engine_alone() -> None:
    board = "jetson-orin-nano-8gb"
    bundle = manifest(board, target="jetson")
    (gate,) = judge_bench(bundle, bench(board, 1.0, backend="onnxruntime"))
    assert (gate.verdict, gate.reason.split(";")[0]) == ("INCONCLUSIVE", "onnxruntime ran it")
    assert verdicts(bundle, bench(board, 1.0, backend="tensorrt")) == {"max_latency_p90_ms": "PASS"}
    assert verdicts(bundle, bench(board, 9.0, backend="tensorrt")) == {"max_latency_p90_ms": "FAIL"}


def test_a_profile_of_the_users_own_is_judged_where_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "scope.toml"
    file.write_text('extends = "generic-x86"\nid = "scope"\nname = "Our otoscope"\n', encoding="utf-8")
    own, found = load_profile(file), detect()
    (gate,) = judge_bench(manifest("scope"), bench())
    assert (gate.verdict, gate.limit) == ("INCONCLUSIVE", 5.0)
    assert "scope did not come with this package" in gate.reason
    assert verdicts(manifest("scope"), bench(), own, replace(found, architecture="x86_64", identity=None)) == {
        "max_latency_p90_ms": "PASS"
    }
    elsewhere = replace(found, architecture="aarch64", identity=None)
    assert verdicts(manifest("scope"), bench(), own, elsewhere) == {"max_latency_p90_ms": "INCONCLUSIVE"}
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("generic-x86", "scope")):
        judge_bench(manifest(), bench(), own, found)
