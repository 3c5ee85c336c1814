"""Pictures of test frames for the report, with maps of where the deployed model finds its evidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Manifest
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import WeckdError
from weckd_edge.devices.attribution.explain_images import SMALL_PIXELS, overlay_of
from weckd_edge.devices.runtime.backends.base import Probabilities, Runner
from weckd_edge.devices.runtime.model_choice import choose_model
from weckd_edge.report.pictures import Picture


def picture_frames(
    folder: Path,
    manifest: Manifest,
    frames: Mapping[str, NDArray[np.uint8]],
    mapped: Collection[str],
    predicted: Mapping[str, Mapping[str, Probabilities]],
) -> dict[str, Picture]:
    """Return pictures of test frames by path; a picture's note says why it has no map.

    Args:
        folder: Folder of the bundle, sealed or not, with its models.
        manifest: Manifest of the bundle, or the draft of it.
        frames: Frames by path, uint8 ``[H, W, 3]``.
        mapped: Paths of frames that get a map, at some 220 queries each.
        predicted: Known predictions of these frames: by backend, then by path.
    """
    runner, why = _open(folder, manifest) if mapped else (None, "")
    known = predicted.get(runner.name, {}) if runner is not None else {}
    try:
        pictures = {}
        for path, frame in sorted(frames.items()):
            if path not in mapped:
                pictures[path] = Picture(frame=frame)
            elif runner is None:
                pictures[path] = Picture(frame=frame, note=why)
            else:
                pictures[path] = _map(frame, manifest, runner, known.get(path))
        return pictures
    finally:
        if runner is not None:
            runner.close()


def _open(folder: Path, manifest: Manifest) -> tuple[Runner | None, str]:
    try:
        choice = choose_model(Bundle(folder=folder, manifest=manifest, signature="unsigned"))
        return choice.open(manifest.input), ""
    except WeckdError:  # the message names files of this machine, which have no place in a bundle
        return None, "the deployed model cannot be opened on the build machine"


def _map(frame: NDArray[np.uint8], manifest: Manifest, runner: Runner, predicted: Probabilities | None) -> Picture:
    try:
        overlay = overlay_of(frame, runner, manifest.input.frame, predicted=predicted, width_pixels=SMALL_PIXELS)
    except WeckdError as err:
        return Picture(frame=frame, note=f"no evidence map ({err})")
    return Picture(frame=frame, overlay=overlay)
