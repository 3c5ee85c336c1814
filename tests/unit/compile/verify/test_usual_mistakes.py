from collections.abc import Sequence

import numpy as np
import pytest

from weckd_edge.compile.verify.usual_mistakes import InputDescription, PixelDescription, Run, TrialImages, find_mistakes
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.words import join_names, split_names

HALF = InputDescription(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
IMAGENET = InputDescription(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
LABELS = ("class 1", "class 10", "class 2")


def _images(count: int = 90) -> tuple[list[np.ndarray], np.ndarray]:
    """Images whose red and blue levels tell their class."""
    truth = np.arange(count) % 3
    draw = np.random.default_rng(0)
    levels = np.array([(40, 120, 200), (120, 120, 40), (230, 120, 120)])
    images = [
        (levels[label] + draw.integers(-15, 16, 3)).reshape(1, 3, 1, 1).repeat(4, 2).repeat(4, 3).astype(np.float32)
        for label in truth
    ]
    return images, truth


def trial(images: Sequence[np.ndarray], truth: np.ndarray, **known: object) -> TrialImages:
    return TrialImages(pixels=lambda _, place: images[place], truth=truth, **known)  # type: ignore[arg-type]  # what a test knows


def _network(trained: InputDescription, order: Sequence[int] = (0, 1, 2)) -> Run:
    """A network that compares the mean colour with each class's, after the normalisation it was trained with."""
    levels = np.array([(40, 120, 200), (120, 120, 40), (230, 120, 120)], np.float32)
    centres = (levels / 255 - np.array(trained.mean, np.float32)) / np.array(trained.std, np.float32)
    if trained.is_bgr:
        centres = centres[:, ::-1]

    def run(image: np.ndarray) -> np.ndarray:
        far = -np.square(image.mean((0, 2, 3)) - centres).sum(axis=1)
        powers = np.exp(far - far.max())
        return (powers / powers.sum())[list(order)].astype(np.float32)

    return run


def _found(
    trained: InputDescription, given: InputDescription, labels: Sequence[str] = LABELS, order: Sequence[int] = (0, 1, 2)
) -> tuple[str, ...]:
    images, truth = _images()
    return find_mistakes(_network(trained, order), trial(images, truth), given, labels, SilentProgress())


def test_a_network_that_was_described_as_it_was_trained_gives_no_doubt() -> None:
    assert _found(IMAGENET, IMAGENET) == ()


def test_a_mean_written_for_0_to_255_is_reported_with_the_right_one() -> None:
    given = InputDescription(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    (told,) = _found(IMAGENET, given)
    assert (
        "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 (mean and standard deviation are those of values in 0..1" in told
    )
    assert "would predict 100% of 90 images" in told


def test_blue_before_red_is_reported() -> None:
    bgr = InputDescription(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), is_bgr=True)
    (told,) = _found(bgr, HALF)
    assert "With --channel-order bgr it would predict 100%" in told
    (back,) = _found(HALF, bgr)
    assert "With --channel-order rgb it" in back


def test_classes_in_natural_order_are_reported() -> None:
    (told,) = _found(HALF, HALF, order=(0, 2, 1))
    assert "With --labels 'class 1,class 2,class 10' it would predict 100%" in told


def test_a_network_of_bytes_is_tried_with_other_orders_alone() -> None:
    given = InputDescription(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255), takes_bytes=True)
    tried: list[np.ndarray] = []
    images, truth = _images(4)
    run = _network(given)
    find_mistakes(lambda image: tried.append(image) or run(image), trial(images, truth), given, LABELS, SilentProgress())
    assert {float(image.max()) > 2 for image in tried} == {True}


def test_a_network_of_one_channel_is_tried_with_no_order_of_channels_and_one_mean() -> None:
    given = InputDescription(mean=(0.45, 0.45, 0.45), std=(0.25, 0.25, 0.25), takes_luminance=True)
    seen: list[np.ndarray] = []
    images, truth = _images(4)
    run = _network(given)

    def watched(image: np.ndarray) -> np.ndarray:
        seen.append(image)
        return run(image)

    find_mistakes(watched, trial(images, truth), given, LABELS, SilentProgress())
    pixels = images[0][0, :, 0, 0]
    for image in seen[:: len(images)]:
        ratio = np.polyfit(pixels, image[0, :, 0, 0], 1)
        assert image[0, :, 0, 0] == pytest.approx(np.polyval(ratio, pixels), abs=1e-4), (
            "one mean and one scale for all three"
        )
    assert len(seen) >= 3


def test_an_image_whose_output_is_known_is_not_shown_again_as_it_was_described() -> None:
    images, truth = _images(40)
    network, shown = _network(IMAGENET), []

    def run(image: np.ndarray) -> np.ndarray:
        shown.append(image.copy())
        return network(image)

    def as_described(image: np.ndarray) -> np.ndarray:
        mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (HALF.mean, HALF.std))
        return ((image / np.float32(255) - mean) / std).astype(np.float32)

    outputs = [int(network(as_described(image)).argmax()) for image in images]
    plain = find_mistakes(run, trial(images, truth), HALF, LABELS, SilentProgress())
    everything = len(shown)
    shown.clear()
    known = trial(images, truth, outputs=dict(enumerate(outputs[:-1])))
    assert find_mistakes(run, known, HALF, LABELS, SilentProgress()) == plain
    assert len(shown) == everything - 39
    assert (shown[0] == as_described(images[-1])).all()


