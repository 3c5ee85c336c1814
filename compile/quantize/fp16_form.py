"""The FP16 form of the one quantized graph: an FP16 body with the same codes and scales.

A strongly typed TensorRT (10.12 and newer) needs it: there each tensor has the type that the graph says, so that a graph in
FP32 would run in FP32 between its int8 layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import HALF_OPSET, check_graph, consumers, network_nodes, opset_of, producers, stamp_versions
from weckd_edge.compile.quantize.qdq_constants import arrays_of, drop_unread, put_array
from weckd_edge.compile.quantize.qdq_nodes import PAIR, axis_of, quantize_values
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

SMALLEST_SCALE = 2.0**-14
"""Smallest scale of an activation, the smallest FP16 number with all its digits.

A smaller scale (of a tensor that never exceeds 0.008) is raised to it, so that neither it nor its reciprocal is lost.
"""

SMALLEST_WEIGHT_SCALE = 2.0**-18
"""Smallest scale of stored weights, which nothing divides by.

Down to here FP16 rounds a scale by a hundredth at most. Those of the first convolution, which hold the normalisation of the
pixels, lie between the two.
"""

LARGEST_HALF = 65504.0
"""Largest FP16 number."""

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ALWAYS_FLOAT = ("Softmax", "LogSoftmax")
_FLOAT_INPUTS = {"Resize": (1, 2)}
"""Places of the inputs that ONNX wants in FP32 whatever the type of the first, by operator."""


def make_half(model: ModelProto) -> ModelProto:
    """Return the graph with an FP16 body and FP16 scales, opset 19: uint8 frame in, FP32 probabilities out.

    Weights are stored as the int8 codes that the graph's Q nodes would give. All before the first Q (or, in a graph
    without any, before the first convolution) stays in FP32: a normalised pixel rounded to FP16 moves by up to a twentieth
    of an int8 step. So do the last layer and the softmax: logits of 8 rounded to FP16 would move a probability by 0.001.
    Both cost next to nothing, as the layers between do the work. (ONNX Runtime's converter would send every tensor between
    two nodes that are to stay in FP32 through FP16, which is why it is not used.)

    Args:
        model: A graph with or without Q/DQ nodes; it is left as it is.

    Raises:
        ModelError: The graph cannot be converted to opset 19, or a constant is too large for FP16.
    """
    onnx = require("onnx", "make the FP16 form of a graph")
    half = _raised(onnx, model)
    graph = half.graph
    _name_nodes(onnx, graph)
    _store_weights(onnx, graph)
    _round_scales(onnx, graph)
    before, tail = _preprocessing_names(graph), _tail(graph)
    kept = before | tail | _first_quantizers(graph, before) | _last_dequantizers(onnx, graph, tail)
    kept |= {node.name for node in graph.node if node.op_type in _ALWAYS_FLOAT}
    _convert(onnx, half, kept)
    stamp_versions(half, HALF_OPSET)
    del half.graph.value_info[:]
    done: ModelProto = onnx.shape_inference.infer_shapes(half, strict_mode=True, data_prop=True)
    check_graph(done)
    return done


def graph_inputs(graph: GraphProto) -> list[Any]:
    """Return the one input of a graph.

    Raises:
        ModelError: The graph has none, or several.
    """
    constants = {tensor.name for tensor in graph.initializer}
    found = [value for value in graph.input if value.name not in constants]
    if len(found) != 1:
        raise ModelError(f"expected a graph with one input, got {len(found)}", code="E_MODEL_INPUT")
    return found


def _name_nodes(onnx: Any, graph: GraphProto) -> None:
    """Give every node a name, and make initializers of ``Constant`` nodes."""
    for index, node in enumerate(list(graph.node)):
        node.name = node.name or f"{node.op_type}_{index}"
        value = next((a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"), None)
        if value is not None:
            put_array(onnx, graph, node.output[0], onnx.numpy_helper.to_array(value))
            graph.node.remove(node)


def _raised(onnx: Any, model: ModelProto) -> ModelProto:
    opset = opset_of(model)
    if opset == HALF_OPSET:
        copy: ModelProto = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy
    for node in model.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ModelError(
                f"node {node.name} ({node.op_type}) holds a graph of its own; expected a plain network",
                code="E_MODEL_BRANCHES",
            )
    try:
        raised: ModelProto = onnx.version_converter.convert_version(model, HALF_OPSET)
    except (RuntimeError, ValueError, onnx.version_converter.ConvertError) as err:
        raise ModelError(
            f"the graph cannot be converted from opset {opset} to {HALF_OPSET} ({first_line(err)}); "
            f"export it in opset {HALF_OPSET}",
            code="E_MODEL_OPSET",
        ) from err
    return raised


def _to_half(scale: NDArray[Any], smallest: float) -> NDArray[np.float32]:
    """Return scales as FP16 holds them, in FP32, none of them under the smallest."""
    return np.asarray(np.maximum(scale.astype(np.float16).astype(np.float32), np.float32(smallest)))


def _store_weights(onnx: Any, graph: GraphProto) -> None:
    """Replace each FP32 weight behind a Q node by the int8 codes that the node gives, in a quarter of the file.

    Codes found anew with the rounded scale would differ in some places by a whole step; the same ones with a scale rounded
    to FP16 are off by at most 127 / 4096 of a step. A scale that is raised takes new codes.
    """
    constants, read_by = arrays_of(onnx, graph), consumers(graph)
    for node in [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] in constants]:
        weights, scale = constants[node.input[0]].astype(np.float32), constants[node.input[1]].astype(np.float32)
        scale = np.maximum(scale, np.float32(SMALLEST_WEIGHT_SCALE))
        codes = quantize_values(weights, scale, axis_of(node))
        stored = f"{node.output[0]}_codes"
        put_array(onnx, graph, stored, codes)
        for reader in read_by.get(node.output[0], []):
            for position, name in enumerate(reader.input):
                if name == node.output[0]:
                    reader.input[position] = stored
        graph.node.remove(node)
    drop_unread(graph)


def _round_scales(onnx: Any, graph: GraphProto) -> None:
    """Round scales to FP16, in place; one that stored codes share with an activation becomes two, as their floors differ."""
    constants = arrays_of(onnx, graph)
    nodes = [n for n in graph.node if n.op_type in PAIR]
    of_activations = {n.input[1] for n in nodes if n.input[0] not in constants}
    rounded: dict[str, NDArray[np.float32]] = {}
    for node in nodes:
        scale, is_stored = constants.get(node.input[1]), node.input[0] in constants
        if scale is None or scale.dtype != np.float32:
            continue
        if is_stored and node.input[1] in of_activations:
            node.input[1] += "_of_codes"
        rounded[node.input[1]] = _to_half(scale, SMALLEST_WEIGHT_SCALE if is_stored else SMALLEST_SCALE)
    for tensor in [t for t in graph.initializer if t.name in rounded]:
        tensor.CopyFrom(onnx.numpy_helper.from_array(rounded.pop(tensor.name), tensor.name))
    for name, scale in rounded.items():
        put_array(onnx, graph, name, scale)


def _preprocessing_names(graph: GraphProto) -> set[str]:
    """Return the names of the nodes that the frame passes before the network's first quantizer or weighted layer."""
    tensors, found = {value.name for value in graph_inputs(graph)}, set()
    known = {"", *(tensor.name for tensor in graph.initializer)}
    stops = {node.name for node in network_nodes(graph) if node.op_type in (*_WEIGHTED, "QuantizeLinear")}
    for node in graph.node:
        moving = [name for name in node.input if name not in known]
        if node.name in stops or not moving or not tensors.issuperset(moving):
            continue
        tensors.update(node.output)
        found.add(node.name)
    return found


