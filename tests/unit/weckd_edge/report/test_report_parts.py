"""What the report is put together from: the summary, the embedded answers, the pictures, the gallery, the page around."""

import base64
import dataclasses
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import factories
from weckd_edge.artifacts import (
    DataAudit,
    DatasetIndex,
    Estimate,
    FingerprintAudit,
    FlippedFrame,
    FoldComparison,
    LabelIssueAudit,
    MetricsRecord,
    OperatingPoint,
    Prediction,
    Rate,
    SplitLeaks,
    Verification,
)
from weckd_edge.config import ReportConfig
from weckd_edge.metrics import measure_metrics
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.report import Picture, html_shell, pictures
from weckd_edge.report.chapters import explorer, operating_points
from weckd_edge.report.chapters.audit_warnings import audit_warnings
from weckd_edge.report.chapters.gallery import MAX_FRAMES, by_severity, gallery, outcome_of
from weckd_edge.report.charts import threshold_curves

LABELS = ("a", "b")


def prediction(number: int, label: int, p: float, *, fp32: float | None = None, group: str = "") -> Prediction:
    """An image of class ``label`` of which what ships says ``p`` for the second class."""
    before = p if fp32 is None else fp32
    return Prediction(
        path=f"{LABELS[label]}/{number}.png",
        group=group or f"g{number // 2}",
        label=label,
        fp32=(1 - before, before),
        compiled=(1 - p, p),
        teacher=(1 - before, before),
    )


def manifest(**point: Any) -> Any:
    """As much of a manifest as the embedded answers need."""

    @dataclasses.dataclass
    class Point:
        confidence_threshold: float = 0.0
        non_gradeable_labels: tuple[str, ...] = ()

    @dataclasses.dataclass
    class Few:
        labels: tuple[str, ...]
        operating_point: Point

    return Few(LABELS, Point(**point))


def many(count: int = 400) -> list[Prediction]:
    random = np.random.default_rng(3)
    return [prediction(n, n % 2, float(random.beta(2, 2))) for n in range(count)]


def test_a_threshold_of_whole_thousandths_is_met_by_the_embedded_predictions_exactly_where_it_was() -> None:
    found = [*many(), prediction(400, 1, 0.7), prediction(401, 1, 0.29), prediction(402, 0, 1.0)]
    data = explorer.explorer_data(found, manifest())
    assert data is not None
    columns = np.array(data["probabilities"]).reshape(-1, 2)
    for step in range(0, 1001, 7):
        real = [[value >= step / 1000 for value in p.compiled] for p in found]
        assert (columns >= step * explorer.SCALE / 1000).tolist() == real, step


def test_what_is_not_classified_is_marked_by_threshold_and_by_label() -> None:
    found = [prediction(0, 0, 0.45), prediction(1, 1, 0.9), prediction(2, 0, 0.1)]
    data = explorer.explorer_data(found, manifest(confidence_threshold=0.6, non_gradeable_labels=("b",)))
    assert data is not None
    assert data["undecided"] == [0, 1]
    assert data["decided"] == [0, 1, 0]
    assert data["below"] == 6000


def test_too_many_images_lose_their_names_and_then_their_place() -> None:
    found = many(10_000)
    named = explorer.explorer_data(found, manifest())
    assert named is not None
    assert named["names"][0] == "0.png"
    assert len(json.dumps(named, separators=(",", ":"))) < explorer.MAX_BYTES
    longer = [dataclasses.replace(p, path=p.path.replace("/", "/" + "x" * 150)) for p in found]
    nameless = explorer.explorer_data(longer, manifest())
    assert nameless is not None
    assert nameless["names"] is None
    wide = [dataclasses.replace(p, compiled=p.compiled * 40, fp32=p.fp32 * 40) for p in longer]
    assert explorer.explorer_data(wide, manifest()) is None
    assert explorer.explorer_data([], manifest()) is None


