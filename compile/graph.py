"""Read, check and clean up ONNX graphs; their fixed names, and look-ups of nodes that several modules need."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.files import read_bounded
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

MAX_BYTES = (2 << 30) - 1
"""Largest size of an ONNX file, bytes; its format has this limit."""

MAX_NODES = 20_000
"""Most operators of an imported graph: some seconds of work for each step."""

OPSET = 17
"""Operator set of every graph but the FP16 form: the newest that TensorRT 8.5 and 8.6 (JetPack 5.1 and 6.0) read."""

HALF_OPSET = 19
"""Operator set of the FP16 form, the first whose Q/DQ nodes take FP16 scales; TensorRT reads it from 10.0 on."""

IR_VERSIONS = {OPSET: 8, HALF_OPSET: 9}
"""Version of the ONNX file format that a graph is written in, by its operator set: the oldest that may hold it.

ONNX Runtime refuses a file of a newer format than its own (1.14: 8), and TensorRT's tools warn of it. The library ``onnx``
stamps its own newest one where nobody says otherwise. Operator sets that TensorRT's parser reads stand in onnx-tensorrt's
docs/operators.md by release branch: 8.4 to 8.6 up to 17, 10.0 up to 20.
"""

NETWORK_INPUT_NAME = "network_input"
OUTPUT_NAME = "probabilities"

_KEPT_AS_THEY_ARE = [
    "MatMulAddFusion",  # would wrap a reshape around every linear layer on three-dimensional tensors
    # Would move and add Q/DQ pairs of a network that was imported with them.
    "QDQPropagationTransformer",
    "WeightBiasQuantization",
    "DoubleQDQPairsRemover",
]


def clean_up(model: ModelProto) -> ModelProto:
    """Fold constants, paddings and batch norms, drop unused nodes, and make the bytes depend on the network alone.

    ONNX Runtime's basic optimizations do the folding: they keep to standard operators. The network's input may be a
    second output of ``model``; it keeps its name and stops being an output.

    Raises:
        ModelError: The graph is not valid.
    """
    onnx = require("onnx", "export a network")
    folded: ModelProto = run_basic_optimizations(
        model,
        disabled=_KEPT_AS_THEY_ARE,
        purpose="export a network",
        refused=lambda err: ModelError(
            f"ONNX Runtime cannot load the exported graph: {first_line(err)}", code="E_MODEL_BACKEND_LOAD"
        ),
    )
    for output in [o for o in folded.graph.output if o.name == NETWORK_INPUT_NAME]:
        folded.graph.output.remove(output)
    del folded.opset_import[1:]
    if folded.opset_import[0].domain != "" or folded.opset_import[0].version != OPSET:
        raise ModelError(
            f"expected a graph of standard operators of opset {OPSET}, got {folded.opset_import[0]}", code="E_MODEL_OPSET"
        )
    stamp_versions(folded, OPSET)
    folded.graph.name = "weckd_edge"
    folded.doc_string = folded.graph.doc_string = ""
    for index, node in enumerate(folded.graph.node):
        node.doc_string = ""
        node.name = node.name or f"{node.op_type}_{index}"
    _restore_hard_swish(folded.graph)
    del folded.graph.value_info[:]
    folded = onnx.shape_inference.infer_shapes(folded, strict_mode=True, data_prop=True)
    check_graph(folded)
    return folded


def run_basic_optimizations(
    model: ModelProto, *, disabled: Sequence[str], purpose: str, refused: Callable[[Exception], ModelError]
) -> ModelProto:
    """Return a model after ONNX Runtime's basic optimizations, which keep to standard operators.

    Args:
        model: The model.
        disabled: ONNX Runtime's names of optimizations that are left out.
        purpose: What the libraries are needed for, in the message about a missing one.
        refused: Returns the error to raise where ONNX Runtime cannot load the model, by its own error.

    Raises:
        MissingDependency: A library is not installed.
        ModelError: ONNX Runtime cannot load the model.
    """
    onnx, ort = require("onnx", purpose), require("onnxruntime", purpose)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_aot_function_inlining", "1")
    with tempfile.TemporaryDirectory(prefix="weckd-") as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled)
            )
        except Exception as err:  # ONNX Runtime's own errors have no common base class
            raise refused(err) from err
        optimized: ModelProto = onnx.load(path)
    return optimized


def _restore_hard_swish(graph: GraphProto) -> None:
    """Put ``HardSwish`` back where ONNX Runtime wrote ``x * HardSigmoid(x)``: OpenVINO fuses only the former."""
    onnx = require("onnx", "export a network")
    readers = consumers(graph)
    for gate in [n for n in graph.node if n.op_type == "HardSigmoid"]:
        slope = {a.name: a.f for a in gate.attribute}
        users = readers.get(gate.output[0], [])
        if abs(slope.get("alpha", 0.2) - 1 / 6) > 1e-6 or abs(slope.get("beta", 0.5) - 0.5) > 1e-6 or len(users) != 1:
            continue
        product = users[0]
        if product.op_type == "Mul" and set(product.input) == {gate.input[0], gate.output[0]}:
            product.CopyFrom(onnx.helper.make_node("HardSwish", [gate.input[0]], list(product.output), product.name))
            graph.node.remove(gate)


def check_graph(model: ModelProto) -> None:
    """Refuse a graph that is not valid ONNX.

    Raises:
        ModelError: The checker found a fault; the message holds its first one.
    """
    onnx = require("onnx", "check a graph")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise ModelError(f"the graph is not valid ONNX: {first_line(err)}", code="E_MODEL_GRAPH") from err


def load_graph(path: Path) -> ModelProto:
    """Read an ONNX file.

    Raises:
        ModelError: The file is missing or not ONNX.
    """
    onnx = require("onnx", "read a graph")
    from google.protobuf.message import DecodeError

    data = read_bounded(path, at_most=MAX_BYTES, where=f"{path}: expected an ONNX file", error=ModelError)
    try:
        model: ModelProto = onnx.load_model_from_string(data)
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as err:
        raise ModelError(
            f"{path}: expected an ONNX file, found none that can be read ({err})", code="E_MODEL_ONNX_FILE"
        ) from err
    return model


def stamp_versions(model: ModelProto, opset: int) -> None:
    """Write into a graph that it is of standard operators of an operator set, and the file format that goes with it.

    Args:
        model: The graph; its operators are not changed.
        opset: A key of ``IR_VERSIONS``.
    """
    onnx = require("onnx", "write a graph")
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", opset))
    model.ir_version = IR_VERSIONS[opset]


def opset_of(model: ModelProto) -> int:
    """Return the version of the standard operators that a graph uses; 0 where it names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def producers(graph: GraphProto) -> dict[str, NodeProto]:
    """Return the node that makes each tensor."""
    return {name: node for node in graph.node for name in node.output if name}


