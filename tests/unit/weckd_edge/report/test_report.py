import dataclasses
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from support import factories
from support.errors import raises
from weckd_edge.artifacts import (
    BadFile,
    BuildRecord,
    BuiltModel,
    CalibrationCheck,
    CalibrationMetrics,
    ChainRecord,
    DataAudit,
    DataNote,
    DatasetIndex,
    DisagreementFrame,
    Estimate,
    ExecutedLayer,
    FileRef,
    FingerprintAudit,
    FoldComparison,
    FrameSpec,
    Gate,
    GoldenFrames,
    ImageRecord,
    InputSpec,
    LabelIssueAudit,
    Latency,
    LayerDivergence,
    LayerParity,
    Link,
    LinkEvaluation,
    LinkLatency,
    LinkSelection,
    Manifest,
    NetworkInput,
    PrecisionSelection,
    Prediction,
    QuantizationTrial,
    Rate,
    Recalibration,
    ReliabilityBin,
    StageTime,
)
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.verdict import sum_up_gates
from weckd_edge.bundle.writer import seal
from weckd_edge.cli.report import command
from weckd_edge.core.errors import BundleError, ConfigError
from weckd_edge.core.store import file_ref
from weckd_edge.core.words import plural
from weckd_edge.pipeline.steps.select_link import choose_link
from weckd_edge.report import (
    BundleContents,
    Picture,
    Sample,
    html_shell,
    numbers,
    read_contents,
    write_documents,
    write_evidence,
    write_report,
)
from weckd_edge.report.chapters import parity, verdicts
from weckd_edge.report.chapters.summary import summarize_bundle
from weckd_edge.report.charts import latency_histogram
from weckd_edge.report.documents.limits import limits
from weckd_edge.report.page import CONTENTS
from weckd_edge.report.study_page import StudyPage, StudyRow, write_study

