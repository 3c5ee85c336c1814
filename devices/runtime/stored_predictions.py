"""Predictions of a model kept in the store, so that each pair of model and image is run once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weckd_edge.artifacts import InputSpec
from weckd_edge.core.fingerprint import Key, key_of
from weckd_edge.core.store import Workspace
from weckd_edge.core.stored_array import array_once, find_array
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRun:
    """A model and how it is run: everything that its predictions depend on beside the images.

    Attributes:
        digest: SHA-256 of the model's files.
        input: The frame that it takes, and the preprocessing.
        runtime: Name and settings of what runs it, such as ``openvino`` or ``torch``.
        modules: Modules of this package that run it, for the key.
    """

    digest: str
    input: InputSpec
    runtime: tuple[str, ...]
    modules: tuple[str, ...]


def predict_once(
    workspace: Workspace, model: ModelRun, images: SplitFrames, predict: Callable[[], Probabilities]
) -> Probabilities:
    """Return the predictions of images ``[N, classes]``; the model is run only where no step and no earlier run has.

    Args:
        workspace: The store.
        model: The model.
        images: The images.
        predict: Function that runs the model on all of them, in order.
    """
    return array_once(workspace, _name(images), _key(model, images), lambda: np.asarray(predict(), np.float32))


def find_predictions(workspace: Workspace, model: ModelRun, images: SplitFrames) -> Probabilities | None:
    """Return the recorded predictions of images ``[N, classes]``; None where there are none."""
    return find_array(workspace, _name(images), _key(model, images))


def _name(images: SplitFrames) -> str:
    return f"predictions-{images.split}"


def _key(model: ModelRun, images: SplitFrames) -> Key:
    inputs = {
        "model": model.digest,
        "input": model.input,
        "runtime": model.runtime,
        "images": [record.pixels_sha256 for record in images.records],
    }
    return key_of(inputs, "weckd_edge.devices.images.frames", *model.modules)
