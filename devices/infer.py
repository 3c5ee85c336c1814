"""Answer images with a bundle: open the model that runs here, and turn probabilities into a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import Manifest
from weckd_edge.bundle import Bundle, open_bundle
from weckd_edge.devices.backends.base import Frame, Probabilities, Runner
from weckd_edge.devices.backends.table import open_runner
from weckd_edge.devices.choice import ModelChoice, choose_model
from weckd_edge.devices.frames import frame_from_file
from weckd_edge.errors import DataError, ModelError

ABSTAIN = "unable to analyze"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """The answer to one image.

    Attributes:
        file: The image, as it was named.
        label: The likeliest label; None where the image could not be read.
        probabilities: By label; empty where the image could not be read.
        decision: The label, or "unable to analyze".
        reason: Why it could not be analyzed; None where a decision was made.
    """

    file: str
    label: str | None
    probabilities: dict[str, float]
    decision: str
    reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenModel:
    """A bundle with one of its models open.

    Attributes:
        bundle: The bundle, verified.
        choice: What was opened.
        runner: The model; the caller closes it.
    """

    bundle: Bundle
    choice: ModelChoice
    runner: Runner


def open_bundle_model(folder: Path, *, backend: str | None = None, threads: int = 1) -> OpenModel:
    """Verify a bundle and open one of its models.

    Args:
        folder: The bundle.
        backend: See ``choose_model``.
        threads: Processor threads one query may use.

    Raises:
        BundleError: It is no bundle, or was changed.
        WeckdError: See ``choose_model`` and ``open_runner``.
    """
    bundle = open_bundle(folder)
    choice = choose_model(bundle, backend)
    runner = open_runner(choice.backend, choice.path, threads=threads)
    contract = bundle.manifest.input
    expected = (1, contract.frame_height, contract.frame_width, 3)
    if runner.input_shape != expected:
        runner.close()
        raise ModelError(
            f"{choice.path.name}: expected frames {list(expected)} as the manifest says, takes {list(runner.input_shape)}"
        )
    return OpenModel(bundle=bundle, choice=choice, runner=runner)


def find_images(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the image files that are named, and those below the folders that are named (sorted, by their suffix).

    Raises:
        DataError: Nothing is named, a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            if not inside:
                raise DataError(f"{path}: expected images in this folder ({', '.join(IMAGE_SUFFIXES)}), found none")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"{path}: expected an image or a folder, found nothing")
    if not found:
        raise DataError("expected at least one image or folder, got none")
    return tuple(found)


def infer(bundle: Path, images: Sequence[Path], *, backend: str | None = None, threads: int = 1) -> tuple[Inference, ...]:
    """Answer images.

    An image that cannot be read gets an entry that says so; the others are answered all the same.

    Args:
        bundle: The bundle's folder; it is verified first.
        images: Image files and folders.
        backend: See ``choose_model``.
        threads: Processor threads one query may use.

    Raises:
        WeckdError: The bundle cannot be opened, or a named path does not exist.
    """
    files = find_images(images)
    model = open_bundle_model(bundle, backend=backend, threads=threads)
    try:
        return tuple(answer_file(model, file) for file in files)
    finally:
        model.runner.close()


def answer_file(model: OpenModel, file: Path) -> Inference:
    """Answer an image file; one that cannot be read is "unable to analyze"."""
    try:
        frame = frame_from_file(file, model.bundle.manifest.input)
    except DataError as err:
        return unreadable(str(file), str(err))
    return answer_frame(model, np.ascontiguousarray(frame), file=str(file))


def answer_frame(model: OpenModel, frame: Frame, *, file: str = "") -> Inference:
    """Answer one frame: everything that stands between pixels and a decision, whoever asks.

    Args:
        model: The bundle, open.
        frame: uint8 ``[1, frame_height, frame_width, 3]``, contiguous.
        file: How the image is called in the answer.
    """
    return decide(file, model.runner.run(frame), model.bundle.manifest)


def unreadable(file: str, reason: str) -> Inference:
    """Return the answer to an image that cannot be read."""
    return Inference(file=file, label=None, probabilities={}, decision=ABSTAIN, reason=reason)


def decide(file: str, probabilities: Probabilities, manifest: Manifest) -> Inference:
    """Turn one answer ``[classes]`` into a decision at the bundle's operating point.

    Raises:
        ModelError: Another number of answers than the bundle has labels.
    """
    if probabilities.shape != (len(manifest.labels),):
        raise ModelError(f"expected {len(manifest.labels)} probabilities, got shape {list(probabilities.shape)}")
    values = {label: float(value) for label, value in zip(manifest.labels, probabilities, strict=True)}
    if not np.isfinite(probabilities).all():
        return Inference(file=file, label=None, probabilities={}, decision=ABSTAIN, reason="the model answered no number")
    label = manifest.labels[int(probabilities.argmax())]
    floor = manifest.operating_point.abstain_below
    if values[label] < floor:
        reason = f"the likeliest label, {label}, has {values[label]:.3f}; a decision needs {floor:g}"
        return Inference(file=file, label=label, probabilities=values, decision=ABSTAIN, reason=reason)
    return Inference(file=file, label=label, probabilities=values, decision=label, reason=None)