LABELS = ("chronic_otitis_media", "earwax_plug", "myringosclerosis", "normal")
INPUT = InputSpec(
    frame=FrameSpec(height=380, width=420, crop="center"),
    network=NetworkInput(height=128, width=128, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def rate(correct: int, images: int = 160, groups: int = 62) -> Rate:
    return factories.rate(correct, images, groups)


SELECTION = PrecisionSelection(
    trials=(
        QuantizationTrial(
            name="fp32", precision="fp32", method=None, accuracy=rate(72, 80, 30), net_lost=0, within_limits=True
        ),
        QuantizationTrial(
            name="int8 mse", precision="int8", method="mse", accuracy=rate(71, 80, 30), net_lost=1, within_limits=True
        ),
    ),
    chosen="int8 mse",
    reason="int8 mse takes 0.84 ms where FP32 takes 1.60 ms, and loses 1 validation image",
    images=80,
    timed_on="Intel Xeon 2.80 GHz, 2 cores",
    precision="int8",
    onnx=FileRef(path="model.onnx", sha256=sha("onnx"), bytes=623_412),
    quantized=None,
)


def link(name: str, model: str, parameters: int, macs: int, correct: int, parent: str | None, share: int) -> Link:
    return factories.link(
        name,
        model=model,
        input=INPUT,
        labels=LABELS,
        parameters=parameters,
        macs=macs,
        weights=FileRef(path=f"{name}.safetensors", sha256=sha(name), bytes=4 * parameters),
        parent=sha(parent) if parent else None,
        labelled_subset=share,
        labels_used=62,
        images_used=618,
        val_accuracy=rate(correct // 2, 88, 31),
        test_accuracy=rate(correct),
    )


def latency(scale: float, count: int = 1024) -> Latency:
    rng = np.random.default_rng(0)
    samples = (scale * 1e6 * (1 + rng.gamma(2.0, 0.03, count)) + (rng.random(count) < 0.004) * scale * 3e6).astype(int)
    return factories.latency(samples)


def softmax(logits: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(v) for v in np.exp(logits) / np.exp(logits).sum())


CHANGED = (10, 75)
"""Places of the test images that the compiled model decides otherwise than the network in FP32."""


def make_evidence(labels: tuple[str, ...] = LABELS) -> BundleContents:
    rng = np.random.default_rng(1)
    images, predictions = [], []
    for number in range(800):
        label, group = number % len(labels), f"g{number // 4:03}"
        split = ("train", "train", "train", "train", "train", "train", "train", "val", "test", "test")[number // 4 % 10]
        share = number // 40 % 7 if split == "train" else None
        images.append(
            factories.image(
                f"{labels[label]}/{number:04}.jpg",
                label=label,
                group=group,
                split=split,
                labelled_subset=share if share is not None and share < 3 else None,
                sha256=sha(f"f{number}"),
                pixels_sha256=sha(f"p{number if number % 50 else number + 1}"),
                width=420,
                height=380,
                published_split=("train", "train", "test")[number % 3],
            )
        )
        if split == "test":
            right = rng.random() < 0.9
            answer = label if right else int(rng.integers(len(labels)))
            logits = rng.normal(0, 0.6, len(labels))
            logits[answer] += 3
            rounded = logits + rng.normal(0, 0.01, len(labels))
            if len(predictions) in CHANGED:
                rounded[(answer + 1) % len(labels)] += 6
            predictions.append(
                Prediction(path=images[-1].path, group=group, label=label, fp32=softmax(logits), compiled=softmax(rounded))
            )
    same = [dataclasses.replace(p, compiled=p.fp32) for p in predictions]
    read_back = [dataclasses.replace(p, fp32=p.compiled) for p in predictions]
    m1 = link("M1", "mobilenetv2_100", 2_229_000, 102_300_000, 148, None, 0)
    m2 = link("M2", "mobilenetv2_050", 693_000, 34_100_000, 146, "M1", 1)
    m3 = link("M3", "mobilenetv2_035", 401_000, 14_200_000, 144, "M2", 2)
    baseline = dataclasses.replace(link("baseline", "mobilenetv2_035", 401_000, 14_200_000, 131, None, 2), images_used=62)
    return BundleContents(
        manifest=make_manifest(labels),
        dataset=DatasetIndex(
            name="ears",
            labels=labels,
            images=tuple(images),
            bad_files=(BadFile(path="normal/<b>broken</b>.jpg", reason="truncated after 1,204 bytes"),),
            near_duplicate_groups=31,
        ),
        chain=ChainRecord(links=(m1, m2, m3), baseline=baseline, labels_used=186),
        verification=factories.verification(
            predictions,
            labels,
            parity=(
                factories.parity("torch fp32", "onnxruntime fp32", same, 1e-4),
                factories.parity("onnxruntime int8", "openvino int8", read_back, 0.05),
                factories.parity("torch fp32", "openvino int8", predictions),
            ),
        ),
        measurement=factories.measurement(
            host="Intel Xeon 2.80 GHz, 2 cores",
            backend_version="2026.4.1",
            rules="single-stream, 1024 queries",
            end_to_end=latency(0.84),
            network=latency(0.61),
            cold_start_ns=182_000_000,
            peak_rss_bytes=171 << 20,
            warnings=("the processor's clock was not fixed",),
        ),
        build=BuildRecord(
            config=json.dumps({"seed": 0}, indent=1),
            steps=(
                StageTime(name="data", seconds=6.2, reused=True),
                StageTime(name="train M1", seconds=321.0, reused=False),
                StageTime(name="verify", seconds=12.4, reused=False),
            ),
            data_name="ears",
        ),
        selection=SELECTION,
        link_selection=LinkSelection(chosen="M3", reason="M3 was asked for"),
    )


def make_manifest(labels: tuple[str, ...] = LABELS, **changes: object) -> Manifest:
    refs = [FileRef(path=p, sha256=sha(p), bytes=n) for p, n in (("model/openvino/model.xml", 412_000), ("b", 481_000))]
    onnx = FileRef(path="model/model.onnx", sha256=sha("onnx"), bytes=623_412)
    manifest = factories.manifest(
        name="ears on generic-x86",
        labels=labels,
        input=INPUT,
        models=(
            BuiltModel(
                backend="openvino",
                backend_version="2026.4.1",
                precision="int8",
                kind="model",
                files=tuple(refs),
                source_sha256=onnx.sha256,
                expected=onnx,
                tolerance=1e-3,
                detail=("34 of 34 convolutions in int8",),
            ),
        ),
        onnx=onnx,
        selftest=GoldenFrames(frames=onnx, reference="openvino 2026.4.1 int8"),
        gates=(
            Gate(name="max_latency_p90_ms", limit=33.0, value=0.93, verdict="PASS", reason="0.93 ms is within 33 ms"),
            Gate(name="max_memory_mib", limit=256, value=171, verdict="PASS", reason="171 MiB is within 256 MiB"),
            Gate(name="max_accuracy_drop", limit=0.02, value=0.0, verdict="PASS", reason="nothing was lost"),
        ),
        versions={"weckd-edge": "0.1.0", "openvino": "2026.4.1", "numpy": np.__version__},
    )
    return dataclasses.replace(manifest, **changes)


def write(tmp_path: Path, evidence: BundleContents, manifest: Manifest, **more: object) -> str:
    write_evidence(tmp_path, evidence)
    write_report(read_contents(tmp_path, manifest), tmp_path / "r.html", **more)
    return (tmp_path / "r.html").read_text()


def text_of(html: str) -> str:
    main = html.split("<main")[1].partition(">")[2].split("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main)).replace("&nbsp;", " ")


class Checker(HTMLParser):
    """Collects what a browser would fetch, and finds tags that are not closed."""

    VOID = frozenset({"meta", "link", "img", "br", "wbr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_whole_fetches_nothing_and_runs_only_what_its_policy_names(tmp_path: Path) -> None:
    samples = [Sample(image=np.zeros((380, 420, 3), np.uint8), truth="normal", predicted="earwax_plug", probability=0.6)]
    html = write(tmp_path, make_evidence(), make_manifest(), samples=samples)
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert checker.fetched
    assert all(url.startswith(("data:", "#")) for url in checker.fetched)
    assert "url(" not in html
    assert " style=" not in html
    assert "true class: normal" in html
    policy = html.split('Content-Security-Policy" content="')[1].split('"')[0]
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 2
    for text in (*scripts, *re.findall(r"<style>(.*?)</style>", html, re.DOTALL)):
        assert html_shell.digest(text) in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")


def test_every_section_is_there_and_in_the_contents(tmp_path: Path) -> None:
    html = write(tmp_path, make_evidence(), make_manifest())
    for name, title in CONTENTS:
        if name == "change":
            assert 'id="change"' not in html, "nothing was compared"
            continue
        assert html.count(f' id="{name}"') == 1, name
        assert f'<a href="#{name}">{title}</a>' in html


def test_a_bundle_of_before_says_of_each_part_what_it_lacks(tmp_path: Path) -> None:
    words = text_of(write(tmp_path, make_evidence(), make_manifest()))
    for told in (
        "has no metrics by class and slice",
        "does not list flips frame by frame",
        "has no record of abstention",
        "The data audit was skipped.",
    ):
        assert told in words


def test_the_three_numbers_and_the_interval_are_at_the_top(tmp_path: Path) -> None:
    evidence = make_evidence()
    top = text_of(write(tmp_path, evidence, make_manifest())).split("Every gate with its verdict")[0]
    accuracy = evidence.verification.accuracy_compiled
    for expected in (
        "Passed 3 of 3 limits met",
        f"{accuracy.value * 100:.1f}\u00a0%",
        f"{accuracy.low * 100:.1f}\u2013{accuracy.high * 100:.1f}\u00a0%",
        "160\u00a0test images in 40\u00a0groups",
        numbers.milliseconds(evidence.measurement.end_to_end.p90_ns),
        "limit 33.0\u00a0ms met; 1,024\u00a0queries on Intel Xeon",
        "class sensitivity: myringosclerosis",
    ):
        assert expected.replace("\u00a0", " ") in top


def test_the_same_evidence_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path, make_evidence(), make_manifest())
    assert write(tmp_path, make_evidence(), make_manifest()) == first


def test_evidence_reads_back_as_it_was_written(tmp_path: Path) -> None:
    evidence = make_evidence()
    write_evidence(tmp_path, evidence)
    assert read_contents(tmp_path, make_manifest()) == evidence


def test_names_from_the_data_cannot_become_markup(tmp_path: Path) -> None:
    labels = ("<script>alert(1)</script>", "b&c", '"quoted"', "normal")
    html = write(tmp_path, make_evidence(labels), make_manifest(labels, name="<img src=x onerror=alert(1)>"))
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "<b>broken" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_synthetic_data_are_named_before_anything_else(tmp_path: Path) -> None:
    assert text_of(write(tmp_path, make_evidence(), make_manifest(synthetic=True))).startswith(" Synthetic data.")
    assert "Synthetic data" not in write(tmp_path, make_evidence(), make_manifest())


def test_no_clinical_claim_is_made_and_that_is_reported(tmp_path: Path) -> None:
    assert "makes no claim of clinical performance or of regulatory compliance" in write(
        tmp_path, make_evidence(), make_manifest()
    )


@pytest.mark.parametrize(
    ("outcomes", "kind", "words"),
    [
        (("PASS", "FAIL"), "fail", "accuracy of the deployed model"),
        (("PASS", "INCONCLUSIVE"), "open", "1 of 2\u00a0limits met"),
        (("PASS", "PASS"), "pass", "2 of 2\u00a0limits met"),
        ((), "open", "This build set no limits"),
    ],
)
def test_the_verdict_says_what_is_open(outcomes: tuple, kind: str, words: str) -> None:
    names = ("max_latency_p90_ms", "min_accuracy")
    gates = tuple(
        Gate(name=name, limit=0.9, value=None if v == "INCONCLUSIVE" else 0.8, verdict=v, reason="")
        for name, v in zip(names, outcomes, strict=False)
    )
    found = sum_up_gates(make_manifest(gates=gates, passed="FAIL" not in outcomes))
    assert found.kind == kind
    assert words in found.detail


def test_a_bundle_marked_as_not_passing_never_reads_as_passed() -> None:
    assert sum_up_gates(make_manifest(passed=False)).kind == "fail"


def test_a_failed_gate_says_by_how_much() -> None:
    (row,) = verdicts.gate_rows([Gate(name="min_accuracy", limit=0.95, value=0.912, verdict="FAIL", reason="")])
    assert (row.limit, row.value, row.margin) == ("at least 95\u00a0%", "91.2\u00a0%", "missed by 3.8\u00a0points")


@pytest.mark.parametrize(
    ("chain", "alone", "groups", "answer", "overlap"),
    [
        (150, 100, 160, "Yes, on this test split", "do not overlap"),
        (146, 140, 62, "Inconclusive.", "overlap"),
        (140, 146, 62, "Not on this test split, though inconclusive.", "overlap"),
        (100, 150, 160, "No.", "do not overlap"),
        (140, 140, 62, "No difference.", "overlap"),
    ],
)
def test_whether_the_chain_helped_is_stated_no_bolder_than_the_intervals_allow(
    chain: int, alone: int, groups: int, answer: str, overlap: str
) -> None:
    evidence = make_evidence()
    last = dataclasses.replace(evidence.chain.links[-1], test_accuracy=rate(chain, groups=groups))
    baseline = dataclasses.replace(evidence.chain.links[-1], test_accuracy=rate(alone, groups=groups))
    record = dataclasses.replace(evidence.chain, links=(*evidence.chain.links[:-1], last), baseline=baseline)
    sentence = verdicts.chain_sentence(record)
    assert sentence.startswith(answer)
    assert f"intervals {overlap}" in sentence


@pytest.mark.parametrize(
    ("links", "baseline", "words"),
    [
        ((10, 10, 10), 30, "with the same number of gradient steps"),
        ((10, 4, 6), 30, "trained for 30 epochs instead of 20"),
        ((10, None, 10), 30, "with the same number of gradient steps"),
    ],
)
def test_a_chain_and_a_baseline_that_early_stopping_ended_apart_are_not_called_equally_long(
    links: tuple[int | None, ...], baseline: int, words: str
) -> None:
    chain = make_evidence().chain
    trained = tuple(dataclasses.replace(link, epochs=epochs) for link, epochs in zip(chain.links, links, strict=True))
    alone = dataclasses.replace(trained[-1], epochs=baseline)
    sentence = verdicts.chain_sentence(dataclasses.replace(chain, links=trained, baseline=alone))
    assert words in sentence.replace("\u00a0", " ")


def test_confusion_counts_every_image_once_and_sets_abstentions_apart() -> None:
    def answer(label: int, *p: float) -> Prediction:
        return Prediction(path="a", group="g", label=label, fp32=p, compiled=p)

    answers = [answer(0, 0.9, 0.1), answer(0, 0.45, 0.55), answer(1, 0.2, 0.8), answer(1, 0.7, 0.3)]
    assert verdicts.confusion(answers, 2, 0.0) == ([[1, 1], [1, 1]], [0, 0])
    assert verdicts.confusion(answers, 2, 0.6) == ([[1, 0], [1, 1]], [1, 0])


def test_leaks_of_the_published_split_are_counted_by_pixels_and_by_group() -> None:
    base = make_evidence().dataset.images[0]

    def image(name: str, pixels: str, group: str, published: str, split: str = "train") -> ImageRecord:
        return dataclasses.replace(
            base, path=name, pixels_sha256=pixels, group=group, published_split=published, split=split
        )

    index = DatasetIndex(
        name="x",
        labels=LABELS,
        images=(
            image("a", "1", "A", "train"),
            image("b", "1", "A", "test"),
            image("c", "2", "A", "test"),
            image("d", "3", "B", "test", "test"),
            image("e", "4", "B", "test", "val"),
        ),
    )
    facts = verdicts.data_facts(index)
    assert (facts.published_leaks, facts.published_test) == ((1, 2), 4)
    assert (facts.exact_copies, facts.groups, facts.cut_groups) == (1, 2, 1)


def test_what_may_be_wrong_with_the_data_set_is_reported_on_the_first_screen_and_in_the_card(tmp_path: Path) -> None:
    notes = (DataNote(code="W_X", text="the column <b>who</b> is not used"), DataNote(code="I_Y", text="read as UTF-16"))
    evidence = make_evidence()
    evidence = dataclasses.replace(evidence, dataset=dataclasses.replace(evidence.dataset, notes=notes))
    assert "Data: the column <b>who</b> is not used." in summarize_bundle(evidence).warnings
    html = write(tmp_path, evidence, make_manifest())
    assert html.count("Data: the column &lt;b&gt;who&lt;/b&gt; is not used.") == 1
    assert "Data: the column <b>who</b> is not used." in limits(evidence)
    assert "UTF-16" not in html
    assert not [line for line in summarize_bundle(make_evidence()).warnings if line.startswith("Data")]


def test_every_query_is_in_the_histogram_or_in_its_count_of_slower_ones() -> None:
    base = factories.latency([1_000_000] * 99 + [9_000_000])
    svg = latency_histogram(base, None)
    assert svg.count('class="bin"') == 1
    assert "1 slower, up to 9.00\u00a0ms" in svg


def test_without_a_bench_the_report_says_not_measured(tmp_path: Path) -> None:
    evidence = dataclasses.replace(make_evidence(), measurement=None)
    page = text_of(write(tmp_path, evidence, make_manifest()))
    assert "not measured" in page
    assert "weckd-edge bench" in page


def weighed(name: str, scale: float, *, label: str = "measured", limit_ms: float = 2.0) -> LinkEvaluation:
    got = 0.84 * scale
    known: dict[str, Any] = {"p90_ns": got * 1e6, "low_ns": None, "high_ns": None}
    if label == "estimated":
        known = {"p90_ns": got * 1e6, "low_ns": got * 8e5, "high_ns": got * 13e5}
    if label == "unknown":
        known = dict.fromkeys(known)
    verdict: Any = "INCONCLUSIVE" if label != "measured" else "PASS" if got <= limit_ms else "FAIL"
    gate = Gate(
        name="max_latency_p90_ms", limit=limit_ms, value=got, verdict=verdict, reason=f"{got:.3g} ms against {limit_ms:g} ms"
    )
    return LinkEvaluation(
        name=name,
        precision="int8",
        backend="openvino",
        method="int8 mse",
        bytes=int(1e6 * scale),
        val_accuracy=rate(70, 80, 30),
        latency=LinkLatency(label=label, reason="on this very board", **known),  # type: ignore[arg-type]  # a test's text
        build_machine_p90_ns=int(got * 1e6),
        gates=(gate,),
    )


def test_each_line_of_the_histogram_has_its_label_in_a_row_of_its_own() -> None:
    latency = make_evidence().measurement.end_to_end
    svg = latency_histogram(latency, latency.p50_ns / 1e6)
    rows = [float(y) for y in re.findall(r'<text class="mark[a-z ]* text" x="[\d.]+" y="([\d.]+)"', svg)]
    assert len(rows) == 4
    assert all(b - a >= 15 for a, b in itertools.pairwise(sorted(rows)))


@pytest.mark.parametrize(
    ("label", "axis"),
    [
        ("measured", "end-to-end latency, p90, measured for generic-x86 (ms"),
        ("estimated", "end-to-end latency, estimated for generic-x86 (ms"),
        ("unknown", "end-to-end latency, p90, on the build machine (ms"),
    ],
)
def test_evaluated_links_are_drawn_over_their_time_and_listed_in_a_table(tmp_path: Path, label: str, axis: str) -> None:
    evidence = make_evidence()
    links = tuple(weighed(name, scale, label=label) for name, scale in (("M1", 3.1), ("M2", 1.6), ("M3", 0.84)))
    page = write(tmp_path, dataclasses.replace(evidence, link_selection=choose_link(links)), make_manifest())
    assert axis in page
    text = text_of(page)
    assert "Selection of the deployed link" in text
    assert "baseline, FP32" in page
    assert ("M1 int8" in page, "M3 int8, deployed" in page) == (True, True)
    if label == "estimated":
        assert "0.706\u00a0ms (0.564\u00a0ms to 0.917\u00a0ms)" in page


def test_the_deployed_link_is_drawn_at_the_latency_that_its_gate_was_checked_with(tmp_path: Path) -> None:
    links = tuple(weighed(name, scale) for name, scale in (("M1", 3.1), ("M2", 1.6), ("M3", 0.84)))
    gate = Gate(name="max_latency_p90_ms", limit=2.0, value=1.25, verdict="PASS", reason="1.25 ms is within 2 ms")
    contents = dataclasses.replace(make_evidence(), link_selection=choose_link(links))
    page = write(tmp_path, contents, make_manifest(gates=(gate,)))
    assert re.search(r"M2 int8: \d+\.\d% at 1\.34 ms; M3 int8, deployed: \d+\.\d% at 1\.25 ms", page)
    unchecked = dataclasses.replace(gate, value=None, verdict="INCONCLUSIVE")
    page = write(tmp_path, contents, make_manifest(gates=(unchecked,)))
    assert "% at 0.706 ms" in page


def test_without_evaluated_links_the_chain_is_drawn_over_macs(tmp_path: Path) -> None:
    page = write(tmp_path, make_evidence(), make_manifest())
    assert "MACs of one image (million" in page
    assert "Selection of the deployed link" not in page


def test_missing_torn_and_foreign_evidence_is_one_clear_error(tmp_path: Path) -> None:
    write_evidence(tmp_path, make_evidence())
    with raises(BundleError, "E_BUNDLE_EVIDENCE"):
        read_contents(tmp_path, make_manifest(("a", "b", "c", "d")))
    (tmp_path / "evidence/verification.json").unlink()
    with raises(BundleError, "E_BUNDLE_EVIDENCE", says="verification.json"):
        read_contents(tmp_path, make_manifest())
    (tmp_path / "evidence/chain.json").write_text("{")
    with raises(BundleError, "E_JSON", says="chain.json"):
        read_contents(tmp_path, make_manifest())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numbers.significant(0.0123456), "0.0123"),
        (numbers.significant(1234.5), "1234"),
        (numbers.significant(0), "0"),
        (numbers.format_difference(2.4e-7), "2.4·10⁻⁷"),
        (numbers.format_difference(0.0121), "0.012"),
        (numbers.milliseconds(843_210), "0.843\u00a0ms"),
        (numbers.size(893_000), "872\u00a0KiB"),
        (numbers.size(12), "12\u00a0B"),
        (numbers.format_count(2_229_000), "2.23\u00a0M"),
        (numbers.seconds(200), "3\u00a0min 20\u00a0s"),
        (numbers.seconds(3_720), "1\u00a0h 2\u00a0min"),
        (numbers.points(-0.0123), "\u22121.2\u00a0points"),
        (plural(1, "image"), "1\u00a0image"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


def test_the_model_card_tells_figures_limits_and_the_chain(tmp_path: Path) -> None:
    write_evidence(tmp_path, make_evidence())
    write_documents(tmp_path, read_contents(tmp_path, make_manifest(synthetic=True)))
    card = (tmp_path / "evidence/model_card.md").read_text()
    assert card.startswith("# Model card: ears on generic-x86\n")
    accuracy = make_evidence().verification.accuracy_compiled
    assert f"| accuracy, as deployed | {numbers.percent(accuracy.value)} (95\u00a0% interval" in card
    for words in (
        "Synthetic data.",
        "or of regulatory compliance",
        "Inconclusive. Test accuracy",
        "| sensitivity of normal, as deployed |",
    ):
        assert words in card


def test_a_label_cannot_break_out_of_its_cell_in_the_model_card(tmp_path: Path) -> None:
    labels = ("a|b", "line\nbreak", "<script>", "normal")
    write_evidence(tmp_path, make_evidence(labels))
    write_documents(tmp_path, read_contents(tmp_path, make_manifest(labels)))
    card = (tmp_path / "evidence/model_card.md").read_text()
    assert "a\\|b" in card
    assert "\\<script\\>" in card
    assert "line break" in card


def test_the_command_refuses_to_write_into_the_sealed_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_evidence(folder, make_evidence())
    paths = ("model.onnx", "model.xml")
    for path in paths:
        (folder / path).write_bytes(path.encode())
    onnx, xml = (file_ref(folder, folder / path) for path in paths)
    draft = make_manifest(onnx=onnx)
    models = (dataclasses.replace(draft.models[0], files=(xml,), expected=onnx),)
    golden = dataclasses.replace(draft.selftest, frames=onnx)
    seal(folder, dataclasses.replace(draft, models=models, selftest=golden))
    done = CliRunner().invoke(command, [str(folder), "--out", str(tmp_path / "r.html"), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["report"] == str(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    for out, words in (("bundle/r.html", "sealed bundle"), ("none/r.html", "existing folder"), (".", "found a folder")):
        bad = CliRunner().invoke(command, [str(folder), "--out", str(tmp_path / out)])
        assert isinstance(bad.exception, ConfigError)
        assert words in str(bad.exception)
    open_bundle(folder)


def study_page(*, joules: float | None = None, **changes: Any) -> StudyPage:
    def row(name: str, by_seed: tuple[float, ...], gain: float | None) -> StudyRow:
        mean = sum(by_seed) / len(by_seed)
        known = gain is not None
        return StudyRow(
            name=name,
            labels=57,
            images=569,
            by_seed=by_seed,
            mean=mean,
            low=mean - 0.1,
            high=mean + 0.1,
            gain=gain,
            gain_low=gain - 0.05 if known else None,
            gain_high=gain + 0.05 if known else None,
            seconds=61.0,
            cpu_seconds=120.0,
            joules=joules,
            cost_ratio=2.25,
        )

    page = StudyPage(
        dataset="ears <b>",
        synthetic=True,
        labelled_fraction=0.1,
        seeds=2,
        rows=(row("single-subset", (0.5, 0.6), None), row("weckd+unlabelled", (0.7, 0.8), 0.2)),
        verdicts=("The chain helped: weckd+unlabelled answers +20.0 points",),
    )
    return dataclasses.replace(page, **changes)


def test_a_study_is_one_page_without_a_network_that_says_what_was_found(tmp_path: Path) -> None:
    write_study(study_page(), tmp_path / "study.html")
    html = (tmp_path / "study.html").read_text()
    assert "ears &lt;b&gt;" in html
    assert "<b>ears" not in html
    assert not re.search(r"https?://|@import", html)
    text = text_of(html)
    for words in ("Synthetic data", "The chain helped: weckd+unlabelled", "65.0", "+20.0", "2 seeds"):
        assert words in text, words
    assert html.count('class="dot baseline"') >= 4
    assert "energy" not in text
    assert "times single-union" in text
    assert "2.25" in text
    write_study(study_page(joules=1234.0), tmp_path / "study.html")
    assert "1,234 J" in text_of((tmp_path / "study.html").read_text())


def test_a_study_of_folds_says_so_and_shows_its_notes(tmp_path: Path) -> None:
    note = "Folds share training images."
    write_study(study_page(folds=5, notes=(note,), equal_steps=False), tmp_path / "study.html")
    text = text_of((tmp_path / "study.html").read_text())
    for words in ("2 seeds of 5 folds", "over all images of their folds", note):
        assert words in text, words
    assert "gradient steps" not in text
    write_study(study_page(), tmp_path / "study.html")
    assert "fold" not in text_of((tmp_path / "study.html").read_text())


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
def test_a_study_in_which_all_predict_alike_is_drawn_too(tmp_path: Path, accuracy: float) -> None:
    rows = tuple(
        dataclasses.replace(row, by_seed=(accuracy,), mean=accuracy, low=None, high=None) for row in study_page().rows
    )
    write_study(study_page(rows=rows, seeds=1), tmp_path / "study.html")
    assert "nan" not in (tmp_path / "study.html").read_text()


def test_a_study_without_the_control_that_costs_as_many_labels_compares_no_costs(tmp_path: Path) -> None:
    rows = tuple(dataclasses.replace(row, cost_ratio=None) for row in study_page().rows)
    write_study(study_page(rows=rows), tmp_path / "study.html")
    assert "times single-union" not in text_of((tmp_path / "study.html").read_text())


def test_a_study_of_one_seed_shows_no_interval(tmp_path: Path) -> None:
    rows = tuple(
        dataclasses.replace(row, by_seed=row.by_seed[:1], low=None, high=None, gain_low=None, gain_high=None)
        for row in study_page().rows
    )
    write_study(study_page(rows=rows, seeds=1, synthetic=False), tmp_path / "study.html")
    html = (tmp_path / "study.html").read_text()
    assert " to " not in text_of(html).split("Results")[1].split("Gains")[0]
    assert 'class="whisker' not in html
    assert "Synthetic data" not in html


def figures(ece: float) -> CalibrationMetrics:
    one = Estimate(value=ece, low=ece / 2, high=ece * 2)
    filled = ReliabilityBin(images=40, confidence=0.9, accuracy=0.8)
    return CalibrationMetrics(ece=one, rms_debiased=one, brier=one, nll=one, bins=(filled,) * 15)


def check(temperature: float = 1.62) -> CalibrationCheck:
    return CalibrationCheck(
        recalibration=Recalibration(
            temperature=temperature,
            unshrunk=temperature,
            val_images=88,
            val_groups=31,
            val_nll_before=0.52,
            val_nll_after=0.47,
            predicted_by="openvino int8",
            note="fitted on few images",
        ),
        before=figures(0.112),
        after=figures(0.041),
    )


def layer(name: str, sqnr_db: float | None, disturbed: float = 0.0) -> LayerParity:
    return LayerParity(name=name, kind="Conv", sqnr_db=sqnr_db, max_abs=0.25, peak=6.0, disturbed=disturbed)


def parting(*, first: int | None = 2, disturbed: float = 0.0) -> LayerDivergence:
    layers = (layer("stem", None), layer("block.0", 44.0), layer("block.1", 12.5, disturbed), layer("head", 11.0))
    return LayerDivergence(
        a="written", b="openvino int8", frames=6, threshold_db=20.0, first=first, steepest=2, layers=layers
    )


def full_evidence() -> BundleContents:
    evidence = make_evidence()
    verification = evidence.verification
    far = tuple(
        DisagreementFrame(path=p.path, label=p.label, a=(0.7, 0.1, 0.1, 0.1), b=(0.2, 0.6, 0.1, 0.1))
        for p in verification.predictions[:2]
    )
    pair = dataclasses.replace(verification.parity[1], only_a_right=6, only_b_right=0, mcnemar_p=0.03125, worst=far)
    executed = (
        ExecutedLayer(name="conv_1", kind="Convolution", precision="u8", kernel="brgconv_avx512_I8"),
        ExecutedLayer(name="conv_2", kind="Convolution", precision="f32", kernel="jit_avx512"),
        ExecutedLayer(name="softmax", kind="Softmax", precision="f32", kernel="jit"),
    )
    return dataclasses.replace(
        evidence,
        verification=dataclasses.replace(
            verification,
            parity=(verification.parity[0], pair, verification.parity[2]),
            calibration=check(),
            layer_divergences=(parting(),),
            executed=executed,
        ),
    )


def test_the_frames_that_differ_most_are_shown_with_both_predictions(tmp_path: Path) -> None:
    evidence = full_evidence()
    first, second = evidence.verification.parity[1].worst
    frames = {
        first.path: Picture(frame=np.zeros((380, 420, 3), np.uint8)),
        second.path: Picture(frame=None, note="truncated"),
    }
    html = write(tmp_path, evidence, make_manifest(), frames=frames)
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert html.count('class="differing"') == 2
    assert html.count("Two predictions of one frame. chronic_otitis_media: 70.0% and 20.0%") == 2
    words = text_of(html).replace(" ", "")
    assert "Framesthatdiffermost:onnxruntimeint8andopenvinoint8" in words
    assert "nopicture:truncated" in words
    assert html.count('src="data:image/jpeg') == 1
    assert first.path in words
    assert second.path in words
    assert "difference0.5" in words


def test_a_report_without_pictures_names_every_frame(tmp_path: Path) -> None:
    evidence = full_evidence()
    words = text_of(write(tmp_path, evidence, make_manifest())).replace(" ", "")
    assert all(frame.path in words for frame in evidence.verification.parity[1].worst)


def test_the_layer_where_two_implementations_part_is_named(tmp_path: Path) -> None:
    words = text_of(write(tmp_path, full_evidence(), make_manifest()))
    assert "The first layer with an SQNR under 20.0 dB is block.1 (Conv): 12.5 dB." in words
    assert 'aria-label="SQNR of every layer. first layer under the threshold: block.1"' in (tmp_path / "r.html").read_text()


def test_what_is_reported_of_a_divergence_is_no_bolder_than_what_was_seen() -> None:
    assert parity.divergence_sentence(parting(first=None)).startswith("No layer has an SQNR under 20.0\u00a0dB.")
    told = parity.divergence_sentence(parting(disturbed=0.03))
    assert "Reading this layer changes how openvino int8 fuses layers, which alone changes a probability by 0.030." in told
    assert "The steepest fall is at block.1 (Conv), to 12.5\u00a0dB." in told


@pytest.mark.parametrize(
    ("only_a", "only_b", "p", "words"),
    [
        (6, 0, 0.03125, "on 0 (significant: McNemar p\u00a0=\u00a00.031)."),
        (3, 1, 0.625, "on 1 (not significant: McNemar p\u00a0=\u00a00.62)."),
        (0, 0, 1.0, "are correct on the same frames."),
    ],
)
def test_flips_are_called_a_difference_only_where_the_test_says_so(only_a: int, only_b: int, p: float, words: str) -> None:
    pair = dataclasses.replace(make_evidence().verification.parity[0], only_a_right=only_a, only_b_right=only_b, mcnemar_p=p)
    assert parity.pair_flips_sentence(pair).endswith(words)


def test_calibration_is_shown_before_and_after(tmp_path: Path) -> None:
    words = text_of(write(tmp_path, full_evidence(), make_manifest()))
    assert (
        "divides the logits by a temperature of 1.62, which makes the largest probability lower and changes no decision"
        in words
    )
    assert re.search(
        r"Expected calibration error +15 bins of equal width +0\.112 *0\.056\u20130\.224 +0\.041 *0\.021\u20130\.082", words
    )
    assert "not recalibrated" in text_of(write(tmp_path, make_evidence(), make_manifest()))


def test_what_chance_alone_would_show_stands_beside_the_calibration_error() -> None:
    kept = Estimate(value=0.03, low=0.02, high=0.04)
    told = dataclasses.replace(check(), after=dataclasses.replace(figures(0.041), ece_by_chance=kept))
    assert "0.030 by chance alone" in parity.chance_sentence(told)
    assert parity.chance_sentence(told).endswith("As deployed it is 0.041, above that interval.")
    assert parity.chance_sentence(check()) == ""


def test_a_temperature_of_one_says_why() -> None:
    assert parity.calibration_sentence(check(1.0)) == "The graph has no temperature: it was fitted on few images."
    assert "probability higher" in parity.calibration_sentence(check(0.8))


def test_executed_precisions_are_counted_by_kind_with_8_bits_first(tmp_path: Path) -> None:
    evidence = full_evidence()
    table = parity.precision_table(evidence.verification.executed)
    assert table.precisions == ("u8", "f32")
    assert table.rows == (("Convolution", (1, 1)), ("Softmax", (0, 1)))
    html = write(tmp_path, evidence, make_manifest())
    assert "brgconv_<wbr>avx512_<wbr>I8" in html
    assert "Executed precisions" not in write(tmp_path, make_evidence(), make_manifest())


def test_the_settings_a_model_must_be_opened_with_are_named(tmp_path: Path) -> None:
    manifest = make_manifest()
    models = (dataclasses.replace(manifest.models[0], settings={"INFERENCE_PRECISION_HINT": "f32"}),)
    html = write(tmp_path, make_evidence(), dataclasses.replace(manifest, models=models))
    assert "opened with INFERENCE_<wbr>PRECISION_<wbr>HINT = f32" in html


def test_the_model_card_names_the_temperature_and_the_calibration_error(tmp_path: Path) -> None:
    write_evidence(tmp_path, full_evidence())
    write_documents(tmp_path, read_contents(tmp_path, make_manifest()))
    card = (tmp_path / "evidence/model_card.md").read_text()
    assert "divides the logits by a temperature of 1.62" in card
    assert re.search(r"\| Expected calibration error \(15 bins of equal width\) \| 0\.112 \(.*\) \| 0\.041 \(", card)


def test_full_evidence_reads_back_as_it_was_written(tmp_path: Path) -> None:
    evidence = full_evidence()
    write_evidence(tmp_path, evidence)
    assert read_contents(tmp_path, make_manifest()) == evidence


def probes() -> DataAudit:
    some = Estimate(value=0.07, low=0.03, high=0.11)
    return DataAudit(
        features="frozen mobilenetv2_035 at 96 px",
        pretrained=True,
        images=811,
        groups=309,
        labels=LABELS,
        majority=0.27,
        published=None,
        this_split=None,
        folds=FoldComparison(folds=5, repeats=5, images=811, by_image=some, by_group=some, optimism=some),
        masking=None,
        fingerprints=(FingerprintAudit(name="size", features="width, height", accuracy=rate(140), auc=None),),
        sources=None,
        label_issues=LabelIssueAudit(images=811, found=0, label_issues=()),
        notes=("<i>one</i> note",),
    )


def test_probes_are_reported_in_words_and_a_bundle_without_them_still_has_a_report(tmp_path: Path) -> None:
    evidence = make_evidence()
    assert "Random splits" not in write(tmp_path, evidence, make_manifest())
    probed = dataclasses.replace(evidence, audit=probes())
    page = write(tmp_path, probed, make_manifest())
    words = text_of(page).replace("\u00a0", " ")
    assert "Random splits would overestimate the accuracy by 7.0 points (95 % interval 3.0 to 11.0)" in words
    assert "Not known: the data set names no sources" in words
    assert "&lt;i&gt;one&lt;/i&gt; note" in page
    assert read_contents(tmp_path, make_manifest()) == probed
