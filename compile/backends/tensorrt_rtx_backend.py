"""Prove a graph for the Jetson on a host without a GPU, by TensorRT-RTX's real parser and ahead-of-time builder.

It proves that the graph parses and that every layer finds an implementation in strongly typed int8 and floating point. Its
engine runs on desktop GPUs only and is thrown away; the Jetson builds its own with ``weckd-edge finalize``. The engine
inspector needs a GPU, so remarks on layers come from the parsed network and from the builder's own listing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import SCHEMA_VERSION, BuiltModel, Precision
from weckd_edge.compile.cost.fusion import Fusion, NetworkLayer, find_fusions
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import file_ref, sha256_file, write_atomic
from weckd_edge.devices.jetson.engine_layers import EngineLayer, in_floating_point, read_listing
from weckd_edge.devices.runtime.backends.tensorrt_backend import layer_kind, make_log, parse_network

NAME = "tensorrt-rtx"
_TITLE = "TensorRT-RTX"


@dataclass(frozen=True, kw_only=True, slots=True)
class PreflightLayers:
    """Every layer of a graph, as parsed and as built, kept as ``layers-<graph>.json``.

    Attributes:
        graph: Name of the graph.
        parsed: The network's layers before anything is fused, with the types of their outputs.
        built: The kernels of TensorRT-RTX's own engine; a Jetson's are others.
        schema_version: Schema version of this record.
    """

    graph: str
    parsed: tuple[NetworkLayer, ...]
    built: tuple[EngineLayer, ...]
    schema_version: int = SCHEMA_VERSION


def preflight(onnx: Path, folder: Path, *, precision: Precision = "int8") -> BuiltModel:
    """Parse and build a graph strongly typed, and keep only the findings.

    Args:
        onnx: The graph.
        folder: Folder for the table of its layers; exists.
        precision: Precision of the recipe that the graph belongs to.

    Raises:
        ModelError: The parser refuses a node, or the builder finds no implementation; the message names it.
        MissingDependency: The extra ``jetson-preflight`` is not installed.
    """
    trt: Any = require("tensorrt_rtx", "prove on this host that the Jetson's parser will read the graph")
    heard: list[str] = []
    log = make_log(trt, heard.append)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parse_network(trt, network, log, onnx, _TITLE)
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelError(
            f"{onnx.name}: {_TITLE} {trt.__version__} cannot build it ({log.last_error})", code="E_MODEL_BACKEND_BUILD"
        )
    parsed = read_network(trt, network)
    built = read_listing("\n".join(heard))
    path = folder / f"layers-{onnx.stem}.json"
    write_atomic(path, to_json(PreflightLayers(graph=onnx.name, parsed=parsed, built=built)))
    fusion = find_fusions(parsed)
    return BuiltModel(
        backend=NAME,
        backend_version=str(trt.__version__),
        precision=precision,
        kind="preflight",
        files=(file_ref(folder, path),),
        source_sha256=sha256_file(onnx),
        int8_layers=fusion.count.int8_layers,
        layers=fusion.count.layers,
        detail=_describe(fusion, built, engine.nbytes),
    )


def read_network(trt: Any, network: Any) -> tuple[NetworkLayer, ...]:
    """Return the layers of a parsed network, of TensorRT or of TensorRT-RTX."""
    return tuple(_read_layer(trt, network.get_layer(index)) for index in range(network.num_layers))


def _read_layer(trt: Any, layer: Any) -> NetworkLayer:
    kind = layer_kind(layer)
    inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
    outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
    return NetworkLayer(
        name=layer.name,
        kind="MAX_POOLING" if kind == "POOLING" and _is_max(trt, layer) else kind,
        reads=tuple(tensor.name for tensor in inputs if tensor is not None),
        writes=tuple(tensor.name for tensor in outputs),
        types=tuple(str(tensor.dtype).rpartition(".")[2].lower() for tensor in outputs),
    )


def _is_max(trt: Any, layer: Any) -> bool:
    layer.__class__ = trt.IPoolingLayer  # how the binding lets a layer's own attributes be read
    return str(layer.type).endswith("MAX")


def _describe(fusion: Fusion, built: tuple[EngineLayer, ...], engine_bytes: int) -> tuple[str, ...]:
    quantize, dequantize = (fusion.kinds.get(kind, 0) for kind in ("QUANTIZE", "DEQUANTIZE"))
    weighted = [layer for layer in built if layer.weighted]
    kernels = (
        f"{len(built)} kernels, {len(weighted) - len(in_floating_point(built))} of {len(weighted)} weighted ones in int8"
    )
    return (
        f"{fusion.count} convolutions and matrix products read int8; "
        f"{quantize} quantize and {dequantize} dequantize layers were accepted",
        f"built ahead of time without a GPU ({engine_bytes / 2**20:.1f} MiB, for desktop GPUs, not kept): {kernels}",
        *fusion.sentences(),
    )
