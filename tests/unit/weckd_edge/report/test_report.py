"""The report of a bundle: whole, reproducible, without a network, and no bolder than its evidence."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from support.bundles.report_evidence import LABELS, Checker, make_evidence, make_manifest, probes, rate, text_of, write
from support.errors import raises
from weckd_edge.artifacts import (
    DataNote,
    DatasetIndex,
    Gate,
    ImageRecord,
    Prediction,
    PublishedLeaks,
)
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.verdict import sum_up_gates
from weckd_edge.bundle.writer import seal
from weckd_edge.cli.report import command
from weckd_edge.core.errors import BundleError, ConfigError
from weckd_edge.core.store import file_ref
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report import (
    Sample,
    html_shell,
    numbers,
    read_contents,
    write_documents,
    write_evidence,
)
from weckd_edge.report.chapters import verdicts
from weckd_edge.report.chapters.summary import summarize_bundle
from weckd_edge.report.documents.limits import limits
from weckd_edge.report.page import CONTENTS


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


def test_copies_are_counted_with_those_that_were_left_out_of_the_splits() -> None:
    base = make_evidence().dataset.images[0]

    def image(name: str, pixels: str, group: str, split: str = "train") -> ImageRecord:
        return dataclasses.replace(base, path=name, pixels_sha256=pixels, group=group, split=split)

    index = DatasetIndex(
        name="x",
        labels=LABELS,
        images=(
            image("a", "1", "A"),
            image("b", "1", "A"),
            image("c", "2", "A"),
            image("d", "3", "B", "test"),
            image("e", "4", "B", "val"),
        ),
        exact_copies=7,
    )
    facts = verdicts.data_facts(index)
    assert (facts.exact_copies, facts.groups, facts.cut_groups) == (8, 2, 1)


def test_report_and_card_tell_the_counted_leaks_of_a_published_split_that_is_not_kept(tmp_path: Path) -> None:
    evidence = make_evidence()
    leaks = PublishedLeaks(test_images=160, copies=68, grouped=87, val_copies=3, val_grouped=4)
    evidence = dataclasses.replace(
        evidence, dataset=dataclasses.replace(evidence.dataset, published_leaks=leaks, exact_copies=54)
    )
    html = write(tmp_path, evidence, make_manifest()).replace(NBSP, " ")
    assert (
        "68 of its 160 test images copy a training image, 87 share a group with one; 3 copy a validation image, 4 " in html
    )
    assert "70 images with the same pixels as an earlier one" in html  # 54 left out, 16 in the index
    assert (
        "of its 160 test images, 68 copy a training image and 87 share a group with one, 3 copy a validation image and 4 "
        "share a group with one."
    ) in " ".join(limits(evidence)).replace(NBSP, " ")


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
