import dataclasses
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support import factories
from weckd_edge.artifacts import (
    Gate,
    Latency,
    LayerDivergence,
    LayerParity,
    LinkLatency,
    MachineRecord,
    MachineState,
    Measurement,
    ModelAccuracy,
    Parity,
    PowerRecord,
    Prediction,
    Rate,
    Verification,
)
from weckd_edge.config import GateConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.percentiles import summarize_latency
from weckd_edge.devices.bench.verdict import invalid_reasons
from weckd_edge.devices.gates.gates import GateEvidence, evaluate_gates, evaluate_parity, merge_limits
from weckd_edge.devices.machine.detect import detect, is_same_device
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.metrics.intervals import images_to_decide, wilson

NANO = load_profile("jetson-orin-nano-8gb")
LATENCY = Latency(samples_ns=(10_000_000,) * 64, p50_ns=9_000_000, p90_ns=10_000_000, p99_ns=11_000_000, iqr_over_median=0.0)
MEASUREMENT = factories.measurement(rules="single-stream", end_to_end=LATENCY)


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


def gates_of(limits: GateConfig, labels: tuple[str, ...] = (), **evidence: Any) -> tuple[Gate, ...]:
    """Judge a model that was measured on the device and verified on no image, but for what is said."""
    usual = {"measurement": MEASUREMENT, "verification": None, "size_bytes": 0, "measured_on_device": True}
    return evaluate_gates(limits, NANO, GateEvidence(**{**usual, **evidence}), labels)


def one(limits: GateConfig, **evidence: Any) -> Gate:
    (gate,) = gates_of(limits, **evidence)
    return gate


def test_a_limit_of_the_build_comes_before_the_profiles() -> None:
    merged = merge_limits(
        GateConfig(max_latency_p90_ms=5.0, min_accuracy=0.0), GateConfig(max_latency_p90_ms=33.0, max_memory_mib=512.0)
    )
    assert merged == GateConfig(max_latency_p90_ms=5.0, max_memory_mib=512.0, min_accuracy=0.0)


def test_without_limits_nothing_is_asked() -> None:
    assert gates_of(GateConfig(), size_bytes=1) == ()


@pytest.mark.parametrize(("limit", "verdict"), [(10.0, "PASS"), (33.0, "PASS"), (9.999, "FAIL")])
def test_latency_is_held_to_its_90th_percentile(limit: float, verdict: str) -> None:
    gate = one(GateConfig(max_latency_p90_ms=limit))
    assert (gate.name, gate.verdict, gate.limit, gate.value) == ("max_latency_p90_ms", verdict, limit, 10.0)


def test_a_miss_says_by_how_much() -> None:
    assert one(GateConfig(max_latency_p90_ms=8.0)).reason == (
        "10 ms is 2 ms over 8 ms (64 of 64 queries over it), at 99% confidence"
    )


@pytest.mark.parametrize(("limit", "verdict"), [(100.0, "PASS"), (99.0, "FAIL")])
def test_memory_is_counted_in_mebibytes(limit: float, verdict: str) -> None:
    gate = one(GateConfig(max_memory_mib=limit))
    assert (gate.verdict, gate.value) == (verdict, 100.0)


def test_memory_that_cannot_be_measured_is_inconclusive_and_never_nought() -> None:
    gate = one(GateConfig(max_memory_mib=1.0), measurement=dataclasses.replace(MEASUREMENT, peak_rss_bytes=None))
    assert (gate.verdict, gate.value) == ("INCONCLUSIVE", None)
    assert "could not be measured" in gate.reason


def test_without_a_measurement_no_device_gate_passes() -> None:
    gates = gates_of(GateConfig(max_latency_p90_ms=33.0, max_memory_mib=512.0), measurement=None)
    assert [gate.verdict for gate in gates] == ["INCONCLUSIVE", "INCONCLUSIVE"]


@pytest.mark.parametrize("limit", [1.0, 1e6])
def test_a_figure_of_another_machine_neither_clears_nor_misses_a_device_limit(limit: float) -> None:
    gates = gates_of(GateConfig(max_latency_p90_ms=limit, max_memory_mib=limit), measured_on_device=False)
    assert [(gate.verdict, gate.value) for gate in gates] == [("INCONCLUSIVE", None)] * 2
    for gate in gates:
        assert "measured on Xeon, not on jetson-orin-nano-8gb; run weckd-edge bench there" in gate.reason


