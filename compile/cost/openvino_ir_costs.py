"""Count the layers of an OpenVINO IR: its XML, read without OpenVINO, becomes the skeleton of an ONNX graph.

Weights are not read; a constant is its shape and type. Behind a FakeQuantize, conversions and scales belong to the pair.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weckd_edge.compile.cost.onnx_costs import count_onnx
from weckd_edge.compile.graph import OPSET, stamp_versions
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.files import read_bounded
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.latency_model.counts import NetworkCounts

MAX_BYTES = 64 << 20
"""Largest size of an IR's XML, bytes."""

_NAMES = {
    "Convolution": "Conv",
    "GroupConvolution": "Conv",
    "ConvolutionBackpropData": "ConvTranspose",
    "Multiply": "Mul",
    "Subtract": "Sub",
    "Divide": "Div",
    "Power": "Pow",
    "Maximum": "Max",
    "Minimum": "Min",
    "ReLU": "Relu",
    "PReLU": "PRelu",
    "Clamp": "Clip",
    "HSwish": "HardSwish",
    "HSigmoid": "HardSigmoid",
    "Swish": "Mish",
    "SoftMax": "Softmax",
    "AvgPool": "AveragePool",
    "StridedSlice": "Slice",
    "VariadicSplit": "Split",
    "Interpolate": "Resize",
    "Convert": "Cast",
    "MVN": "LayerNormalization",
    "Squeeze": "Reshape",
    "Unsqueeze": "Reshape",
}
"""OpenVINO's names of ONNX operators, where they differ; a Swish is counted as any other curved activation."""

_SMALL = ("i8", "u8")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    attributes: dict[str, str]


def count_ir(path: Path, *, behind: str | None = None) -> NetworkCounts:
    """Count the layers of an IR.

    Args:
        path: Path of the ``.xml``; its ``.bin`` is opened only for the order of transposed axes.
        behind: Name of a tensor that counting starts from, one of the names that the IR keeps; None counts all.

    Raises:
        ModelError: The file is no IR, has an open shape, or has no such tensor.
        MissingDependency: ``onnx`` is not installed.
    """
    try:
        model = _IrGraph(path).model()
    except (LookupError, ValueError, RecursionError) as err:
        raise ModelError(
            f"{path}: expected an OpenVINO IR, found one whose parts do not fit ({first_line(err)})",
            code="E_MODEL_OPENVINO_IR",
        ) from err
    return count_onnx(model, behind=behind)


