"""Quantize a graph with NNCF into an int8 OpenVINO IR, for processors alone.

NNCF finds ranges and places of its own. Its activations may be unsigned and, before depthwise convolutions, quantized per
channel: OpenVINO runs that, TensorRT and ONNX Runtime do not, so it is a candidate for processors and never the source of an
engine.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import BuiltModel
from weckd_edge.compile.backends import openvino_backend
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import sha256_file
from weckd_edge.devices.runtime.backends.openvino_layers import operators_before


def build_int8_ir(
    onnx: Path,
    frames: Iterable[NDArray[np.uint8]],
    count: int,
    first: str | None,
    folder: Path,
    *,
    reduce_range: bool = False,
) -> BuiltModel:
    """Write an int8 IR that NNCF has quantized.

    Args:
        onnx: The FP32 graph.
        frames: Calibration frames, as the graph takes them.
        count: Number of frames.
        first: Name of the network's input tensor inside the graph; operators before it stay in floating point.
        folder: Folder to write to; exists.
        reduce_range: Whether all weights are kept to seven bits, for processors whose 16-bit sums of 8-bit products overflow
            (x86 without VNNI); by NNCF's default only those of the first layer are.

    Raises:
        ModelError: NNCF or OpenVINO refuses the graph.
        MissingDependency: NNCF is not installed.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it looks for a CUDA compiler, not needed here
    nncf: Any = require("nncf", "try NNCF's int8")
    logging.getLogger("nncf").setLevel(logging.ERROR)  # it sets its own level as it is imported
    model = openvino_backend.read_graph(onnx)
    try:
        dataset = nncf.Dataset(list(frames))
        scope = nncf.IgnoredScope(names=operators_before(model, first), validate=False) if first else None
        half = {"overflow_fix": nncf.quantization.advanced_parameters.OverflowFix.ENABLE} if reduce_range else {}
        with contextlib.redirect_stdout(io.StringIO()):
            small = nncf.quantize(
                model,
                dataset,
                preset=nncf.QuantizationPreset.MIXED,
                target_device=nncf.TargetDevice.CPU,
                subset_size=count,
                ignored_scope=scope,
                advanced_parameters=nncf.AdvancedQuantizationParameters(**half),
            )
    except Exception as err:  # NNCF's errors and OpenVINO's have no common base class
        raise ModelError(f"NNCF cannot quantize this network ({first_line(err)})", code="E_MODEL_QUANTIZE") from err
    return openvino_backend.save_ir(small, "int8", sha256_file(onnx), folder)
