"""From an ONNX classifier that was read to this project's graph.

It is brought to the opset of both targets, then wrapped with the same preprocessing as a network that was trained here.
"""

from __future__ import annotations

import contextlib
import math
import resource
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ExportedModel, FileRef, InputContract
from weckd_edge.compile.export import ONNX_FILE, preprocessing_graph
from weckd_edge.compile.graph import INPUT_NAME, NETWORK_INPUT_NAME, OPSET, OUTPUT_NAME, check, clean_up, load_graph
from weckd_edge.compile.onnx_file import OnnxNetwork, check_sizes
from weckd_edge.devices.backends.table import open_runner
from weckd_edge.errors import ModelError
from weckd_edge.optional import require
from weckd_edge.store import file_ref, write_atomic

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

NETWORK_FILE = "network.onnx"
PREFIX = "network/"

SAME = 1e-4
"""Largest difference of a probability allowed between the file as it was brought and the network made of it."""

_SUM_TOLERANCE = 1e-3


MOST_WORKING_BYTES = 8 << 30
"""What a network that nobody has run yet may take beside what this process has."""


@contextlib.contextmanager
def bounded_memory(more: int) -> Iterator[None]:
    """Let this process take so many bytes more, and no more: what asks for them fails, instead of the whole machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    wanted = pages * resource.getpagesize() + more
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptedNetwork:
    """A brought network in this project's form: normalised float32 ``[1, 3, S, S]`` in, probabilities ``[1, classes]`` out.

    Attributes:
        onnx: The network, before anything is folded.
        parameters: Its weights, statistics of batch norms left out.
        macs: Multiply-adds of one image.
        said: What was found and decided, in words.
    """

    onnx: FileRef
    parameters: int
    macs: int
    said: tuple[str, ...]


def adopt_network(
    brought: OnnxNetwork, samples: Sequence[NDArray[np.float32]], classes: int, folder: Path
) -> AdoptedNetwork:
    """Write ``network.onnx`` into ``folder`` and prove on samples that it answers as the file does.

    Args:
        brought: What was read.
        samples: Images as the network wants them, normalised float32 ``[1, 3, S, S]``.
        classes: How many labels there are.
        folder: Where to write; exists.

    Raises:
        ModelError: It cannot run, has another number of outputs, or its operators cannot be brought to opset 17.
    """
    shown = [np.rint(sample) if brought.kind == "uint8" else sample for sample in samples]
    with bounded_memory(MOST_WORKING_BYTES):  # shapes that only show at run time
        raw = _answers(brought.model, [_as_brought(brought, sample) for sample in shown], brought.name)
    if raw.shape[1] != classes:
        raise ModelError(
            f"{brought.name}: expected one output for each of {classes} labels, found {raw.shape[1]}; "
            "give the data set of its very classes, or export its classifier for them"
        )
    if not np.isfinite(raw).all():
        raise ModelError(f"{brought.name}: it answers with values that are no numbers; are mean, std and layout right?")
    softmax, why = decide_outputs(raw, _last_operator(brought.model.graph), brought.name)
    model = _raise_opset(brought)
    check_sizes(brought.name, model)
    _plain_input(brought, model)
    _plain_output(model, softmax, classes)
    check(model)
    path = folder / NETWORK_FILE
    write_atomic(path, model.SerializeToString(deterministic=True))
    expected = _softmax(raw) if softmax else raw
    apart = float(np.abs(_answers(model, shown, brought.name) - expected).max())
    if apart > SAME:
        raise ModelError(
            f"{brought.name}: brought from opset {brought.opset} to {OPSET} it answers otherwise, by {apart:.2g} of a "
            f"probability; export it with opset_version={OPSET}"
        )
    folded = clean_up(model)
    _require_fixed_shapes(folded.graph, brought.name)
    raised = "" if brought.opset == OPSET else f"Brought from opset {brought.opset} to {OPSET}. "
    proof = f"{raised}On {len(shown)} images its answers differ from those of the file by at most {apart:.1g}."
    return AdoptedNetwork(
        onnx=file_ref(folder, path),
        parameters=count_parameters(model.graph),
        macs=count_macs(folded.graph),
        said=(*brought.said, why, proof),
    )


def wrap_network(
    network: Path,
    contract: InputContract,
    labels: tuple[str, ...],
    link_sha256: str,
    folder: Path,
    *,
    cast_first: bool = False,
) -> ExportedModel:
    """Write ``model.onnx`` into ``folder``: preprocessing and an adopted network in one graph, as ``export_onnx`` does.

    Args:
        network: What ``adopt_network`` wrote.
        contract: The frame the graph takes.
        labels: Class names in the order of the network's outputs.
        link_sha256: Digest of ``network``.
        folder: Where to write; exists.
        cast_first: Turn the whole frame into floating point first, as TensorRT's parser asks for.

    Raises:
        ModelError: The graph is not valid.
    """
    onnx = require("onnx", "adopt a network")
    before = preprocessing_graph(contract, cast_first=cast_first)
    behind = load_graph(network)
    before.ir_version = behind.ir_version = max(before.ir_version, behind.ir_version)
    merged = onnx.compose.merge_models(
        before, behind, io_map=[(NETWORK_INPUT_NAME, PREFIX + NETWORK_INPUT_NAME)], outputs=[NETWORK_INPUT_NAME, OUTPUT_NAME]
    )
    proto = clean_up(merged)
    path = folder / ONNX_FILE
    write_atomic(path, proto.SerializeToString(deterministic=True))
    return ExportedModel(
        onnx=file_ref(folder, path),
        opset=OPSET,
        input_name=INPUT_NAME,
        network_input_name=NETWORK_INPUT_NAME,
        output_name=OUTPUT_NAME,
        input=contract,
        labels=labels,
        link_sha256=link_sha256,
    )


def decide_outputs(answers: NDArray[np.float32], last: str, name: str) -> tuple[bool, str]:
    """Tell whether a softmax must be added, from the last operator and from what the network answers.

    Args:
        answers: Of some images, ``[N, classes]``.
        last: The graph's last operator.
        name: Of the network.

    Returns:
        Whether the outputs are logits, and the reason in words.

    Raises:
        ModelError: They are neither logits nor probabilities of exclusive classes.
    """
    sums = answers.sum(axis=1)
    add_up = bool((answers >= 0).all() and np.abs(sums - 1).max() < _SUM_TOLERANCE)
    if last == "Softmax":
        if not add_up:
            raise ModelError(
                f"{name}: ends in a Softmax, but its answers add up to {sums.min():.3g} to {sums.max():.3g}, not 1; "
                "is it over the classes?"
            )
        return False, "It ends in a Softmax over its classes: its outputs are probabilities."
    if last in ("Sigmoid", "HardSigmoid"):
        raise ModelError(
            f"{name}: ends in a {last}, which judges each class by itself; expected classes that exclude each other, export "
            "it with logits or a Softmax"
        )
    if add_up:
        return False, f"It ends in {last}, and its answers add up to 1: its outputs are probabilities."
    if last == "LogSoftmax":
        return True, "It ends in a LogSoftmax: its outputs are logarithms of probabilities; a softmax was added."
    return True, f"It ends in {last}, and its answers do not add up to 1: its outputs are logits; a softmax was added."


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def _as_brought(brought: OnnxNetwork, sample: NDArray[np.float32]) -> NDArray[np.float32] | NDArray[np.uint8]:
    placed = np.ascontiguousarray(sample if brought.layout == "nchw" else sample.transpose(0, 2, 3, 1))
    return placed.clip(0, 255).astype(np.uint8) if brought.kind == "uint8" else placed


def _answers(model: ModelProto, inputs: Sequence[NDArray[np.float32] | NDArray[np.uint8]], name: str) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory(prefix="weckd-") as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        try:
            runner = open_runner("onnxruntime", path, reference=True)
        except ModelError as err:
            raise ModelError(str(err).replace(f"{folder}/", "")) from err
        try:
            return np.stack([runner.run(image) for image in inputs])  # type: ignore[arg-type]  # it takes what the graph does
        except Exception as err:  # ONNX Runtime's own errors have no common base class
            if "allocate memory" in str(err) or "bad_alloc" in str(err):
                raise ModelError(
                    f"{name}: it takes more memory on one image than there is, or than a device could have"
                ) from err
            raise ModelError(f"{name}: it cannot run on one image ({str(err).splitlines()[0][:200]})") from err
        finally:
            runner.close()


def _last_operator(graph: GraphProto) -> str:
    """Return what makes the answers, behind anything that only gives them another shape."""
    made_by = {name: node for node in graph.node for name in node.output}
    node = made_by.get(graph.output[0].name)
    while node is not None and node.op_type in ("Identity", "Flatten", "Reshape", "Squeeze", "Cast"):
        before = made_by.get(node.input[0])
        if before is None:
            break
        node = before
    return node.op_type if node is not None else "an input"


def _raise_opset(brought: OnnxNetwork) -> ModelProto:
    onnx = require("onnx", "adopt a network")
    model: ModelProto = onnx.ModelProto()
    model.CopyFrom(brought.model)
    if brought.opset != OPSET:
        try:
            model = onnx.version_converter.convert_version(model, OPSET)
        except Exception as err:  # the converter's C++ side raises RuntimeError and errors of its own
            raise ModelError(
                f"{brought.name}: cannot be brought from opset {brought.opset} to {OPSET} ({_reason(err)}); export it with "
                f"opset_version={OPSET}"
            ) from err
        _drop_newer_attributes(model.graph)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    for node in model.graph.node:
        node.domain = ""
        node.doc_string = ""
    _drop_optional_inputs(model.graph)
    del model.metadata_props[:]
    return onnx.compose.add_prefix(model, PREFIX)  # type: ignore[no-any-return]  # untyped


def _reason(err: Exception) -> str:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return (lines or [type(err).__name__])[0][:160]


def _drop_newer_attributes(graph: GraphProto) -> None:
    """Take away an attribute of opset 18 that the converter leaves behind; its value there is the older opset's way."""
    for node in graph.node:
        if node.op_type.startswith("Reduce"):
            kept = [a for a in node.attribute if a.name != "noop_with_empty_axes" or a.i]
            del node.attribute[:]
            node.attribute.extend(kept)


