"""Predict covered pictures with a trained network, which has never seen such and is not trained anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ImageRecord, InputSpec
from weckd_edge.core.progress import Progress
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.train.audit.features import Mask


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DeployedNetwork:
    """Trained network with its predictions of held-out images.

    Attributes:
        predict: Function from a frame, uint8 ``[1, H, W, 3]``, to probabilities ``[C]``.
        input: Frame and network input that it takes.
        images: Images that it has not learned from.
        predictions: Predictions of these images, uncovered, ``[N, C]``.
    """

    predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    input: InputSpec
    images: SplitFrames
    predictions: NDArray[np.float32]


def predict_occluded(
    deployed: DeployedNetwork, records: Sequence[ImageRecord], masks: Sequence[Mask], progress: Progress
) -> NDArray[np.bool_]:
    """Return which predictions are right ``[1 + masks, N]``: of whole pictures first, then under each mask.

    Covered pixels have the network's mean colour.

    Args:
        deployed: The network.
        records: Some of the images that it has not learned from.
        masks: Masks for its frame; a shape is not predicted, and counts as wrong.
        progress: Receiver of the progress.
    """
    colour = np.rint(255 * np.array(deployed.input.network.mean)).clip(0, 255).astype(np.uint8)
    right = np.zeros((1 + len(masks), len(records)), np.bool_)
    constant = [None if callable(mask.region) else mask.shown(records[0]) for mask in masks]
    rows = deployed.images.rows(record.path for record in records)
    with progress.task("predict covered images", len(records)) as task:
        for i, record in enumerate(records):
            frame = deployed.images.frame(rows[i])
            right[0, i] = deployed.predictions[rows[i]].argmax() == record.label
            for n, mask in enumerate(masks):
                if mask.shows != "shape":
                    shown = constant[n] if constant[n] is not None else mask.shown(record)
                    covered = np.where(shown[None, :, :, None], frame, colour)  # type: ignore[index]  # one of the two is there
                    right[1 + n, i] = deployed.predict(covered).argmax() == record.label
            task.advance()
    return right
