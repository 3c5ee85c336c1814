"""Find usual mistakes in how a user described an imported network, by trying other descriptions on images.

A wrong mean, standard deviation, channel order, class order, crop or interpolation stops nothing: the network runs, and
predicts badly. Each usual description is tried in place of the given one, and reported where the network is clearly better
with it. Crop and interpolation are changed one at a time. Nothing is changed in the network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import INTERPOLATIONS, Colour, Crop, Resize
from weckd_edge.core.progress import Progress
from weckd_edge.core.words import join_names

Pixels = NDArray[np.float32]
Run = Callable[[Pixels], NDArray[np.float32]]

SCREENED = 32
"""Number of images on which every description is tried; those no worse than the given one are tried on all images."""
SIGNIFICANT = 0.01
"""Largest p value of McNemar's exact test, one-sided, divided by the number of descriptions tried."""
CLEARLY = 0.05
"""Least part of the images, 0..1, by which a description must be better to be reported."""

_USUAL: tuple[tuple[Colour, Colour], ...] = (
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255)),
)
"""Means and standard deviations of values in 0..1: ImageNet's, -1 to 1, 0 to 1, 0 to 255, and Caffe's."""


_USUAL_PARTS = (1.0, 0.875)
"""Parts of a resized image that trainers keep."""

_USUAL_WAYS: tuple[Resize, ...] = ("antialiased_bilinear", "antialiased_bicubic", "bilinear")
"""Ways of resizing whose pixels differ; the area's are nearly those of the antialiased bilinear filter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelDescription:
    """How an image is cropped and resized.

    Attributes:
        resize: Way of resizing.
        crop: Whether the image keeps its proportions.
        crop_pct: Part of the resized image that the centred crop keeps along each axis.
    """

    resize: Resize
    crop: Crop
    crop_pct: float


@dataclass(frozen=True, kw_only=True, slots=True)
class InputDescription:
    """How an image becomes a network's input.

    Attributes:
        mean: Mean of values in 0..1, in the order red, green, blue.
        std: Standard deviation of values in 0..1, in the order red, green, blue.
        is_bgr: Whether the network takes blue first.
        takes_bytes: Whether the network takes whole grey levels; then no other mean and deviation are tried.
        takes_luminance: Whether the network takes one channel; then no other order of channels is tried, nor a mean or
            deviation that differs between colours.
        pixels: How images are cropped and resized; None: that is certain, and no other way is tried.
    """

    mean: Colour
    std: Colour
    is_bgr: bool = False
    takes_bytes: bool = False
    takes_luminance: bool = False
    pixels: PixelDescription | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrialImages:
    """Images that descriptions of a network are tried on; none of the test split.

    Attributes:
        pixels: Function from a way to crop and resize, and the place of an image, to its pixels in 0..255,
            ``[1, 3, height, width]``, red first.
        truth: Class of each image ``[N]``.
        outputs: Index of the network's largest output as the user described it, by the place of the image; images that are
            not in it are shown to the network.
    """

    pixels: Callable[[PixelDescription | None, int], Pixels]
    truth: NDArray[np.intp]
    outputs: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """Predictions of the network under one description.

    Attributes:
        description: How images were made its input.
        outputs: Index of its largest output for each image, ``[N]``.
    """

    description: InputDescription
    outputs: NDArray[np.intp]


def find_mistakes(
    run: Run, images: TrialImages, given: InputDescription, labels: Sequence[str], progress: Progress
) -> tuple[str, ...]:
    """Try usual descriptions of a network in place of the given one.

    Args:
        run: The network, from a normalised image ``[1, 3, S, S]`` to probabilities ``[classes]``.
        images: Images with their classes.
        given: Description by the user.
        labels: Class names in the order that the user gave, or sorted by name.
        progress: Receiver of the progress.

    Returns:
        A sentence for the best description that is clearly better, if there is one.
    """
    truth = images.truth
    if len(truth) < 2:
        return ()
    orders = list(_orders(labels))
    tried = [given, *_other_descriptions(given)]
    attempts = _screen(run, images, tried, orders, progress)
    was_right = attempts[0].outputs == truth
    limit = SIGNIFICANT / max(1, len(tried) * len(orders) - 1)
    best: tuple[int, InputDescription, NDArray[np.intp]] | None = None
    for attempt in attempts:
        for order in orders:
            is_right = order[attempt.outputs] == truth
            gain = int(is_right.sum()) - int(was_right.sum())
            if gain < CLEARLY * len(truth) or _chance_of(is_right, was_right) > limit:
                continue
            if best is None or gain > best[0]:
                best = (gain, attempt.description, order)
    if best is None:
        return ()
    gain, description, order = best
    would = (int(was_right.sum()) + gain) / len(truth)
    return (
        f"With {_options(given, description, labels, order)} it would predict {would:.0%} of {len(truth)} images correctly "
        f"instead of {was_right.mean():.0%}; nothing was changed: if that is how it was trained, say so and compile again.",
    )


def _screen(
    run: Run,
    images: TrialImages,
    tried: Sequence[InputDescription],
    orders: Sequence[NDArray[np.intp]],
    progress: Progress,
) -> list[_Attempt]:
    """Try every description on a few images; on all images, those that are no worse there than the first one, the given."""
    places = range(len(images.truth))
    first, others = places[:SCREENED], places[SCREENED:]
    truth = images.truth[:SCREENED]
    kept: list[_Attempt] = []
    minimum = 0
    with progress.task("try other descriptions of the network", len(tried)) as task:
        for number, description in enumerate(tried):
            known = images.outputs if number == 0 else {}
            outputs = _predict(run, images, first, description, known)
            right = max(int((order[outputs] == truth).sum()) for order in orders)
            if number == 0:
                minimum = int((outputs == truth).sum())
            if number == 0 or right >= minimum:
                rest = _predict(run, images, others, description, known)
                kept.append(_Attempt(description=description, outputs=np.concatenate([outputs, rest])))
            task.advance()
    return kept


def _predict(
    run: Run, images: TrialImages, places: Sequence[int], description: InputDescription, known: Mapping[int, int]
) -> NDArray[np.intp]:
    """Return the index of the largest output for the images at some places, as far as it is not known."""
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (description.mean, description.std))
    found = []
    for place in places:
        if place in known:
            found.append(known[place])
            continue
        pixels = ((images.pixels(description.pixels, place) / np.float32(255) - mean) / std).astype(np.float32)
        found.append(int(np.argmax(run(np.ascontiguousarray(pixels[:, ::-1] if description.is_bgr else pixels)))))
    return np.array(found, dtype=np.intp)


def _other_descriptions(given: InputDescription) -> Iterator[InputDescription]:
    """Yield usual descriptions that differ from the given one and suit the network, each once."""
    usual = list(_USUAL)
    if max(map(abs, (*given.mean, *given.std))) > 2:  # written for values in 0..255
        usual.insert(0, (_scaled(given.mean), _scaled(given.std)))
    seen = {_rounded(given)}
    for is_bgr in (given.is_bgr, not given.is_bgr):
        for mean, std in ((given.mean, given.std), *usual):
            other = replace(given, mean=mean, std=std, is_bgr=is_bgr)
            if _rounded(other) in seen:
                continue
            seen.add(_rounded(other))
            if given.takes_bytes and (mean, std) != (given.mean, given.std):
                continue
            if given.takes_luminance and (is_bgr or len({*mean}) > 1 or len({*std}) > 1):
                continue
            yield other
    if given.pixels is not None:
        for pixels in _other_pixels(given.pixels):
            yield replace(given, pixels=pixels)


def _other_pixels(given: PixelDescription) -> Iterator[PixelDescription]:
    """Yield usual ways to crop and resize that differ from the given one in one thing."""
    yield from (replace(given, resize=resize) for resize in _USUAL_WAYS if resize != given.resize)
    yield from (replace(given, crop_pct=part) for part in _USUAL_PARTS if abs(part - given.crop_pct) > 0.01)
    yield replace(given, crop="center" if given.crop == "stretch" else "stretch")


def _scaled(values: Colour) -> Colour:
    return (values[0] / 255, values[1] / 255, values[2] / 255)


def _rounded(description: InputDescription) -> tuple[object, ...]:
    return (*(round(value, 2) for value in (*description.mean, *description.std)), description.is_bgr)


def _orders(labels: Sequence[str]) -> Iterator[NDArray[np.intp]]:
    """Yield the class of each output, as indices into ``labels``, in every usual order; the given order first."""
    names = list(labels)
    seen: list[list[str]] = []
    for order in (names, sorted(names), sorted(names, key=str.casefold), sorted(names, key=_natural), names[::-1]):
        if order not in seen:
            seen.append(order)
            yield np.array([names.index(name) for name in order], dtype=np.intp)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key by which ``class 10`` comes behind ``class 9``."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name.casefold()) if part]


def _chance_of(is_right: NDArray[np.bool_], was_right: NDArray[np.bool_]) -> float:
    """Return the one-sided p value of McNemar's exact test: are more images right now than were before?"""
    better, worse = int((is_right & ~was_right).sum()), int((was_right & ~is_right).sum())
    either = better + worse
    return float(sum(comb(either, k) for k in range(better, either + 1)) / 2**either)


