"""Layers of an engine: the types that they read and write, and the processor that they run on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from weckd_edge.core.errors import ModelError

Processor = Literal["GPU", "DLA"]
_TYPES = {
    "int8": "int8",
    "uint8": "uint8",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
    "fp8": "fp8",
    "bf16": "bf16",
    "fp16": "fp16",
    "half": "fp16",
    "fp32": "fp32",
    "float": "fp32",
}
_TYPE = re.compile(r"\b(" + "|".join(_TYPES) + r")\b", re.IGNORECASE)
_WEIGHTED = re.compile(r"conv|correlation|gemm|matrixmultiply|matrix_multiply", re.IGNORECASE)
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_LINE = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>[^,]+), Inputs: \[(?P<reads>.*?)\], "
    r"(?:Constants: \[.*?\], )?Outputs: \[(?P<writes>.*?)\], TacticName",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLayer:
    """One layer of an engine.

    Attributes:
        name: Builder's name of the layer.
        kind: Builder's name of its kind, such as ``CaskConvolution``.
        reads: Types of its inputs (``int8``, ``fp16``, ``fp32``, ``uint8``), without weights where those can be told apart.
        writes: Types of its outputs.
        processor: Processor that it runs on.
        nodes: ONNX nodes that it computes, where the builder names them.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    processor: Processor = "GPU"
    nodes: tuple[str, ...] = ()

    @property
    def weighted(self) -> bool:
        """Whether the layer is a convolution or a matrix product."""
        return _WEIGHTED.search(self.kind) is not None


def read_engine_information(text: str) -> tuple[EngineLayer, ...]:
    """Read the layers that TensorRT's engine inspector lists in JSON.

    An engine that was built without detailed profiling gives names alone.

    Raises:
        ModelError: The text is no such JSON.
    """
    try:
        layers = json.loads(text)["Layers"]
        return tuple(_from_json(layer) for layer in layers)
    except (ValueError, KeyError, TypeError) as err:
        raise ModelError(
            f"expected the engine inspector's layers in JSON, got '{text[:60]}' ({err})", code="E_MODEL_BACKEND_RUN"
        ) from err


def _from_json(layer: Any) -> EngineLayer:
    if isinstance(layer, str):
        return EngineLayer(name=layer, kind="", reads=(), writes=())
    kind = str(layer.get("LayerType", ""))
    return EngineLayer(
        name=str(layer["Name"]),
        kind=kind,
        reads=_types(layer.get("Inputs", ())),
        writes=_types(layer.get("Outputs", ())),
        processor="DLA" if kind.upper() == "DLA" else "GPU",
        nodes=tuple(_NODE.findall(str(layer.get("Metadata", "")))),
    )


def _types(tensors: Iterable[Any]) -> tuple[str, ...]:
    found = []
    for tensor in tensors:
        # "Datatype" since 10.x; before, "Format/Datatype" says it among other words.
        text = str(tensor.get("Datatype") or tensor.get("Format/Datatype") or "")
        match = _TYPE.search(text)
        found.append(_TYPES[match[1].lower()] if match else "unknown")
    return tuple(found)


def read_listing(text: str) -> tuple[EngineLayer, ...]:
    """Read the layers from the log of TensorRT-RTX's builder of a finished engine, one on a line."""
    found = []
    for line in text.splitlines():
        match = _LINE.match(line.strip())
        if match is None:
            continue
        found.append(
            EngineLayer(
                name=match["name"],
                kind=match["kind"],
                reads=_listed(match["reads"]),
                writes=_listed(match["writes"]),
                nodes=tuple(_NODE.findall(line)),
            )
        )
    return tuple(found)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(_TYPES.get(kind.lower(), kind.lower()) for kind in re.findall(r"Datatype: (\w+)", text))


def in_floating_point(layers: Iterable[EngineLayer]) -> tuple[str, ...]:
    """Return the names of the convolutions and matrix products that read no int8."""
    return tuple(layer.name for layer in layers if layer.weighted and layer.reads and "int8" not in layer.reads)


def layers_on_gpu(layers: Iterable[EngineLayer]) -> tuple[str, ...]:
    """Return the names of the layers that run on the GPU."""
    return tuple(layer.name for layer in layers if layer.processor == "GPU")
