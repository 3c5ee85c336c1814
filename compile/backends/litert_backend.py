"""Write a graph as a .tflite file, which LiteRT runs by XNNPACK, with the ranges that the graph has.

An operator between DequantizeLinear and QuantizeLinear becomes one int8 operator; every other computes in floating point,
as the graph is written. Codes of uint8 become int8, 128 lower. Feature maps lie with channels last, as LiteRT has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.backends.tflite_file import Quantization, TfliteFile
from weckd_edge.compile.graph import consumers, producers
from weckd_edge.compile.quantize.qdq_constants import arrays_of, float_values, zero_point
from weckd_edge.compile.quantize.qdq_nodes import axis_of, quantize_values
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

CHANNELS_LAST = (0, 2, 3, 1)
_FUSED = {"": 0, "RELU": 1, "RELU6": 3}
_SAME, _VALID = 0, 1


def write_tflite(model: ModelProto) -> bytes:
    """Return a graph as the bytes of a .tflite file.

    Args:
        model: Graph from uint8 pixels ``[1, H, W, 3]`` to probabilities, with or without Q/DQ pairs.

    Raises:
        ModelError: The graph has an operator that is not written.
        MissingDependency: The extra ``litert`` is not installed.
    """
    return _Translation(model).run()


class _Translation:
    """A graph on its way into a file.

    ``real`` and ``codes`` name the tensors of the file that hold a float tensor of the graph, in floating point and as int8
    codes; a tensor that a DequantizeLinear makes is in ``codes`` alone until something reads it in floating point.
    """

    def __init__(self, model: ModelProto) -> None:
        onnx = require("onnx", "write a LiteRT model")
        self.onnx = onnx
        self.graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        self.arrays = arrays_of(onnx, self.graph)
        self.made_by, self.read_by = producers(self.graph), consumers(self.graph)
        self.file = TfliteFile()
        self.shapes = {
            info.name: tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
            for info in (*self.graph.value_info, *self.graph.output, *self.graph.input)
        }
        self.plain: set[str] = {value.name for value in self.graph.input}
        self.real: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.scales: dict[int, Quantization] = {}
        self.done: set[str] = set()
        self.counts = {"int8": 0, "float": 0}

    def run(self) -> bytes:
        source = self.graph.input[0]
        pixels = self.file.add_tensor(source.name, self.shapes[source.name], "uint8", _per_tensor(*self._pixel_scale()))
        self.real[source.name] = pixels
        self.pixels = pixels
        for node in self.graph.node:
            if node.name in self.done:
                continue
            writer = _WRITERS.get(node.op_type)
            if writer is None:
                raise ModelError(f"node '{node.name}': LiteRT's form has no {node.op_type}", code="E_MODEL_OPERATOR")
            writer(self, node)
        return self.file.to_bytes([pixels], [self.floats(self.graph.output[0].name)])

    # Tensors.

    def attribute(self, node: NodeProto, name: str, default: Any) -> Any:
        return next((self.onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)

    def stored_shape(self, name: str) -> tuple[int, ...]:
        shape = self.shapes[name]
        return tuple(shape[axis] for axis in CHANNELS_LAST) if len(shape) == 4 and name not in self.plain else shape

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return a constant's numbers: a plain one's, or those that its codes stand for."""
        if name in self.arrays:
            return self.arrays[name]
        dq = self.made_by.get(name)
        if dq is None or dq.op_type != "DequantizeLinear":
            return None
        codes = self.weight_codes(name)
        return None if codes is None else float_values(self.arrays, codes[0], dq)

    def weight_codes(self, name: str) -> tuple[NDArray[Any], NDArray[np.float32], int] | None:
        """Return a constant's codes, its steps and their axis; None where it is no constant behind a DequantizeLinear."""
        dq = self.made_by.get(name)
        if dq is None or dq.op_type != "DequantizeLinear":
            return None
        steps = self.arrays[dq.input[1]].astype(np.float32)
        if dq.input[0] in self.arrays:
            return self.arrays[dq.input[0]], steps, axis_of(dq)
        q = self.made_by.get(dq.input[0])
        if q is not None and q.op_type == "QuantizeLinear" and q.input[0] in self.arrays:
            return quantize_values(self.arrays[q.input[0]], steps, axis_of(q)), steps, axis_of(q)
        return None

    def floats(self, name: str) -> int:
        """Return the tensor that holds a float tensor of the graph in floating point; write what makes it."""
        if name not in self.real:
            if name in self.codes:
                made = self.file.add_tensor(name, self.stored_shape(name), "float32")
                self.file.add_operator("DEQUANTIZE", [self.codes[name]], [made], "DequantizeOptions")
                self.real[name] = made
            else:
                values = self.constant(name)
                if values is None:
                    raise ModelError(f"tensor '{name}': nothing makes it", code="E_MODEL_GRAPH")
                if values.ndim == 4:
                    values = values.transpose(CHANNELS_LAST)
                self.real[name] = self.put(name, values.astype(np.float32))
        return self.real[name]

    def put(self, name: str, values: NDArray[Any], quantization: Quantization | None = None) -> int:
        return self.file.add_tensor(name, values.shape, values.dtype.name, quantization, values)

    def result(self, name: str) -> int:
        """Add the float tensor that holds a result."""
        self.real[name] = self.file.add_tensor(name, self.stored_shape(name), "float32")
        return self.real[name]

    def result_codes(self, name: str, quantization: Quantization) -> int:
        made = self.file.add_tensor(f"{name}_int8", self.stored_shape(name), "int8", quantization)
        self.scales[made] = quantization
        return made

    def quantization_of(self, node: NodeProto) -> Quantization | None:
        """Return how a Q node's codes stand for numbers, as int8; None where it has a step for each channel."""
        step, zero = self.arrays[node.input[1]], zero_point(self.arrays, node)
        if step.size != 1 or zero.dtype not in (np.uint8, np.int8):
            return None
        return _per_tensor(float(step.reshape(-1)[0]), int(zero.reshape(-1)[0]) - (128 if zero.dtype == np.uint8 else 0))

    def target(self, name: str) -> tuple[str, list[NodeProto], Quantization] | None:
        """Return the activation that may be fused behind a tensor, its Q nodes and their quantization.

        None where something reads the tensor, or what the activation makes of it, in floating point.
        """
        readers, fused = self.read_by.get(name, []), ""
        if len(readers) == 1 and (fused := self.activation(readers[0])):
            readers = self.read_by.get(readers[0].output[0], [])
        if not readers or any(n.op_type != "QuantizeLinear" for n in readers):
            return None
        found = {self.quantization_of(n) for n in readers}
        quantization = found.pop()
        return (fused, readers, quantization) if quantization is not None and not found else None

    def activation(self, node: NodeProto) -> str:
        """Return the name of a fused activation that is this node; empty where there is none."""
        if node.op_type == "Relu":
            return "RELU"
        if node.op_type == "Clip":
            low, high = (self.constant(n) if n else None for n in (*node.input[1:], "", "")[:2])
            if low is not None and low == 0 and (high is None or high == 6):
                return "RELU" if high is None else "RELU6"
        return ""

    def close_int8(self, name: str, made: int, target: tuple[str, list[NodeProto], Quantization]) -> None:
        """Note that an int8 operator made what the Q nodes behind a tensor make, and the activation between them."""
        fused, quantizers, _ = target
        if fused:
            self.done.add(self.read_by[name][0].name)
        for q in quantizers:
            self.codes[q.output[0]] = made
            self.done.add(q.name)
        self.counts["int8"] += 1

    def close_float(self, name: str) -> tuple[int, int]:
        """Return the float tensor of a result, behind its activation if that can be fused, and the activation's number."""
        self.counts["float"] += 1
        readers = self.read_by.get(name, [])
        if len(readers) == 1 and (fused := self.activation(readers[0])):
            self.done.add(readers[0].name)
            return self.result(readers[0].output[0]), _FUSED[fused]
        return self.result(name), 0

    # The way from pixels.

    def _pixel_scale(self) -> tuple[float, int]:
        return 1.0, self._whole_mean(None) or 0

    def _whole_mean(self, name: str | None) -> int | None:
        """Return the whole grey level that is taken off the pixels to make a tensor; None where that is not what makes it."""
        if name is None:
            found = [self._whole_mean(n.input[0]) for n in self.graph.node if n.op_type == "QuantizeLinear"]
            return next((mean for mean in found if mean is not None), None)
        sub = self.made_by.get(name)
        if sub is None or sub.op_type != "Sub":
            return None
        chain, value = [], sub.input[0]
        while value in self.made_by:
            chain.append(self.made_by[value].op_type)
            value = self.made_by[value].input[0]
        mean = self.constant(sub.input[1])
        if sorted(chain) != ["Cast", "Transpose"] or value != self.graph.input[0].name or mean is None:
            return None
        levels = np.unique(mean)
        return int(levels[0]) if levels.size == 1 and levels[0] == int(levels[0]) and 0 <= levels[0] <= 255 else None

    # Operators.

    def write_quantize(self, node: NodeProto) -> None:
        if node.input[0] in self.arrays:
            return
        quantization = self.quantization_of(node)
        if quantization is None:
            raise ModelError(f"node '{node.name}': expected one step for a tensor", code="E_MODEL_OPERATOR")
        name = node.input[0]
        if self._whole_mean(name) is not None:
            source = self.pixels
        elif name in self.codes:
            if self.scales[self.codes[name]] == quantization:
                self.codes[node.output[0]] = self.codes[name]
                return
            source = self.codes[name]
        else:
            source = self.floats(name)
        made = self.file.add_tensor(f"{name}_int8", self.stored_shape(name), "int8", quantization)
        self.scales[made] = quantization
        self.file.add_operator("QUANTIZE", [source], [made], "QuantizeOptions")
        self.codes[node.output[0]] = made

    def write_dequantize(self, node: NodeProto) -> None:
        if node.input[0] in self.codes:
            self.codes[node.output[0]] = self.codes[node.input[0]]
            if node.input[0] in self.plain:
                self.plain.add(node.output[0])

    def write_cast(self, node: NodeProto) -> None:
        self.plain.add(node.output[0])
        if not self._only_for_codes(node):
            made = self.result(node.output[0])
            schema = self.file.schema.TensorType
            self.file.add_operator(
                "CAST", [self.floats(node.input[0])], [made], "CastOptions", inDataType=schema.UINT8, outDataType=schema.FLOAT32
            )

    def _only_for_codes(self, node: NodeProto) -> bool:
        """Tell whether a node's result is read by nothing but Q nodes that take the pixels themselves."""
        readers = self.read_by.get(node.output[0], [])
        if node.op_type == "Sub":
            whole = self._whole_mean(node.output[0]) is not None
            return whole and all(n.op_type == "QuantizeLinear" for n in readers)
        return bool(readers) and all(n.op_type in ("Transpose", "Sub") and self._only_for_codes(n) for n in readers)

    def write_transpose(self, node: NodeProto) -> None:
        order = tuple(self.attribute(node, "perm", ()))
        source, made = node.input[0], node.output[0]
        if self._only_for_codes(node):
            return
        if source in self.plain and order == (0, 3, 1, 2):
            self.real[made] = self.floats(source)
            return
        raise ModelError(f"node '{node.name}': this Transpose is not written", code="E_MODEL_OPERATOR")

    def write_conv(self, node: NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        groups, weights = self.attribute(node, "group", 1), self.constant(node.input[1])
        if weights is None or weights.ndim != 4:
            raise ModelError(f"node '{node.name}': expected constant weights of 4 axes", code="E_MODEL_OPERATOR")
        channels = self.shapes[source][1]
        deep = groups == channels and groups > 1
        order = (1, 2, 3, 0) if deep else (0, 2, 3, 1)
        target = self.int8_target(node)
        stride, dilation = self.attribute(node, "strides", [1, 1]), self.attribute(node, "dilations", [1, 1])
        if target is not None:
            data = self.codes[source]
        else:
            data = self.floats(source)
        data, padding = self.pad(node, data, source, weights.shape[2:], stride, dilation)
        if target is not None:
            made = self.result_codes(result, target[2])
            inputs = [data, *self.int8_weights(node, data, order, 3 if deep else 0)]
            fused = _FUSED[target[0]]
        else:
            inputs = [data, *self.float_weights(node, weights.transpose(order))]
            made, fused = self.close_float(result)
        settings = dict(
            padding=padding, strideH=stride[0], strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1]
        )
        if deep:
            settings["depthMultiplier"] = weights.shape[0] // channels
        kind, options = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if deep else ("CONV_2D", "Conv2DOptions")
        self.file.add_operator(kind, inputs, [made], options, fusedActivationFunction=fused, **settings)
        if target is not None:
            self.close_int8(result, made, target)

    def int8_target(self, node: NodeProto) -> tuple[str, list[NodeProto], Quantization] | None:
        """Return ``target`` of a layer that reads codes and symmetric int8 weights; None for another."""
        weights = self.weight_codes(node.input[1])
        if node.input[0] not in self.codes or weights is None or weights[0].dtype != np.int8:
            return None
        if zero_point(self.arrays, self.made_by[node.input[1]]).any():
            return None
        return self.target(node.output[0])

    def int8_weights(self, node: NodeProto, data: int, order: Sequence[int], axis: int) -> list[int]:
        found = self.weight_codes(node.input[1])
        assert found is not None
        codes, steps, _ = found
        outputs = codes.shape[0] if codes.ndim == 4 or axis == 0 else codes.shape[1]
        scales = np.broadcast_to(steps.reshape(-1), (outputs,)) if steps.size == 1 else steps
        if steps.size == 1:
            weights = _per_tensor(float(steps.reshape(-1)[0]), 0)
            if axis == 3:
                weights = Quantization(scales=tuple(float(s) for s in scales), zero_points=(0,) * outputs, axis=axis)
        else:
            weights = Quantization(scales=tuple(float(s) for s in scales), zero_points=(0,) * outputs, axis=axis)
        bias = self.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(outputs, np.float32)
        if bias is None:
            raise ModelError(f"node '{node.name}': expected a constant bias", code="E_MODEL_OPERATOR")
        bias_steps = scales.astype(np.float64) * self.scales[data].scales[0]
        rounded = np.clip(np.rint(bias.astype(np.float64) / bias_steps), -(2**31), 2**31 - 1).astype(np.int32)
        bias_scales = bias_steps[:1] if len(weights.scales) == 1 else bias_steps
        quantization = Quantization(scales=tuple(float(s) for s in bias_scales), zero_points=(0,) * len(bias_scales))
        return [
            self.put(node.input[1], codes.transpose(order), weights),
            self.put(f"{node.output[0]}_bias", rounded, quantization),
        ]

    def float_weights(self, node: NodeProto, weights: NDArray[Any]) -> list[int]:
        outputs = weights.shape[3] if node.op_type == "Conv" and weights.shape[0] == 1 else weights.shape[0]
        bias = self.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(outputs, np.float32)
        if bias is None:
            raise ModelError(f"node '{node.name}': expected a constant bias", code="E_MODEL_OPERATOR")
        return [self.put(node.input[1], weights.astype(np.float32)), self.put(f"{node.output[0]}_bias", bias.astype(np.float32))]

    def pad(
        self,
        node: NodeProto,
        data: int,
        source: str,
        kernel: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
    ) -> tuple[int, int]:
        """Return the tensor that a layer reads and the kind of its padding; write a padding that is neither SAME nor VALID."""
        if self.attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise ModelError(f"node '{node.name}': expected explicit padding", code="E_MODEL_OPERATOR")
        pads = list(self.attribute(node, "pads", [0, 0, 0, 0]))
        if not any(pads):
            return data, _VALID
        same = []
        for axis in (0, 1):
            length, step, reach = self.shapes[source][2 + axis], stride[axis], (kernel[axis] - 1) * dilation[axis] + 1
            total = max((-(-length // step) - 1) * step + reach - length, 0)
            same.append((total // 2, total - total // 2))
        if [(pads[0], pads[2]), (pads[1], pads[3])] == same:
            return data, _SAME
        around = np.array([[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]], np.int32)
        batch, channels, height, width = self.shapes[source]
        shape = (batch, height + pads[0] + pads[2], width + pads[1] + pads[3], channels)
        quantization = self.scales.get(data)
        padded = self.file.add_tensor(
            f"{node.output[0]}_padded", shape, "float32" if quantization is None else "int8", quantization
        )
        if quantization is not None:
            self.scales[padded] = quantization
        self.file.add_operator("PAD", [data, self.put(f"{node.output[0]}_pads", around)], [padded], "PadOptions")
        return padded, _VALID

    def write_linear(self, node: NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        weights = self.constant(node.input[1])
        turned = node.op_type == "MatMul" or not self.attribute(node, "transB", 0)
        if weights is None or weights.ndim != 2 or self.attribute(node, "transA", 0):
            raise ModelError(f"node '{node.name}': expected constant weights of 2 axes", code="E_MODEL_OPERATOR")
        if any(abs(self.attribute(node, name, 1.0) - 1) > 0 for name in ("alpha", "beta")):
            raise ModelError(f"node '{node.name}': expected alpha and beta of 1", code="E_MODEL_OPERATOR")
        order = (1, 0) if turned else (0, 1)
        target = self.int8_target(node)
        if target is not None:
            made = self.result_codes(result, target[2])
            inputs = [self.codes[source], *self.int8_weights(node, self.codes[source], order, 1 if turned else 0)]
            fused = _FUSED[target[0]]
        else:
            inputs = [self.floats(source), *self.float_weights(node, weights.transpose(order))]
            made, fused = self.close_float(result)
        self.file.add_operator(
            "FULLY_CONNECTED", inputs, [made], "FullyConnectedOptions", fusedActivationFunction=fused, keepNumDims=True
        )
        if target is not None:
            self.close_int8(result, made, target)

    def write_binary(self, node: NodeProto) -> None:
        kind = {"Add": "ADD", "Mul": "MUL", "Sub": "SUB", "Div": "DIV"}[node.op_type]
        options = {"ADD": "AddOptions", "MUL": "MulOptions", "SUB": "SubOptions", "DIV": "DivOptions"}[kind]
        result = node.output[0]
        if self._only_for_codes(node):
            return
        target = self.target(result)
        if target is not None and kind in ("ADD", "MUL") and all(name in self.codes for name in node.input):
            made = self.result_codes(result, target[2])
            inputs, fused = [self.codes[name] for name in node.input], _FUSED[target[0]]
            self.file.add_operator(kind, inputs, [made], options, fusedActivationFunction=fused)
            self.close_int8(result, made, target)
            return
        inputs = [self.floats(name) for name in node.input]
        made, fused = self.close_float(result)
        self.file.add_operator(kind, inputs, [made], options, fusedActivationFunction=fused)

    def write_mean(self, node: NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        keep = bool(self.attribute(node, "keepdims", 1))
        axes = [2, 3] if node.op_type == "GlobalAveragePool" else sorted(a % 4 for a in self.attribute(node, "axes", ()))
        if axes != [2, 3] or len(self.shapes[source]) != 4:
            raise ModelError(f"node '{node.name}': expected a mean of rows and columns", code="E_MODEL_OPERATOR")
        where = self.put(f"{result}_axes", np.array([1, 2], np.int32))
        target = self.target(result)
        if target is not None and not target[0] and source in self.codes:
            made = self.result_codes(result, target[2])
            self.file.add_operator("MEAN", [self.codes[source], where], [made], "ReducerOptions", keepDims=keep)
            self.close_int8(result, made, target)
            return
        inputs = [self.floats(source), where]
        self.file.add_operator("MEAN", inputs, [self.result(result)], "ReducerOptions", keepDims=keep)

    def write_pool(self, node: NodeProto) -> None:
        source, result, largest = node.input[0], node.output[0], node.op_type == "MaxPool"
        kernel, stride = self.attribute(node, "kernel_shape", []), self.attribute(node, "strides", [1, 1])
        pads, coded = any(self.attribute(node, "pads", [0])), source in self.codes
        data = self.codes[source] if coded else self.floats(source)
        if pads and not largest:
            raise ModelError(f"node '{node.name}': expected a mean without padding", code="E_MODEL_OPERATOR")
        if pads and coded and self.scales[data].zero_points != (-128,):
            raise ModelError(f"node '{node.name}': expected values that are never negative", code="E_MODEL_OPERATOR")
        data, padding = self.pad(node, data, source, kernel, stride, (1, 1))
        made = self.result_codes(result, self.scales[data]) if coded else self.result(result)
        self.file.add_operator(
            "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D",
            [data],
            [made],
            "Pool2DOptions",
            padding=padding,
            strideH=stride[0],
            strideW=stride[1],
            filterHeight=kernel[0],
            filterWidth=kernel[1],
        )
        if coded:
            self.codes[result] = made

    def write_reshape(self, node: NodeProto) -> None:
        source, result = node.input[0], node.output[0]
        before, after = self.shapes[source], self.shapes[result]
        if len(before) == 4 and before[2:] != (1, 1) or len(after) == 4 and after[2:] != (1, 1):
            raise ModelError(f"node '{node.name}': this {node.op_type} is not written", code="E_MODEL_OPERATOR")
        if source in self.codes:
            made = self.result_codes(result, self.scales[self.codes[source]])
            data = self.codes[source]
            self.codes[result] = made
        else:
            data, made = self.floats(source), self.result(result)
        shape = list(self.stored_shape(result))
        inputs = [data, self.put(f"{result}_shape", np.array(shape, np.int32))]
        self.file.add_operator("RESHAPE", inputs, [made], "ReshapeOptions", newShape=shape)

    def write_activation(self, node: NodeProto) -> None:
        fused = self.activation(node)
        kinds = {"HardSwish": ("HARD_SWISH", "HardSwishOptions"), "Sigmoid": ("LOGISTIC", ""), "Tanh": ("TANH", "")}
        kind, options = (fused, "") if fused else kinds.get(node.op_type, ("", ""))
        if not kind:
            raise ModelError(f"node '{node.name}': this {node.op_type} is not written", code="E_MODEL_OPERATOR")
        inputs = [self.floats(node.input[0])]
        self.file.add_operator(kind, inputs, [self.result(node.output[0])], options)

    def write_hard_sigmoid(self, node: NodeProto) -> None:
        slope, offset = self.attribute(node, "alpha", 0.2), self.attribute(node, "beta", 0.5)
        if abs(slope - 1 / 6) > 1e-6 or abs(offset - 0.5) > 1e-6:
            raise ModelError(f"node '{node.name}': expected alpha = 1/6 and beta = 1/2", code="E_MODEL_OPERATOR")
        name = node.output[0]
        three, sixth = (self.put(f"{name}_{v}", np.array(v, np.float32)) for v in (3.0, 1 / 6))
        clipped = self.file.add_tensor(f"{name}_clipped", self.stored_shape(name), "float32")
        inputs = [self.floats(node.input[0]), three]
        self.file.add_operator("ADD", inputs, [clipped], "AddOptions", fusedActivationFunction=_FUSED["RELU6"])
        self.file.add_operator("MUL", [clipped, sixth], [self.result(name)], "MulOptions")

    def write_softmax(self, node: NodeProto) -> None:
        inputs = [self.floats(node.input[0])]
        self.file.add_operator("SOFTMAX", inputs, [self.result(node.output[0])], "SoftmaxOptions", beta=1.0)


def _per_tensor(scale: float, zero: int) -> Quantization:
    return Quantization(scales=(scale,), zero_points=(zero,))


_WRITERS: dict[str, Callable[[_Translation, Any], None]] = {
    "Add": _Translation.write_binary,
    "AveragePool": _Translation.write_pool,
    "Cast": _Translation.write_cast,
    "Clip": _Translation.write_activation,
    "Conv": _Translation.write_conv,
    "DequantizeLinear": _Translation.write_dequantize,
    "Div": _Translation.write_binary,
    "Flatten": _Translation.write_reshape,
    "Gemm": _Translation.write_linear,
    "GlobalAveragePool": _Translation.write_mean,
    "HardSigmoid": _Translation.write_hard_sigmoid,
    "HardSwish": _Translation.write_activation,
    "MatMul": _Translation.write_linear,
    "MaxPool": _Translation.write_pool,
    "Mul": _Translation.write_binary,
    "QuantizeLinear": _Translation.write_quantize,
    "ReduceMean": _Translation.write_mean,
    "Relu": _Translation.write_activation,
    "Reshape": _Translation.write_reshape,
    "Sigmoid": _Translation.write_activation,
    "Softmax": _Translation.write_softmax,
    "Squeeze": _Translation.write_reshape,
    "Sub": _Translation.write_binary,
    "Tanh": _Translation.write_activation,
    "Transpose": _Translation.write_transpose,
}
