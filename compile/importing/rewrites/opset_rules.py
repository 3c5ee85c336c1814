"""Rules that write an operator of a newer opset in operators of opset 17."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from weckd_edge.compile.importing.rewrites.node_writer import NodeWriter, Rule, copy_node


def _gelu(writer: NodeWriter) -> None:
    x, y = writer.node.input[0], writer.node.output[0]
    one, half = writer.constant(np.float32(1)), writer.constant(np.float32(0.5))
    if writer.attributes.get("approximate", b"none") == b"tanh":
        cubed = writer.add("Pow", [x, writer.constant(np.float32(3))])
        inner = writer.add("Add", [x, writer.add("Mul", [cubed, writer.constant(np.float32(0.044715))])])
        gate = writer.add("Tanh", [writer.add("Mul", [inner, writer.constant(np.float32(math.sqrt(2 / math.pi)))])])
    else:
        gate = writer.add("Erf", [writer.add("Div", [x, writer.constant(np.float32(math.sqrt(2)))])])
    writer.add("Mul", [writer.add("Mul", [x, writer.add("Add", [gate, one])]), half], y)


def _group_normalization(writer: NodeWriter) -> None:
    x, scale, bias = writer.node.input
    groups, shape = int(writer.attributes["num_groups"]), writer.shape(x)
    ones, zeros = scale, bias  # before opset 21 they are of the groups
    if writer.opset >= 21:
        ones, zeros = (writer.constant(np.full(groups, value, np.float32)) for value in (1, 0))
    flat = writer.add("Reshape", [x, writer.constant(np.array([shape[0], groups, -1], np.int64))])
    epsilon = float(writer.attributes.get("epsilon", 1e-5))
    normal = writer.add("InstanceNormalization", [flat, ones, zeros], epsilon=epsilon)
    last = writer.node.output[0] if writer.opset < 21 else None
    back = writer.add("Reshape", [normal, writer.constant(np.array(shape, np.int64))], last)
    if writer.opset >= 21:
        column = writer.constant(np.array([shape[1]] + [1] * (len(shape) - 2), np.int64))
        scaled = writer.add("Mul", [back, writer.add("Reshape", [scale, column])])
        writer.add("Add", [scaled, writer.add("Reshape", [bias, column])], writer.node.output[0])


def _swish(writer: NodeWriter) -> None:
    x, alpha = writer.node.input[0], float(writer.attributes.get("alpha", 1.0))
    inner = x if alpha == 1 else writer.add("Mul", [x, writer.constant(np.float32(alpha))])
    writer.add("Mul", [x, writer.add("Sigmoid", [inner])], writer.node.output[0])


def _attention(writer: NodeWriter) -> None:
    """Write out an attention without a cache, a causal mask or shared heads; others are left to the inliner."""
    attributes, mask = writer.attributes, writer.read(3)
    plain = not any(attributes.get(key) for key in ("is_causal", "softcap")) and not any(writer.node.output[1:])
    plain = (
        plain and not any(writer.node.input[4:]) and (not mask or writer.kinds.get(mask) == writer.onnx.TensorProto.FLOAT)
    )
    shapes = [writer.shape(entry) for entry in writer.node.input[:3]]
    heads = [int(attributes.get(key, 0)) for key in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    three = len(shapes[0]) == 3
    counts = heads if three else [shape[1] for shape in shapes]
    if not plain or len(set(counts)) != 1 or (mask and len(writer.shape(mask)) == 1):
        writer.nodes.append(copy_node(writer.node))
        return
    parts = list(writer.node.input[:3])
    if three:
        for place, (entry, shape, count) in enumerate(zip(parts, shapes, heads, strict=True)):
            split = writer.constant(np.array([shape[0], shape[1], count, shape[2] // count], np.int64))
            parts[place] = writer.add("Transpose", [writer.add("Reshape", [entry, split])], perm=[0, 2, 1, 3])
    side = shapes[0][-1] // (heads[0] if three else 1)
    factor = float(attributes.get("scale") or 1 / math.sqrt(side))
    query = writer.add("Mul", [parts[0], writer.constant(np.float32(factor))])
    scores = writer.add("MatMul", [query, writer.add("Transpose", [parts[1]], perm=[0, 1, 3, 2])])
    scores = writer.add("Add", [scores, mask]) if mask else scores
    weights = writer.add("Softmax", [scores], axis=-1)
    if not three:
        writer.add("MatMul", [weights, parts[2]], writer.node.output[0])
        return
    mixed = writer.add("Transpose", [writer.add("MatMul", [weights, parts[2]])], perm=[0, 2, 1, 3])
    joined = writer.constant(np.array([shapes[0][0], shapes[0][1], -1], np.int64))
    writer.add("Reshape", [mixed, joined], writer.node.output[0])


WRITTEN_OUT: Mapping[str, Rule] = {
    "Attention": _attention,
    "Gelu": _gelu,
    "GroupNormalization": _group_normalization,
    "Swish": _swish,
}
"""Rules for operators that came after opset 17, in the form that targets fuse; the inliner writes the others."""


def _reduction(writer: NodeWriter) -> None:
    axes, untouched = writer.values(1), writer.attributes.get("noop_with_empty_axes", 0)
    if untouched and (axes is None or not axes.size):
        writer.add("Identity", [writer.node.input[0]], writer.node.output[0])
        return
    given = writer.attributes.get("axes") if axes is None or not axes.size else [int(axis) for axis in axes.reshape(-1)]
    writer.keep([writer.node.input[0]], axes=given, noop_with_empty_axes=None)


def _split(writer: NodeWriter) -> None:
    count = writer.attributes.get("num_outputs")
    if count is None:
        writer.keep()
        return
    x = writer.node.input[0]
    whole = writer.shape(x)[int(writer.attributes.get("axis", 0))]
    part = -(-whole // int(count))
    sizes = [part] * (int(count) - 1) + [whole - part * (int(count) - 1)]
    writer.keep([x, writer.constant(np.array(sizes, np.int64))], num_outputs=None)


def _pad(writer: NodeWriter) -> None:
    if writer.attributes.get("mode") == b"wrap":
        raise writer.refusal("its mode is wrap")
    axes = writer.values(3)
    if axes is None:
        writer.keep(list(writer.node.input[:3]))
        return
    pads = writer.values(1)
    rank = len(writer.shape(writer.node.input[0]))
    whole = np.zeros((2, rank), np.int64)
    whole[:, axes.reshape(-1)] = np.zeros(0) if pads is None else pads.reshape(2, -1)
    writer.keep([writer.node.input[0], writer.constant(whole.reshape(-1)), *([writer.read(2)] if writer.read(2) else [])])


def _resize(writer: NodeWriter) -> None:
    changed = {"antialias": None, "keep_aspect_ratio_policy": None, "axes": None}
    if writer.attributes.get("antialias", 0):
        raise writer.refusal("it filters against aliasing")
    if writer.attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise writer.refusal("it keeps the aspect ratio")
    if writer.attributes.get("coordinate_transformation_mode") == b"half_pixel_symmetric":
        raise writer.refusal("its coordinates are half_pixel_symmetric")
    axes = writer.attributes.get("axes")
    if axes is None:
        writer.keep(**changed)
        return
    x = writer.node.input[0]
    shape = writer.shape(x)
    scales, sizes = writer.values(2), writer.values(3)
    inputs = [x, "", ""]
    if scales is not None and scales.size:
        whole = np.ones(len(shape), np.float32)
        whole[list(axes)] = scales
        inputs[2] = writer.constant(whole)
    else:
        wanted = np.array(shape, np.int64)
        wanted[list(axes)] = np.zeros(0) if sizes is None else sizes
        inputs.append(writer.constant(wanted))
    writer.keep(inputs, **changed)


def _pool(writer: NodeWriter) -> None:
    if any(step != 1 for step in writer.attributes.get("dilations", ())):
        raise writer.refusal("it is dilated")
    if writer.node.op_type == "LpPool" and writer.attributes.get("ceil_mode", 0):
        raise writer.refusal("it rounds its size up")
    left_out = ("dilations", "ceil_mode") if writer.node.op_type == "LpPool" else ("dilations",)
    writer.keep(**dict.fromkeys(left_out))


def _cast(writer: NodeWriter) -> None:
    writer.keep(saturate=None, round_mode=None)


def write_cast_like(writer: NodeWriter) -> None:
    """Write a CastLike as a Cast to the type it asks for."""
    kind = writer.kinds.get(writer.node.input[1])
    if not kind:
        raise writer.refusal(f"the type of '{writer.node.input[1]}' is not known")
    writer.add("Cast", [writer.node.input[0]], writer.node.output[0], to=kind)


def _range(writer: NodeWriter) -> None:
    writer.keep(stash_type=None)


def _grid_sample(writer: NodeWriter) -> None:
    mode = writer.attributes.get("mode", b"linear").decode()
    writer.keep(mode={"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode))


def _space_to_depth(writer: NodeWriter) -> None:
    if writer.attributes.get("mode", b"DCR") != b"DCR":
        raise writer.refusal("it orders its channels as CRD")
    writer.keep(mode=None)


def _never(writer: NodeWriter) -> None:
    raise writer.refusal("its form has changed")


CHANGED: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSumSquare",
        ),
        _reduction,
    ),
    "AveragePool": _pool,
    "Cast": _cast,
    "CastLike": write_cast_like,
    "DFT": _never,
    "GridSample": _grid_sample,
    "LpPool": _pool,
    "OptionalHasElement": _never,
    "Pad": _pad,
    "Range": _range,
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
}
"""Rules for operators whose inputs or attributes changed after opset 17. Changed quantizing ones are refused before."""
