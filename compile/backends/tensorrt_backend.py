"""TensorRT's side of a build: the recipe for the Jetson, and a trial build where a GPU with TensorRT is at hand.

The trial has not been run: no GPU with TensorRT was at hand yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import BuiltModel, FileRef, Precision
from weckd_edge.compile.graph import load_graph, opset_of
from weckd_edge.compile.quantize.fp16_variants import check_half, make_half, take_float_frame, take_pairs_out
from weckd_edge.compile.quantize.qdq_rules import check_rules
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import is_installed, require
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import file_ref, sha256_file, write_atomic
from weckd_edge.devices.jetson.engine_layers import in_floating_point
from weckd_edge.devices.jetson.recipe import (
    RECIPE_FILE,
    DerivedForms,
    Form,
    GraphFile,
    plan_for,
    read_recipe,
    version_tuple,
    write_recipe,
)
from weckd_edge.devices.jetson.trtexec import TRTEXEC_FILE, describe_by_hand
from weckd_edge.devices.profiles.profile import DeviceProfile
from weckd_edge.devices.runtime.backends.cudart import has_gpu
from weckd_edge.devices.runtime.backends.tensorrt_backend import build_engine

if TYPE_CHECKING:
    from onnx import ModelProto

NAME = "tensorrt"
WHY_NOT_HERE = (
    "an engine runs only on the module, TensorRT and L4T that built it, because the builder times its kernels there; "
    "weckd-edge finalize builds it on the Jetson"
)


def prepare_recipe(
    onnx: FileRef,
    graph: Path,
    profile: DeviceProfile,
    folder: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    precision: Precision = "int8",
) -> BuiltModel:
    """Write the recipe by which a Jetson builds its engine, and the forms of the graph that its TensorRT may ask for.

    A form that cannot be made, or answers otherwise than the graph, is left out and the reason kept: TensorRT versions that
    need it are then refused by name.

    Args:
        onnx: The graph.
        graph: The same, where it lies.
        profile: The Jetson. A float frame is added where it lists TensorRT 8.5, and the DLA's form where it has one.
        folder: Where to write; exists.
        frames: On which the FP16 form is compared with the graph, uint8, each ``[1, H, W, 3]``.
        precision: Of the graph.

    Raises:
        DeviceError: The profile is no Jetson.
        ModelError: The graph cannot be read.
    """
    model = load_graph(graph)
    forms: list[GraphFile] = []
    left_out: dict[str, str] = {}
    detail: list[str] = []
    ranges: dict[str, float] = {}

    def write(form: Form, made: ModelProto, opset: int) -> Path:
        path = folder / f"{Path(onnx.path).stem}-{form}.onnx"
        write_atomic(path, made.SerializeToString(deterministic=True))
        forms.append(GraphFile(form=form, name=path.name, sha256=sha256_file(path), opset=opset))
        return path

    opset = opset_of(model)
    if profile.target == "jetson" and precision != "fp32":
        half = make_half_form(model, left_out)
        if half is not None:
            path = write("float16", half, opset_of(half))
            try:
                found = check_half(graph, path, frames)
            except ModelError as err:
                left_out["float16"] = str(err)
                forms.clear()
                path.unlink()
            else:
                detail.append(
                    f"FP16 form, for TensorRT 10.12 and newer: probabilities differ by {found.p95_abs:.2g} (95th percentile "
                    f"of {found.frames} frames), {found.flips} flips; largest value in FP16 {found.largest:.4g}, "
                    f"of {found.largest_tensor}"
                )
    if any(version_tuple(release.tensorrt) < (8, 6) for release in profile.tensorrt):
        try:
            write("float32-frame", take_float_frame(model), opset)
        except ModelError as err:
            left_out["float32-frame"] = str(err)
    if profile.dla_cores and precision == "int8":
        try:
            plain, ranges = take_pairs_out(model)
            write("dla", plain, opset)
        except ModelError as err:
            left_out["dla"] = str(err)
    derived = DerivedForms(graphs=tuple(forms), left_out=left_out, ranges=ranges)
    ref = write_recipe(folder, onnx, profile, forms=derived, precision=precision, opset=opset)
    by_hand = folder / TRTEXEC_FILE
    write_atomic(by_hand, describe_by_hand(read_recipe(folder / ref.path)))
    releases = ", ".join(f"{r.tensorrt} (JetPack {r.jetpack})" for r in profile.tensorrt)
    return BuiltModel(
        backend=NAME,
        backend_version="",
        precision=precision,
        kind="recipe",
        files=(ref, file_ref(folder, by_hand), *(file_ref(folder, folder / form.name) for form in forms)),
        source_sha256=onnx.sha256,
        detail=(
            WHY_NOT_HERE,
            *([f"TensorRT on this device: {releases}"] if releases else []),
            *detail,
            *_remarks(model, profile),
            *(f"form {form} is left out: {reason}" for form, reason in left_out.items()),
        ),
    )


def _remarks(model: ModelProto, profile: DeviceProfile) -> list[str]:
    """Say which rules of TensorRT the graph breaks, by the versions of the device that read this form."""
    sentences: dict[str, None] = {}
    for release in profile.tensorrt:
        if (8, 6) <= version_tuple(release.tensorrt) < (10, 12):
            for found in check_rules(model, tensorrt=release.tensorrt):
                kind = {"error": f"TensorRT {release.tensorrt} refuses", "fusion": "not fused", "advice": "advice"}
                sentences[f"{kind[found.severity]}: {found.node}: {found.rule}"] = None
    return list(sentences)


def make_half_form(model: ModelProto, left_out: dict[str, str]) -> ModelProto | None:
    """Return the FP16 form, or None with the reason put into ``left_out``."""
    try:
        return make_half(model)
    except ModelError as err:
        left_out["float16"] = str(err)
        return None


def graphs_to_prove(onnx: Path, recipe: BuiltModel, folder: Path) -> dict[str, Path]:
    """Return the graphs that a strongly typed parser and builder must accept, by form."""
    half = [folder / ref.path for ref in recipe.files if ref.path.endswith("-float16.onnx")]
    return {"float32": onnx, **({"float16": half[0]} if half else {})}


def can_build_here() -> bool:
    """Tell whether TensorRT and a GPU are present."""
    return is_installed("tensorrt") and has_gpu()


def tensorrt_version() -> str:
    """Return the version of the TensorRT that is installed."""
    return str(require("tensorrt", "build an engine").__version__)


def preflight(onnx: Path, recipe_folder: Path, progress: Progress) -> BuiltModel:
    """Build an engine for the GPU of this host and keep only that it could be built, and what its layers run in.

    Raises:
        ModelError: TensorRT refuses the graph.
        DeviceError: It is not in the recipe's table.
    """
    instructions = read_recipe(recipe_folder / RECIPE_FILE)
    form = plan_for(instructions, tensorrt_version()).graph
    graph = onnx if form.sha256 == instructions.onnx_sha256 else recipe_folder / form.name
    built = build_engine(graph, instructions, progress)
    weighted = [layer for layer in built.layers if layer.weighted]
    in_float = in_floating_point(weighted)
    return BuiltModel(
        backend=NAME,
        backend_version=tensorrt_version(),
        precision=instructions.precision,
        kind="preflight",
        files=(),
        source_sha256=sha256_file(graph),
        detail=(
            f"built for this host's own GPU ({len(built.data) / 2**20:.1f} MiB, not kept)",
            f"{len(weighted) - len(in_float)} of {len(weighted)} convolutions and matrix products run in int8"
            + (f"; in floating point: {', '.join(in_float)}" if in_float else ""),
        ),
    )
