"""Bring a network to the opset that every target reads, 17.

Older files are raised by ONNX's version converter. Newer files are lowered here: of 35 files that torch 2.14's default
exporter wrote of 18 classifiers of timm and torchvision, in opsets 18 to 23, neither that converter (onnx 1.23) nor
onnxscript's (0.7) brings a single one to opset 17. They have no way back for Gelu, GroupNormalization, Attention and
Split, and leave ReduceMean with an attribute of its newer form.

Little has changed since opset 17: the reductions take their axes as an input; Split, Pad, Resize and the pools have new
attributes; all else only takes more types. Operators that came later are written out in older ones: the usual ones in
the form that torch's older exporter writes, which OpenVINO and TensorRT fuse, the others as ``onnx.inliner`` has them. A
test compares the list with the schemas of the installed ``onnx``. Opset 17 stays for both targets, as TensorRT 8 of
JetPack 5 and 6.0 reads no newer one, and one form for both is one form to prove.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import IR_VERSION, OPSET, opset_of
from weckd_edge.compile.importing.constants import fold_constants
from weckd_edge.compile.importing.operators import EXPORT_AGAIN, STANDARD
from weckd_edge.compile.importing.running import can_load, error_line
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Array = NDArray[Any]
_DEEPEST = 8
"""Operators are written out at most so many times: SwiGLU becomes Swish, which becomes Sigmoid."""


def to_opset(name: str, model: ModelProto) -> ModelProto:
    """Return a network in opset 17.

    Args:
        name: Of the network, for messages.
        model: Standard operators only, constants folded, its input of a fixed shape.

    Raises:
        ModelError: An operator has no counterpart there.
    """
    onnx = require("onnx", "adopt a network")
    opset = opset_of(model)
    if opset < OPSET:
        _drop_unused_padding(model)
        try:
            model = onnx.version_converter.convert_version(model, OPSET)
        except Exception as err:  # the converter's C++ side raises RuntimeError and errors of its own
            raise ModelError(
                f"{name}: cannot be brought from opset {opset} to {OPSET} ({error_line(err)}); {EXPORT_AGAIN}",
                code="E_MODEL_OPSET",
            ) from err
        if opset < 11:
            _keep_positions(model)
        model = fold_constants(name, model)
    elif opset > OPSET:
        model = _lowered(name, model)
    model.ir_version = IR_VERSION
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    for node in model.graph.node:
        node.domain = ""
        node.doc_string = ""
    del model.metadata_props[:]
    return model


def _drop_unused_padding(model: ModelProto) -> None:
    """Take away a padding value that no constant padding uses: the converter would leave it where none may be."""
    for node in [node for node in model.graph.node if node.op_type == "Pad" and opset_of(model) < 11]:
        if any(a.name == "mode" and a.s != b"constant" for a in node.attribute):
            kept = [a for a in node.attribute if a.name != "value"]
            del node.attribute[:]
            node.attribute.extend(kept)


def _keep_positions(model: ModelProto) -> None:
    """Let a Resize take pixels from where it did before opset 11: the converter forgets to say so.

    Positions were asymmetric; the nearest pixel was the one before where the size grew, and the one behind where it shrank.
    """
    onnx = require("onnx", "adopt a network")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Resize"]:
        scales = constants.get(node.input[2]) if len(node.input) > 2 else None
        shrinks = scales is not None and bool((onnx.numpy_helper.to_array(scales) < 1).any())
        nearest = "ceil" if shrinks else "floor"
        for key, value in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", nearest)):
            node.attribute.append(onnx.helper.make_attribute(key, value))


def let_runtime_read(name: str, model: ModelProto) -> ModelProto:
    """Return a model that ONNX Runtime loads, with the newest operators written out where it has none of them yet.

    They are written out as their schemas have them, so that it answers as before. Where that does not help, the model is
    returned as it is, for ONNX Runtime to say why. ``name`` is that of the network, for messages.
    """
    newer = _newer(model)
    if not newer or can_load(model):
        return model
    written = _rewritten(name, _inlined(model, newer), {"CastLike": _cast_like})
    return written if can_load(written) else model


def _newer(model: ModelProto) -> list[str]:
    return sorted({node.op_type for node in model.graph.node if _is_newer(node.op_type)})


def _inlined(model: ModelProto, kinds: list[str]) -> ModelProto:
    """Return a model with operators of these kinds written out as their schemas have them."""
    onnx, inliner = require("onnx", "adopt a network"), require("onnx.inliner", "adopt a network")
    typed = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for tensor in typed.graph.initializer:  # some forms depend on the types of what they read
        typed.graph.value_info.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for node in typed.graph.node:  # the inliner leaves out defaults
        if node.op_type in kinds:
            given = {attribute.name for attribute in node.attribute}
            known = onnx.defs.get_schema(node.op_type, opset_of(model), "").attributes
            node.attribute.extend(a.default_value for key, a in known.items() if a.default_value.name and key not in given)
    chosen = [("", kind) for kind in kinds]
    written: ModelProto = inliner.inline_selected_functions(typed, chosen, exclude=False, inline_schema_functions=True)
    del written.graph.value_info[:]
    return written


def _lowered(name: str, model: ModelProto) -> ModelProto:
    model = _rewritten(name, model, _WRITTEN_OUT)
    for _ in range(_DEEPEST):
        newer = _newer(model)
        if not newer:
            break
        model = _rewritten(name, _inlined(model, newer), _WRITTEN_OUT)
    left = [n for n in model.graph.node if _is_newer(n.op_type)]
    if left:
        raise ModelError(
            f"{name}: '{left[0].name}' ({left[0].op_type}) came with a newer opset than {OPSET}, which the targets read, "
            f"and cannot be written out in older operators; {EXPORT_AGAIN}",
            code="E_MODEL_OPSET",
        )
    return _rewritten(name, fold_constants(name, model), _CHANGED)


def _is_newer(kind: str) -> bool:
    onnx = require("onnx", "adopt a network")
    return not onnx.defs.has(kind, OPSET, "") if onnx.defs.has(kind, "") else False


class _Writer:
    """Writes the operators that stand in one operator's place."""

    def __init__(self, name: str, model: ModelProto) -> None:
        onnx = require("onnx", "adopt a network")
        self.onnx = onnx
        self.network = name
        self.opset = opset_of(model)
        self.graph = model.graph
        self.constants: Mapping[str, Any] = {tensor.name: tensor for tensor in model.graph.initializer}
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        infos = {info.name: info.type.tensor_type for info in (*inferred.value_info, *inferred.input, *inferred.output)}
        self.kinds = {tensor: info.elem_type for tensor, info in infos.items()}
        self.kinds.update({tensor.name: tensor.data_type for tensor in model.graph.initializer})
        self.shapes = {t: [d.dim_value for d in info.shape.dim] for t, info in infos.items() if info.HasField("shape")}
        self.shapes.update({tensor.name: list(tensor.dims) for tensor in model.graph.initializer})
        self.taken = {output for node in model.graph.node for output in node.output} | set(self.kinds)
        self.nodes: list[NodeProto] = []

    def begin(self, node: NodeProto) -> None:
        self.node = node
        self.attributes = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    def fresh(self, stem: str) -> str:
        count = 0
        while (made := f"{self.node.output[0]}/{stem}{count or ''}") in self.taken:
            count += 1
        self.taken.add(made)
        return made

    def constant(self, values: Array) -> str:
        made = self.fresh("constant")
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(np.asarray(values), made))
        return made

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        made = output or self.fresh(kind.lower())
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [made], made, **attributes))
        return made

    def keep(self, inputs: list[str] | None = None, **changes: Any) -> None:
        """Write the node as it is, with other inputs, and attributes changed or (None) left out."""
        attributes = {**self.attributes, **changes}
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(
            self.onnx.helper.make_node(
                self.node.op_type,
                list(self.node.input) if inputs is None else inputs,
                list(self.node.output),
                self.node.name,
                **kept,
            )
        )

    def read(self, place: int) -> str:
        """Return the name of an input; empty where there is none."""
        return self.node.input[place] if place < len(self.node.input) else ""

    def values(self, place: int) -> Array | None:
        """Return a constant input; None where there is none.

        Raises:
            ModelError: It depends on the image.
        """
        read = self.read(place)
        if not read:
            return None
        if read not in self.constants:
            raise self.refusal(f"its input '{read}' depends on the image")
        found: Array = self.onnx.numpy_helper.to_array(self.constants[read])
        return found

    def shape(self, tensor: str) -> list[int]:
        """Return the shape of a tensor.

        Raises:
            ModelError: It depends on the image.
        """
        found = self.shapes.get(tensor)
        if found is None or not all(found):
            raise self.refusal(f"the size of '{tensor}' depends on the image")
        return found

    def refusal(self, why: str) -> ModelError:
        return ModelError(
            f"{self.network}: '{self.node.name}' ({self.node.op_type}) cannot be brought from opset {self.opset} to "
            f"{OPSET}: {why}; {EXPORT_AGAIN}",
            code="E_MODEL_OPSET",
        )


