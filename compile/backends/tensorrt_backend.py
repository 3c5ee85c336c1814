"""Write the recipe for a Jetson's TensorRT, and try a build where this host has a GPU with TensorRT.

The trial build has never been run: no GPU with TensorRT was at hand yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import BuiltModel, FileRef, InputSpec, Precision
from weckd_edge.compile.backends.tensorrt_forms import write_forms
from weckd_edge.compile.graph import load_graph, opset_of
from weckd_edge.compile.quantize.qdq_rules import check_rules
from weckd_edge.core.optional_imports import is_installed, require
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import file_ref, sha256_file, write_atomic
from weckd_edge.devices.jetson.engine_layers import in_floating_point
from weckd_edge.devices.jetson.recipe import RECIPE_FILE, plans_for, read_recipe, write_recipe
from weckd_edge.devices.jetson.trtexec import TRTEXEC_FILE, describe_by_hand
from weckd_edge.devices.jetson.version_rules import version_tuple
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
    spec: InputSpec,
    *,
    precision: Precision = "int8",
) -> BuiltModel:
    """Write the recipe by which a Jetson builds its engine, and the forms of the graph that its TensorRT may ask for.

    A form that cannot be made, or predicts otherwise than the graph, is left out and the reason kept: TensorRT versions
    that need it are then refused by name.

    Args:
        onnx: Record of the graph's file.
        graph: Path of that file.
        profile: The Jetson, whose TensorRT versions and DLA say which forms are written.
        folder: Folder to write to; exists.
        frames: Frames that the FP16 form is compared with the graph on, as the graph takes them, uint8.
        spec: The frame, and the network's input.
        precision: Precision of the graph.

    Raises:
        DeviceError: The profile is no Jetson.
        ModelError: The graph cannot be read.
    """
    forms, remarks = write_forms(graph, profile, folder, frames, precision, spec)
    model = load_graph(graph)
    ref = write_recipe(folder, onnx, profile, forms=forms, precision=precision, opset=opset_of(model))
    by_hand = folder / TRTEXEC_FILE
    write_atomic(by_hand, describe_by_hand(read_recipe(folder / ref.path)))
    releases = ", ".join(f"{r.tensorrt} (JetPack {r.jetpack})" for r in profile.tensorrt)
    return BuiltModel(
        backend=NAME,
        backend_version="",
        precision=precision,
        kind="recipe",
        files=(
            ref,
            file_ref(folder, by_hand),
            *(file_ref(folder, folder / form.name) for form in forms.graphs),
            *([forms.front_end] if forms.front_end is not None else []),
        ),
        source_sha256=onnx.sha256,
        detail=(
            WHY_NOT_HERE,
            *([f"TensorRT on this device: {releases}"] if releases else []),
            *remarks,
            *_remarks(model, profile),
            *(f"form {form} is left out: {reason}" for form, reason in forms.left_out.items()),
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
    """Build an engine for this host's GPU and report that it could be built and in what type its layers run.

    Raises:
        ModelError: TensorRT refuses the graph.
        DeviceError: The recipe's table does not hold the version of this TensorRT.
    """
    instructions = read_recipe(recipe_folder / RECIPE_FILE)
    plan = plans_for(instructions, tensorrt_version())[0]
    graph = onnx if plan.graph.sha256 == instructions.onnx_sha256 else recipe_folder / plan.graph.name
    built = build_engine(graph, instructions, plan, progress)
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