def test_the_build_host_of_a_jetson_bundle_never_counts(machines: ModuleType, tmp_path: Path) -> None:
    counts = is_same_device(NANO, detect(machines.x86(tmp_path)))
    gates = gates_of(NANO.gates, verification=verification(rate(90), rate(90)), measured_on_device=counts)
    verdicts = {gate.name: gate.verdict for gate in gates}
    assert verdicts == {"max_latency_p90_ms": "INCONCLUSIVE", "max_memory_mib": "INCONCLUSIVE", "max_accuracy_drop": "PASS"}


@pytest.mark.parametrize(("size", "verdict"), [(2 << 20, "PASS"), ((2 << 20) + 1, "FAIL")])
def test_size_is_evaluated_wherever_it_was_built(size: int, verdict: str) -> None:
    gate = one(GateConfig(max_size_mib=2.0), size_bytes=size, measured_on_device=False, measurement=None)
    assert (gate.name, gate.verdict) == ("max_size_mib", verdict)


@pytest.mark.parametrize(("correct", "verdict"), [(91, "PASS"), (90, "PASS"), (89, "FAIL")])
def test_accuracy_must_reach_its_limit(correct: int, verdict: str) -> None:
    gate = one(GateConfig(min_accuracy=0.9), verification=verification(rate(100), rate(correct)))
    assert (gate.verdict, gate.value) == (verdict, correct / 100)
    assert "of 100 test images" in gate.reason


@pytest.mark.parametrize(("correct", "verdict"), [(95, "PASS"), (87, "PASS"), (86, "FAIL")])
def test_accuracy_lost_to_quantization_is_held_to_its_limit(correct: int, verdict: str) -> None:
    gate = one(GateConfig(max_accuracy_drop=0.03), verification=verification(rate(90), rate(correct)))
    assert gate.verdict == verdict
    assert gate.value == pytest.approx((90 - correct) / 100)


def test_a_gain_is_not_worded_as_a_negative_loss() -> None:
    gate = one(GateConfig(max_accuracy_drop=0.03), verification=verification(rate(90), rate(94)))
    assert gate.verdict == "PASS"
    assert "4.0% more" in gate.reason
    assert "-" not in gate.reason
    same = one(GateConfig(max_accuracy_drop=0.03), verification=verification(rate(90), rate(90)))
    assert "as many test images correctly as FP32" in same.reason


def test_a_drop_that_only_rounding_puts_over_the_limit_passes() -> None:
    assert 0.3 - 0.1 != 0.2  # what floating point makes of it
    gate = one(GateConfig(max_accuracy_drop=0.2), verification=verification(rate(3, 10), rate(1, 10)))
    assert gate.verdict == "PASS"


def test_accuracies_on_unlike_numbers_of_images_are_compared_as_rates() -> None:
    gate = one(GateConfig(max_accuracy_drop=0.01), verification=verification(rate(90, 100), rate(45, 50)))
    assert (gate.verdict, gate.value) == ("PASS", 0.0)


@pytest.mark.parametrize("limits", [GateConfig(min_accuracy=0.5), GateConfig(max_accuracy_drop=0.5)])
def test_accuracy_that_nobody_tested_is_inconclusive(limits: GateConfig) -> None:
    gate = one(limits)
    assert (gate.verdict, gate.value) == ("INCONCLUSIVE", None)


