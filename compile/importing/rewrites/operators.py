"""Check the operators of a network: functions of its own are written out, operators that are not ONNX's refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

OLDEST_OPSET = 7
"""Oldest operator set that ONNX's own converter raises reliably (broadcasting changed there)."""

STANDARD = ("", "ai.onnx")
CLASSICAL = "ai.onnx.ml"
"""Name of ONNX's own domain of classical machine learning, whose classifiers may stand behind a network."""

EXPORT_AGAIN = "export it again, with torch.onnx.export(..., dynamo=False, opset_version=17) if it comes from torch"


def check_opset(name: str, model: ModelProto) -> int:
    """Return the opset of a model.

    Raises:
        ModelError: The model names none, or one that the installed libraries do not know.
    """
    onnx = require("onnx", "read an ONNX file")
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD]
    if not versions:
        raise ModelError(
            f"{name}: expected standard ONNX operators, it names no version of them; export it again", code="E_MODEL_OPSET"
        )
    opset, newest = int(max(versions)), int(onnx.defs.onnx_opset_version())
    if opset > newest:
        raise ModelError(
            f"{name}: opset {opset} is newer than {newest}, the newest that onnx {onnx.__version__} knows; "
            f"update onnx and onnxruntime, or export it with an opset_version of at most {newest}",
            code="E_MODEL_OPSET",
        )
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"{name}: opset {opset} is too old, expected {OLDEST_OPSET} or newer; export it with a newer exporter",
            code="E_MODEL_OPSET",
        )
    return opset


def write_functions_out(name: str, model: ModelProto) -> ModelProto:
    """Return a model with its own functions written out.

    Raises:
        ModelError: A function cannot be written out.
    """
    if not model.functions:
        return model
    inliner = require("onnx.inliner", "write local functions out")
    try:
        written: ModelProto = inliner.inline_local_functions(model)
    except Exception as err:  # its C++ side raises errors of its own
        raise ModelError(
            f"{name}: its local functions cannot be written out ({first_line(err)}); export it without them",
            code="E_MODEL_GRAPH",
        ) from err
    del written.functions[:]  # a call that is left is no standard operator
    return written


def write_complement_out(model: ModelProto) -> None:
    """Write the complementary error function out, in place.

    ONNX has none, but Keras' GELU is written with it, and tf2onnx (which ``Model.export`` of Keras 3 calls) leaves it in
    the file as an operator ``Erfc``. It is one minus the error function.
    """
    onnx = require("onnx", "read an ONNX file")
    graph = model.graph
    for at, node in reversed(list(enumerate(graph.node))):
        if (node.domain, node.op_type) not in (("", "Erfc"), ("ai.onnx", "Erfc")):
            continue
        made, one = node.output[0], f"{node.output[0]}/one"
        graph.initializer.append(onnx.helper.make_tensor(one, onnx.TensorProto.FLOAT, [], [1.0]))
        erf = onnx.helper.make_node("Erf", [node.input[0]], [f"{made}/erf"], f"{node.name or made}/erf")
        node.CopyFrom(onnx.helper.make_node("Sub", [one, f"{made}/erf"], [made], node.name))
        graph.node.insert(at, erf)


def refuse_custom(name: str, nodes: Sequence[NodeProto], allowed: Sequence[str] = STANDARD) -> None:
    """Refuse operators of other domains.

    Raises:
        ModelError: The network has such an operator; the message names it.
    """
    onnx = require("onnx", "read an ONNX file")
    known = {"" if domain in STANDARD else domain for domain in allowed}
    own = [
        node
        for node in nodes
        if (domain := "" if node.domain in STANDARD else node.domain) not in known or not onnx.defs.has(node.op_type, domain)
    ]
    if own:
        kinds = ", ".join(dict.fromkeys(f"{n.domain or 'ai.onnx'}::{n.op_type}" for n in own[:5]))
        raise ModelError(
            f"{name}: {len(own)} operators are not standard ONNX ({kinds}; the first is '{own[0].name}'); no target runs "
            "them, export the network without custom operators or vendor optimizations",
            code="E_MODEL_OPERATOR",
        )


def refuse_branches(name: str, nodes: Sequence[NodeProto]) -> None:
    """Refuse operators that choose at run time between branches.

    Raises:
        ModelError: The network has such an operator; the message names it.
    """
    flow = [node for node in nodes if any(a.HasField("g") or a.graphs for a in node.attribute)]
    if flow:
        raise ModelError(
            f"{name}: '{flow[0].name}' ({flow[0].op_type}) decides at run time what is computed (it has branches that "
            "depend on the image), which TensorRT and OpenVINO cannot compile into one network; export it without "
            "branches and loops",
            code="E_MODEL_BRANCHES",
        )