Rule = Callable[[_Writer], None]


def _rewritten(name: str, model: ModelProto, rules: Mapping[str, Rule]) -> ModelProto:
    if not any(node.op_type in rules and node.domain in STANDARD for node in model.graph.node):
        return model
    writer = _Writer(name, model)
    for node in list(model.graph.node):
        if node.op_type in rules and node.domain in STANDARD:
            writer.begin(node)
            rules[node.op_type](writer)
        else:
            writer.nodes.append(_copied(node))
    del model.graph.node[:]
    model.graph.node.extend(writer.nodes)
    return model


def _copied(node: NodeProto) -> NodeProto:
    onnx = require("onnx", "adopt a network")
    copied: NodeProto = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


def _gelu(writer: _Writer) -> None:
    x, y = writer.node.input[0], writer.node.output[0]
    one, half = writer.constant(np.float32(1)), writer.constant(np.float32(0.5))
    if writer.attributes.get("approximate", b"none") == b"tanh":
        cubed = writer.add("Pow", [x, writer.constant(np.float32(3))])
        inner = writer.add("Add", [x, writer.add("Mul", [cubed, writer.constant(np.float32(0.044715))])])
        gate = writer.add("Tanh", [writer.add("Mul", [inner, writer.constant(np.float32(math.sqrt(2 / math.pi)))])])
    else:
        gate = writer.add("Erf", [writer.add("Div", [x, writer.constant(np.float32(math.sqrt(2)))])])
    writer.add("Mul", [writer.add("Mul", [x, writer.add("Add", [gate, one])]), half], y)