@pytest.mark.parametrize(
    "limits",
    [GateConfig(min_accuracy=0.85), GateConfig(max_accuracy_drop=0.05), GateConfig(min_per_class_recall=0.7)],
    ids=lambda limits: next(f.name for f in dataclasses.fields(limits) if getattr(limits, f.name) is not None),
)
def test_a_listed_model_that_a_device_may_choose_is_held_to_the_limits_too(limits: GateConfig) -> None:
    def model(backend: str, correct: int, least: int) -> ModelAccuracy:
        recall = (rate(100), rate(least), None)
        return ModelAccuracy(backend=backend, precision="int8", accuracy=rate(correct), flips=0, recall=recall)

    deployed, good, bad = model("openvino", 90, 80), model("onnxruntime", 89, 79), model("litert", 60, 20)
    found = dataclasses.replace(verification(rate(90), rate(90)), recall_compiled=deployed.recall)
    labels = ("ear", "wax")

    def judge(*models: ModelAccuracy) -> Gate:
        return one(limits, labels=labels, verification=dataclasses.replace(found, models=models))

    assert judge(deployed, good) == judge(deployed) == one(limits, labels=labels, verification=found)
    assert judge(deployed, good).verdict != "FAIL"
    gate = judge(deployed, good, bad)
    assert gate.verdict == "FAIL"
    assert gate.reason.startswith("litert int8, which a device may choose: ")
    assert (
        gate.value
        == one(
            limits,
            labels=labels,
            verification=dataclasses.replace(found, accuracy_compiled=bad.accuracy, recall_compiled=bad.recall),
        ).value
    )


def test_recalls_that_an_older_record_does_not_hold_of_a_listed_model_decide_nothing() -> None:
    found = dataclasses.replace(verification(rate(90), rate(90)), recall_compiled=(rate(80),))
    model = ModelAccuracy(backend="litert", precision="int8", accuracy=rate(90), flips=0)
    limits = GateConfig(min_per_class_recall=0.7)
    assert one(limits, verification=dataclasses.replace(found, models=(model,))).verdict == "PASS"


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
    divergence = LayerDivergence(a=pair.a, b=pair.b, frames=6, threshold_db=20.0, first=0, steepest=0, layers=(layer,))
    verified = dataclasses.replace(verification(rate(90), rate(80)), parity=(pair,), layer_divergences=(divergence,))
    (gate,) = evaluate_parity(verified)
    assert (gate.verdict, gate.value) == ("FAIL", 0.4)
    assert "over 0.1; the first layer where they differ is /blocks.1/Add; it amplifies int8 rounding" in gate.reason
    (plain,) = evaluate_parity(dataclasses.replace(verified, layer_divergences=()))
    assert "the first layer" not in plain.reason


def timed(over: int, queries: int) -> Measurement:
    """So many queries of 10.2 ms among others of 9.9 ms: a limit of 10 ms, and nothing noisy."""
    samples = [10_200_000] * over + [9_900_000] * (queries - over)
    return dataclasses.replace(MEASUREMENT, end_to_end=summarize_latency(samples))


@pytest.mark.parametrize(
    ("over", "queries", "verdict"),
    [
        (1, 64, "PASS"),
        (2, 64, "INCONCLUSIVE"),
        (6, 64, "INCONCLUSIVE"),
        (20, 64, "FAIL"),
        (70, 1024, "PASS"),
        (140, 1024, "FAIL"),
    ],
)
def test_latency_is_evaluated_by_what_the_run_proves(over: int, queries: int, verdict: str) -> None:
    assert one(GateConfig(max_latency_p90_ms=10.0), measurement=timed(over, queries)).verdict == verdict


def test_an_open_latency_says_how_many_more_queries_would_decide_and_they_do() -> None:
    gate = one(GateConfig(max_latency_p90_ms=10.0), measurement=timed(90, 1024))
    assert gate.verdict == "INCONCLUSIVE"
    assert gate.reason.startswith("9.9 ms is within 10 ms (90 of 1024 queries over it); inconclusive at 99% confidence")
    (more,) = re.findall(r"about ([\d,]+) more queries would decide", gate.reason)
    total = 1024 + int(more.replace(",", ""))
    decided = one(GateConfig(max_latency_p90_ms=10.0), measurement=timed(round(90 / 1024 * total), total))
    assert decided.verdict == "PASS"


def test_too_few_queries_say_how_many_more_there_must_be() -> None:
    gate = one(GateConfig(max_latency_p90_ms=10.0), measurement=timed(0, 10))
    assert gate.verdict == "INCONCLUSIVE"
    assert "about 54 more queries would decide" in gate.reason
    quick = one(GateConfig(max_latency_p90_ms=10.0), measurement=timed(0, 50))
    assert quick.verdict == "INCONCLUSIVE"  # proven, but by a bench that is INVALID
    assert "about 14 more queries" in quick.reason


