"""Pictures for the report: test frames as the device sees them, and where what is deployed finds its evidence in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import Manifest
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import DataError, WeckdError
from weckd_edge.devices.attribution.explain_images import SMALL_PIXELS, overlay_of
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.runtime.backends.base import Runner
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.model_choice import choose_model
from weckd_edge.report import Picture


def picture_frames(
    folder: Path, manifest: Manifest, root: Path, mapped: Sequence[str], plain: Sequence[str]
) -> dict[str, Picture]:
    """Return pictures of test frames by path; what cannot be read or mapped is told in the picture's note.

    Args:
        folder: The bundle, sealed or not, with its models.
        manifest: Its manifest or the draft of it.
        root: The data set's folder.
        mapped: Paths of frames whose evidence is mapped too, some 220 queries each.
        plain: Paths of frames that are only shown.
    """
    runner, why = _open(folder, manifest) if mapped else (None, "")
    try:
        with_map = {path: _picture(root / path, manifest, runner, why) for path in mapped}
    finally:
        if runner is not None:
            runner.close()
    return {**{path: _picture(root / path, manifest, None, "") for path in plain if path not in with_map}, **with_map}


def _open(folder: Path, manifest: Manifest) -> tuple[Runner | None, str]:
    try:
        choice = choose_model(Bundle(folder=folder, manifest=manifest, signature="unsigned"))
        return open_runner(choice.backend, choice.model), ""
    except WeckdError:  # its words name files of this machine, which have no place in a bundle
        return None, "what ships cannot be opened on the machine that built it"


def _picture(path: Path, manifest: Manifest, runner: Runner | None, why: str) -> Picture:
    try:
        frame = np.ascontiguousarray(frame_from_file(path, manifest.input)[0])
    except DataError as err:
        return Picture(frame=None, note=str(err).replace(str(path), path.name))
    if runner is None:
        return Picture(frame=frame, note=why)
    try:
        return Picture(frame=frame, overlay=overlay_of(path, runner, manifest.input, width_pixels=SMALL_PIXELS))
    except WeckdError as err:
        return Picture(frame=frame, note=f"the evidence cannot be mapped ({err})")
