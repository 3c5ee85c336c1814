import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from weckd_edge.artifacts import Gate, Latency, LayerParity, Measurement, Parity, Parting, Rate, Verification
from weckd_edge.config import GateConfig
from weckd_edge.devices.detect import detect, is_same_device
from weckd_edge.devices.gates import judge, judge_parity, merge_bars
from weckd_edge.devices.profile import load_profile

NANO = load_profile("jetson-orin-nano-8gb")
LATENCY = Latency(samples_ns=(10_000_000,) * 64, p50_ns=9_000_000, p90_ns=10_000_000, p99_ns=11_000_000, iqr_over_median=0.0)
MEASUREMENT = Measurement(
    device="generic-x86",
    host="Xeon",
    backend="openvino",
    backend_version="1",
    precision="int8",
    rules="single-stream",
    threads=1,
    frame_to_answer=LATENCY,
    network=None,
    cold_start_ns=1,
    peak_rss_bytes=100 << 20,
    energy_mj=None,
)


def rate(correct: int, images: int = 100) -> Rate:
    return Rate(value=correct / images, low=0.0, high=1.0, correct=correct, images=images, groups=images)


def verification(fp32: Rate, compiled: Rate) -> Verification:
    return Verification(
        parity=(),
        accuracy_fp32=fp32,
        accuracy_compiled=compiled,
        recall_fp32=(),
        recall_compiled=(),
        flips=0,
        predictions=(),
        precision="int8",
        backend="openvino",
    )


def one(
    bars: GateConfig,
    *,
    measurement: Measurement | None = MEASUREMENT,
    verified: Verification | None = None,
    size: int = 0,
    counts: bool = True,
) -> Gate:
    (gate,) = judge(bars, NANO, measurement, verified, size, counts)
    return gate


def test_a_bar_of_the_build_comes_before_the_profiles() -> None:
    merged = merge_bars(GateConfig(latency_p90_ms=5.0, accuracy=0.0), GateConfig(latency_p90_ms=33.0, memory_mib=512.0))
    assert merged == GateConfig(latency_p90_ms=5.0, memory_mib=512.0, accuracy=0.0)


def test_without_bars_nothing_is_asked() -> None:
    assert judge(GateConfig(), NANO, MEASUREMENT, None, 1, True) == ()


@pytest.mark.parametrize(("bar", "verdict"), [(10.0, "PASS"), (33.0, "PASS"), (9.999, "FAIL")])
def test_latency_is_held_to_its_90th_percentile(bar: float, verdict: str) -> None:
    gate = one(GateConfig(latency_p90_ms=bar))
    assert (gate.name, gate.verdict, gate.bar, gate.got) == ("latency_p90_ms", verdict, bar, 10.0)


def test_a_miss_says_by_how_much() -> None:
    assert one(GateConfig(latency_p90_ms=8.0)).reason == "10 ms is 2 ms over 8 ms"


@pytest.mark.parametrize(("bar", "verdict"), [(100.0, "PASS"), (99.0, "FAIL")])
def test_memory_is_counted_in_mebibytes(bar: float, verdict: str) -> None:
    gate = one(GateConfig(memory_mib=bar))
    assert (gate.verdict, gate.got) == (verdict, 100.0)


def test_memory_that_cannot_be_measured_is_inconclusive_and_never_nought() -> None:
    gate = one(GateConfig(memory_mib=1.0), measurement=dataclasses.replace(MEASUREMENT, peak_rss_bytes=None))
    assert (gate.verdict, gate.got) == ("INCONCLUSIVE", None)
    assert "could not be measured" in gate.reason


def test_without_a_measurement_no_device_bar_is_cleared() -> None:
    gates = judge(GateConfig(latency_p90_ms=33.0, memory_mib=512.0), NANO, None, None, 0, True)
    assert [gate.verdict for gate in gates] == ["INCONCLUSIVE", "INCONCLUSIVE"]


@pytest.mark.parametrize("bar", [1.0, 1e6])
def test_a_figure_of_another_machine_neither_clears_nor_misses_a_device_bar(bar: float) -> None:
    gates = judge(GateConfig(latency_p90_ms=bar, memory_mib=bar), NANO, MEASUREMENT, None, 0, False)
    assert [(gate.verdict, gate.got) for gate in gates] == [("INCONCLUSIVE", None)] * 2
    for gate in gates:
        assert "measured on Xeon, not on jetson-orin-nano-8gb; run weckd-edge bench there" in gate.reason


