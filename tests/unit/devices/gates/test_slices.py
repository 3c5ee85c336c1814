"""Bars for the slice that is served worst: all must clear it, chance is allowed for, small ones are named."""

from __future__ import annotations

import pytest

from weckd_edge.artifacts import ClassMetrics, Gate, Metric, Metrics, Slice
from weckd_edge.config import GateConfig
from weckd_edge.devices.gates.slices import bonferroni_high, evaluate_slices
from weckd_edge.metrics.intervals import wilson

LABELS = ("effusion", "normal")


def figure(value: float, images: int = 100) -> Metric:
    low, high = wilson(value * images, images)
    return Metric(value=value, low=low, high=high, images=images, groups=images)


def a_slice(value: str, accuracy: float | None, images: int = 100) -> Slice:
    compiled = None
    if accuracy is not None:
        it = figure(accuracy, images)
        classes = tuple(
            ClassMetrics(
                label=k,
                images=images,
                found=round(accuracy * images),
                sensitivity=it if k else Metric(value=0.5, low=None, high=None, images=4, groups=4),
                specificity=it,
                ppv=it,
                npv=it,
                f1=it,
                auc=it,
            )
            for k in range(2)
        )
        compiled = Metrics(accuracy=it, balanced_accuracy=it, macro_f1=it, macro_auc=it, classes=classes)
    return Slice(
        column="site",
        value=value,
        images=images,
        groups=images,
        right_fp32=0,
        right=0,
        class_images=(4, images - 4) if images > 4 else (1, images - 1),
        class_found=(0, 0),
        fp32=None,
        compiled=compiled,
        difference=None,
    )


def judged(*slices: Slice, bar: float = 0.8) -> Gate:
    (gate,) = evaluate_slices(GateConfig(min_slice_accuracy=bar), slices, LABELS)
    return gate


def test_all_slices_above_the_limit_pass() -> None:
    gate = judged(a_slice("A", 0.95), a_slice("B", 0.92))
    assert (gate.verdict, gate.value) == ("PASS", 0.92)
    assert "site B, the lowest of 2" in gate.reason


def test_one_slice_well_under_the_limit_fails_and_is_named() -> None:
    gate = judged(a_slice("A", 0.95), a_slice("B", 0.6))
    assert gate.verdict == "FAIL"
    assert "site B" in gate.reason
    assert "20.0% under 80.0%" in gate.reason


def test_an_interval_that_spans_the_limit_leaves_it_open() -> None:
    assert judged(a_slice("A", 0.95), a_slice("B", 0.82)).verdict == "INCONCLUSIVE"
    assert judged(a_slice("A", 0.95), a_slice("B", 0.78)).verdict == "INCONCLUSIVE"


def test_one_low_slice_of_many_is_more_likely_chance_than_one_of_one() -> None:
    low = a_slice("low", 0.71)
    assert judged(low).verdict == "FAIL"
    assert judged(low, *(a_slice(str(k), 0.85) for k in range(12))).verdict == "INCONCLUSIVE"


def test_a_small_slice_is_named_and_not_evaluated() -> None:
    gate = judged(a_slice("A", 0.95), a_slice("C", None, images=3))
    assert gate.verdict == "PASS"
    assert "too small to judge: site C (3 images)" in gate.reason


def test_without_a_slice_to_judge_the_limit_stays_open() -> None:
    assert judged().reason == "the data set has no slices"
    assert judged(a_slice("C", None, images=3)).verdict == "INCONCLUSIVE"


def test_sensitivity_is_evaluated_by_class_and_slice() -> None:
    (gate,) = evaluate_slices(GateConfig(min_slice_recall=0.8), [a_slice("A", 0.95), a_slice("B", 0.6)], LABELS)
    assert gate.verdict == "FAIL"
    assert "normal in site B" in gate.reason
    assert "effusion in site A (4 images)" in gate.reason


def test_no_limit_no_gate() -> None:
    assert evaluate_slices(GateConfig(), [a_slice("A", 0.1)], LABELS) == ()


@pytest.mark.parametrize("value", [0.0, 0.3, 0.9])
def test_the_wider_upper_end_is_about_wilsons_with_a_larger_quantile(value: float) -> None:
    wider = wilson(value * 100, 100, 2.734)[1]  # 95 % for eight figures together
    assert bonferroni_high(figure(value), 8) == pytest.approx(wider, abs=0.02)
