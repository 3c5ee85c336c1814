"""What the report says of verification: frames and layers that differ, flips, calibration, executed precisions."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from support.bundles.report_evidence import (
    Checker,
    check,
    figures,
    full_evidence,
    make_evidence,
    make_manifest,
    parting,
    text_of,
    write,
)
from weckd_edge.artifacts import (
    Estimate,
)
from weckd_edge.report import (
    Picture,
    read_contents,
    write_documents,
    write_evidence,
)
from weckd_edge.report.chapters import parity


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
        (6, 0, 0.03125, "on 0 (McNemar p\u00a0=\u00a00.031, images taken as independent)."),
        (3, 1, 0.625, "on 1 (McNemar p\u00a0=\u00a00.62, images taken as independent)."),
        (0, 0, 1.0, "are correct on the same frames."),
    ],
)
def test_mcnemars_p_is_reported_with_what_it_assumes_and_never_as_a_verdict(
    only_a: int, only_b: int, p: float, words: str
) -> None:
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
