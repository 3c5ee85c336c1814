"""The page of a study: what was found, no bolder than its intervals allow."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from support.bundles.report_evidence import text_of
from weckd_edge.metrics.crossed_clusters import MeanInterval
from weckd_edge.report.study_page import StudyPage, StudyRow, write_study


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


def test_where_images_share_groups_each_group_is_counted_once_too(tmp_path: Path) -> None:
    page = study_page()
    write_study(page, tmp_path / "study.html")
    assert "Each group counted once" not in (tmp_path / "study.html").read_text()
    first, second = page.rows
    once = MeanInterval(mean=0.611, low=0.555, high=0.666)
    gain = MeanInterval(mean=0.123, low=None, high=None)
    rows = (dataclasses.replace(first, by_group=once), dataclasses.replace(second, by_group=once, gain_by_group=gain))
    write_study(dataclasses.replace(page, rows=rows), tmp_path / "study.html")
    text = text_of((tmp_path / "study.html").read_text())
    for words in ("Each group counted once", "61.1", "55.5", "+12.3"):
        assert words in text, words
