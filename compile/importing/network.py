"""Read an ONNX classifier that a user has; every reason to refuse it is found here, before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import Preparation, read_preparation
from weckd_edge.compile.importing.file import check_sizes, load_file
from weckd_edge.compile.importing.hints import InputHints
from weckd_edge.compile.importing.input_form import InputForm, fix_shape, only_input, read_form
from weckd_edge.compile.importing.metadata import completed, read_metadata
from weckd_edge.compile.importing.outputs import choose_output, keep_output
from weckd_edge.compile.importing.rewrites.classical import class_names, drop_zip_maps, write_classical_out
from weckd_edge.compile.importing.rewrites.constants import drop_unread, fold_constants, sort_nodes
from weckd_edge.compile.importing.rewrites.integer_operators import name_zero_points
from weckd_edge.compile.importing.rewrites.operators import (
    CLASSICAL,
    STANDARD,
    check_opset,
    refuse_branches,
    refuse_custom,
    write_complement_out,
    write_functions_out,
)
from weckd_edge.compile.importing.rewrites.opset import let_runtime_read, to_opset
from weckd_edge.compile.importing.rewrites.padding import fold_padding
from weckd_edge.compile.importing.rewrites.quantized_file import has_wide_weights, is_quantized, normalise_quantized
from weckd_edge.compile.importing.rewrites.training_mode import set_to_inference
from weckd_edge.compile.importing.rewrites.weights import check_weights, half_of, to_float32
from weckd_edge.core.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OnnxNetwork:
    """An ONNX classifier that was read, checked, and fixed to one image.

    Attributes:
        name: Name of the file without its ending.
        file_model: Network as the file has it, with its weights inside, one output and every input dimension fixed.
        model: Network in float32 and opset 17, of standard operators alone, without any that depend on shapes alone.
        sha256: Digest of the file and of the weights that lay beside it.
        bytes: Size of both, bytes.
        opset: Opset of the file.
        computes_in: Floating type that the file computes in, other than float32; None for float32.
        form: Form of its input.
        preparation: How its images were prepared, as far as the file's metadata says.
        labels: Class names in the order of its outputs; None where the file names none.
        notes: Findings and decisions, in words.
        doubts: Possible faults of it, in words.
        quantized: Whether it was quantized by its user; ``model`` then holds Q/DQ pairs, as ``quantized_file`` writes them.
        wide_weights: Whether int8 weights of it need more than 7 bits.
    """

    name: str
    file_model: ModelProto
    model: ModelProto
    sha256: str
    bytes: int
    opset: int
    computes_in: str | None
    form: InputForm
    preparation: Preparation
    labels: tuple[str, ...] | None
    notes: tuple[str, ...]
    doubts: tuple[str, ...]
    quantized: bool = False
    wide_weights: bool = False


def read_onnx(path: Path, hints: InputHints) -> OnnxNetwork:
    """Read an ONNX file and the weights that lie beside it.

    Raises:
        ConfigError: The file does not tell something, and neither do the hints; or they contradict it.
        ModelError: The network cannot be used; the message holds the reason.
    """
    name = path.name
    file = load_file(path)
    opset = check_opset(name, file.model)
    model = write_functions_out(name, file.model)
    write_complement_out(model)
    _drop_optional_inputs(model)
    sort_nodes(name, model.graph)
    labels = class_names(model.graph)
    drop_zip_maps(model.graph)
    keep_output(model.graph, choose_output(name, model.graph, hints.output))
    drop_unread(model.graph)
    name_zero_points(model.graph)
    quantized = is_quantized(model)
    standard = normalise_quantized(name, model) if quantized else model
    refuse_custom(name, standard.graph.node, (*STANDARD, CLASSICAL))
    check_weights(name, model)
    entry, settings = only_input(name, model.graph), read_metadata(file.model)
    described = completed(hints, settings, entry)
    form = read_form(name, entry, described)
    doubts = set_to_inference(name, model, allowed=hints.to_inference)
    fix_shape(model, only_input(name, model.graph), form)
    check_sizes(name, model)
    computes_in = half_of(model)
    if computes_in == "double":  # ONNX Runtime has no convolution in double
        to_float32(model)
    model = let_runtime_read(name, model)
    notes = form.notes(name, opset, "the user said" if described.mean is hints.mean else "the file's metadata say")
    if computes_in is not None:
        notes = (*notes, f"It computes in {computes_in}; here it computes in float32.")
    if quantized:
        notes = (*notes, "It is quantized already: it is verified and measured as it is.")
    return OnnxNetwork(
        name=path.stem,
        file_model=model,
        model=_in_one_form(name, model, form),
        sha256=file.sha256,
        bytes=file.bytes,
        opset=opset,
        computes_in=computes_in,
        form=form,
        preparation=read_preparation(settings, "the file's metadata say"),
        labels=labels,
        notes=notes,
        doubts=doubts,
        quantized=quantized,
        wide_weights=quantized and has_wide_weights(standard),
    )


def _drop_optional_inputs(model: ModelProto) -> None:
    """Remove weights from a model's inputs, where files of IR version 3 list them with the weights as their default."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for entry in [entry for entry in model.graph.input if entry.name in constants]:
        model.graph.input.remove(entry)
    model.ir_version = max(model.ir_version, 4)


def _in_one_form(name: str, model: ModelProto, form: InputForm) -> ModelProto:
    plain = type(model)()
    plain.CopyFrom(model)
    to_float32(plain)
    write_classical_out(name, plain)
    if is_quantized(plain):
        plain = normalise_quantized(name, plain)
    try:
        plain = fold_constants(name, plain)
    except ModelError as err:
        raise ModelError(f"{err}; {form.advice()}", code=err.code) from err
    refuse_branches(name, plain.graph.node)
    plain = to_opset(name, plain)
    check_sizes(name, plain)
    fold_padding(plain)
    drop_unread(plain.graph)
    return plain
