"""LiteRT on the CPU: a .tflite model, run by XNNPACK. Its int8 predictions are the same on x86 and Arm."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
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

NAME = "litert"
_IDENTIFIER = b"TFL3"
_NOTE = b"INFO: "
_LOADING = threading.Lock()


class LiteRTRunner:
    """An interpreter of LiteRT with its tensors allocated."""

    name = NAME

    def __init__(self, interpreter: Any, version: str, where: str) -> None:
        self.version = version
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        require_one_each(where, len(inputs), len(outputs))
        self.input_shape: tuple[int, ...] = tuple(int(side) for side in inputs[0]["shape"])
        self.dtype: np.dtype[Any] = np.dtype(inputs[0]["dtype"])
        if self.dtype != np.uint8 or outputs[0]["dtype"] != np.float32:
            raise ModelError(f"{where}: expected a uint8 frame as input, got {self.dtype}", code="E_MODEL_INPUT")
        self._interpreter: Any = interpreter
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    def run(self, frame: Frame) -> Probabilities:
        """Predict one frame ``[1, H, W, 3]``; return ``[classes]``."""
        check_tensor(frame, self.input_shape, self.dtype)
        self._interpreter.set_tensor(self._input, frame)
        self._interpreter.invoke()
        found: Probabilities = self._interpreter.get_tensor(self._output).reshape(-1)
        return found

    def close(self) -> None:
        """Free the interpreter."""
        self._interpreter = None


def open_model(model: ModelSource, *, threads: int, cache_dir: Path | None, reference: bool, half: bool) -> LiteRTRunner:
    """Open a ``.tflite`` model; ``cache_dir`` is not used, and ``half`` is never asked for.

    Raises:
        ModelError: The file is missing or LiteRT refuses it.
    """
    del cache_dir, half
    interpreter, version = make_interpreter(model, threads=threads, reference=reference)
    return LiteRTRunner(interpreter, version, str(model))


def make_interpreter(model: ModelSource, *, threads: int, reference: bool) -> tuple[Any, str]:
    """Return LiteRT's interpreter of a ``.tflite`` model, with its tensors allocated, and LiteRT's version.

    Args:
        model: The model.
        threads: Processor threads that one query may use.
        reference: Use LiteRT's plain kernels in place of XNNPACK's.

    Raises:
        ModelError: The file is missing or LiteRT refuses it.
        MissingDependency: LiteRT is absent or broken.
    """
    litert = require("ai_edge_litert", "run a LiteRT model")
    interpreters = require("ai_edge_litert.interpreter", "run a LiteRT model")
    require_model(model, (".tflite",), NAME)
    data = model.graph if isinstance(model, ModelBytes) else model.read_bytes()
    if data[4:8] != _IDENTIFIER:  # LiteRT would take other bytes for offsets
        raise ModelError(f"{model}: expected a .tflite model, found other bytes", code="E_MODEL_FILE")
    kernels = interpreters.OpResolverType
    try:
        with _without_notes():
            interpreter = interpreters.Interpreter(
                model_content=data,
                num_threads=threads,
                experimental_op_resolver_type=kernels.BUILTIN_REF if reference else kernels.AUTO,
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as err:
        raise ModelError(
            f"{model}: LiteRT {litert.__version__} refuses it ({first_line(err)})", code="E_MODEL_BACKEND_LOAD"
        ) from err
    return interpreter, str(litert.__version__)


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Leave out what LiteRT notes on the standard error when it makes an interpreter; it has no setting for that."""
    with _LOADING, tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not line.startswith(_NOTE):
                    os.write(2, line)
