"""The contract of every backend: one uint8 frame in, the probabilities of one prediction out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.errors import ModelError
from weckd_edge.devices.runtime.backends.onnx_bytes import check_onnx

Frame = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelBytes:
    """Proved bytes of a model; nothing of it is read from a file again.

    Attributes:
        path: Path of the model for messages; its suffix says what the bytes are.
        graph: Bytes of the ``.xml``, ``.onnx`` or ``.engine``.
        weights: Bytes of an IR's ``.bin``; empty for other models.
    """

    path: str
    graph: bytes = field(repr=False)
    weights: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        """Suffix of the path, such as ``.onnx``."""
        return PurePosixPath(self.path).suffix

    def __str__(self) -> str:
        return self.path

    def write(self, folder: Path) -> Path:
        """Write the model into a folder of the caller's, for libraries that open files only; return the graph's path."""
        file = folder / self.name
        file.write_bytes(self.graph)
        if self.weights:
            file.with_suffix(".bin").write_bytes(self.weights)
        return file


ModelSource = Path | ModelBytes
"""A model file, or the bytes of a model."""


class Runner(Protocol):
    """A model that is open and ready.

    Attributes:
        name: Name of the backend: ``openvino``, ``onnxruntime``, ``litert`` or ``tensorrt``.
        version: Version of the library that runs the model.
        input_shape: Shape of a frame, ``(1, height, width, 3)``.
    """

    name: str
    version: str
    input_shape: tuple[int, ...]

    def run(self, frame: Frame) -> Probabilities:
        """Predict one frame.

        Args:
            frame: RGB, ``[1, H, W, 3]``, rows first and contiguous.

        Returns:
            Probabilities ``[classes]``, a copy that belongs to the caller.

        Raises:
            ModelError: The frame has another shape or type than the model was built for.
        """

    def close(self) -> None:
        """Free the memory; the runner must not be used afterwards."""


class NetworkRunner(Protocol):
    """A part of a model that starts behind the preprocessing, for timing the network alone.

    Attributes:
        input_shape: Shape of the tensor that it starts from.
        dtype: Type of that tensor.
    """

    input_shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def run(self, frame: NDArray[np.generic]) -> Probabilities:
        """Run the network once on a tensor of ``input_shape`` and ``dtype``; return ``[classes]``."""

    def close(self) -> None:
        """Free the memory."""


class AnyRunner(Protocol):
    """Anything whose queries can be timed: a ``Runner``, a ``NetworkRunner``, or one of them behind the input guard."""

    def run(self, frame: Any, /) -> Any:
        """Run one query on a frame or tensor of the runner's shape and type."""


def check_tensor(array: NDArray[np.generic], shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """Refuse an input that the model was not built for.

    Raises:
        ModelError: The input has another shape or type, or is not contiguous.
    """
    if array.shape != shape or array.dtype != dtype:
        raise ModelError(
            f"the model expects {dtype} of shape {list(shape)}, got {array.dtype} of shape {list(array.shape)}; "
            "scale the image to the camera frame first",
            code="E_MODEL_FRAME",
        )
    if not array.flags.c_contiguous:
        raise ModelError(
            "the model expects a contiguous frame, got a view; numpy.ascontiguousarray copies it", code="E_MODEL_FRAME"
        )


def require_one_each(where: str, inputs: int, outputs: int) -> None:
    """Refuse a model of another number of inputs or outputs than one.

    Raises:
        ModelError: There are more or none.
    """
    if inputs != 1 or outputs != 1:
        raise ModelError(f"{where}: expected one input and one output, got {inputs} and {outputs}", code="E_MODEL_INPUT")


def require_model(model: ModelSource, suffixes: tuple[str, ...], backend: str) -> None:
    """Refuse a model that is missing, that the backend does not read, or that is another kind than its name says.

    Raises:
        ModelError: The model is refused; the message names the kinds that the backend reads.
    """
    if model.suffix not in suffixes:
        raise ModelError(
            f"{model}: {backend} reads {' or '.join(suffixes)}, got '{model.suffix or model.name}'",
            code="E_MODEL_FILE",
        )
    if isinstance(model, ModelBytes):
        if model.suffix == ".onnx":
            check_onnx(model.graph, model.path)
        elif model.suffix == ".xml" and not model.graph.startswith(b"<"):
            raise ModelError(
                f"{model}: expected XML, found something else", code="E_MODEL_FILE"
            )  # OpenVINO goes by the content
    elif not model.is_file():
        raise ModelError(f"{model}: expected a model file, found none", code="E_MODEL_FILE_MISSING")
