"""Which test images the report of a bundle shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import weckd_edge.pipeline.steps.write_bundle as module
from support.bundles.made_parts import assemble, make_parts
from weckd_edge.report import BundleContents

pytest.importorskip("jinja2")
pytest.importorskip("cyclonedx")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sample frames that the report is given."""
    found: list[Any] = []
    real = module.write_report

    def watch(contents: BundleContents, out: Path, samples: Any = (), frames: Any = None) -> None:
        found.extend(samples)
        real(contents, out, samples, frames)

    monkeypatch.setattr(module, "write_report", watch)
    return found


def sample_rows(shown: list[Any]) -> list[tuple[int, str, str]]:
    """Number of the image (from its grey), truth and decision of each sample."""
    return [(int(s.image[0, 0, 0]) // 20, s.truth[0], s.predicted[0]) for s in shown]


def test_right_predictions_are_shown_each_class_in_turn(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, samples=5))
    assert sample_rows(shown) == [(0, "e", "e"), (3, "n", "n"), (6, "w", "w"), (1, "e", "e"), (4, "n", "n")]
    assert [s.probability for s in shown] == [0.8] * 5
    assert shown[0].image.shape == (16, 16, 3)


def test_wrong_predictions_come_first_and_are_at_most_half(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, truth="000111222", decided="111111200", samples=4))
    assert sample_rows(shown) == [(0, "e", "n"), (1, "e", "n"), (3, "n", "n"), (6, "w", "w")]


def test_of_an_odd_number_right_ones_have_the_larger_half(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, truth="000111222", decided="111111200", samples=3))
    assert [truth == decided for _, truth, decided in sample_rows(shown)] == [False, True, True]


def test_few_wrong_predictions_leave_their_places_to_right_ones(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, truth="000111222", decided="000111221", samples=6))
    rows = sample_rows(shown)
    assert len(rows) == 6
    assert rows[0] == (8, "w", "n")
    assert [truth for _, truth, _ in rows[1:]] == ["e", "n", "w", "e", "n"]


def test_where_right_predictions_are_few_wrong_ones_take_their_places(tmp_path: Path, shown: list[Any]) -> None:
    assemble(make_parts(tmp_path, truth="000111222", decided="111222220", samples=6))
    assert sample_rows(shown) == [
        *((0, "e", "n"), (1, "e", "n"), (2, "e", "n"), (3, "n", "w")),
        *((6, "w", "w"), (7, "w", "w")),
    ]


@pytest.mark.parametrize("decided", ["000111222", "111222000"])
def test_more_samples_than_test_images_show_each_once(tmp_path: Path, shown: list[Any], decided: str) -> None:
    assemble(make_parts(tmp_path, decided=decided, samples=200))
    assert sorted(number for number, _, _ in sample_rows(shown)) == list(range(9))


@pytest.mark.parametrize("decided", ["000111222", "111222000", "000111220"])
def test_with_no_samples_no_image_is_read_or_shown(tmp_path: Path, shown: list[Any], decided: str) -> None:
    parts = make_parts(tmp_path, decided=decided, samples=0)
    for path in parts.root.iterdir():
        path.unlink()
    assemble(parts)
    assert shown == []
    assert "data:image" not in (parts.out / "evidence/report.html").read_text()
