"""The report in a real browser: what its controls show is what Python works out, by keyboard, fast, and for every reader."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import factories
from weckd_edge.artifacts import (
    Abstention,
    BuildRecord,
    ChainRecord,
    CoveragePoint,
    DatasetIndex,
    FileRef,
    FrameSpec,
    Gate,
    GoldenFrames,
    GuardRecord,
    InputSpec,
    Link,
    LinkSelection,
    NetworkInput,
    OodSet,
    OperatingPoint,
    PrecisionSelection,
    Prediction,
    Rate,
)
from weckd_edge.config import ReportConfig
from weckd_edge.metrics import measure_metrics
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.report import BundleContents, Picture, write_report
from weckd_edge.report.charts import Point, accuracy_against_cost
from weckd_edge.report.html_shell import document

pytestmark = pytest.mark.slow

LABELS = ("effusion", "normal", "wax")
INPUT = InputSpec(
    frame=FrameSpec(height=48, width=64, crop="center"),
    network=NetworkInput(height=32, width=32, mean=(0.5,) * 3, std=(0.5,) * 3),
)
REF = FileRef(path="model/model.onnx", sha256="1" * 64, bytes=1000)
BELOW = 0.62


def softmax(logits: Any) -> tuple[float, ...]:
    p = np.exp(logits - logits.max())
    return tuple(float(v) for v in p / p.sum())


def answers(count: int) -> tuple[Prediction, ...]:
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        label = number % len(LABELS)
        logits = random.normal(0, 1, len(LABELS))
        logits[label] += 1.5
        found.append(
            Prediction(
                path=f"{LABELS[label]}/{number:05}.png",
                group=f"g{number // 4}",
                label=label,
                fp32=softmax(logits),
                compiled=softmax(logits + random.normal(0, 0.15, len(LABELS))),
                teacher=softmax(logits + random.normal(0, 0.4, len(LABELS))),
            )
        )
    return tuple(found)


def rate(flags: Any, predictions: tuple[Prediction, ...]) -> Rate:
    return rate_by_group(np.asarray(flags, bool), [p.group for p in predictions])


def link(name: str, macs: int, accuracy: Rate, parent: str | None) -> Link:
    return factories.link(
        name,
        model="resnet10t",
        input=INPUT,
        labels=LABELS,
        parameters=macs // 10,
        macs=macs,
        weights=FileRef(path="w", sha256=name[-1] * 64, bytes=4),
        parent=parent,
        labels_used=20,
        images_used=100,
        val_accuracy=accuracy,
        test_accuracy=accuracy,
    )


def make_report(folder: Path, count: int, refused: tuple[str, ...] = ()) -> tuple[Path, tuple[Prediction, ...]]:
    """Write a whole report of drawn answers; its file lies in ``folder``."""
    predictions = answers(count)
    verification = factories.verification(predictions, LABELS)
    before, after = verification.accuracy_fp32, verification.accuracy_compiled
    images = tuple(
        factories.image(p.path, label=p.label, group=p.group, pixels_sha256=f"{n:064}", width=64, height=48)
        for n, p in enumerate(predictions)
    )
    index = DatasetIndex(name="ears", labels=LABELS, images=images)
    point = OperatingPoint(confidence_threshold=BELOW, non_gradeable_labels=refused)
    times = tuple(int(v) for v in np.random.default_rng(1).normal(9e5, 3e4, 256))
    manifest = factories.manifest(
        name="ears",
        labels=LABELS,
        input=INPUT,
        operating_point=point,
        onnx=REF,
        selftest=GoldenFrames(frames=REF, reference="openvino"),
        gates=(Gate(name="max_latency_p90_ms", limit=33.0, value=0.94, verdict="PASS", reason="0.94 ms is within 33 ms"),),
    )
    contents = BundleContents(
        manifest=manifest,
        dataset=index,
        chain=ChainRecord(
            links=(link("M1", 9_000_000, before, None), link("M2", 2_000_000, before, "1" * 64)),
            baseline=None,
            labels_used=40,
        ),
        verification=verification,
        measurement=factories.measurement(
            rules="single-stream, 256 queries", end_to_end=factories.latency(times), cold_start_ns=1_000_000
        ),
        build=BuildRecord(config="{}", steps=(), data_name="ears"),
        selection=PrecisionSelection(
            trials=(),
            chosen="int8",
            reason="int8 was asked for",
            images=30,
            timed_on=None,
            precision="int8",
            onnx=REF,
            quantized=None,
        ),
        link_selection=LinkSelection(chosen="M2", reason="M2 was asked for"),
        metrics=measure_metrics(
            verification,
            index,
            ReportConfig(),
            operating_point=point,
            names=("M1 torch fp32", "M2 torch fp32", "M2 openvino int8"),
        ),
        abstention=Abstention(
            guard=GuardRecord(
                guard=None, frames=300, groups=80, false_reject_rate=0.01, false_reject_bound=0.02, note="a drawn one"
            ),
            threshold=None,
            operating_point=point,
            rejected_test=after,
            rejected_by_reason={"blurred": 2},
            coverage=after,
            selective_error=after,
            group_error=0.1,
            curve=tuple(CoveragePoint(coverage=c / 10, risk=c / 50) for c in range(1, 11)),
            aurc=0.1,
            ood_sets=(
                OodSet(name="black frames", frames=20, score_auroc=1.0, guard_auroc=1.0, network_auroc=0.6, reject_rate=1.0),
            ),
        ),
    )
    frame = np.random.default_rng(2).integers(0, 255, (48, 64, 3), np.uint8)
    assert contents.metrics is not None
    frames = {f.path: Picture(frame=frame, overlay=frame[:, ::-1].copy()) for f in contents.metrics.frames[:24]}
    write_report(contents, folder / "report.html", frames=frames)
    return folder / "report.html", predictions


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Prediction, ...]]:
    return make_report(tmp_path_factory.mktemp("report"), 240)


@pytest.fixture
def tab(browser: Any, report: tuple[Path, Any]) -> Any:
    """The page, open; whatever a test does, it complains of nothing and asks for nothing but itself."""
    with browser.tab() as tab:
        tab.page.goto(report[0].as_uri())
        yield tab
        assert tab.complaints == []
        assert tab.requests == [report[0].as_uri()]


def tile(tab: Any, number: int) -> tuple[str, str]:
    at = tab.page.locator(f"#figure-{number}")
    return at.locator(".value").inner_text(), at.locator(".about").inner_text()


def words(found: Rate) -> tuple[str, str]:
    """The figure and the start of its small print, as the page writes them."""
    start = f"{found.low * 100:.1f}\u2013{found.high * 100:.1f}\u00a0%; {found.correct} of {found.images} "
    return f"{found.value * 100:.1f}\u00a0%", start


def agrees(tab: Any, number: int, found: Rate) -> None:
    value, about = tile(tab, number)
    expected, start = words(found)
    assert value == expected
    assert about.startswith(start), (about, start)


def test_the_threshold_moves_by_keyboard_and_its_figures_are_those_that_python_finds(
    tab: Any, report: tuple[Path, tuple[Prediction, ...]]
) -> None:
    predictions = report[1]
    best = np.array([max(p.compiled) for p in predictions])
    wrong = np.array([p.compiled.index(max(p.compiled)) != p.label for p in predictions])
    groups = np.array([p.group for p in predictions])

    def check(threshold: float) -> None:
        sure = best >= threshold
        agrees(tab, 0, rate(sure, predictions))
        agrees(tab, 1, rate_by_group(wrong[sure], groups[sure].tolist()))
        agrees(tab, 2, rate_by_group(~sure[~wrong], groups[~wrong].tolist()))

    check(BELOW)
    slider = tab.page.locator("#threshold")
    slider.focus()
    for _ in range(30):
        tab.page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "0.650"
    check(0.65)
    tab.until("document.getElementById('threshold-status').textContent.startsWith('Threshold 0.650: with a decision')")
    tab.page.keyboard.press("Home")
    check(0.0)
    tab.page.get_by_role("button", name="Back to this build's").press("Enter")
    check(BELOW)


def test_a_non_gradeable_class_gives_no_decision_at_any_threshold(browser: Any, tmp_path: Path) -> None:
    path, predictions = make_report(tmp_path, 240, refused=(LABELS[1],))
    decided = np.array([p.compiled.index(max(p.compiled)) for p in predictions])
    wrong = decided != np.array([p.label for p in predictions])
    groups = np.array([p.group for p in predictions])
    with browser.tab() as tab:
        tab.page.goto(path.as_uri())
        for key, threshold in (("", BELOW), ("Home", 0.0)):
            if key:
                tab.page.locator("#threshold").press(key)
            sure = (np.array([max(p.compiled) for p in predictions]) >= threshold) & (decided != 1)
            agrees(tab, 0, rate(sure, predictions))
            agrees(tab, 1, rate_by_group(wrong[sure], groups[sure].tolist()))
            agrees(tab, 2, rate_by_group(~sure[~wrong], groups[~wrong].tolist()))
        start = tab.page.locator("#curve-first").get_attribute("points").split()[0]
        top, bottom = (float(tab.page.locator("#curves").get_attribute(f"data-{end}")) for end in ("top", "bottom"))
        share = float((decided != 1).mean())
        assert float(start.split(",")[1]) == pytest.approx(bottom - share * (bottom - top), abs=0.06)
        assert tab.complaints == []


def test_the_threshold_on_one_class_gives_its_sensitivity_and_specificity(
    tab: Any, report: tuple[Path, tuple[Prediction, ...]]
) -> None:
    predictions = report[1]
    tab.page.select_option("#what", "2")
    tab.page.locator("#threshold").focus()
    tab.page.keyboard.press("Home")
    for _ in range(2):
        tab.page.keyboard.press("PageUp")
    threshold = float(tab.page.locator("#threshold-value").inner_text())
    assert threshold == 0.2
    called = np.array([p.compiled[2] >= threshold for p in predictions])
    own = np.array([p.label == 2 for p in predictions])
    groups = np.array([p.group for p in predictions])
    agrees(tab, 0, rate_by_group(called[own], groups[own].tolist()))
    agrees(tab, 1, rate_by_group(~called[~own], groups[~own].tolist()))
    agrees(tab, 2, rate_by_group(own[called], groups[called].tolist()))
    assert tab.page.locator("#name-first").inner_text() == "sensitivity"


def test_a_cell_of_the_matrix_lists_its_images_and_lets_them_go(
    tab: Any, report: tuple[Path, tuple[Prediction, ...]]
) -> None:
    predictions = report[1]
    inside = [p for p in predictions if p.label == 0 and p.compiled.index(max(p.compiled)) == 1 and max(p.compiled) >= BELOW]
    assert inside
    cell = tab.page.locator('.matrix button[data-truth="0"][data-given="1"]')
    assert cell.locator("b").inner_text() == str(len(inside))
    cell.press("Enter")
    assert cell.get_attribute("aria-pressed") == "true"
    assert tab.page.locator("#images-status").inner_text() == f"{len(inside)} of 240 test images"
    listed = tab.page.locator("#images-rows th").all_inner_texts()
    assert sorted(listed) == sorted(p.path for p in inside)
    shown = tab.page.locator("#gallery figure:not([hidden])").all()
    assert all(figure.get_attribute("data-truth") == "0" for figure in shown)
    cell.press("Enter")
    assert tab.page.locator("#images-status").inner_text() == "240 of 240 test images"
    refused = tab.page.locator('.matrix button[data-truth="0"][data-given="3"]')
    refused.click()
    assert tab.page.locator("#images-rows tr").first.locator("td").nth(1).inner_text() == "unable to analyze"


def test_images_are_sorted_filtered_and_paged(tab: Any, report: tuple[Path, tuple[Prediction, ...]]) -> None:
    predictions = report[1]
    by_probability = tab.page.get_by_role("button", name="probability", exact=True)
    by_probability.click()
    head = tab.page.locator('th[data-key="probability"]')
    assert head.get_attribute("aria-sort") == "descending"
    values = [float(text) for text in tab.page.locator("#images-rows td.n").all_inner_texts()]
    best = sorted((max(p.compiled) for p in predictions), reverse=True)
    assert values == pytest.approx(best[:25], abs=6e-4)
    by_probability.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert float(tab.page.locator("#images-rows td.n").first.inner_text()) == pytest.approx(best[-1], abs=6e-4)
    assert tab.page.locator("#images-page").inner_text() == "page 1 of 10"
    tab.page.locator("#images-on").click()
    assert tab.page.locator("#images-page").inner_text() == "page 2 of 10"
    tab.page.fill("#filter-text", "wax/0000")
    assert tab.page.locator("#images-status").inner_text() == "3 of 240 test images"
    tab.page.locator("#images-clear").click()
    tab.page.select_option("#filter-kind", "wrong")
    wrong = sum(p.compiled.index(max(p.compiled)) != p.label for p in predictions)
    assert tab.page.locator("#images-status").inner_text() == f"{wrong} of 240 test images"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_everyone_can_read_it_in_every_width_and_colour(
    browser: Any, report: tuple[Path, Any], dark: bool, size: tuple[int, int]
) -> None:
    with browser.tab(size=size, dark=dark) as tab:
        tab.page.goto(report[0].as_uri())
        tab.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert tab.violations() == []
        assert tab.overflow() == 0
        assert tab.complaints == []


def test_the_colours_that_were_chosen_are_kept(browser: Any, report: tuple[Path, Any]) -> None:
    with browser.tab() as tab:
        tab.page.goto(report[0].as_uri())
        ground = "getComputedStyle(document.body).backgroundColor"
        light = tab.page.evaluate(ground)
        tab.page.get_by_role("button", name="Dark colours").press("Enter")
        dark = tab.page.evaluate(ground)
        assert dark != light
        tab.page.reload()
        assert tab.page.evaluate(ground) == dark
        tab.page.emulate_media(media="print")
        assert tab.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--card').trim()") == "#fff"


def test_without_scripts_the_essential_is_there(browser: Any, report: tuple[Path, Any]) -> None:
    context = browser.browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(report[0].as_uri())
        assert page.locator("#confusion .matrix td b").first.is_visible()
        assert page.locator("#images-rows tr").count() == 25
        assert page.locator("#operating tr.deployed").count() == 1
        assert page.locator("#curves").is_visible()
        assert not page.locator("#threshold").is_visible()
        assert not page.locator("#theme").is_visible()
    finally:
        context.close()


def test_it_prints_with_everything_open(tab: Any) -> None:
    pdf = tab.page.pdf(format="A4", print_background=True)
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000
    tab.page.emulate_media(media="print")
    assert not tab.page.locator(".side").is_visible()
    tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.page.locator("details:not([open])").count() == 0


TIME_OF_A_MOVE = """
() => new Promise((done) => {
  const slider = document.getElementById("threshold");
  const start = performance.now();
  slider.value = 300 + Math.round(Math.random() * 600);
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
})
"""


@pytest.mark.parametrize("width", [1280, 375])
def test_no_label_of_the_headline_chart_overlaps_another_or_a_mark(browser: Any, tmp_path: Path, width: int) -> None:
    draw = random.Random(7)
    charts = []
    for _ in range(10):
        rows = [
            (10 ** draw.uniform(5, 5.3), draw.uniform(0.6, 0.9), draw.uniform(0.01, 0.1)) for _ in range(draw.randint(2, 7))
        ]
        kinds = ["link"] * (len(rows) - 2) + ["deployed", "baseline"]
        charts.append(
            accuracy_against_cost(
                [
                    Point(
                        name="baseline, FP32" if kind == "baseline" else f"M{n} int8{', deployed' * (kind == 'deployed')}",
                        cost=cost,
                        accuracy=Rate(value=value, low=value - half, high=value + half, correct=1, images=9, groups=9),
                        kind=kind,
                    )
                    for n, ((cost, value, half), kind) in enumerate(zip(rows, kinds, strict=True), start=1)
                ],
                "end-to-end latency",
                "ms",
                1e6,
            )
        )
    page = tmp_path / "charts.html"
    page.write_text(
        document("charts", "".join(f'<section class="card">{svg}</section>' for svg in charts)), encoding="utf-8"
    )
    with browser.tab(size=(width, 900)) as tab:
        tab.page.goto(page.as_uri())
        found = tab.page.evaluate(
            """() => [...document.querySelectorAll(".chart")].map((svg) => {
              const box = (e, by) => {
                const r = e.getBoundingClientRect();
                return [r.left - by, r.top - by, r.right + by, r.bottom + by];
              };
              const boxes = (kind, by) => [...svg.querySelectorAll(kind)].map((e) => box(e, by));
              return [boxes(".name", 0), boxes(".dot, .whisker", 0.5)];
            })"""
        )
    assert len(found) == 10

    def overlap(a: list[float], b: list[float]) -> bool:
        return min(a[2], b[2]) - max(a[0], b[0]) > 0.5 and min(a[3], b[3]) - max(a[1], b[1]) > 0.5

    for names, marks in found:
        assert len(marks) == 4 * len(names)
        assert not [pair for pair in itertools.combinations(names, 2) if overlap(*pair)]
        assert not [(one, mark) for one in names for mark in marks if overlap(one, mark)]


def test_ten_thousand_images_are_small_and_quick(browser: Any, tmp_path: Path) -> None:
    path, _ = make_report(tmp_path, 10_000)
    assert path.stat().st_size < 3_000_000
    with browser.tab() as tab:
        chrome = tab.page.context.new_cdp_session(tab.page)
        # Processor time of the page's own thread: other work on the machine does not count.
        chrome.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
        chrome.send("Performance.enable")
        ready_s = []
        for _ in range(3):
            tab.page.goto(path.as_uri())
            tab.until("document.documentElement.dataset.ready === 'true'")
            spent = {one["name"]: one["value"] for one in chrome.send("Performance.getMetrics")["metrics"]}
            ready_s.append(sum(spent[kind] for kind in ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")))
        moves = sorted(tab.page.evaluate(TIME_OF_A_MOVE) for _ in range(9))
        tab.page.get_by_role("button", name="probability", exact=True).click()
        assert 0 < min(ready_s) < 1
        assert moves[4] < 1000
        assert tab.complaints == []
