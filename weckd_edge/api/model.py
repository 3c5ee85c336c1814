"""A bundle's model that is open and predicts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.api.exam import Examination
from weckd_edge.core.errors import DataError, ModelError
from weckd_edge.devices.images.camera_frames import Colour, Matrix, Region, camera_frame
from weckd_edge.devices.runtime.decision import Prediction
from weckd_edge.devices.runtime.exam import Exam
from weckd_edge.devices.runtime.model_choice import RunningModel
from weckd_edge.devices.runtime.predict import OpenModel, find_images, predict_file

if TYPE_CHECKING:
    from weckd_edge.devices.attribution.explain_images import Explanation

Image = str | os.PathLike[str] | NDArray[np.uint8]
"""Path of an image file, or an array of uint8: colours, grey, or luma and chroma, as ``Model.predict`` takes it."""


class Model:
    """A bundle's model, open on one backend; use it as a context, or close it.

    Threads may share a model: their predictions run one after another. For more at a time, open the bundle several times.

    Attributes:
        labels: Class names, in the order of the network's outputs.
        backend: Backend that runs the model: ``openvino``, ``onnxruntime`` or ``tensorrt``.
        backend_version: Version of the backend's library.
        precision: Precision of the model: ``int8``, ``fp16`` or ``fp32``.
        running: Backend and precision, and whether ``weckd-edge finalize`` chose the model on this device.
    """

    def __init__(self, opened: OpenModel) -> None:
        """Take an open model; ``Bundle.open`` calls this."""
        self._opened = opened
        self._one_at_a_time = threading.Lock()
        self._is_closed = False
        self.labels: tuple[str, ...] = opened.bundle.manifest.labels
        self.backend: str = opened.choice.backend
        self.backend_version: str = opened.runner.version
        self.precision: str = opened.choice.precision
        self.running: RunningModel = opened.choice.running
        try:  # one frame for nothing, so that the first prediction takes no longer than the others
            opened.runner.run(np.zeros(opened.runner.input_shape, np.uint8))
        except BaseException:
            opened.close()
            raise

    def predict(
        self,
        image: Image,
        *,
        colour: Colour = "rgb",
        matrix: Matrix = "bt601_limited",
        region: Region | None = None,
        chroma: NDArray[np.uint8] | None = None,
        ignore_guard: bool = False,
    ) -> Prediction:
        """Predict one image.

        An image file that cannot be read is a prediction too: its decision is "unable to analyze", its code
        ``unreadable``.

        Args:
            image: Path of an image file, or an array, uint8: RGB or BGR ``[H, W, 3]``, grey ``[H, W]``, YUYV
                ``[H, W, 2]``, or NV12, as one array ``[H * 3 / 2, W]`` or as its luma ``[H, W]`` with ``chroma``; any
                strides. Of an image of another size than the bundle's camera frame, the largest centred part of the
                frame's proportions is resized to it.
            colour: Order of an array's values: ``rgb``; ``bgr``, as OpenCV reads images; ``grey``; ``nv12`` or ``yuyv``, as
                cameras send them. Files say theirs themselves.
            matrix: Matrix by which RGB is made of NV12 and YUYV: ``bt601_limited``, ``bt601_full``, ``bt709_limited`` or
                ``bt709_full``.
            region: Part of an array that is used, ``left, top, width, height`` in pixels; None: all of it. Its numbers are
                even where the chroma covers blocks.
            chroma: Chroma of NV12, uint8 ``[H / 2, W]`` or ``[H / 2, W / 2, 2]``, where it does not lie behind the luma.
            ignore_guard: Predict also frames that the input guard rejects.

        Returns:
            The label, the probabilities and the decision.

        Raises:
            ConfigError: The order of the values or the matrix is unknown.
            DataError: There is no such file, or it is a folder.
            ModelError: The model was closed; the array has another type or shape; a side is longer than 8192 pixels, or odd
                where that cannot be; or the region lies outside.

        Example:
            >>> import numpy, weckd_edge
            >>> bundle = weckd_edge.load("ear-bundle")
            >>> with bundle.open() as model:
            ...     from_file = model.predict("eardrum.png")
            ...     from_camera = model.predict(numpy.zeros((480, 640, 3), numpy.uint8), colour="bgr")
            >>> from_file.decision
            'normal'
            >>> from_camera.decision, from_camera.code
            ('unable to analyze', 'low_probability')
        """
        if isinstance(image, str | os.PathLike):
            path = Path(image)
            if path.is_dir():
                raise DataError(
                    f"{path}: expected an image file, found a folder; predict_many predicts the images in it",
                    code="E_DATA_SOURCE",
                )
            (file,) = find_images([path])
            return self._predict_file(file, ignore_guard)
        frame = camera_frame(image, colour=colour, matrix=matrix, region=region, chroma=chroma)
        with self._one_at_a_time:
            self._check_open()
            return self._opened.predictor.predict(frame, ignore_guard=ignore_guard)

    def predict_many(
        self,
        images: Iterable[Image],
        *,
        colour: Colour = "rgb",
        matrix: Matrix = "bt601_limited",
        region: Region | None = None,
        ignore_guard: bool = False,
    ) -> Iterator[Prediction]:
        """Predict images one after another, each when its prediction is asked for.

        Args:
            images: Paths and arrays, as ``predict`` takes them; of a folder, the images in it and below are predicted,
                sorted by path.
            colour: Order of the arrays' values, as ``predict`` takes it.
            matrix: Matrix of arrays of NV12 and YUYV.
            region: Part of the arrays that is used.
            ignore_guard: Predict also frames that the input guard rejects.

        Yields:
            A prediction for each image, in their order.

        Raises:
            ConfigError: The order of the values or the matrix is unknown.
            DataError: There is no such file or folder, or a folder holds no image.
            ModelError: The model was closed, or an array is not one that ``predict`` takes.

        Example:
            >>> import weckd_edge
            >>> with weckd_edge.load("ear-bundle").open() as model:
            ...     for prediction in model.predict_many(["pictures/"]):
            ...         print(prediction.file, prediction.decision)
            pictures/a.png normal
            pictures/b.png effusion
        """
        for image in images:
            if isinstance(image, str | os.PathLike):
                for file in find_images([Path(image)]):
                    yield self._predict_file(file, ignore_guard)
            else:
                yield self.predict(image, colour=colour, matrix=matrix, region=region, ignore_guard=ignore_guard)

    def exam(self) -> Examination:
        """Begin an examination: frames of one ear that end in one decision, by the bundle's own rule.

        Returns:
            The examination, without frames.

        Raises:
            ModelError: The model was closed.

        Example:
            >>> import weckd_edge
            >>> with weckd_edge.load("ear-bundle").open() as model:
            ...     exam = model.exam()
            >>> found = exam.decide()
            >>> found.decision, found.code
            ('unable to analyze', 'too_few_frames')
        """
        with self._one_at_a_time:
            self._check_open()
        exam = Exam(self._opened.predictor, self._opened.bundle.manifest.exam)
        return Examination(exam, self._one_at_a_time, self._check_open)

    def explain(
        self, images: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], *, ignore_guard: bool = False
    ) -> Iterator[Explanation]:
        """Predict image files one after another, and write a picture for each: where the model finds its evidence.

        Args:
            images: Paths of image files and folders.
            out: Folder for the pictures, ``<name of the image>.png``; it is made where it is missing.
            ignore_guard: Explain also frames that the input guard rejects.

        Returns:
            For each image, in their order, the prediction, the picture's path, and how far the map can be trusted; each is
            made when it is asked for.

        Raises:
            DataError: A path is missing, or a folder holds no image.
            ModelError: The model was closed.
            StoreError: A picture of that name is there already, or ``out`` lies in the bundle or cannot be written.

        Example:
            >>> import weckd_edge
            >>> with weckd_edge.load("ear-bundle").open() as model:
            ...     (explained,) = model.explain(["eardrum.png"], "maps")
            >>> explained.overlay
            'maps/eardrum.png'
        """
        from weckd_edge.devices.attribution.explain_images import explain_images

        with self._one_at_a_time:
            self._check_open()
        paths = [Path(image) for image in images]
        return self._one_by_one(explain_images(self._opened, paths, Path(out), ignore_guard=ignore_guard))

    def _one_by_one(self, explanations: Iterator[Explanation]) -> Iterator[Explanation]:
        while True:
            with self._one_at_a_time:
                self._check_open()
                found = next(explanations, None)
            if found is None:
                return
            yield found

    def close(self) -> None:
        """Close the model and free its memory, after a prediction that is under way; closing twice is allowed."""
        with self._one_at_a_time:
            if not self._is_closed:
                self._is_closed = True
                self._opened.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{self.precision} on {self.backend}"
        return f"<Model of {self._opened.bundle.manifest.name}: {state}>"

    def _predict_file(self, file: Path, ignore_guard: bool) -> Prediction:
        with self._one_at_a_time:
            self._check_open()
            return predict_file(self._opened, file, ignore_guard=ignore_guard)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ModelError(
                "expected an open model, found one that was closed; predict inside 'with bundle.open() as model'",
                code="E_MODEL_CLOSED",
            )