def test_the_build_host_of_a_jetson_bundle_never_counts(machines: ModuleType, tmp_path: Path) -> None:
    counts = is_same_device(NANO, detect(machines.x86(tmp_path)))
    gates = judge(NANO.bars, NANO, MEASUREMENT, verification(rate(90), rate(90)), 1, counts)
    verdicts = {gate.name: gate.verdict for gate in gates}
    assert verdicts == {"latency_p90_ms": "INCONCLUSIVE", "memory_mib": "INCONCLUSIVE", "accuracy_drop": "PASS"}


@pytest.mark.parametrize(("size", "verdict"), [(2 << 20, "PASS"), ((2 << 20) + 1, "FAIL")])
def test_size_is_judged_wherever_it_was_built(size: int, verdict: str) -> None:
    gate = one(GateConfig(size_mib=2.0), size=size, counts=False, measurement=None)
    assert (gate.name, gate.verdict) == ("size_mib", verdict)


@pytest.mark.parametrize(("correct", "verdict"), [(91, "PASS"), (90, "PASS"), (89, "FAIL")])
def test_accuracy_must_reach_its_bar(correct: int, verdict: str) -> None:
    gate = one(GateConfig(accuracy=0.9), verified=verification(rate(100), rate(correct)))
    assert (gate.verdict, gate.got) == (verdict, correct / 100)
    assert "of 100 test images" in gate.reason


@pytest.mark.parametrize(("correct", "verdict"), [(95, "PASS"), (87, "PASS"), (86, "FAIL")])
def test_accuracy_lost_to_quantization_is_held_to_its_bar(correct: int, verdict: str) -> None:
    gate = one(GateConfig(accuracy_drop=0.03), verified=verification(rate(90), rate(correct)))
    assert gate.verdict == verdict
    assert gate.got == pytest.approx((90 - correct) / 100)


def test_a_gain_is_not_worded_as_a_negative_loss() -> None:
    gate = one(GateConfig(accuracy_drop=0.03), verified=verification(rate(90), rate(94)))
    assert gate.verdict == "PASS"
    assert "4.0% more" in gate.reason
    assert "-" not in gate.reason
    same = one(GateConfig(accuracy_drop=0.03), verified=verification(rate(90), rate(90)))
    assert "as many test images correctly as FP32" in same.reason


def test_a_drop_that_only_rounding_puts_over_the_bar_passes() -> None:
    assert 0.3 - 0.1 != 0.2  # what floating point makes of it
    gate = one(GateConfig(accuracy_drop=0.2), verified=verification(rate(3, 10), rate(1, 10)))
    assert gate.verdict == "PASS"


def test_accuracies_on_unlike_numbers_of_images_are_compared_as_rates() -> None:
    gate = one(GateConfig(accuracy_drop=0.01), verified=verification(rate(90, 100), rate(45, 50)))
    assert (gate.verdict, gate.got) == ("PASS", 0.0)


@pytest.mark.parametrize("bars", [GateConfig(accuracy=0.5), GateConfig(accuracy_drop=0.5)])
def test_accuracy_that_nobody_tested_is_inconclusive(bars: GateConfig) -> None:
    gate = one(bars)
    assert (gate.verdict, gate.got) == ("INCONCLUSIVE", None)


def test_parity_that_fails_names_the_layer_where_two_implementations_part() -> None:
    pair = Parity(
        a="onnxruntime int8 as written",
        b="openvino int8",
        frames=40,
        max_abs=0.9,
        p95_abs=0.4,
        sqnr_db=9.0,
        flips=11,
        tolerance=0.1,
        passed=False,
    )
    layer = LayerParity(name="/blocks.1/Add", kind="Add", sqnr_db=12.0, max_abs=2.0, peak=6.0, disturbed=0.0)
    parting = Parting(a=pair.a, b=pair.b, frames=6, threshold_db=20.0, first=0, steepest=0, layers=(layer,))
    verified = dataclasses.replace(verification(rate(90), rate(80)), parity=(pair,), partings=(parting,))
    (gate,) = judge_parity(verified)
    assert (gate.verdict, gate.got) == ("FAIL", 0.4)
    assert "over 0.1; the first layer where they part is /blocks.1/Add; it amplifies int8 rounding" in gate.reason
    (plain,) = judge_parity(dataclasses.replace(verified, partings=()))
    assert "the first layer" not in plain.reason