def _tail(graph: GraphProto) -> set[str]:
    """Return the names of the last weighted node and of every node behind it."""
    weighted = [node for node in graph.node if node.op_type in _WEIGHTED]
    tensors = set(weighted[-1].output) if weighted else set()
    found = {weighted[-1].name} if weighted else set()
    for node in graph.node:
        if tensors.intersection(node.input):
            tensors.update(node.output)
            found.add(node.name)
    return found


def _first_quantizers(graph: GraphProto, before: set[str]) -> set[str]:
    """Return the names of the Q nodes right behind the preprocessing; their scale stays FP32, with its FP16 value."""
    made_by = producers(graph)
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in made_by]
    return {node.name for node in quantizers if made_by[node.input[0]].name in before}


def _last_dequantizers(onnx: Any, graph: GraphProto, tail: set[str]) -> set[str]:
    """Add DQ nodes that give the tail FP32, and return their names."""
    made_by, found = producers(graph), set()
    for node in [n for n in graph.node if n.name in tail]:
        for position, name in enumerate(node.input):
            maker = made_by.get(name)
            if maker is None or maker.op_type != "DequantizeLinear" or maker.name in tail:
                continue
            own = onnx.NodeProto()
            own.CopyFrom(maker)
            own.name, own.output[0] = f"{maker.name}_float32", f"{name}_float32"
            if own.name not in found:
                graph.node.insert(list(graph.node).index(maker), own)
                found.add(own.name)
            node.input[position] = own.output[0]
    drop_unread(graph)
    return found