def consumers(graph: GraphProto) -> dict[str, list[NodeProto]]:
    """Return the nodes that read each tensor, in graph order."""
    found: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            if name:
                found.setdefault(name, []).append(node)
    return found


def network_nodes(graph: GraphProto) -> tuple[NodeProto, ...]:
    """Return the nodes that do not belong to the preprocessing, in graph order; all of a graph without one."""
    before: tuple[NodeProto, ...] = ()
    if any(NETWORK_INPUT_NAME in node.output for node in graph.node):
        before = preprocessing_nodes(graph)
    names = {name for node in before for name in node.output}
    return tuple(node for node in graph.node if names.isdisjoint(node.output))


def preprocessing_nodes(graph: GraphProto) -> tuple[NodeProto, ...]:
    """Return the nodes that make the network's input from the frame, in graph order.

    Raises:
        ModelError: The graph has no tensor of that name.
    """
    made_by = producers(graph)
    if NETWORK_INPUT_NAME not in made_by:
        raise ModelError(
            f"the graph has no tensor '{NETWORK_INPUT_NAME}' between preprocessing and network; export it again",
            code="E_MODEL_GRAPH",
        )
    wanted, before = [NETWORK_INPUT_NAME], set()
    while wanted:
        node = made_by.get(wanted.pop())
        if node is not None and node.output[0] not in before:
            before.add(node.output[0])
            wanted.extend(node.input)
    return tuple(node for node in graph.node if node.output[0] in before)