NOISY = dataclasses.replace(
    MEASUREMENT,
    end_to_end=summarize_latency([5_000_000] * 600 + [9_000_000] * 424),
    energy_mj=1.0,
    power=PowerRecord(
        source="meter",
        rails=(),
        idle_mw=1.0,
        run_mw=2.0,
        gross_mj=2.0,
        net_mj=1.0,
        resolution_mj=0.1,
        readings=20,
    ),
)


@pytest.mark.parametrize("limits", [{"max_latency_p90_ms": 8.9}, {"max_energy_mj": 50.0}])
def test_an_invalid_bench_passes_nothing_that_noise_could_have_changed(limits: dict[str, float]) -> None:
    gate = one(GateConfig(**limits), measurement=NOISY)
    assert gate.verdict == "INCONCLUSIVE"
    assert "the bench is INVALID: the middle half of the times spans 0.80" in gate.reason


def test_an_invalid_bench_fails_only_what_noise_cannot_explain() -> None:
    assert one(GateConfig(max_latency_p90_ms=7.0), measurement=NOISY).verdict == "INCONCLUSIVE"
    gate = one(GateConfig(max_latency_p90_ms=4.0), measurement=NOISY)
    assert gate.verdict == "FAIL"
    assert "even its fastest query is over" in gate.reason
    assert one(GateConfig(max_energy_mj=0.5), measurement=NOISY).verdict == "INCONCLUSIVE"


def test_other_work_only_adds_time_so_that_a_noisy_run_passes_a_gate_that_no_query_missed() -> None:
    gate = one(GateConfig(max_latency_p90_ms=9.0), measurement=NOISY)
    assert gate.verdict == "PASS"
    assert "the bench is INVALID, as other work slowed it, but even its slowest query is within" in gate.reason
    for more in (THROTTLED, dataclasses.replace(NOISY, rules_met=False)):
        both = dataclasses.replace(more, end_to_end=NOISY.end_to_end)
        assert one(GateConfig(max_latency_p90_ms=9.0), measurement=both).verdict == "INCONCLUSIVE"


STATE = MachineState(at_ns=0, cpu_khz=None, gpu_hz=None, hottest_celsius=None, hottest_zone=None, load_average=None)
THROTTLED = dataclasses.replace(
    MEASUREMENT,
    machine=MachineRecord(
        before=STATE,
        during=(),
        after=STATE,
        mode_before=None,
        mode_after=None,
        throttle_events=("oc1_event_cnt +2",),
        shown=(),
    ),
)


@pytest.mark.parametrize(
    "measurement",
    [NOISY, THROTTLED, dataclasses.replace(MEASUREMENT, cut_off="stopped")],
    ids=["noisy", "throttled", "cut off"],
)
@pytest.mark.parametrize(("limit", "verdict"), [(1000.0, "PASS"), (1.0, "FAIL")])
def test_memory_is_evaluated_whatever_the_clock_did(measurement: Measurement, limit: float, verdict: str) -> None:
    assert invalid_reasons(measurement)
    gate = one(GateConfig(max_memory_mib=limit), measurement=measurement)
    assert (gate.verdict, "INVALID" in gate.reason) == (verdict, False)


@pytest.mark.parametrize("limit", [1000.0, 1.0])
def test_memory_under_an_emulator_is_not_the_devices(limit: float) -> None:
    machine = dataclasses.replace(THROTTLED.machine, emulated="aarch64 on x86_64")  # type: ignore[type-var]
    gate = one(GateConfig(max_memory_mib=limit), measurement=dataclasses.replace(MEASUREMENT, machine=machine))
    assert gate.verdict == "INCONCLUSIVE"
    assert "an emulator ran it (aarch64 on x86_64)" in gate.reason


def drawing(net_mj: float | None, resolution_mj: float | None = 0.1, reason: str | None = None) -> Measurement:
    power = PowerRecord(
        source="meter",
        rails=(),
        idle_mw=None,
        run_mw=None,
        gross_mj=None,
        net_mj=net_mj,
        resolution_mj=resolution_mj,
        readings=0,
        reason=reason,
    )
    return dataclasses.replace(MEASUREMENT, energy_mj=net_mj, power=power)