def _convert(onnx: Any, model: ModelProto, kept: set[str]) -> None:
    """Turn every float tensor that a node outside ``kept`` makes into FP16, with casts where the two types meet."""
    graph, single, half = model.graph, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    typed = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    floats = {v.name for v in (*typed.value_info, *typed.input, *typed.output) if v.type.tensor_type.elem_type == single}
    constants = {name: value for name, value in arrays_of(onnx, graph).items() if value.dtype == np.float32}
    nodes: list[NodeProto] = []
    halves: set[str] = set()
    made: set[str] = set()

    def cast(name: str, to: int) -> str:
        cast_name = f"{name}_float16" if to == half else f"{name}_float32"
        if cast_name not in made:
            made.add(cast_name)
            if name in constants:
                put_array(onnx, graph, cast_name, _constant_in_half(name, constants[name]))
            else:
                nodes.append(onnx.helper.make_node("Cast", [name], [cast_name], f"cast_{cast_name}", to=to))
        return cast_name

    for node in graph.node:
        for position, name in enumerate(node.input):
            if node.name in kept and name in halves:
                node.input[position] = cast(name, single)
            elif node.name in kept or position in _FLOAT_INPUTS.get(node.op_type, ()):
                continue
            elif name in constants or (name in floats and name not in halves):
                node.input[position] = cast(name, half)
        nodes.append(node)
        if node.name not in kept:
            halves |= floats.intersection(node.output)
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i == single:
                    attribute.i = half
    for output in graph.output:
        if output.name in halves:
            maker = producers(graph)[output.name]
            inner = f"{output.name}_float16"
            for node in nodes:
                names = [inner if name == output.name else name for name in node.input]
                node.input[:] = names
            maker.output[list(maker.output).index(output.name)] = inner
            nodes.append(onnx.helper.make_node("Cast", [inner], [output.name], f"cast_{output.name}", to=single))
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    drop_unread(graph)


def _constant_in_half(name: str, value: NDArray[Any]) -> NDArray[np.float16]:
    reach = float(np.abs(value).max()) if value.size else 0.0
    if not reach <= LARGEST_HALF:
        if np.isfinite(value).all() and value.size == 1:  # the bound of a Clip that bounds nothing
            return np.asarray(np.clip(value, -LARGEST_HALF, LARGEST_HALF).astype(np.float16))
        raise ModelError(
            f"FP16 would overflow: constant '{name}' reaches {reach:.4g}, FP16 ends at {LARGEST_HALF:g}",
            code="E_MODEL_FP16",
        )
    return value.astype(np.float16)
