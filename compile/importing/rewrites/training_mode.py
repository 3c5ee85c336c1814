"""Set dropout and batch norms that were exported in training mode to inference.

Such a network drops values at random, or normalises with the statistics of the one image that it sees. Its weights
are there all the same: set to inference, it predicts as it does after ``model.eval()``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from weckd_edge.compile.importing.rewrites.weights import nodes_of
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


def set_to_inference(name: str, model: ModelProto, *, allowed: bool) -> tuple[str, ...]:
    """Set operators in training mode to inference, in place.

    Args:
        name: Name of the file, for messages.
        model: Network without functions of its own.
        allowed: Whether the user asked for it.

    Returns:
        One warning; none where no operator was in training mode.

    Raises:
        ModelError: An operator is in training mode and the user did not ask for this, or values are drawn at random.
    """
    nodes = list(nodes_of(model.graph))
    constants = _constants(model)
    seen = _depending_on_the_image(model)
    training = [node for node in nodes if _is_training(node, constants) and node.input[0] in seen]
    drawn = [node for node in nodes if node.op_type in _RANDOM]
    if drawn:
        raise ModelError(
            f"{name}: '{drawn[0].name}' ({drawn[0].op_type}) draws values at random, so its predictions differ from run to "
            "run; it was exported in training mode: export it again after model.eval()",
            code="E_MODEL_TRAINING_MODE",
        )
    if not training:
        return ()
    kinds = {kind: sum(node.op_type == kind for node in training) for kind in ("BatchNormalization", "Dropout")}
    found = " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    effect = (
        "its predictions differ from run to run" if kinds["Dropout"] else "its batch norms use the one image's statistics"
    )
    if not allowed:
        raise ModelError(
            f"{name}: was exported in training mode ({found}; the first is '{training[0].name}'), so {effect}; export it "
            "again after model.eval(), or give --to-inference to have them set to inference",
            code="E_MODEL_TRAINING_MODE",
        )
    for node in training:
        _to_inference(node)
    return (
        f"It was exported in training mode: {found} were set to inference, as the user asked. The deployed model predicts "
        "differently from the file; export it after model.eval() to be sure.",
    )


def _depending_on_the_image(model: ModelProto) -> set[str]:
    """Return the tensors that the image reaches.

    A batch norm that reads constants alone is in training mode on purpose: so networks without norms standardise their
    weights.
    """
    found = {entry.name for entry in model.graph.input}
    for node in model.graph.node:
        graphs = [graph for a in node.attribute for graph in (*([a.g] if a.HasField("g") else []), *a.graphs)]
        if graphs or found & set(node.input):
            found.update(node.output)
            found.update(name for graph in graphs for inner in nodes_of(graph) for name in (*inner.input, *inner.output))
    return found


def _constants(model: ModelProto) -> dict[str, Any]:
    onnx = require("onnx", "read an ONNX file")
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer if not tensor.dims}
    for node in nodes_of(model.graph):
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.HasField("t") and not attribute.t.dims:
                found[node.output[0]] = onnx.numpy_helper.to_array(attribute.t)
    return found


def _is_training(node: NodeProto, constants: Mapping[str, Any]) -> bool:
    if node.op_type == "BatchNormalization":
        marked = any(a.name == "training_mode" and a.i for a in node.attribute)
        return marked or any(node.output[1:])
    if node.op_type != "Dropout" or len(node.input) < 3 or not node.input[2]:
        return False
    ratio = constants.get(node.input[1], np.float32(0.5)) if node.input[1] else np.float32(0.5)
    return bool(constants.get(node.input[2], True)) and float(ratio) > 0


def _to_inference(node: NodeProto) -> None:
    if node.op_type == "Dropout":
        del node.input[1:]
        return
    del node.output[1:]
    for attribute in node.attribute:
        if attribute.name == "training_mode":
            attribute.i = 0