def _drop_optional_inputs(graph: GraphProto) -> None:
    """Weights of opset 8 and older are inputs too, with the weights as their default."""
    constants = {tensor.name for tensor in graph.initializer}
    for entry in [entry for entry in graph.input if entry.name in constants]:
        graph.input.remove(entry)


def _plain_input(brought: OnnxNetwork, model: ModelProto) -> None:
    """Give the network a float32 input ``[1, 3, S, S]``, whatever it was."""
    onnx = require("onnx", "adopt a network")
    graph, side = model.graph, brought.input_size
    was = graph.input[0].name
    name = PREFIX + NETWORK_INPUT_NAME
    inner = name if brought.layout == "nchw" else PREFIX + "channels_last"
    for node in graph.node:
        for place, read in enumerate(node.input):
            if read == was:
                node.input[place] = inner
    if brought.layout == "nhwc":
        turn = onnx.helper.make_node("Transpose", [name], [inner], PREFIX + "to_channels_last", perm=[0, 2, 3, 1])
        graph.node.insert(0, turn)
    graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, side, side]))
    del graph.value_info[:]
    try:
        model.CopyFrom(onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True))
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as err:
        hint = "; expected a Cast right behind a uint8 input" if brought.kind == "uint8" else ""
        raise ModelError(f"{brought.name}: its shapes or types do not fit each other ({_reason(err)}){hint}") from err


