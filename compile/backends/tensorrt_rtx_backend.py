"""A look ahead at the Jetson from a host without a GPU: TensorRT-RTX's real parser and ahead-of-time builder.

It proves that the graph parses and that every layer finds an implementation in strongly typed int8 and float32. Its engine
runs on desktop GPUs only and is thrown away; the Jetson builds its own with ``weckd-edge finalize``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import BuiltModel
from weckd_edge.devices.backends.tensorrt_backend import make_log, parse_network
from weckd_edge.errors import ModelError
from weckd_edge.optional import require
from weckd_edge.store import sha256_file

NAME = "tensorrt-rtx"
_TITLE = "TensorRT-RTX"


def preflight(onnx: Path) -> BuiltModel:
    """Parse and build a Q/DQ graph, keeping only the findings.

    Args:
        onnx: The graph.

    Raises:
        ModelError: The parser refuses a node, or the builder finds no implementation; the message names it.
        MissingDependency: The extra ``jetson-preflight`` is not installed.
    """
    trt: Any = require("tensorrt_rtx", "prove on this host that the Jetson's parser will read the graph")
    log = make_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parse_network(trt, network, log, onnx, _TITLE)
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    if engine is None:
        raise ModelError(f"{onnx.name}: {_TITLE} {trt.__version__} cannot build it ({log.last_error})")
    return BuiltModel(
        backend=NAME,
        backend_version=str(trt.__version__),
        precision="int8",
        kind="preflight",
        files=(),
        source_sha256=sha256_file(onnx),
        detail=_describe(network, engine.nbytes),
    )


def _describe(network: Any, engine_bytes: int) -> tuple[str, ...]:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    kinds = Counter(str(layer.type).rpartition(".")[2] for layer in layers)
    fed = {layer.get_output(0).name for layer in layers if str(layer.type).endswith(".DEQUANTIZE")}
    convolutions = [layer for layer in layers if str(layer.type).endswith(".CONVOLUTION")]
    small = sum(layer.get_input(0).name in fed for layer in convolutions)
    return (
        f"{small} of {len(convolutions)} convolutions read int8; {kinds['QUANTIZE']} quantize and "
        f"{kinds['DEQUANTIZE']} dequantize layers were accepted",
        f"built ahead of time without a GPU ({engine_bytes / 2**20:.1f} MiB, for desktop GPUs, not kept)",
    )
