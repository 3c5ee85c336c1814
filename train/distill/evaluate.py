"""Predict frames with a student in FP32, the same frames that a device will see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weckd_edge.artifacts import ImageRecord, InputSpec, Link, Rate
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.stored_predictions import ModelRun
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.train.distill.reproducible import full_precision
from weckd_edge.train.networks.models import Student, load_link
from weckd_edge.train.networks.preprocess import crop_and_resize, make_network_input

BATCH = 32


def predict_records(student: Student, spec: InputSpec, images: SplitFrames) -> Probabilities:
    """Return a student's predictions of images, ``[N, classes]``, computed on the device that it lies on."""
    probabilities: list[Probabilities] = []
    device = next(student.parameters()).device
    student.eval()
    with torch.inference_mode(), full_precision(device):
        for start in range(0, len(images), BATCH):
            block = torch.tensor(images.frames[start : start + BATCH]).to(device)
            logits, _ = student(make_network_input(block, spec))
            probabilities.append(logits.softmax(dim=1).cpu().numpy())
    return np.concatenate(probabilities)


def as_trained(network_sha256: str, spec: InputSpec) -> ModelRun:
    """Return the record under which a trained network's predictions are stored, by its ``network_digest``."""
    return ModelRun(digest=network_sha256, input=spec, runtime=("torch",), modules=("weckd_edge.train.distill.evaluate",))


def record_accuracy(probabilities: Probabilities, records: Sequence[ImageRecord]) -> Rate:
    """Return the rate of right predictions with its interval by groups."""
    truth = np.array([r.label for r in records])
    return rate_by_group(probabilities.argmax(axis=1) == truth, [r.group for r in records])


def network_pixels(frame: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Return one frame ``[1, H, W, 3]`` as a network's input ``[1, 3, S, S]``, for networks that torch does not run.

    It is computed as the exported graph does, step by step: a network that takes whole grey levels rounds it, and a
    value in the middle between two of them must stay there.
    """
    pixels = network_levels(frame, spec)
    mean, scale = (
        np.array(values, np.float32).reshape(1, 3, 1, 1)
        for values in ([255 * value for value in spec.network.mean], [1 / (255 * value) for value in spec.network.std])
    )
    normalised: NDArray[np.float32] = (pixels - mean) * scale
    return normalised


def network_levels(frame: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Return a frame ``[1, H, W, 3]`` cropped and resized for a network, ``[1, 3, S, T]`` in 0..255, not yet normalised."""
    levels: NDArray[np.float32] = crop_and_resize(torch.tensor(frame), spec.frame, spec.network.size).contiguous().numpy()
    return levels


def frame_predictor(link: Link, folder: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return a function from one frame ``[1, H, W, 3]`` to probabilities ``[classes]``, for comparison with exports."""
    student = load_link(link, folder)

    def predict(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits, _ = student(make_network_input(torch.tensor(frame), link.input))
            result: NDArray[np.float32] = logits.softmax(dim=1)[0].numpy()
        return result

    return predict


def network_predictor(link: Link, folder: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a function from one normalised image ``[1, 3, S, S]`` to probabilities ``[classes]``."""
    student = load_link(link, folder)

    def predict_one(image: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits, _ = student(torch.from_numpy(image))
            result: NDArray[np.float32] = logits.softmax(dim=1)[0].numpy()
        return result

    return predict_one