def test_wrong_predictions_are_listed_first_the_surest_on_top() -> None:
    rows = explorer.first_rows([prediction(0, 0, 0.2), prediction(1, 0, 0.6), prediction(2, 0, 0.9), prediction(3, 1, 0.99)])
    assert [row.path for row in rows] == ["a/2.png", "a/1.png", "b/3.png", "a/0.png"]


def test_the_table_of_thresholds_holds_the_builds_own_with_intervals_by_groups() -> None:
    found = many(60)
    rows = operating_points.threshold_rows(found, 0.62)
    (row,) = [row for row in rows if row.chosen]
    sure = np.array([max(p.compiled) >= 0.62 for p in found])
    wrong = np.array([(p.compiled[1] > 0.5) != bool(p.label) for p in found])
    groups = np.array([p.group for p in found])
    assert row.threshold == 0.62
    assert row.coverage == rate_by_group(sure, groups.tolist())
    assert row.wrong == rate_by_group(wrong[sure], groups[sure].tolist())
    assert operating_points.threshold_rows([prediction(0, 0, 0.5)], 0.0)[-1].wrong is None


def test_a_non_gradeable_class_gives_no_decision_at_any_threshold() -> None:
    found = [prediction(0, 0, 0.1), prediction(1, 1, 0.95), prediction(2, 0, 0.9)]
    rows = operating_points.threshold_rows(found, 0.0, refused={1})
    assert (rows[0].threshold, rows[0].coverage.correct, rows[0].coverage.images) == (0.0, 1, 3)
    assert rows[0].wrong is not None
    assert (rows[0].wrong.correct, rows[0].wrong.images) == (0, 1)
    assert "33.3% with a decision" in threshold_curves(*operating_points.confidence_and_errors(found, {1}), 0.0)
    told = operating_points.point_sentence(OperatingPoint(non_gradeable_labels=("b",)))
    assert (
        told == "This build decides for the most probable class, unless that class is non-gradeable (b): its threshold is 0."
    )
    told = operating_points.point_sentence(OperatingPoint(confidence_threshold=0.8, non_gradeable_labels=("b",)))
    assert told.endswith("where its probability is at least 0.800, unless that class is non-gradeable (b).")


def noise(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (380, 420, 3), np.uint8)