def _plain_output(model: ModelProto, softmax: bool, classes: int) -> None:
    """Name the answers ``probabilities``, ``[1, classes]``, behind a softmax where they are logits."""
    onnx = require("onnx", "adopt a network")
    graph = model.graph
    output = graph.output[0]
    steps: list[NodeProto] = []
    name = output.name
    if len(output.type.tensor_type.shape.dim) != 2:
        steps.append(onnx.helper.make_node("Flatten", [name], [PREFIX + "flat"], PREFIX + "flatten", axis=1))
        name = PREFIX + "flat"
    if softmax:
        steps.append(onnx.helper.make_node("Softmax", [name], [OUTPUT_NAME], PREFIX + "softmax", axis=1))
    else:
        steps.append(onnx.helper.make_node("Identity", [name], [OUTPUT_NAME], PREFIX + "answer"))
    graph.node.extend(steps)
    output.CopyFrom(onnx.helper.make_tensor_value_info(OUTPUT_NAME, onnx.TensorProto.FLOAT, [1, classes]))


def count_parameters(graph: GraphProto) -> int:
    """Count the weights that training sets: not the constants of shapes, nor the statistics of batch norms."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    counted: set[str] = set()
    for node in graph.node:
        places = {
            "Conv": (1, 2),
            "Gemm": (1, 2),
            "MatMul": (0, 1),
            "BatchNormalization": (1, 2),
            "Add": (0, 1),
            "Mul": (0, 1),
        }
        at = places.get(node.op_type, ())
        counted.update(node.input[place] for place in at if place < len(node.input))
    return sum(size for name, size in sizes.items() if name in counted)


def _shapes(graph: GraphProto) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for info in (*graph.value_info, *graph.input, *graph.output):
        if info.type.tensor_type.HasField("shape"):
            shapes[info.name] = [d.dim_value for d in info.type.tensor_type.shape.dim]
    return shapes


def _require_fixed_shapes(graph: GraphProto, name: str) -> None:
    """Refuse a network in which the size of a tensor is only known when an image is there."""
    shapes = _shapes(graph)
    for node in graph.node:
        for made in node.output:
            if made and not all(shapes.get(made, [0])):
                raise ModelError(
                    f"{name}: the size of what '{node.name}' ({node.op_type}) makes depends on the image, which TensorRT "
                    "and OpenVINO cannot compile; export it with a fixed input size"
                )


def count_macs(graph: GraphProto) -> int:
    """Count the multiply-adds of convolutions and matrix products, for one image, in a graph whose shapes are known."""
    shapes = _shapes(graph)
    total = 0
    for node in graph.node:
        made = math.prod(shapes.get(node.output[0], [0]))
        if node.op_type == "Conv":
            total += made * math.prod(shapes.get(node.input[1], [0])[1:])
        elif node.op_type in ("Gemm", "MatMul"):
            left = shapes.get(node.input[0], [0])
            turned = any(a.name == "transA" and a.i for a in node.attribute)
            total += made * left[0 if turned else -1]
    return total