def test_a_few_images_more_are_no_evidence() -> None:
    images, truth = _images()

    def run(image: np.ndarray) -> np.ndarray:
        return np.float32([1, 0, 0])

    assert find_mistakes(run, trial(images, truth), HALF, LABELS, SilentProgress()) == ()


@pytest.mark.parametrize("names", [("a", "b"), ("normal, healthy", "red"), ('say "ah"', "x y")])
def test_names_are_read_as_they_are_written(names: tuple[str, ...]) -> None:
    assert split_names(join_names(names)) == names


def test_spaces_around_names_are_left_out() -> None:
    assert split_names('normal , "red, bulging"') == ("normal", "red, bulging")


@pytest.mark.parametrize(
    ("given", "trained", "option"),
    [
        ({}, {"crop_pct": 0.875}, "--crop-pct 0.875"),
        ({"crop_pct": 0.875}, {"crop_pct": 1.0}, "--crop-pct 1"),
        ({}, {"resize": "antialiased_bicubic"}, "--interpolation bicubic"),
        ({}, {"resize": "bilinear"}, "--interpolation aliased-bilinear"),
        ({"resize": "area"}, {"resize": "antialiased_bilinear"}, "--interpolation bilinear"),
        ({}, {"crop": "stretch"}, "--set input.crop=stretch"),
        ({"crop": "stretch"}, {"crop": "center"}, "--set input.crop=center"),
    ],
)
def test_another_crop_or_interpolation_is_reported_by_its_option(
    given: dict[str, object], trained: dict[str, object], option: str
) -> None:
    usual = {"resize": "antialiased_bilinear", "crop": "center", "crop_pct": 1.0}
    as_given, as_trained = (PixelDescription(**{**usual, **given, **one}) for one in ({}, trained))  # type: ignore[arg-type]
    images, truth = _images()
    grey = np.full_like(images[0], 120)
    shown = TrialImages(pixels=lambda way, place: images[place] if way == as_trained else grey, truth=truth)
    described = InputDescription(mean=HALF.mean, std=HALF.std, pixels=as_given)
    (told,) = find_mistakes(_network(HALF), shown, described, LABELS, SilentProgress())
    assert f"With {option} it would predict 100% of 90 images" in told


def test_pixels_that_are_certain_are_not_made_otherwise() -> None:
    images, truth = _images(20)
    ways = []
    shown = TrialImages(pixels=lambda way, place: ways.append(way) or images[place], truth=truth)
    find_mistakes(_network(HALF), shown, HALF, LABELS, SilentProgress())
    assert set(ways) == {None}