def _options(given: InputDescription, other: InputDescription, labels: Sequence[str], order: NDArray[np.intp]) -> str:
    parts = []
    if (other.mean, other.std) != (given.mean, given.std):
        scaled = max(map(abs, (*given.mean, *given.std))) > 2
        words = " (mean and standard deviation are those of values in 0..1, not in 0..255)" if scaled else ""
        parts.append(f"--mean {_numbers(other.mean)} --std {_numbers(other.std)}{words}")
    if other.is_bgr != given.is_bgr:
        parts.append(f"--channel-order {'bgr' if other.is_bgr else 'rgb'}")
    if given.pixels is not None and other.pixels is not None:
        parts += _pixel_options(given.pixels, other.pixels)
    if list(order) != list(range(len(order))):
        parts.append(f"--labels '{join_names(labels[at] for at in order)}'")
    return " and ".join(parts)


def _pixel_options(given: PixelDescription, other: PixelDescription) -> list[str]:
    names = {resize: name for name, resize in INTERPOLATIONS.items()}
    changed = {
        f"--interpolation {names.get(other.resize, other.resize)}": other.resize != given.resize,
        f"--crop-pct {other.crop_pct:g}": other.crop_pct != given.crop_pct,
        f"--set input.crop={other.crop}": other.crop != given.crop,
    }
    return [option for option, is_other in changed.items() if is_other]


def _numbers(values: Colour) -> str:
    if len({round(value, 6) for value in values}) == 1:
        return "1/255" if abs(values[0] * 255 - 1) < 1e-6 else f"{values[0]:.4g}"
    return ",".join(f"{value:.4g}" for value in values)