@pytest.mark.parametrize(
    ("net_mj", "verdict"), [(1.85, "PASS"), (1.95, "INCONCLUSIVE"), (2.05, "INCONCLUSIVE"), (2.15, "FAIL")]
)
def test_energy_is_evaluated_to_its_resolution(net_mj: float, verdict: str) -> None:
    gate = one(GateConfig(max_energy_mj=2.0), measurement=drawing(net_mj))
    assert (gate.name, gate.verdict, gate.value) == ("max_energy_mj", verdict, net_mj)


def test_open_energy_says_how_many_more_queries_would_decide() -> None:
    # Known to 0.1 mJ by 64 queries and 0.05 off the limit: twice as many queries know it to 0.05.
    gate = one(GateConfig(max_energy_mj=2.0), measurement=drawing(1.95))
    assert "about 65 more queries would decide" in gate.reason
    assert "no number of queries" in one(GateConfig(max_energy_mj=2.0), measurement=drawing(2.0)).reason


def test_energy_that_could_not_be_measured_says_why() -> None:
    gate = one(GateConfig(max_energy_mj=2.0), measurement=drawing(None, None, "this machine shows no power meter"))
    assert (gate.verdict, gate.value) == ("INCONCLUSIVE", None)
    assert gate.reason == "it could not be measured here: this machine shows no power meter"
    away = one(GateConfig(max_energy_mj=2.0), measurement=drawing(1.0), measured_on_device=False)
    assert "1 mJ measured on Xeon, not on jetson-orin-nano-8gb" in away.reason


def seen(correct: int, images: int) -> Rate:
    low, high = wilson(correct, images)
    return Rate(value=correct / images, low=low, high=high, correct=correct, images=images, groups=images)


def recalls(*rates: Rate | None) -> Verification:
    return dataclasses.replace(verification(rate(90), rate(90)), recall_compiled=rates)


@pytest.mark.parametrize(("worst", "verdict"), [(80, "PASS"), (79, "FAIL")])
def test_sensitivity_is_held_to_the_class_recognised_worst(worst: int, verdict: str) -> None:
    verified = recalls(seen(95, 100), seen(worst, 100), seen(99, 100))
    (gate,) = gates_of(GateConfig(min_per_class_recall=0.8), ("normal", "effusion", "wax"), verification=verified)
    assert (gate.name, gate.verdict, gate.value) == ("min_per_class_recall", verdict, worst / 100)
    assert "of 100 test images of effusion" in gate.reason
    assert "class 1" in one(GateConfig(min_per_class_recall=0.8), verification=verified).reason


def test_a_class_without_test_images_leaves_sensitivity_open_unless_another_fails() -> None:
    gate = one(GateConfig(min_per_class_recall=0.8), verification=recalls(seen(95, 100), None))
    assert gate.verdict == "INCONCLUSIVE"
    assert "no image of class 1" in gate.reason
    assert one(GateConfig(min_per_class_recall=0.8), verification=recalls(seen(70, 100), None)).verdict == "FAIL"
    assert one(GateConfig(min_per_class_recall=0.8), verification=recalls(None)).verdict == "INCONCLUSIVE"
    assert one(GateConfig(min_per_class_recall=0.8)).verdict == "INCONCLUSIVE"


def test_a_rate_whose_interval_spans_its_limit_says_how_many_more_images_would_decide() -> None:
    gate = one(GateConfig(min_accuracy=0.9), verification=verification(rate(100), seen(92, 100)))
    assert gate.verdict == "PASS"  # the point decides
    (more,) = re.findall(r"the interval spans the limit, about ([\d,]+) more images would decide", gate.reason)
    total = 100 + int(more.replace(",", ""))
    assert wilson(0.92 * total, total)[0] == pytest.approx(0.9, abs=1e-3)
    clear = one(GateConfig(min_accuracy=0.5), verification=verification(rate(100), seen(92, 100)))
    assert "spans the limit" not in clear.reason


