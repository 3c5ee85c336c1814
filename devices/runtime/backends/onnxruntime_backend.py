"""ONNX Runtime on the CPU: the reference for every other backend, and a fallback where OpenVINO is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.runtime.backends.base import (
    Frame,
    ModelBytes,
    ModelSource,
    Probabilities,
    check_tensor,
    require_model,
    require_one_each,
)

NAME = "onnxruntime"
_TYPES: dict[str, np.dtype[Any]] = {"tensor(uint8)": np.dtype(np.uint8), "tensor(float)": np.dtype(np.float32)}
_ERRORS_ONLY = 3

SESSION_ENTRIES = {
    "session.intra_op.allow_spinning": "0",  # a thread that waits in a loop for the next frame costs a battery
    "session.inter_op.allow_spinning": "0",
    "session.load_model_format": "ONNX",  # whatever the bytes begin with
    "session.x64quantprecision": "1",  # unsigned weights where sums of signed ones would saturate: x86 without VNNI
}
"""Entries of a session's configuration; the C library sets the same, so that the same version gives the same numbers."""


class OnnxRuntimeRunner:
    """A session of ONNX Runtime."""

    name = NAME

    def __init__(self, session: Any, version: str, where: str) -> None:
        self.version = version
        inputs, outputs = session.get_inputs(), session.get_outputs()
        require_one_each(where, len(inputs), len(outputs))
        if not all(isinstance(side, int) for side in inputs[0].shape):
            raise ModelError(f"{where}: expected a fixed input shape, got {inputs[0].shape}", code="E_MODEL_INPUT")
        if inputs[0].type not in _TYPES:
            raise ModelError(f"{where}: expected a uint8 frame as input, got {inputs[0].type}", code="E_MODEL_INPUT")
        self.input_shape: tuple[int, ...] = tuple(inputs[0].shape)
        self.dtype: np.dtype[Any] = _TYPES[inputs[0].type]
        self._session = session
        self._input: str = inputs[0].name
        self._outputs = [outputs[0].name]

    def run(self, frame: Frame) -> Probabilities:
        """Predict one frame ``[1, H, W, 3]``; return ``[classes]``."""
        check_tensor(frame, self.input_shape, self.dtype)
        output: Probabilities = self._session.run(self._outputs, {self._input: frame})[0].reshape(-1)
        return output.astype(np.float32, copy=False)

    def close(self) -> None:
        """Free the session."""
        del self._session


def open_model(
    model: ModelSource, *, threads: int, cache_dir: Path | None, reference: bool, half: bool
) -> OnnxRuntimeRunner:
    """Open an ONNX graph; ``cache_dir`` is not used, as nothing of the session outlives it, and ``half`` is never asked for.

    Raises:
        ModelError: The file is missing or ONNX Runtime refuses it.
    """
    del cache_dir, half
    ort = require("onnxruntime", "run an ONNX graph")
    require_model(model, (".onnx",), NAME)
    options = session_options(ort, threads=threads)
    if reference:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = open_session(ort, model, options)
    return OnnxRuntimeRunner(session, str(ort.__version__), str(model))


def session_options(ort: Any, *, threads: int) -> Any:
    """Return the options that a graph is opened with where it is to run as fast as it can.

    Args:
        ort: The library.
        threads: Processor threads that one query may use.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    for name, value in SESSION_ENTRIES.items():
        options.add_session_config_entry(name, value)
    return options


def open_session(ort: Any, model: ModelSource, options: Any) -> Any:
    """Open a graph on the processor.

    Raises:
        ModelError: ONNX Runtime refuses it.
    """
    source = model.graph if isinstance(model, ModelBytes) else str(model)
    try:
        return ort.InferenceSession(source, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as err:  # ONNX Runtime's errors share no base class but Exception
        first = first_line(err)
        raise ModelError(
            f"{model}: ONNX Runtime {ort.__version__} refuses it ({first})", code="E_MODEL_BACKEND_LOAD"
        ) from err
