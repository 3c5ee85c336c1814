"""Run implementations of one model on this machine and return their predictions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import InputSpec, Precision
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.store import digest_of, sha256_file
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.backends.table import is_computed_as_written
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Implementation:
    """One implementation of a model: a backend with the file that it runs.

    Attributes:
        backend: Name of the backend in the table of backends.
        model: Path of the model that the backend opens.
        input: The camera frame, and the network's input.
        precision: Precision of the model, such as ``int8`` or ``fp32``.
        reference: Whether the graph runs exactly as it is written, without any fusion.
        half: Whether it computes in float16 wherever a layer is not int8.
    """

    backend: str
    model: Path
    input: InputSpec
    precision: Precision
    reference: bool = False
    half: bool = False

    @property
    def name(self) -> str:
        """Name in a report, such as ``openvino int8``."""
        return f"{self.backend} {self.precision}" + (" as written" if self.reference else "")

    @property
    def as_written(self) -> bool:
        """Whether this machine runs the graph exactly as it is written: asked to, or as 8-bit sums would saturate here."""
        return self.reference or is_computed_as_written(self.backend, self.model)

    def open(self, *, threads: int = 1) -> FrameRunner:
        """Open the model, which then takes camera frames.

        Raises:
            ModelError: The backend refuses the model.
        """
        return open_frame_runner(
            self.backend, self.model, self.input, threads=threads, reference=self.reference, half=self.half
        )

    def digest(self) -> str:
        """Return the SHA-256 of the model's files, hexadecimal; a file is read once in a process, unless it changes."""
        weights = self.model.with_suffix(".bin")
        files = [self.model, *([weights] if self.model.suffix == ".xml" else [])]
        return digest_of([_sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files])


@functools.lru_cache(maxsize=256)
def _sha256(file: Path, size: int, modified_ns: int) -> str:  # size and time are there to be compared
    return sha256_file(file)


Predict = Callable[[Implementation, SplitFrames], Probabilities]
"""Returns what an implementation predicts of images ``[N, classes]``."""


class PredictionError(ModelError):
    """Error of a model that was opened and fails on a frame."""


def predict_frames(candidate: Implementation, images: Iterable[NDArray[np.uint8]]) -> Probabilities:
    """Run an implementation on frames ``[1, H, W, 3]``, on one thread.

    Returns:
        Probabilities, float32 ``[N, classes]``.

    Raises:
        ModelError: The backend refuses the model.
        PredictionError: The model fails on a frame.
    """
    runner = candidate.open()
    try:
        return np.stack([_run(runner.run, frame) for frame in images])
    finally:
        runner.close()


def _run(run: Callable[[NDArray[np.uint8]], Probabilities], frame: NDArray[np.uint8]) -> Probabilities:
    try:
        return run(frame)
    except Exception as err:  # backends' own errors have no common base class
        text = first_line(err)
        raise PredictionError(text, code="E_MODEL_BACKEND_RUN") from err