def test_pictures_shrink_until_all_fit_and_the_rest_is_left_out() -> None:
    images = {str(n): noise(n) for n in range(6)}
    large = pictures.encode(images)
    size = sum(map(len, large.values()))

    def width(url: str) -> int:
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).width

    assert {width(url) for url in large.values()} == {240}
    small = pictures.encode(images, size // 2)
    assert list(small) == list(images)
    assert sum(map(len, small.values())) <= size // 2
    assert {width(url) for url in small.values()} < {200, 160, 128, 96, 72}
    few = pictures.encode(images, 4000)
    assert 0 < len(few) < 6
    assert list(few) == list(images)[: len(few)], "the first are the most important"


def judged(predictions: list[Prediction]) -> tuple[MetricsRecord, Verification]:
    verification = factories.verification(predictions, LABELS)
    images = tuple(factories.image(p.path, label=p.label, group=p.group, width=8, height=8) for p in predictions)
    index = DatasetIndex(name="x", labels=LABELS, images=images)
    names = ("M1 torch fp32", "M2 torch fp32", "M2 openvino int8")
    return measure_metrics(verification, index, ReportConfig(), names=names), verification


def test_newly_wrong_predictions_come_first_in_the_gallery_and_what_is_not_shown_is_reported() -> None:
    flipped = [prediction(n, 0, 0.7, fp32=0.2) for n in range(MAX_FRAMES)]
    better = [prediction(100 + n, 1, 0.7, fp32=0.2) for n in range(3)]
    performance, verification = judged([*better, *flipped, prediction(200, 0, 0.1)])
    assert [outcome_of(frame) for frame in by_severity(performance)] == ["worse"] * MAX_FRAMES + ["better"] * 3
    shown = {
        "a/0.png": Picture(frame=noise(0), overlay=noise(1)),
        "a/1.png": Picture(frame=None, note="1.png: truncated"),
        "a/2.png": Picture(frame=noise(2)),
    }
    urls = {"frame:a/0.png": "data:1", "overlay:a/0.png": "data:2"}
    found = gallery(performance, verification, LABELS, shown, urls)
    by_path = {frame.path: frame for frame in found.frames}
    assert len(found.frames) == MAX_FRAMES
    assert len(found.rows) == MAX_FRAMES + 3
    assert found.more.startswith("3\u00a0further frames not shown")
    first = by_path["a/0.png"]
    assert (first.picture, first.overlay) == ("data:1", "data:2")
    assert (first.teacher, first.fp32, first.deployed) == ("a 80\u00a0%", "a 80\u00a0%", "b 70\u00a0%")
    assert by_path["a/1.png"].note == "1.png: truncated"
    assert by_path["a/2.png"].note == "left out to keep the file small"
    assert by_path["a/3.png"].note == "this page was written without the images"


def test_a_decision_that_stays_wrong_in_another_way_is_neither_better_nor_worse() -> None:
    assert outcome_of(FlippedFrame(path="x", label=0, teacher=None, fp32=1, compiled=2)) == "other"
    assert outcome_of(FlippedFrame(path="x", label=0, teacher=0, fp32=1, compiled=2)) == "worse"


def probes(**changes: Any) -> DataAudit:
    nothing = DataAudit(
        features="colours",
        pretrained=False,
        images=100,
        groups=50,
        labels=LABELS,
        majority=0.5,
        published=None,
        this_split=SplitLeaks(held_out=40, copies=0, near=2, grouped=0, pairs=()),
        folds=None,
        masking=None,
        fingerprints=(),
        sources=None,
        label_issues=None,
    )
    return dataclasses.replace(nothing, **changes)


def about(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"this_split": SplitLeaks(held_out=40, copies=3, near=3, grouped=1, pairs=())}, "This build's split leaks"),
        (
            {
                "folds": FoldComparison(
                    folds=5,
                    repeats=2,
                    images=100,
                    by_image=about(0.9, 0.02),
                    by_group=about(0.8, 0.02),
                    optimism=about(0.1, 0.05),
                )
            },
            "would overestimate",
        ),
        (
            {
                "fingerprints": (
                    FingerprintAudit(
                        name="compression",
                        features="tables",
                        accuracy=Rate(value=0.8, low=0.7, high=0.9, correct=80, images=100, groups=50),
                        auc=None,
                    ),
                )
            },
            "compression 80.0",
        ),
        ({"label_issues": LabelIssueAudit(images=100, found=4, label_issues=())}, "4\u00a0labels of 100 may be wrong"),
    ],
)
def test_a_finding_of_the_audit_is_a_warning(changes: dict[str, Any], words: str) -> None:
    (told,) = audit_warnings(probes(**changes))
    assert words in told


def test_audits_that_find_nothing_warn_of_nothing() -> None:
    assert audit_warnings(probes()) == ()
    assert audit_warnings(None) == ()
    colour = FingerprintAudit(
        name="colour", features="means", accuracy=Rate(value=1, low=0.9, high=1, correct=9, images=9, groups=9), auc=None
    )
    assert audit_warnings(probes(fingerprints=(colour,))) == (), "colour may follow from the finding"


def test_what_is_embedded_cannot_end_its_script() -> None:
    html = html_shell.document("t", "b", scripts=(), data={"labels": ["</script><script>alert(1)</script>"]})
    assert "</script><script>alert" not in html
    text = html.split('id="predictions">')[1].split("</script>")[0]
    assert json.loads(text) == {"labels": ["</script><script>alert(1)</script>"]}


def test_a_threshold_between_two_steps_is_rounded_up() -> None:
    data = explorer.explorer_data([prediction(0, 0, 0.2)], manifest(confidence_threshold=0.61234))
    assert data is not None
    assert data["below"] == math.ceil(6123.4)
