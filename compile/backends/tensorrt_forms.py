"""Write the quantized graph in the forms that other TensorRT versions read: an FP16 body, a float frame, no Q/DQ nodes.

All hold the scales of the graph they come from. Beside them lies the front end as a graph, for a device to put before one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FileRef, InputSpec, Precision
from weckd_edge.compile.export.front_end_graph import check_front_end, make_front_end
from weckd_edge.compile.graph import check_graph, consumers, load_graph, opset_of, producers
from weckd_edge.compile.quantize.fp16_check import HalfCheck, check_half
from weckd_edge.compile.quantize.fp16_form import graph_inputs, make_half
from weckd_edge.compile.quantize.qdq_constants import arrays_of, drop_unread
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import file_ref, sha256_file, write_atomic
from weckd_edge.devices.jetson.recipe import DerivedForms, GraphFile
from weckd_edge.devices.jetson.version_rules import Form, forms_for
from weckd_edge.devices.profiles.profile import DeviceProfile

if TYPE_CHECKING:
    from onnx import ModelProto


FRONT_END_FILE = "front-end.onnx"
"""Name of the file of the front end as a graph."""


def write_forms(
    graph: Path,
    profile: DeviceProfile,
    folder: Path,
    frames: Iterable[NDArray[np.uint8]],
    precision: Precision,
    spec: InputSpec,
) -> tuple[DerivedForms, tuple[str, ...]]:
    """Write the forms of a graph that a profile's TensorRT versions may ask for.

    A form that cannot be made, or predicts otherwise than the graph, is left out and the reason kept.

    Args:
        graph: Path of the graph.
        profile: The device, whose TensorRT versions and DLA say which forms are written.
        folder: Folder to write to; exists.
        frames: Frames that the FP16 form is compared on, as the graph takes them, uint8.
        precision: Precision of the graph.
        spec: The frame, and the network's input.

    Returns:
        The forms, and the result of the FP16 form's check in words.

    Raises:
        ModelError: The graph cannot be read.
    """
    model, forms, asked = load_graph(graph), _Forms(graph, folder), forms_for(profile)
    ranges: dict[str, float] = {}
    remarks: list[str] = []
    if profile.target == "jetson" and precision != "fp32":
        with forms.leaving_out("float16"):
            half = forms.write("float16", make_half(model))
            remarks.append(_describe_half(check_half(graph, half, frames)))
    if "float32-frame" in asked:
        with forms.leaving_out("float32-frame"):
            forms.write("float32-frame", take_float_frame(model))
    if "plain" in asked and precision == "int8":
        with forms.leaving_out("plain"):
            plain, ranges = take_pairs_out(model)
            forms.write("plain", plain)
    front_end = None
    if spec.graph_takes_pixels:
        with forms.leaving_out("front-end"):
            front_end = _write_front_end(spec, folder)
    derived = DerivedForms(graphs=tuple(forms.written.values()), left_out=forms.left_out, ranges=ranges, front_end=front_end)
    return derived, tuple(remarks)


class _Forms:
    """The forms of a graph that lie in a folder, and why others do not."""

    def __init__(self, graph: Path, folder: Path) -> None:
        self.graph, self.folder = graph, folder
        self.written: dict[str, GraphFile] = {}
        self.left_out: dict[str, str] = {}

    @contextmanager
    def leaving_out(self, name: str) -> Iterator[None]:
        """Keep the reason of a form that cannot be made, or does not predict as it should, and remove its file."""
        try:
            yield
        except ModelError as err:
            self.left_out[name] = str(err)
            made = self.written.pop(name, None)
            if made is not None:
                (self.folder / made.name).unlink()

    def write(self, form: Form, made: ModelProto) -> Path:
        path = self.folder / f"{self.graph.stem}-{form}.onnx"
        write_atomic(path, made.SerializeToString(deterministic=True))
        self.written[form] = GraphFile(form=form, name=path.name, sha256=sha256_file(path), opset=opset_of(made))
        return path


def _write_front_end(spec: InputSpec, folder: Path) -> FileRef:
    path = folder / FRONT_END_FILE
    data = make_front_end(spec).SerializeToString(deterministic=True)
    check_front_end(data, spec)
    write_atomic(path, data)
    return file_ref(folder, path)


def _describe_half(found: HalfCheck) -> str:
    return (
        f"FP16 form, for TensorRT 10.12 and newer: probabilities differ by {found.p95_abs:.2g} (95th percentile "
        f"of {found.frames} frames), {found.flips} flips; largest value in FP16 {found.largest:.4g}, "
        f"of {found.largest_tensor}"
    )


def take_float_frame(model: ModelProto) -> ModelProto:
    """Return the graph with a float32 frame of values 0 to 255, for TensorRT 8.5, whose parser cannot cast uint8.

    Raises:
        ModelError: Something else than a cast to FP32 reads the frame.
    """
    onnx = require("onnx", "make the float form of a graph")
    made: ModelProto = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    (frame,) = graph_inputs(graph)
    readers = consumers(graph).get(frame.name, [])
    for node in readers:
        to = next((a.i for a in node.attribute if a.name == "to"), None)
        if node.op_type != "Cast" or to != onnx.TensorProto.FLOAT:
            raise ModelError(
                f"node {node.name} ({node.op_type}) reads the uint8 frame; expected a cast to float32 alone",
                code="E_MODEL_INPUT",
            )
    for node in graph.node:
        for position, name in enumerate(node.input):
            if any(name == cast.output[0] for cast in readers):
                node.input[position] = frame.name
    for cast in readers:
        graph.node.remove(cast)
    frame.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    check_graph(made)
    return made


def take_pairs_out(model: ModelProto) -> tuple[ModelProto, dict[str, float]]:
    """Return the graph as a DLA reads it: without its Q/DQ nodes, and the range of each tensor that had a pair.

    Returns:
        The graph with its weights in FP32, and by tensor the largest absolute value: 127 times the scale of its pair.
    """
    onnx = require("onnx", "make the DLA's form of a graph")
    made: ModelProto = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    constants, made_by, read_by = arrays_of(onnx, graph), producers(graph), consumers(graph)
    ranges: dict[str, float] = {}
    for dq in [n for n in graph.node if n.op_type == "DequantizeLinear"]:
        q = made_by.get(dq.input[0])
        if q is None or q.op_type != "QuantizeLinear":
            raise ModelError(
                f"node {dq.name} must stand right behind a QuantizeLinear to be taken out", code="E_MODEL_QDQ_RULES"
            )
        if q.input[0] not in constants:
            ranges[q.input[0]] = float(constants[q.input[1]].max()) * 127
        for reader in read_by.get(dq.output[0], []):
            for position, name in enumerate(reader.input):
                if name == dq.output[0]:
                    reader.input[position] = q.input[0]
    for node in [n for n in graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]:
        graph.node.remove(node)
    drop_unread(graph)
    check_graph(made)
    return made, ranges
