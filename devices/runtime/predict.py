"""Classify images with a bundle: find the files, open the model that runs here, and predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import Precision
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.core.errors import DataError, DeviceError
from weckd_edge.core.files import read_start, visible_files
from weckd_edge.devices.images.decoding import SUFFIXES, read_image_file
from weckd_edge.devices.images.file_kinds import HEAD_BYTES, begins_as_picture, describe_file
from weckd_edge.devices.images.frames import frame_of
from weckd_edge.devices.runtime.decision import FramePredictor, Prediction, unreadable
from weckd_edge.devices.runtime.frame_runner import FrameRunner
from weckd_edge.devices.runtime.input_guard import open_guard
from weckd_edge.devices.runtime.model_choice import ModelChoice, choose_model


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedFile:
    """A file in a named folder that is no image by its name and its first bytes.

    Attributes:
        file: Path of the file.
        reason: Kind of the file, in words.
    """

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundImages:
    """Image files that were found.

    Attributes:
        images: Image files; those of a folder are sorted.
        skipped: Other files in the folders, without hidden ones.
    """

    images: tuple[Path, ...]
    skipped: tuple[SkippedFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenModel:
    """A bundle with one of its models open.

    Attributes:
        bundle: The verified bundle.
        choice: The model that was opened.
        predictor: The model, with the bundle's input guard in its front end, labels and operating point; whoever opened it
            closes it.
    """

    bundle: Bundle
    choice: ModelChoice
    predictor: FramePredictor

    @property
    def runner(self) -> FrameRunner:
        """The model without guard and decision."""
        return self.predictor.runner

    def close(self) -> None:
        """Close the runner; the model must not be used afterwards."""
        self.runner.close()


def open_bundle_model(
    folder: Path,
    *,
    backend: str | None = None,
    precision: Precision | None = None,
    threads: int = 1,
    key: Path | None = None,
    min_version: int = 0,
) -> OpenModel:
    """Verify a bundle and open one of its models, from the bytes that were verified.

    Args:
        folder: The bundle's folder.
        backend: Name in the backend table; None takes the first backend whose library is installed.
        precision: Precision of the model; None takes the best one that is here.
        threads: Processor threads that one query may use.
        key: PEM public key; with it, a bundle that its owner did not sign is refused.
        min_version: Lowest version of the bundle that is taken.

    Raises:
        BundleError: The folder holds no bundle, one that was changed, or one that its owner did not sign.
        WeckdError: No model of the bundle can be opened here.
    """
    bundle = open_bundle(folder, key=key, min_version=min_version)
    return open_model(bundle, backend=backend, precision=precision, threads=threads)


def open_model(
    bundle: Bundle, *, backend: str | None = None, precision: Precision | None = None, threads: int = 1
) -> OpenModel:
    """Open one of a bundle's models, from the bytes that were verified when the bundle was opened.

    An engine that TensorRT takes no more, as after an update of the system, is left aside with a warning; the first of the
    bundle's models that runs here is then opened, unless the backend is named.

    Args:
        bundle: The bundle, opened and so verified.
        backend: Name of the backend that runs the model; None takes the best one that is here.
        precision: Precision of the model; None takes the best one that is here.
        threads: Processor threads one query may use.

    Raises:
        BundleError: A file was changed since the bundle was opened, or the guard does not fit the bundle.
        ConfigError: No backend has that name, or there are fewer than one thread.
        DeviceError: The bundle holds no such model, its precision is none of this processor's, or TensorRT, which was named,
            takes the engine no more.
        MissingDependency: The backend's library is not installed.
        ModelError: The backend refuses the model, or the model takes something else than the manifest says.
    """
    guard, manifest = open_guard(bundle), bundle.manifest
    choice = choose_model(bundle, backend, precision)
    try:
        runner = choice.open(manifest.input, guard=guard, threads=threads)
    except DeviceError as err:
        if backend is not None or err.code != "E_DEVICE_ENGINE":
            raise
        choice = choose_model(bundle, None, precision, refused=str(err))
        runner = choice.open(manifest.input, guard=guard, threads=threads)
    predictor = FramePredictor(runner=runner, labels=manifest.labels, operating_point=manifest.operating_point)
    return OpenModel(bundle=bundle, choice=choice, predictor=predictor)


def find_images(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the image files that ``find_image_files`` finds."""
    return find_image_files(paths).images


def find_image_files(paths: Sequence[Path]) -> FoundImages:
    """Find the image files that are named, and those below the folders that are named.

    In a folder, a file is an image by its suffix or by its first bytes. A thing with an image's suffix that is none, such as
    a pipe, a link to nothing or an empty folder, is among them: reading it says why it cannot be predicted.

    Raises:
        DataError: Nothing is named, a path does not exist, or a folder without an image's suffix holds no image.
    """
    found: list[Path] = []
    skipped: list[SkippedFile] = []
    for path in paths:
        if path.is_dir():
            inside = find_files(path)
            if not inside.images and not _is_called_image(path):
                others = inside.skipped
                text = f"; {len(others)} other files, such as {others[0].file}: {others[0].reason}" if others else ""
                raise DataError(
                    f"{path}: expected images in this folder ({', '.join(SUFFIXES)}), found none{text}",
                    code="E_DATA_NO_IMAGES",
                )
            found += inside.images or [path]
            skipped += inside.skipped
        elif path.is_symlink() or path.exists():
            found.append(path)
        else:
            raise DataError(f"{path}: expected an image or a folder, found nothing", code="E_DATA_SOURCE")
    if not found:
        raise DataError("expected at least one image or folder, got none", code="E_DATA_NO_IMAGES")
    return FoundImages(images=tuple(found), skipped=tuple(skipped))


def find_files(folder: Path) -> FoundImages:
    """Return the image files in a folder and below it, and its other files; there may be none of either."""
    images, skipped = [], []
    for path in visible_files(folder):
        reason = None if _is_called_image(path) else _why_no_image(path)
        if reason is None:
            images.append(path)
        else:
            skipped.append(SkippedFile(file=str(path), reason=reason))
    return FoundImages(images=tuple(images), skipped=tuple(skipped))


def _is_called_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _why_no_image(path: Path) -> str | None:
    """Return the kind of a file without an image's suffix, in words; None where its first bytes are those of an image."""
    try:
        head = read_start(path, HEAD_BYTES, error=DataError)
    except DataError as err:
        return str(err)
    return None if begins_as_picture(head) else describe_file(head)


def predict_file(model: OpenModel, file: Path, *, ignore_guard: bool = False) -> Prediction:
    """Predict an image file; one that cannot be read is "unable to analyze"."""
    try:
        found = frame_of(read_image_file(file), model.bundle.manifest.input.frame)
    except DataError as err:
        return unreadable(str(file), f"{file}: {err}")
    prediction = model.predictor.predict(found.frame, file=str(file), ignore_guard=ignore_guard)
    return replace(prediction, notes=found.notes)
