"""Predictions of images by a bundle, with a picture of where the model finds its evidence for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec
from weckd_edge.artifacts.frame import crop_box
from weckd_edge.core.errors import DataError
from weckd_edge.core.store import write_atomic
from weckd_edge.devices.attribution.deletion import Deletion, measure_deletion
from weckd_edge.devices.attribution.occlusion_map import AttributionMap, map_attribution
from weckd_edge.devices.attribution.overlay import MIN_EVIDENCE, draw_figure, draw_overlay
from weckd_edge.devices.images.annotate import encode_png
from weckd_edge.devices.images.decoding import read_image_file
from weckd_edge.devices.images.frames import frame_of
from weckd_edge.devices.images.picture_paths import make_picture_paths
from weckd_edge.devices.runtime.backends.base import Frame, Probabilities, Runner
from weckd_edge.devices.runtime.decision import Prediction, unreadable
from weckd_edge.devices.runtime.predict import OpenModel, find_images

SMALL_PIXELS = 240
"""Width of a small picture, pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Prediction of one image and its attribution map.

    Attributes:
        prediction: The prediction.
        overlay: Path of the picture that was written; None where the image has no prediction.
        method: Method of the map, in words; None where there is no map.
        deletion: Check of the map; None where there is no map.
    """

    prediction: Prediction
    overlay: str | None
    method: str | None
    deletion: Deletion | None


def explain_images(
    model: OpenModel, images: Sequence[Path], out: Path, *, ignore_guard: bool = False
) -> Iterator[Explanation]:
    """Predict images, and write a picture of each that has a prediction: where the model finds its evidence.

    Args:
        model: The bundle, open until the last image was asked for.
        images: Image files and folders.
        out: Folder for the pictures, ``<image's name>.png``; it is made where it is missing.
        ignore_guard: Predict frames that the bundle's guard refuses, too; without it they get no picture.

    Returns:
        An explanation for each image, in their order, made when it is asked for.

    Raises:
        StoreError: A picture of that name exists already, or ``out`` cannot be written or lies in the bundle.
        WeckdError: A named path does not exist, or the model fails.
    """
    files = find_images(images)
    pictures = make_picture_paths(files, out, bundle=model.bundle.folder)
    return (_explain(model, file, picture, ignore_guard) for file, picture in zip(files, pictures, strict=True))


def explain_frame(model: OpenModel, frame: Frame, label: int) -> tuple[AttributionMap, Deletion]:
    """Map where a bundle's model finds its evidence for a label, and judge the map: some 400 queries.

    Args:
        model: The bundle, open.
        frame: uint8 ``[1, height, width, 3]``, contiguous.
        label: Index of the label.
    """
    found = map_attribution(model.runner, frame, label, box=crop_box(model.bundle.manifest.input.frame))
    return found, measure_deletion(model.runner, frame, found)


def overlay_of(
    frame: NDArray[np.uint8],
    runner: Runner,
    spec: FrameSpec,
    *,
    label: int | None = None,
    predicted: Probabilities | None = None,
    width_pixels: int = SMALL_PIXELS,
) -> NDArray[np.uint8]:
    """Return a small picture of a frame with the map over it: uint8 ``[H, width_pixels, 3]``.

    Args:
        frame: uint8 ``[H, W, 3]``.
        runner: Model that takes such frames.
        spec: Size and crop of the frames.
        label: Index of the label; None takes the likeliest one.
        predicted: Probabilities of the frame where they are known; None runs the model.
        width_pixels: Width of the picture, pixels.

    Raises:
        ModelError: The model gives no number.
    """
    single = np.ascontiguousarray(frame[None])
    found = runner.run(single) if predicted is None else predicted
    which = int(found.argmax()) if label is None else label
    mapped = map_attribution(runner, single, which, box=crop_box(spec), predicted=found)
    return draw_overlay(frame, mapped, width_pixels=width_pixels)


def method_words(found: AttributionMap) -> str:
    """Return the method of a map in words."""
    covering = found.covering
    cover = "their mean colour" if covering.fill == "mean" else "themselves, blurred"
    return (
        f"occlusion: parts {covering.patch:.0%} as wide as what the model looks at, {covering.stride:.0%} apart, "
        f"covered with {cover}; {found.queries} queries"
    )


def sanity_words(found: AttributionMap, check: Deletion, label: str) -> str:
    """Return the verdict of a map's check in words: whether the map means something."""
    if float(found.map.max()) <= MIN_EVIDENCE:
        return f"Covering no single part changes the prediction: there is no one place that {label} is read from."
    beaten = f"{check.maps_beaten} of {check.maps_by_chance}"
    if check.maps_beaten == check.maps_by_chance:
        return (
            f"Deleting what is marked takes the evidence away sooner than all {check.maps_beaten} moved copies of the map."
        )
    if check.maps_beaten >= 0.8 * check.maps_by_chance:
        return f"Deleting what is marked takes the evidence away sooner than {beaten} moved copies of the map."
    return f"Not to be relied on: deleting what is marked beats only {beaten} moved copies of the map."


def _explain(model: OpenModel, file: Path, picture: Path, ignore_guard: bool) -> Explanation:
    manifest = model.bundle.manifest
    try:
        found_frame = frame_of(read_image_file(file), manifest.input.frame)
    except DataError as err:
        prediction = unreadable(str(file), f"{file}: {err}")
        return Explanation(prediction=prediction, overlay=None, method=None, deletion=None)
    frame = found_frame.frame
    prediction = model.predictor.predict(frame, file=str(file), ignore_guard=ignore_guard)
    prediction = replace(prediction, notes=found_frame.notes)
    if prediction.label is None:
        return Explanation(prediction=prediction, overlay=None, method=None, deletion=None)
    found, check = explain_frame(model, frame, manifest.labels.index(prediction.label))
    lines = [f"{file.name}: {method_words(found)}.", sanity_words(found, check, prediction.label)]
    lines += [f"Note: {note.text}." for note in prediction.notes]
    if prediction.reason:
        lines.insert(0, f"{prediction.reason[0].upper()}{prediction.reason[1:]}.")
    title = f"{prediction.decision}   {found.probability:.1%}" if prediction.reason is None else prediction.decision
    figure = draw_figure(frame[0], found, title, tuple(lines))
    write_atomic(picture, encode_png(figure))
    return Explanation(prediction=prediction, overlay=str(picture), method=method_words(found), deletion=check)
