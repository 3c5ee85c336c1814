"""Clinical figures: by hand on small tables, by simulation for intervals, and what is said where there is too little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from support import factories
from support.bundles.report_evidence import make_evidence
from support.errors import raises
from support.programs.benchmark_scripts import load_script
from tests.support.training.networks import record
from weckd_edge.artifacts import Attribute, DatasetIndex, MetricsRecord, OperatingPoint, Prediction, Rate, Verification
from weckd_edge.config import BandConfig, ModelCardConfig, PrevalenceConfig, ReportConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.words import NBSP, with_plain_spaces
from weckd_edge.metrics import check_report, cut_slices, measure_metrics
from weckd_edge.metrics.classification import compare_metrics, measure_images
from weckd_edge.metrics.counts import Predictions, draw_weights, weighted_auc
from weckd_edge.metrics.group_bootstrap import bounded
from weckd_edge.metrics.intervals import rate_by_group, student_t_95, wilson
from weckd_edge.metrics.prediction_flips import count_flips
from weckd_edge.report.chapters.metrics import OLD_BUNDLE, flip_sentences, metrics_text, worst_class_sentence
from weckd_edge.report.chapters.summary import summarize_bundle
from weckd_edge.report.documents.model_card_json import model_card_json
from weckd_edge.report.json_summaries import metrics_summary

LABELS = ("effusion", "normal")
RATE = Rate(value=0.5, low=0.4, high=0.6, correct=5, images=10, groups=10)


def answers(truth: list[int], decided: list[int], groups: list[int] | None = None) -> Predictions:
    """Answers that are 90 % sure of what they decide."""
    sure = np.where(np.eye(2)[decided] > 0, 0.9, 0.1)
    return Predictions(np.array(truth), sure, np.arange(len(truth)) if groups is None else np.array(groups))


def once(of: Predictions) -> np.ndarray:
    return np.ones((1, of.groups))


# 40 of effusion, 30 of them found; 60 normal, 54 of them found.
TABLE = answers([0] * 40 + [1] * 60, [0] * 30 + [1] * 10 + [1] * 54 + [0] * 6)


def test_every_figure_of_a_two_by_two_table_is_that_of_the_textbook() -> None:
    found, _ = measure_images(TABLE, draw_weights(100, 0))
    first = found.classes[0]
    values = [f.value for f in (first.sensitivity, first.specificity, first.ppv, first.npv, first.f1) if f]
    assert values == pytest.approx([30 / 40, 54 / 60, 30 / 36, 54 / 64, 60 / 76])
    assert found.accuracy.value == pytest.approx(0.84)
    assert found.balanced_accuracy.value == pytest.approx((0.75 + 0.9) / 2)
    assert first.auc is not None
    assert first.auc.value == pytest.approx((0.75 + 0.9) / 2), "with two scores the curve has one corner"


def test_where_every_group_has_one_image_a_rate_has_wilsons_interval() -> None:
    found, _ = measure_images(TABLE, draw_weights(100, 0))
    sensitivity = found.classes[0].sensitivity
    assert sensitivity is not None
    assert (sensitivity.low, sensitivity.high) == pytest.approx(wilson(30, 40))


def test_predictive_values_at_a_prevalence_follow_bayes() -> None:
    found, _ = measure_images(TABLE, draw_weights(100, 0), np.array([0.1, 0.9]))
    value = found.classes[0].ppv_at_prevalence
    assert value is not None
    assert value.value == pytest.approx(0.1 * 0.75 / (0.1 * 0.75 + 0.9 * 0.1))
    assert value.low is not None
    assert value.low < value.value < (value.high or 0)


def test_images_that_are_alike_widen_every_interval() -> None:
    apart, _ = measure_images(TABLE, draw_weights(100, 0))
    grouped = replace_groups(TABLE, np.arange(100) // 5)
    alike, _ = measure_images(grouped, draw_weights(20, 0))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc"):
        one, other = getattr(apart, name), getattr(alike, name)
        assert other.high - other.low > 1.5 * (one.high - one.low), name


def replace_groups(of: Predictions, member: np.ndarray) -> Predictions:
    return Predictions(of.truth, of.probabilities, member)


def test_a_weight_of_two_is_the_same_as_the_image_twice() -> None:
    random = np.random.default_rng(0)
    score, positive = random.integers(0, 6, 30).astype(float), random.random(30) < 0.4
    twice = weighted_auc(np.r_[score, score[:10]], np.r_[positive, positive[:10]], np.arange(40), np.ones((1, 40)))
    weights = np.ones((1, 30))
    weights[0, :10] = 2
    assert weighted_auc(score, positive, np.arange(30), weights) == pytest.approx(twice)
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    assert weighted_auc(score, positive, np.arange(30), np.ones((1, 30)))[0] == pytest.approx(np.mean(pairs))


def test_a_perfect_figure_still_has_a_lower_bound_under_one() -> None:
    low, high = bounded(np.ones(200), np.ones(30))
    assert (low, high) == pytest.approx(wilson(30, 30))
    low, high = bounded(np.ones(200), np.ones(30), logit=True)
    assert 0.7 < low < 1
    assert high == 1


def test_no_flip_is_not_taken_for_certainty() -> None:
    weights = draw_weights(100, 0)
    _, drawn = measure_images(TABLE, weights)
    apart = compare_metrics(drawn, drawn, TABLE).accuracy
    assert apart is not None
    assert apart.value == 0
    assert -0.025 < apart.low < -0.015


def test_students_t_is_that_of_the_tables() -> None:
    assert [student_t_95(freedom) for freedom in (2, 5, 20)] == pytest.approx([4.303, 2.571, 2.086], rel=0.01)


def test_rates_in_uneven_groups_are_as_wide_as_few_groups_ask_for() -> None:
    correct = np.array([True, True, True, False] * 15)
    even = rate_by_group(correct, [k // 4 for k in range(60)])
    uneven = rate_by_group(correct, [0] * 32 + [k // 4 for k in range(32, 60)])
    assert uneven.high - uneven.low >= even.high - even.low


@pytest.mark.parametrize("name", ["accuracy", "balanced accuracy", "F1", "AUC", "sensitivity", "specificity"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(name: str, simulated: dict[str, dict[str, float]]) -> None:
    line = simulated[name]
    assert 0.92 <= line["held"] <= 0.985, line


@pytest.fixture(scope="module")
def simulated() -> dict[str, dict[str, float]]:
    script = load_script("bench_intervals")
    found: dict[str, dict[str, float]] = script.coverage(replace(script.SCENARIOS[1], groups=80), 200, resamples=100)
    return found


def test_plain_percentiles_would_have_missed_the_limit(simulated: dict[str, dict[str, float]]) -> None:
    assert simulated["AUC"]["percentiles_held"] < 0.93


def test_flips_are_counted_to_the_better_and_to_the_worse_by_class_and_slice() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1])
    before, after = np.array([0, 0, 1, 1, 0, 1]), np.array([1, 0, 0, 1, 0, 0])
    rows = np.array([True] * 3 + [False] * 3)
    found = count_flips(("a", "b"), before, after, truth, LABELS, [("site A", rows)])
    assert (found.total.better, found.total.worse, found.total.other) == (1, 2, 0)
    assert [(c.of, c.better, c.worse) for c in found.classes] == [("effusion", 1, 1), ("normal", 0, 1)]
    assert [(s.of, s.images, s.better, s.worse) for s in found.slices] == [("site A", 3, 1, 1)]
    assert found.mcnemar_p == pytest.approx(1.0)


def test_two_wrong_predictions_that_differ_are_neither_better_nor_worse() -> None:
    found = count_flips(("a", "b"), np.array([1]), np.array([2]), np.array([0]), ("x", "y", "z"), [])
    assert (found.total.better, found.total.worse, found.total.other) == (0, 0, 1)


def data(
    count: int = 120, *, sites: tuple[str, ...] = ("A", "B"), classes: int = 2, named: int | None = None
) -> tuple[DatasetIndex, Verification]:
    """Test images in turn of each class and site; site B is served worse, and one image in six flips when compiled."""
    labels = ("effusion", "normal", "wax")[:3]
    images, predictions = [], []
    for number in range(count):
        label, site = number % classes, sites[number // classes % len(sites)]
        path = f"{number:03}.png"
        attributes = (Attribute(column="age", value=str(number)), Attribute(column="site", value=site))
        images.append(replace(record(path, label, "test"), attributes=attributes))
        wrong = site == "B" and number % 5 == 0
        decided = (label + wrong) % 2
        compiled = (label + 1) % 2 if number % 12 == 1 else decided
        predictions.append(
            Prediction(path=path, group=path, label=label, fp32=sure(decided), compiled=sure(compiled), teacher=sure(label))
        )
    index = DatasetIndex(name="ears", labels=labels, images=tuple(images), named_groups=named)
    return index, factories.verification(predictions, labels)


def sure(label: int) -> tuple[float, ...]:
    return tuple(0.8 if k == label else 0.1 for k in range(3))


def performance(index: DatasetIndex, verification: Verification, **options: object) -> MetricsRecord:
    config = ReportConfig(**options)  # type: ignore[arg-type]
    return measure_metrics(verification, index, config, names=("M1 fp32", "M2 fp32", "M2 int8"))


def test_the_worst_slice_and_class_are_named() -> None:
    found = performance(*data(), slices=("site",))
    assert found.worst_slice is not None
    assert found.slices[found.worst_slice].name == "site B"
    assert found.worst_class is not None
    text = metrics_text(found, ("effusion", "normal", "wax"))
    assert any("site B" in line for line in text.headline)
    assert [len(row.cells) for table in text.tables for row in table.rows] == [
        len(table.columns) - 1 for table in text.tables for _ in table.rows
    ]


def test_a_class_that_the_test_split_lacks_has_no_figure_and_a_line() -> None:
    found = performance(*data())
    assert found.compiled.classes[2].sensitivity is None
    assert found.compiled.classes[2].images == 0
    assert "the test split has no image of wax: nothing is known of it" in found.notes


def test_a_class_too_small_to_be_judged_is_named_with_its_counts_wherever_the_worst_class_is() -> None:
    index, verification = data(120)
    missed = tuple(
        replace(p, path=f"wax{k}.png", group=f"wax{k}", label=2, compiled=sure(0))
        for k, p in enumerate(verification.predictions[:8])
    )
    found = performance(index, factories.verification([*verification.predictions, *missed], index.labels))
    assert found.worst_class in (0, 1)
    told = "; not judged: wax (0 of 8 found)"
    assert worst_class_sentence(found, index.labels).endswith(f"{told}.")
    number = summarize_bundle(replace(make_evidence(index.labels), metrics=found)).numbers[1]
    assert number.about.endswith(told)
    assert metrics_summary(found, index.labels)["unjudged_classes"] == ["wax"]


def test_where_no_class_can_be_judged_each_is_named() -> None:
    index, verification = data(12)
    found = performance(index, verification)
    right = [c.found for c in found.compiled.classes]
    told = worst_class_sentence(found, index.labels)
    assert told.startswith("Worst class: not known; not judged: ")
    assert f"effusion ({right[0]} of 6 found)" in told
    assert f"normal ({right[1]} of 6 found)" in told
    assert "wax (no test image)" in told


def test_a_slice_of_three_images_gets_counts_and_says_why() -> None:
    index, verification = data(117)
    images = tuple(
        replace(r, attributes=(Attribute(column="site", value="C" if k < 3 else "A"),)) for k, r in enumerate(index.images)
    )
    found = performance(replace(index, images=images), verification)
    small = next(one for one in found.slices if one.value == "C")
    assert (small.images, small.compiled) == (3, None)
    assert "3 images in 3 groups: too few" in (small.note or "")
    assert found.worst_slice is not None
    assert found.slices[found.worst_slice].value == "A"
    shown = metrics_text(found, index.labels)
    assert any(f"{small.right} of 3" == cell.value for table in shown.tables for row in table.rows for cell in row.cells)


def test_numbers_are_cut_at_terciles_or_where_the_user_says() -> None:
    index, _ = data(90)
    cuts, _ = cut_slices(ReportConfig(slices=("age",)), index)
    assert [len(cut.paths) // 10 for cut in cuts] in ([3, 2, 3], [3, 3, 3])
    cuts, _ = cut_slices(ReportConfig(slices=("age",), bands=(BandConfig(column="age", edges=(10, 50)),)), index)
    assert [(cut.value, len(cut.paths)) for cut in cuts] == [("under 10", 10), ("10 to under 50", 40), ("50 and over", 40)]


def test_without_further_columns_one_line_says_that_there_are_no_slices() -> None:
    index, verification = data()
    bare = replace(index, images=tuple(replace(r, attributes=()) for r in index.images))
    found = performance(bare, verification)
    assert found.slices == ()
    assert sum("no slices" in note for note in found.notes) == 1


def test_without_a_group_column_the_evidence_says_what_is_lost() -> None:
    assert any("may be too narrow" in note for note in performance(*data(named=0)).notes)
    assert not any("may be too narrow" in note for note in performance(*data(named=120)).notes)


def test_flipped_frames_are_listed_with_all_three_predictions() -> None:
    found = performance(*data())
    assert [(f.before, f.after) for f in found.flips] == [
        ("M1 fp32", "M2 fp32"),
        ("M2 fp32", "M2 int8"),
        ("M1 fp32", "M2 int8"),
    ]
    frame = next(frame for frame in found.frames if frame.path == "001.png")
    assert (frame.label, frame.teacher, frame.fp32, frame.compiled) == (1, 1, 1, 0)
    changed = found.flips[1].total
    assert len([f for f in found.frames if f.fp32 != f.compiled]) == changed.better + changed.worse + changed.other > 0


def test_flips_of_one_group_are_not_called_significant_and_the_interval_by_groups_says_why() -> None:
    index, verification = data(120, sites=("A",))
    predictions = tuple(
        replace(p, group=f"g{k // 12}", fp32=sure(p.label), compiled=sure(1 - p.label if k < 12 else p.label))
        for k, p in enumerate(verification.predictions)
    )
    found = performance(index, replace(verification, predictions=predictions))
    assert found.flips[1].mcnemar_p < 0.001
    told = flip_sentences(found)[1].replace(NBSP, " ")
    difference = found.difference.accuracy
    assert difference is not None
    assert difference.low < 0 < difference.high
    assert "(McNemar p < 0.001, images taken as independent); difference of accuracy \u221210.0 points (95 %" in told
    assert "significant" not in told
    card = model_card_json(replace(make_evidence(index.labels), metrics=found), ModelCardConfig())
    assert with_plain_spaces(told) in card["considerations"]["performanceTradeoffs"]


def test_images_without_a_prediction_are_counted_apart() -> None:
    index, verification = data()
    unsure = tuple(replace(p, compiled=(0.4, 0.35, 0.25)) if k < 30 else p for k, p in enumerate(verification.predictions))
    found = measure_metrics(
        replace(verification, predictions=unsure),
        index,
        ReportConfig(),
        operating_point=OperatingPoint(confidence_threshold=0.5),
    ).selective
    assert found is not None
    assert found.coverage.value == pytest.approx(0.75)
    assert found.metrics is not None
    assert found.metrics.accuracy.images == 90


@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_a_non_gradeable_class_is_never_decided_and_the_figures_say_so(threshold: float) -> None:
    index, verification = data(120, classes=3, sites=("A",))
    right = tuple(replace(p, compiled=sure(p.label)) for p in verification.predictions)
    point = OperatingPoint(confidence_threshold=threshold, non_gradeable_labels=("wax",))
    record = measure_metrics(replace(verification, predictions=right), index, ReportConfig(), operating_point=point)
    found = record.selective
    assert found is not None
    assert found.coverage.value == pytest.approx(2 / 3)
    assert [share.value for share in found.class_coverage if share] == [1.0, 1.0, 0.0]
    assert found.metrics is not None
    assert found.metrics.classes[2].sensitivity is None
    table = next(one for one in metrics_text(record, index.labels).tables if "operating point" in one.title)
    assert "no decision for wax" in table.title
    assert [cell.value.replace(NBSP, " ") for cell in table.rows[3].cells] == ["0.0 %", "\u2013"]
    card = model_card_json(replace(make_evidence(index.labels), metrics=record), ModelCardConfig())
    (entry,) = [
        one
        for one in card["quantitativeAnalysis"]["performanceMetrics"]
        if one["type"] == "fraction with a decision" and "wax" in one["slice"]
    ]
    assert entry["value"] == "0.6667"


@pytest.mark.parametrize(
    ("config", "code", "named"),
    [
        (ReportConfig(slices=("sight",)), "E_CONFIG_COLUMN", ("'sight'", "'site'")),
        (ReportConfig(bands=(BandConfig(column="site", edges=(1,)),)), "E_CONFIG_COLUMN", "'site'"),
        (
            ReportConfig(slices=("site",), bands=(BandConfig(column="age", edges=(2, 18)),)),
            "E_CONFIG_CONFLICT",
            ("'age'", "report.slices"),
        ),
        (ReportConfig(slices=(), bands=(BandConfig(column="age", edges=(2, 18)),)), "E_CONFIG_CONFLICT", "'age'"),
        (
            ReportConfig(
                prevalence=(PrevalenceConfig(label="normal", fraction=0.9), PrevalenceConfig(label="effusoin", fraction=0.1))
            ),
            "E_CONFIG_CLASSES",
            ("effusion, normal, wax", "effusoin"),
        ),
    ],
)
def test_what_the_data_set_does_not_have_or_the_report_does_not_cut_is_refused(
    config: ReportConfig, code: str, named: tuple[str, ...] | str
) -> None:
    index, _ = data()
    with raises(ConfigError, code, says=named):
        check_report(config, index)


def test_prevalences_that_do_not_add_up_are_refused() -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says="0.5"):
        ReportConfig(prevalence=(PrevalenceConfig(label="normal", fraction=0.5),))


def test_an_old_bundle_says_that_it_has_no_such_figures() -> None:
    text = metrics_text(None, LABELS)
    assert (text.tables, text.notes) == ((), (OLD_BUNDLE,))


@pytest.mark.parametrize(
    ("labels", "images", "approach"), [(10, 10, "supervised"), (10, 30, "semi-supervised"), (0, 0, "supervised")]
)
def test_an_approach_is_semi_supervised_where_the_deployed_link_saw_images_without_labels(
    labels: int, images: int, approach: str
) -> None:
    contents = make_evidence(("ear", "wax"))
    links = tuple(replace(link, labels_used=labels, images_used=images) for link in contents.chain.links)
    card = model_card_json(replace(contents, chain=replace(contents.chain, links=links)), ModelCardConfig())
    assert card["modelParameters"]["approach"] == {"type": approach}
