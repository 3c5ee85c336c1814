"""Predictions drawn below copies of their images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from weckd_edge.devices.images.annotate import MIN_WIDTH, break_text, draw_prediction

IMAGE = np.random.default_rng(0).integers(0, 255, (240, 480, 3), np.uint8)
PROBABILITIES = {"normal": 0.75, "effusion": 0.2, "wax": 0.04, "other": 0.01}


def draw(decision: str = "normal", reason: str | None = None, **changed: float) -> np.ndarray:
    found = draw_prediction(IMAGE, decision=decision, probabilities=PROBABILITIES | changed, reason=reason)
    assert found.dtype == np.uint8
    return found


def test_the_image_stays_as_it_is_and_the_words_are_below_it() -> None:
    found = draw()
    assert found.shape[0] > 240
    assert found.shape[1] == 480
    assert np.array_equal(found[:240], IMAGE)
    assert len(np.unique(found[240:].reshape(-1, 3), axis=0)) > 3


def test_decision_probabilities_and_reason_each_change_what_is_drawn() -> None:
    plain = draw()
    for other in (draw(decision="effusion"), draw(normal=0.5), draw(decision="unable to analyze", reason="too dark")):
        below = min(len(plain), len(other))
        assert other.shape != plain.shape or not np.array_equal(other[240:below], plain[240:below])


def test_a_larger_probability_is_drawn_longer() -> None:
    def length(found: np.ndarray) -> int:
        return int((found[240:] == (154, 168, 183)).all(axis=-1).sum())

    assert length(draw(normal=0.9, effusion=0.0, wax=0.0, other=0.0)) > length(
        draw(normal=0.4, effusion=0.0, wax=0.0, other=0.0)
    )


def test_an_abstention_has_another_colour_than_a_decision() -> None:
    def has(found: np.ndarray, colour: tuple[int, int, int]) -> bool:
        return bool((found[240:] == colour).all(axis=-1).any())

    green, amber = (94, 201, 98), (240, 178, 70)
    assert has(draw(), green)
    assert not has(draw(), amber)
    assert has(draw("unable to analyze", "too dark"), amber)
    assert not has(draw("unable to analyze", "too dark"), green)


@pytest.mark.parametrize("shape", [(8, 8), (300, 20), (20, 300), (1, 1)])
def test_a_small_image_is_enlarged_by_a_whole_number_and_a_narrow_one_stands_in_the_middle(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 255, (*shape, 3), np.uint8)
    found = draw_prediction(image, decision="normal", probabilities=PROBABILITIES)
    zoom = -(-MIN_WIDTH // max(shape))
    height, width = shape[0] * zoom, shape[1] * zoom
    left = (found.shape[1] - width) // 2
    assert found.shape[1] == max(MIN_WIDTH, width)
    assert np.array_equal(found[:height:zoom, left : left + width : zoom], image)


def test_long_names_and_no_probabilities_are_drawn_too() -> None:
    label = "chronic suppurative otitis media with perforation " * 4
    long = draw_prediction(IMAGE, decision=label, probabilities={label: 1.0}, reason=None)
    none = draw_prediction(IMAGE, decision="unable to analyze", probabilities={}, reason="too dark")
    assert long.shape[0] > draw().shape[0] - 60
    assert none.shape[0] < draw().shape[0]


@pytest.mark.parametrize("text", ["a few words that are broken", "w" * 200, "a " + "w" * 90 + " b", "", "   "])
def test_every_line_fits_and_no_letter_is_lost(text: str) -> None:
    font = ImageFont.load_default(14)
    lines = break_text(text, font, 100)
    assert all(font.getlength(line) <= 100 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
