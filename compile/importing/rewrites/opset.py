"""Convert a network to the opset that every target reads, 17.

Older files are raised by ONNX's version converter. Newer files are lowered here: of 35 files that torch 2.14's default
exporter wrote of 18 classifiers of timm and torchvision, in opsets 18 to 23, neither that converter (onnx 1.23) nor
onnxscript's (0.7) converts a single one to opset 17. They have no way back for Gelu, GroupNormalization, Attention and
Split, and leave ReduceMean with an attribute of its newer form.

Little has changed since opset 17: the reductions take their axes as an input; Split, Pad, Resize and the pools have new
attributes; all else only takes more types. Operators that came later are written out in older ones: the usual ones in
the form that torch's older exporter writes, which OpenVINO and TensorRT fuse, the others as ``onnx.inliner`` has them. A
test compares the list with the schemas of the installed ``onnx``. Opset 17 stays for both targets, as TensorRT 8 of
JetPack 5 and 6.0 reads no newer one, and one form for both is one form to prove.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weckd_edge.compile.graph import OPSET, opset_of, stamp_versions
from weckd_edge.compile.importing.rewrites.constants import fold_constants
from weckd_edge.compile.importing.rewrites.node_writer import rewrite_nodes
from weckd_edge.compile.importing.rewrites.operators import EXPORT_AGAIN
from weckd_edge.compile.importing.rewrites.opset_rules import CHANGED, WRITTEN_OUT, write_cast_like
from weckd_edge.compile.importing.running import can_load, error_line
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto

_DEEPEST = 8
"""Most rounds of writing operators out: SwiGLU becomes Swish, which becomes Sigmoid."""


def to_opset(name: str, model: ModelProto) -> ModelProto:
    """Return a network in opset 17.

    Args:
        name: Name of the network, for messages.
        model: Network of standard operators alone, constants folded, its input of a fixed shape.

    Raises:
        ModelError: An operator has no counterpart in opset 17.
    """
    onnx = require("onnx", "import a network")
    opset = opset_of(model)
    if opset < OPSET:
        _drop_unused_padding(model)
        try:
            model = onnx.version_converter.convert_version(model, OPSET)
        except Exception as err:  # the converter's C++ side raises RuntimeError and errors of its own
            raise ModelError(
                f"{name}: cannot be converted from opset {opset} to {OPSET} ({error_line(err)}); {EXPORT_AGAIN}",
                code="E_MODEL_OPSET",
            ) from err
        if opset < 11:
            _keep_positions(model)
        model = fold_constants(name, model)
    elif opset > OPSET:
        model = _lowered(name, model)
    stamp_versions(model, OPSET)
    for node in model.graph.node:
        node.domain = ""
        node.doc_string = ""
    del model.metadata_props[:]
    return model


def _drop_unused_padding(model: ModelProto) -> None:
    """Remove a padding value that no constant padding uses: the converter would leave it where none may be."""
    for node in [node for node in model.graph.node if node.op_type == "Pad" and opset_of(model) < 11]:
        if any(a.name == "mode" and a.s != b"constant" for a in node.attribute):
            kept = [a for a in node.attribute if a.name != "value"]
            del node.attribute[:]
            node.attribute.extend(kept)


def _keep_positions(model: ModelProto) -> None:
    """Name the positions that a Resize took pixels from before opset 11, which the converter leaves out.

    Positions were asymmetric; the nearest pixel was the one before where the size grew, and the one behind where it shrank.
    """
    onnx = require("onnx", "import a network")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Resize"]:
        scales = constants.get(node.input[2]) if len(node.input) > 2 else None
        shrinks = scales is not None and bool((onnx.numpy_helper.to_array(scales) < 1).any())
        nearest = "ceil" if shrinks else "floor"
        for key, value in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", nearest)):
            node.attribute.append(onnx.helper.make_attribute(key, value))


def let_runtime_read(name: str, model: ModelProto) -> ModelProto:
    """Return a model that ONNX Runtime loads, with the newest operators written out where it has none of them yet.

    They are written out as their schemas have them, so that it predicts as before. Where that does not help, the model is
    returned as it is, for ONNX Runtime to say why. ``name`` names the network in messages.
    """
    newer = _newer(model)
    if not newer or can_load(model):
        return model
    written = rewrite_nodes(name, _inlined(model, newer), {"CastLike": write_cast_like})
    return written if can_load(written) else model


def _newer(model: ModelProto) -> list[str]:
    return sorted({node.op_type for node in model.graph.node if _is_newer(node.op_type)})


def _inlined(model: ModelProto, kinds: list[str]) -> ModelProto:
    """Return a model with operators of these kinds written out as their schemas have them."""
    onnx, inliner = require("onnx", "import a network"), require("onnx.inliner", "import a network")
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
    model = rewrite_nodes(name, model, WRITTEN_OUT)
    for _ in range(_DEEPEST):
        newer = _newer(model)
        if not newer:
            break
        model = rewrite_nodes(name, _inlined(model, newer), WRITTEN_OUT)
    left = [n for n in model.graph.node if _is_newer(n.op_type)]
    if left:
        raise ModelError(
            f"{name}: '{left[0].name}' ({left[0].op_type}) came with a newer opset than {OPSET}, which the targets read, "
            f"and cannot be written out in older operators; {EXPORT_AGAIN}",
            code="E_MODEL_OPSET",
        )
    return rewrite_nodes(name, fold_constants(name, model), CHANGED)


def _is_newer(kind: str) -> bool:
    onnx = require("onnx", "import a network")
    return not onnx.defs.has(kind, OPSET, "") if onnx.defs.has(kind, "") else False
