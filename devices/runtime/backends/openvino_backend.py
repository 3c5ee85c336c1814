"""OpenVINO on the CPU: one stream, asked for latency; float32, or float16 where that is asked, where a layer is not int8.

``INFERENCE_PRECISION_HINT`` is always set: its default is bfloat16 or float16 where the processor has them, and golden
predictions would then differ from one processor to the next without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.errors import ModelError, did_you_mean, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.runtime.backends.base import (
    ModelBytes,
    ModelSource,
    Probabilities,
    check_tensor,
    require_model,
    require_one_each,
)
from weckd_edge.devices.runtime.backends.openvino_pairs import gather_pairs

NAME = "openvino"
_SUFFIXES = (".xml", ".onnx")
_WHERE_IT_WAS = ("Exception from", "Check '")
"""Beginnings of lines of OpenVINO's errors that name a place in its own source."""


def precision_settings(*, half: bool = False) -> dict[str, str]:
    """Return the settings that the predictions depend on; they are written into the manifest beside the model.

    An IR cannot carry them, as the CPU plugin reads no such option from the file.

    Args:
        half: Compute in float16 wherever a layer is not int8.
    """
    return {"INFERENCE_PRECISION_HINT": "f16" if half else "f32"}


def computes_in_half() -> bool:
    """Tell whether OpenVINO computes in float16 on this processor; where it does not, it would take float32 without a word.

    Raises:
        MissingDependency: OpenVINO is absent or broken.
    """
    ov = require("openvino", "run a model on this processor")
    return "FP16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def settings_for(
    *, threads: int, cache_dir: Path | None = None, reference: bool = False, half: bool = False
) -> dict[str, Any]:
    """Return the settings that a model is compiled with.

    The cache holds the graph before its precision is decided, so that a file written under another hint does no harm.

    Args:
        threads: Processor threads that one query may use.
        cache_dir: Folder for compiled models; None keeps none.
        reference: Compute exactly as the graph is written, however slow.
        half: Compute in float16 wherever a layer is not int8.
    """
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        **precision_settings(half=half),
    }
    if cache_dir is not None:
        config["CACHE_DIR"] = str(cache_dir)
    if reference:
        config["EXECUTION_MODE_HINT"] = "ACCURACY"
        config["LP_TRANSFORMS_MODE"] = "NO"  # keeps int8 layers in floating point, with their values rounded as written
    return config


class OpenVINORunner:
    """A compiled model and its one inference request; it runs whole models and parts of them."""

    name = NAME

    def __init__(self, ov: Any, model: Any, config: dict[str, Any], where: str) -> None:
        self._ov = ov
        self.version: str = str(ov.__version__).partition("-")[0]
        require_one_each(where, len(model.inputs), len(model.outputs))
        if model.input(0).partial_shape.is_dynamic:
            raise ModelError(
                f"{where}: expected a fixed input shape, got {model.input(0).partial_shape}", code="E_MODEL_INPUT"
            )
        self.input_shape: tuple[int, ...] = tuple(int(side) for side in model.input(0).shape)
        self.dtype: np.dtype[np.generic] = np.dtype(model.input(0).element_type.to_dtype())
        try:
            self._request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
        except RuntimeError as err:
            raise ModelError(
                f"{where}: OpenVINO {self.version} cannot compile it ({first_line(err, skip=_WHERE_IT_WAS)})",
                code="E_MODEL_BACKEND_BUILD",
            ) from err

        self._output: NDArray[Any] = self._request.get_output_tensor(0).data.reshape(-1)
        self._bound: NDArray[Any] | None = None

    def run(self, frame: NDArray[Any]) -> Probabilities:
        """Run the model once and return ``[classes]``; the frame is copied only where it is read-only.

        The array that was shown last is not bound again, whatever was written into it since: that takes as long as some
        layers.
        """
        if frame is not self._bound:
            check_tensor(frame, self.input_shape, self.dtype)
            is_shared = frame.flags.writeable
            self._request.set_input_tensor(self._ov.Tensor(frame, shared_memory=is_shared))
            self._bound = frame if is_shared else None
        self._request.infer()
        return self._output.astype(np.float32, copy=True)

    def close(self) -> None:
        """Free the request and, with it, the compiled model."""
        del self._output, self._request
        self._bound = None


def open_model(model: ModelSource, *, threads: int, cache_dir: Path | None, reference: bool, half: bool) -> OpenVINORunner:
    """Open an IR (``.xml`` with its ``.bin``) or an ONNX graph.

    Raises:
        ModelError: The file is missing or OpenVINO refuses it.
    """
    ov = require("openvino", "run a model on this processor")
    settings = settings_for(threads=threads, cache_dir=cache_dir, reference=reference, half=half)
    return OpenVINORunner(ov, _read_ov_model(ov, model), settings, str(model))


def open_network(model: ModelSource, tensor_name: str, *, threads: int, reference: bool, half: bool) -> OpenVINORunner:
    """Open the part of a graph that lies behind a tensor.

    Args:
        model: The whole graph.
        tensor_name: Name of the tensor between preprocessing and network; it becomes the input.
        threads: Processor threads that one query may use.
        reference: Compute exactly as the graph is written, however slow.
        half: Compute in float16 wherever a layer is not int8.

    Raises:
        ModelError: The graph has no such tensor.
    """
    ov = require("openvino", "run a model on this processor")
    whole = _read_ov_model(ov, model)
    outputs = {name: output for op in whole.get_ops() for output in op.outputs() for name in output.get_names()}
    if tensor_name not in outputs:
        raise ModelError(
            f"{model}: no tensor is called '{tensor_name}'{did_you_mean(tensor_name, outputs)}", code="E_MODEL_GRAPH"
        )
    source = outputs[tensor_name]
    parameter = ov.op.Parameter(source.get_element_type(), source.get_partial_shape())
    for reader in source.get_target_inputs():
        reader.replace_source_output(parameter.output(0))
    part = ov.Model(whole.get_results(), [parameter], "network")
    return OpenVINORunner(ov, part, settings_for(threads=threads, reference=reference, half=half), str(model))


def _read_ov_model(ov: Any, model: ModelSource) -> Any:
    require_model(model, _SUFFIXES, NAME)
    try:
        return read_ov_model(ov, model)
    except RuntimeError as err:
        raise ModelError(
            f"{model}: OpenVINO cannot read it ({first_line(err, skip=_WHERE_IT_WAS)})", code="E_MODEL_BACKEND_LOAD"
        ) from err


def read_ov_model(ov: Any, model: ModelSource) -> Any:
    """Read an IR or ONNX graph as an ``openvino.Model`` that computes as the graph is written.

    Raises:
        RuntimeError: OpenVINO cannot read it.
    """
    core = ov.Core()
    read = core.read_model(model.graph, model.weights) if isinstance(model, ModelBytes) else core.read_model(str(model))
    if model.suffix == ".onnx":
        gather_pairs(ov, read)
    return read