def _group_normalization(writer: _Writer) -> None:
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


def _swish(writer: _Writer) -> None:
    x, alpha = writer.node.input[0], float(writer.attributes.get("alpha", 1.0))
    inner = x if alpha == 1 else writer.add("Mul", [x, writer.constant(np.float32(alpha))])
    writer.add("Mul", [x, writer.add("Sigmoid", [inner])], writer.node.output[0])


def _attention(writer: _Writer) -> None:
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
        writer.nodes.append(_copied(writer.node))
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


_WRITTEN_OUT: Mapping[str, Rule] = {
    "Attention": _attention,
    "Gelu": _gelu,
    "GroupNormalization": _group_normalization,
    "Swish": _swish,
}
"""Operators that came after opset 17, in the form that targets fuse; the others are written out as their schema has them."""


def _reduction(writer: _Writer) -> None:
    axes, untouched = writer.values(1), writer.attributes.get("noop_with_empty_axes", 0)
    if untouched and (axes is None or not axes.size):
        writer.add("Identity", [writer.node.input[0]], writer.node.output[0])
        return
    given = writer.attributes.get("axes") if axes is None or not axes.size else [int(axis) for axis in axes.reshape(-1)]
    writer.keep([writer.node.input[0]], axes=given, noop_with_empty_axes=None)


def _split(writer: _Writer) -> None:
    count = writer.attributes.get("num_outputs")
    if count is None:
        writer.keep()
        return
    x = writer.node.input[0]
    whole = writer.shape(x)[int(writer.attributes.get("axis", 0))]
    part = -(-whole // int(count))
    sizes = [part] * (int(count) - 1) + [whole - part * (int(count) - 1)]
    writer.keep([x, writer.constant(np.array(sizes, np.int64))], num_outputs=None)


def _pad(writer: _Writer) -> None:
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


def _resize(writer: _Writer) -> None:
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


def _pool(writer: _Writer) -> None:
    if any(step != 1 for step in writer.attributes.get("dilations", ())):
        raise writer.refusal("it is dilated")
    if writer.node.op_type == "LpPool" and writer.attributes.get("ceil_mode", 0):
        raise writer.refusal("it rounds its size up")
    left_out = ("dilations", "ceil_mode") if writer.node.op_type == "LpPool" else ("dilations",)
    writer.keep(**dict.fromkeys(left_out))


def _cast(writer: _Writer) -> None:
    writer.keep(saturate=None, round_mode=None)


def _cast_like(writer: _Writer) -> None:
    kind = writer.kinds.get(writer.node.input[1])
    if not kind:
        raise writer.refusal(f"the type of '{writer.node.input[1]}' is not known")
    writer.add("Cast", [writer.node.input[0]], writer.node.output[0], to=kind)


def _range(writer: _Writer) -> None:
    writer.keep(stash_type=None)


def _grid_sample(writer: _Writer) -> None:
    mode = writer.attributes.get("mode", b"linear").decode()
    writer.keep(mode={"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode))


def _space_to_depth(writer: _Writer) -> None:
    if writer.attributes.get("mode", b"DCR") != b"DCR":
        raise writer.refusal("it orders its channels as CRD")
    writer.keep(mode=None)


def _never(writer: _Writer) -> None:
    raise writer.refusal("its form has changed")


_CHANGED: Mapping[str, Rule] = {
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
    "CastLike": _cast_like,
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
"""Operators whose inputs or attributes changed after opset 17. Quantizing ones did too; they are refused before."""
