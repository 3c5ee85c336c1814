"""Predictions of a bundle for image files, as every command makes them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from weckd_edge.devices.runtime.decision import Prediction
from weckd_edge.devices.runtime.predict import find_images, open_bundle_model, predict_file


def predict_images(
    bundle: Path, images: Sequence[Path], *, backend: str | None = None, ignore_guard: bool = False
) -> tuple[Prediction, ...]:
    """Return the predictions for image files and folders of a bundle that is opened for them and closed again."""
    files = find_images(images)
    with closing(open_bundle_model(bundle, backend=backend)) as model:
        return tuple(predict_file(model, file, ignore_guard=ignore_guard) for file in files)
