"""Forms of a network's output: which output holds the classes, whether they are logits, and how each becomes one form.

In the end a network predicts probabilities ``[1, classes]``, out of a Softmax over logits where that can be had, so that a
temperature can be put before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import OUTPUT_NAME, consumers, producers
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

Meaning = Literal["logits", "probabilities", "logit", "probability"]

_SHAPES_ALONE = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Dropout")
_SIGMOIDS = ("Sigmoid", "HardSigmoid")
_LINEAR = ("Add", "BatchNormalization", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "Mul", "ReduceMean", "Sub")
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputMeaning:
    """Meaning of the values that a network predicts.

    Attributes:
        meaning: Kind of value; ``logit`` and ``probability`` are one value that stands for two classes.
        why: Reason for taking it so, in words.
    """

    meaning: Meaning
    why: str


def choose_output(name: str, graph: GraphProto, requested: str | None) -> ValueInfoProto:
    """Return the output with the classes.

    Where there are several, as skl2onnx has labels beside probabilities, the only one of floating point is taken.

    Raises:
        ConfigError: There is no output of the name that was asked for.
        ModelError: There are several outputs, and none was asked for.
    """
    onnx = require("onnx", "read an ONNX file")
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    outputs: list[ValueInfoProto] = list(graph.output)
    shown = ", ".join(f"'{entry.name}'" for entry in outputs[:8]) or "none"
    if requested is not None:
        found = [entry for entry in outputs if entry.name == requested]
        if not found:
            raise ConfigError(
                f"{name}: --output {requested}: it has no such output; expected one of {shown}", code="E_CONFIG_CHOICE"
            )
        return found[0]
    candidates = [entry for entry in outputs if entry.type.tensor_type.elem_type in (*floats, 0)]
    if len(outputs) == 1:
        return outputs[0]
    if len(candidates) == 1:
        return candidates[0]
    raise ModelError(
        f"{name}: expected one output, the classes, found {len(outputs)} ({shown}); name the one with the classes, such as "
        f"--output {outputs[0].name if outputs else 'NAME'}",
        code="E_MODEL_OUTPUT",
    )


def keep_output(graph: GraphProto, output: ValueInfoProto) -> None:
    """Drop every output of a graph but one."""
    for entry in [entry for entry in graph.output if entry.name != output.name]:
        graph.output.remove(entry)


def interpret_outputs(outputs: NDArray[np.float32], graph: GraphProto, labels: Sequence[str], name: str) -> OutputMeaning:
    """Return the meaning of a network's predictions, from its last operator and from predictions of some images.

    Args:
        outputs: Predictions of some images, ``[N, values]``.
        graph: Graph of the network.
        labels: Class names in the order that the user gave, or sorted by name.
        name: Name of the network, for messages.

    Raises:
        ModelError: The predictions are neither logits nor probabilities of exclusive classes, or of another number of
            classes.
    """
    last = last_operator(graph)
    count = outputs.shape[1]
    if count == 1 and len(labels) == 2:
        return _of_two(outputs, last, labels)
    if count != len(labels):
        raise ModelError(
            f"{name}: expected one output for each of {len(labels)} labels, found {count}; give the data set of its very "
            "classes, or export its classifier for them"
            + ("" if count != 1 else " (one output stands for two classes: a sigmoid of a binary network)"),
            code="E_MODEL_CLASSES",
        )
    return _of_many(outputs, last, name)


def _of_two(outputs: NDArray[np.float32], last: str, labels: Sequence[str]) -> OutputMeaning:
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    is_probability = inside and (last in _SIGMOIDS or last not in _LINEAR)
    what = "probability" if is_probability else "logit"
    ends = f"It has one output for two classes and ends in {last}"
    turned = f"'{labels[1]},{labels[0]}'"
    return OutputMeaning(
        meaning="probability" if is_probability else "logit",
        why=f"{ends}: it is the {what} of '{labels[1]}', the second label; if it is that of '{labels[0]}', give "
        f"--labels {turned}.",
    )


def _of_many(outputs: NDArray[np.float32], last: str, name: str) -> OutputMeaning:
    sums = outputs.sum(axis=1)
    add_up = bool((outputs >= 0).all() and np.abs(sums - 1).max() < _SUM_TOLERANCE)
    if last == "Softmax":
        if not add_up:
            raise ModelError(
                f"{name}: ends in a Softmax, but its predictions add up to {sums.min():.3g} to {sums.max():.3g}, not 1; "
                "is it over the classes?",
                code="E_MODEL_OUTPUT",
            )
        return OutputMeaning(
            meaning="probabilities", why="It ends in a Softmax over its classes: its outputs are probabilities."
        )
    if last in _SIGMOIDS and not add_up:
        raise ModelError(
            f"{name}: ends in a {last}, which judges each class by itself; expected classes that exclude each other, export "
            "it with logits or a Softmax",
            code="E_MODEL_OUTPUT",
        )
    if add_up:
        return OutputMeaning(
            meaning="probabilities",
            why=f"It ends in {last}, and its predictions add up to 1: its outputs are probabilities.",
        )
    if last == "LogSoftmax":
        return OutputMeaning(
            meaning="logits",
            why="It ends in a LogSoftmax: its outputs are logarithms of probabilities; a softmax was added.",
        )
    return OutputMeaning(
        meaning="logits",
        why=f"It ends in {last}, and its predictions do not add up to 1: its outputs are logits; a softmax was added.",
    )


def to_probabilities(outputs: NDArray[np.float32], meaning: Meaning) -> NDArray[np.float32]:
    """Return probabilities ``[N, classes]`` from predicted values ``[N, values]``."""
    if meaning == "probabilities":
        return outputs
    wide = outputs.astype(np.float64)
    if meaning == "probability":
        return np.concatenate([1 - wide, wide], axis=1).astype(np.float32)
    if meaning == "logit":
        wide = np.concatenate([np.zeros_like(wide), wide], axis=1)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def last_operator(graph: GraphProto) -> str:
    """Return the type of the operator that makes the predictions; operators that only reshape them are passed over."""
    node = _behind_shapes(graph)
    return node.op_type if node is not None else "an input"


def _behind_shapes(graph: GraphProto) -> NodeProto | None:
    made_by = producers(graph)
    node = made_by.get(graph.output[0].name)
    while node is not None and node.op_type in _SHAPES_ALONE:
        before = made_by.get(node.input[0])
        if before is None:
            break
        node = before
    return node


def plain_output(model: ModelProto, meaning: Meaning, classes: int, prefix: str) -> None:
    """Name the predictions ``to_probabilities``, ``[1, classes]``, in place.

    Args:
        model: Network of one output.
        meaning: Meaning of that output.
        classes: Number of classes.
        prefix: Prefix of the names of added nodes and tensors.
    """
    onnx = require("onnx", "import a network")
    graph = model.graph
    if meaning == "probabilities" and _take_out(graph, ("Softmax", "LogSoftmax")):
        meaning = "logits"
    elif meaning == "probability" and _take_out(graph, ("Sigmoid",)):
        meaning = "logit"
    elif meaning == "logits":
        _take_out(graph, ("LogSoftmax",))
    constants: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        "flat_shape": np.array([1, 1 if meaning in ("logit", "probability") else classes], np.int64)
    }
    steps: list[tuple[str, list[str], dict[str, int]]] = [("Reshape", ["flat_shape"], {})]
    if meaning == "logit":  # the first class has the logit 0
        constants["of_two"] = np.array([[0, 1]], np.float32)
        steps.append(("Mul", ["of_two"], {}))
    elif meaning == "probability":  # 1 - p and p
        constants["of_two"] = np.array([[-1, 1]], np.float32)
        constants["rest_of_two"] = np.array([[1, 0]], np.float32)
        steps += [("Mul", ["of_two"], {}), ("Add", ["rest_of_two"], {})]
    if meaning in ("logits", "logit"):
        steps.append(("Softmax", [], {"axis": 1}))
    output = graph.output[0]
    if [d.dim_value for d in output.type.tensor_type.shape.dim] == [1, int(constants["flat_shape"][1])]:
        steps = steps[1:] or [("Identity", [], {})]
    before = output.name
    for at, (kind, read, more) in enumerate(steps):
        made = OUTPUT_NAME if at == len(steps) - 1 else f"{prefix}answer_{at}"
        for stem in read:
            graph.initializer.append(onnx.numpy_helper.from_array(constants[stem], prefix + stem))
        inputs = [before, *(prefix + stem for stem in read)]
        graph.node.append(onnx.helper.make_node(kind, inputs, [made], f"{prefix}{kind.lower()}_{at}", **more))
        before = made
    output.CopyFrom(onnx.helper.make_tensor_value_info(OUTPUT_NAME, onnx.TensorProto.FLOAT, [1, classes]))


def _take_out(graph: GraphProto, kinds: Sequence[str]) -> bool:
    """Remove the last operator where it is of one of these kinds and nothing else reads its output; tell whether it was."""
    node = _behind_shapes(graph)
    if node is None or node.op_type not in kinds:
        return False
    if len(consumers(graph).get(node.output[0], [])) + (node.output[0] == graph.output[0].name) != 1:
        return False
    onnx = require("onnx", "import a network")
    node.CopyFrom(onnx.helper.make_node("Identity", [node.input[0]], list(node.output), node.name))
    return True