def test_images_that_count_together_need_more_of_their_kind() -> None:
    alone = images_to_decide(seen(92, 100), 0.9)
    low, high = wilson(46, 50)
    grouped = Rate(value=0.92, low=low, high=high, correct=92, images=100, groups=50)
    pairs = images_to_decide(grouped, 0.9)
    assert alone is not None
    assert pairs is not None
    assert 100 + pairs == pytest.approx(2 * (100 + alone), rel=0.01)
    assert images_to_decide(seen(90, 100), 0.9) is None


@pytest.mark.parametrize("bad", [{"max_energy_mj": 0.0}, {"min_per_class_recall": 1.1}, {"min_per_class_recall": -0.1}])
def test_limits_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        GateConfig(**bad)


@pytest.mark.parametrize(("low", "high", "side"), [(20, 30, "within 33"), (30, 40, "around 33"), (34, 50, "over 33")])
def test_a_prediction_tells_its_side_of_the_limit_and_decides_nothing(low: float, high: float, side: str) -> None:
    predicted = LinkLatency(label="estimated", p90_ns=(low + high) / 2e-6, low_ns=low * 1e6, high_ns=high * 1e6, reason="")
    gate = one(GateConfig(max_latency_p90_ms=33.0), measured_on_device=False, predicted=predicted)
    assert (gate.verdict, gate.value) == ("INCONCLUSIVE", (low + high) / 2)
    assert f"90 % interval {low} to {high} ms, {side} ms" in gate.reason
    here = one(GateConfig(max_latency_p90_ms=33.0), predicted=predicted)
    assert (here.verdict, here.value) == ("PASS", 10.0), "what was measured on the device itself counts"


def test_links_are_distinguished_from_what_is_deployed_by_the_split_they_were_evaluated_on() -> None:
    limits, found = GateConfig(min_accuracy=0.8, max_accuracy_drop=0.1), verification(rate(90), rate(85))
    for gate in gates_of(limits, verification=found, split="validation"):
        assert "validation images" in gate.reason
        assert "test" not in gate.reason


def predicted(rows: list[tuple[int, int]]) -> Verification:
    """A verification of images by true and by predicted class, each a group of its own."""
    predictions = tuple(
        Prediction(
            path=f"{at}.png",
            group=str(at),
            label=label,
            fp32=(1.0, 0.0),
            compiled=(float(found == 0), float(found == 1)),
            teacher=None,
        )
        for at, (label, found) in enumerate(rows)
    )
    return dataclasses.replace(verification(rate(90), rate(90)), predictions=predictions)


def guessing_gate(rows: list[tuple[int, int]], limits: GateConfig | None = None) -> tuple[Gate, ...]:
    return gates_of(limits or GateConfig(), ("red", "normal"), verification=predicted(rows), measured_on_device=False)


def test_a_model_that_tells_the_classes_apart_passes_without_being_asked_to() -> None:
    (gate,) = guessing_gate([(at % 2, at % 2) for at in range(20)])
    assert (gate.name, gate.verdict, gate.limit, gate.value) == ("better_than_chance", "PASS", 0.5, 1.0)


def test_a_model_that_always_says_the_same_fails() -> None:
    (gate,) = guessing_gate([(int(at < 18), 1) for at in range(20)])
    assert gate.verdict == "FAIL"
    assert "no better than guessing" in gate.reason


def test_too_few_groups_leave_it_open() -> None:
    (gate,) = guessing_gate([(at % 2, at % 2) for at in range(4)])
    assert gate.verdict == "INCONCLUSIVE"


def test_a_model_that_a_constant_beats_in_accuracy_passes_and_says_so() -> None:
    (gate,) = guessing_gate([(int(at < 190), int(10 < at < 190)) for at in range(200)])
    assert gate.verdict == "PASS"
    assert "is not above the 95.0% of always predicting normal" in gate.reason


@pytest.mark.parametrize("where", ["build", "profile"])
def test_the_test_against_guessing_can_be_turned_off(where: str) -> None:
    off, unsaid = GateConfig(better_than_chance=False), GateConfig()
    limits = merge_limits(off, unsaid) if where == "build" else merge_limits(unsaid, off)
    assert guessing_gate([(0, 1)] * 20, limits) == ()
