"""Run an imported network for the first time: within bounds of memory, and as its file has it."""

from __future__ import annotations

import contextlib
import re
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto

MAX_WORKING_BYTES = 8 << 30
"""Memory that a network's first run may take beside what this process has, bytes."""

_ERRORS_ONLY = 3


@contextlib.contextmanager
def bounded_memory(more: int = MAX_WORKING_BYTES) -> Iterator[None]:
    """Bound how many more bytes this process may take: a request beyond fails, instead of the whole machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    wanted = pages * resource.getpagesize() + more
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def run_network(model: ModelProto, images: Sequence[NDArray[Any]], name: str) -> list[NDArray[np.float32]]:
    """Run a network as its graph is written, with nothing optimized.

    Args:
        model: Network of one input and one output.
        images: Inputs, one for each run; cast to the type that the network takes.
        name: Name of the network, for messages.

    Returns:
        Prediction of each image, flat, float32.

    Raises:
        ModelError: ONNX Runtime cannot load or run the network.
    """
    ort = require("onnxruntime", "run an ONNX graph")
    with bounded_memory():  # shapes that only show at run time
        try:
            session = open_session(model)
        except Exception as err:  # ONNX Runtime's own errors have no common base class
            raise ModelError(
                f"{name}: ONNX Runtime {ort.__version__} cannot load it ({error_line(err)})", code="E_MODEL_BACKEND_LOAD"
            ) from err
        entry = session.get_inputs()[0]
        kind = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16, "tensor(double)": np.float64}.get(entry.type)
        try:
            found = [session.run(None, {entry.name: image.astype(kind or np.float32)})[0] for image in images]
        except Exception as err:  # ONNX Runtime's own errors have no common base class
            if "allocate memory" in str(err) or "bad_alloc" in str(err):
                raise ModelError(
                    f"{name}: it takes more memory on one image than there is, or than a device could have",
                    code="E_MODEL_BACKEND_RUN",
                ) from err
            raise ModelError(f"{name}: it cannot run on one image ({error_line(err)})", code="E_MODEL_BACKEND_RUN") from err
    return [np.asarray(values, np.float32).reshape(-1) for values in found]


def can_load(model: ModelProto) -> bool:
    """Tell whether ONNX Runtime loads a model as its graph is written."""
    with bounded_memory():
        try:
            open_session(model)
        except Exception:  # ONNX Runtime's own errors have no common base class
            return False
    return True


def open_session(model: ModelProto) -> Any:
    """Return a session of ONNX Runtime that optimizes nothing, on one thread."""
    ort = require("onnxruntime", "run an ONNX graph")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def error_line(err: Exception) -> str:
    """Return the first line of a library's error, without the codes that ONNX Runtime puts before it."""
    plain = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(err))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return (lines or [type(err).__name__])[0][:200]