class _IrGraph:
    def __init__(self, path: Path) -> None:
        self.onnx: Any = require("onnx", "count the layers of an IR")
        self.path = path
        data = read_bounded(path, at_most=MAX_BYTES, where=str(path), error=ModelError)
        try:
            root = ElementTree.fromstring(data)
        except ElementTree.ParseError as err:
            raise ModelError(
                f"{path}: expected an OpenVINO IR (.xml), cannot read it ({err})", code="E_MODEL_OPENVINO_IR"
            ) from err
        layers, edges = root.find("layers"), root.find("edges")
        if layers is None or edges is None:
            raise ModelError(
                f"{path}: expected an OpenVINO IR with layers and edges, found <{root.tag}>", code="E_MODEL_OPENVINO_IR"
            )
        self.shapes: dict[str, list[int]] = {}
        self.types: dict[str, str] = {}
        self.layers = self._read(layers, edges)
        self.made_by = {name: layer for layer in self.layers for name in layer.writes}
        self.fixed: dict[str, bool] = {}
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def _read(self, layers: ElementTree.Element, edges: ElementTree.Element) -> list[_Layer]:
        sources = {
            (edge.get("to-layer"), edge.get("to-port")): (edge.get("from-layer"), edge.get("from-port")) for edge in edges
        }
        names: dict[tuple[str | None, str | None], str] = {}
        found = []
        for layer in layers:
            number, writes = layer.get("id"), []
            for port in layer.findall("output/port"):
                name = (port.get("names") or "").split(",")[0] or f"{number}:{port.get('id')}"
                names[number, port.get("id")] = name
                self.shapes[name] = [int(dim.text or -1) for dim in port.findall("dim")]
                self.types[name] = (port.get("precision") or "").lower()
                writes.append(name)
            reads = [names[sources[number, port.get("id")]] for port in layer.findall("input/port")]
            data = layer.find("data")
            attributes = dict(data.attrib) if data is not None else {}
            found.append(
                _Layer(kind=layer.get("type") or "", reads=tuple(reads), writes=tuple(writes), attributes=attributes)
            )
        return found

    def model(self) -> Any:
        helper, types = self.onnx.helper, self.onnx.TensorProto
        inputs, outputs = [], []
        for layer in self.layers:
            if layer.kind == "Parameter":
                kind = types.UINT8 if self.types[layer.writes[0]] == "u8" else types.FLOAT
                inputs.append(helper.make_tensor_value_info(layer.writes[0], kind, self.shapes[layer.writes[0]]))
            elif layer.kind == "Result":
                outputs.append(helper.make_tensor_value_info(layer.reads[0], types.FLOAT, self.shapes[layer.reads[0]]))
            elif not all(map(self.is_fixed, layer.writes)):
                self._add(layer)
        known = [
            helper.make_tensor_value_info(name, types.UINT8 if self.types[name] in _SMALL else types.FLOAT, shape)
            for name, shape in self.shapes.items()
            if not self.is_fixed(name)
        ]
        graph = helper.make_graph(self.nodes, "skeleton", inputs, outputs, list(self.constants.values()), value_info=known)
        made = helper.make_model(graph)
        stamp_versions(made, OPSET)
        return made

    def is_fixed(self, name: str) -> bool:
        """Tell whether a tensor is a constant, or made of constants and shapes alone."""
        if name not in self.fixed:
            layer = self.made_by[name]
            self.fixed[name] = layer.kind in ("Const", "ShapeOf") or (
                layer.kind != "Parameter" and all(map(self.is_fixed, layer.reads))
            )
        return self.fixed[name]

    def in_pair(self, name: str) -> bool:
        """Tell whether a tensor is a FakeQuantize's output, converted or scaled back."""
        layer = self.made_by[name]
        if layer.kind == "FakeQuantize":
            return True
        scales = layer.kind in ("Convert", "Subtract", "Multiply") and all(map(self.is_fixed, layer.reads[1:]))
        return scales and self.in_pair(layer.reads[0])

    def _add(self, layer: _Layer) -> None:
        if layer.kind == "FakeQuantize":
            small = f"{layer.writes[0]}:int8"
            self._node("QuantizeLinear", [layer.reads[0], self._constant("step", [], small=False)], [small])
            self._node("DequantizeLinear", [small, self._constant("step", [], small=False)], list(layer.writes))
            return
        if self.in_pair(layer.writes[0]):
            self._node("Identity", [layer.reads[0]], list(layer.writes))
            return
        reads = [self._weights(layer, name) if self.is_fixed(name) else name for name in layer.reads]
        attributes: dict[str, Any] = {}
        if layer.kind == "GroupConvolution":
            attributes["group"] = self.shapes[layer.reads[1]][0]
        elif layer.kind in ("MaxPool", "AvgPool"):
            attributes["kernel_shape"] = [int(side) for side in layer.attributes["kernel"].split(",")]
        elif layer.kind == "Transpose":
            attributes["perm"] = self._order(layer.reads[1])
        writes = list(layer.writes[:1]) if layer.kind == "MaxPool" else list(layer.writes)  # nobody asks for the places
        self._node(_NAMES.get(layer.kind, layer.kind), reads, writes, **attributes)

    def _weights(self, layer: _Layer, name: str) -> str:
        shape = self.shapes[name]
        if layer.kind == "GroupConvolution" and name == layer.reads[1]:
            shape = [shape[0] * shape[1], *shape[2:]]
        return self._constant(name, shape, small=self._holds_int8(name))

    def _holds_int8(self, name: str) -> bool:
        layer = self.made_by[name]
        if layer.kind == "Const":
            return self.types[name] in _SMALL
        return layer.kind in ("Convert", "Subtract", "Multiply", "Reshape") and self._holds_int8(layer.reads[0])

    def _constant(self, name: str, shape: list[int], *, small: bool) -> str:
        types = self.onnx.TensorProto
        if name not in self.constants:
            self.constants[name] = types(name=name, dims=shape, data_type=types.INT8 if small else types.FLOAT)
            if small:
                self._node("DequantizeLinear", [name, self._constant("step", [], small=False)], [f"{name}:float"])
        return f"{name}:float" if small else name

    def _order(self, name: str) -> list[int]:
        """Read the order of axes from the file of weights."""
        data = self.made_by[name].attributes
        try:
            offset, size = int(data["offset"]), int(data["size"])
            with self.path.with_suffix(".bin").open("rb") as file:
                file.seek(offset)
                raw = file.read(size)
        except (OSError, KeyError, ValueError) as err:
            raise ModelError(
                f"{self.path}: cannot read the order of a Transpose's axes from its .bin ({err})", code="E_MODEL_OPENVINO_IR"
            ) from err
        width = size // self.shapes[name][0]
        return [int.from_bytes(raw[place : place + width], "little") for place in range(0, size, width)]

    def _node(self, kind: str, reads: list[str], writes: list[str], **attributes: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node(kind, reads, writes, f"{kind}_{len(self.nodes)}", **attributes))
