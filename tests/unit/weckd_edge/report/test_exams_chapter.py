"""The report's chapter on examinations: sentences, tables, strips of frames, and what it says where there are few."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from support import factories
from support.bundles.reports import LABELS, small_contents, small_manifest
from support.examinations import drawn_exams, examination, seen_frame
from weckd_edge.artifacts import ExamChoice, ExamEvidence, ExamOutcome
from weckd_edge.config import ExamConfig
from weckd_edge.core.words import with_plain_spaces
from weckd_edge.report import BundleContents, read_contents, write_documents, write_evidence, write_report
from weckd_edge.report.chapters.exams import STRIPS, choose_shown, exam_sentences, exams_text
from weckd_edge.report.chapters.summary import summarize_bundle
from weckd_edge.report.charts import exam_strips, frames_curve
from weckd_edge.train.exam_rule.choose import choose_rule
from weckd_edge.train.exam_rule.examinations import Examination, Examinations
from weckd_edge.train.exam_rule.measure import measure_exams

pytest.importorskip("jinja2")
pytest.importorskip("scipy")


def evidence(exams: list[Examination], config: ExamConfig | None = None) -> ExamEvidence:
    choice = choose_rule(drawn_exams(120, seed=1), config or ExamConfig(max_repeat_share=0.0), 0, has_guard=True)
    index = factories.index([factories.image(exam="e")], LABELS, named_groups=1)
    return measure_exams(Examinations(exams=tuple(exams), left_out=0), choice, index, (), seed=0)


@pytest.fixture(scope="module")
def found() -> ExamEvidence:
    dark = examination("dark", 0, *(seen_frame(code="too_dark", time_s=float(n)) for n in range(3)))
    return evidence([*drawn_exams(60), dark], ExamConfig(max_repeat_share=0.0, max_group_error=0.4))


def plain(text: str) -> str:
    return with_plain_spaces(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)).replace("&nbsp;", " "))


def contents_with(found: ExamEvidence) -> BundleContents:
    return dataclasses.replace(small_contents(), exams=found)


def test_the_page_shows_examinations_beside_single_frames(found: ExamEvidence, tmp_path: Path) -> None:
    write_evidence(tmp_path, contents_with(found))
    contents = read_contents(tmp_path, small_manifest())
    assert contents.exams == found
    write_report(contents, tmp_path / "r.html")
    chapter = (tmp_path / "r.html").read_text().split('id="exams"')[1].split("</section>")[0]
    words = plain(chapter)
    for text in (
        "accuracy of single frames",
        "accuracy of examinations",
        "sensitivity of normal",
        "2 s after the first frame",
        "3 too dark",
        "at most 5",
        "found for the limit of at most 40.0 % of the decided groups wrong",
    ):
        assert text in words
    assert chapter.count("<svg") == 2
    assert chapter.count('role="img"') == 2
    assert f"{100 * found.accuracy.value:.1f} %" in words  # type: ignore[union-attr]  # there are examinations


def test_the_model_card_and_the_first_screen_tell_of_examinations(found: ExamEvidence, tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx")
    contents = contents_with(found)
    (tmp_path / "evidence").mkdir()
    write_documents(tmp_path, contents)
    card = (tmp_path / "evidence/model_card.md").read_text()
    assert "## Examinations" in card
    assert "An examination is decided by the" in card
    assert any(line.startswith("Examinations: ") for line in summarize_bundle(contents).lines)


def test_a_bundle_without_the_record_says_so(tmp_path: Path) -> None:
    write_report(small_contents(), tmp_path / "r.html")
    assert "no record of examinations" in (tmp_path / "r.html").read_text()
    assert exams_text(None, LABELS) is None


def test_with_few_examinations_every_sentence_says_that_there_is_no_interval() -> None:
    few = evidence(drawn_exams(5))
    text = " ".join(exam_sentences(few))
    assert "too few for an interval" in text
    assert "too few examinations for an interval of the difference" in text
    assert exams_text(few, LABELS) is not None


def test_without_an_examination_the_chapter_says_so() -> None:
    none = exams_text(evidence([]), LABELS)
    assert none is not None
    assert none.shown == ()
    assert "There is no test examination" in none.sentences[-1]


def test_the_strips_show_long_examinations_and_up_to_half_of_them_wrong(found: ExamEvidence) -> None:
    shown = choose_shown(found.outcomes)
    wrong = [one for one in shown if one.is_decided and one.best != one.label]
    assert len(shown) == STRIPS
    assert 0 < len(wrong) <= STRIPS // 2
    assert all(len(one.uses) > 1 for one in shown)


def test_frames_differ_in_shape_and_the_picture_has_its_text() -> None:
    svg = exam_strips([("normal: normal, right", "xxccr-")])
    shapes = re.findall(r'<rect class="piece (p\d)" x="[\d.]+" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>', svg)
    assert [colour for colour, *_ in shapes] == ["p5", "p0", "p2", "p3"]
    assert len({(y, height) for _, y, _, height in shapes}) == 4
    assert "2 counted, 1 repeated, 2 refused, 1 not needed" in svg


def test_names_in_a_strip_are_text(found: ExamEvidence) -> None:
    assert "<b>" not in exam_strips([("<b>", "cc")])
    assert "single frames" in frames_curve(found.curve, 0.5)


def test_an_examination_that_cannot_be_graded_is_named_so() -> None:
    outcome = ExamOutcome(
        exam="e",
        group="g",
        label=None,
        uses="cc",
        accepted=2,
        frames_right=0,
        best=1,
        probability=0.9,
        is_decided=True,
        seen_enough=False,
    )
    text = exams_text(dataclasses.replace(evidence([]), outcomes=(outcome,)), LABELS)
    assert text is not None and text.frames is not None  # noqa: PT018 - one fact
    assert text.frames.rows[0].name == "1. non-gradeable: normal (0.90), wrong"


def test_the_choice_is_a_table_of_what_was_tried(found: ExamEvidence) -> None:
    choice: ExamChoice = found.choice
    text = exams_text(found, LABELS)
    assert text is not None
    tried = next(table for table in text.tables if table.title.startswith("Ways of joining"))
    assert [row.name for row in tried.rows] == [one.name for one in choice.candidates]
