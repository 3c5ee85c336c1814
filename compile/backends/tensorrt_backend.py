"""TensorRT's side of a build: the recipe for the Jetson, and a trial build where a GPU with TensorRT is at hand.

The trial has not been run: no GPU with TensorRT was at hand yet.
"""

from __future__ import annotations

from pathlib import Path

from weckd_edge.artifacts import BuiltModel, FileRef
from weckd_edge.compile.graph import OPSET
from weckd_edge.devices.backends.cudart import load_cuda_runtime
from weckd_edge.devices.backends.tensorrt_backend import build_engine
from weckd_edge.devices.profile import DeviceProfile
from weckd_edge.devices.recipe import RECIPE_FILE, read_recipe, write_recipe
from weckd_edge.errors import WeckdError
from weckd_edge.optional import is_installed, require
from weckd_edge.progress import Progress
from weckd_edge.store import sha256_file

NAME = "tensorrt"
WHY_NOT_HERE = (
    "an engine runs only on the module, TensorRT and L4T that built it, because the builder times its kernels there; "
    "weckd-edge finalize builds it on the Jetson"
)


def recipe(onnx: FileRef, profile: DeviceProfile, folder: Path) -> BuiltModel:
    """Write the recipe by which a Jetson builds its engine.

    Args:
        onnx: The quantized graph.
        profile: The Jetson.
        folder: Where to write; exists.

    Raises:
        DeviceError: The profile is no Jetson.
    """
    ref = write_recipe(folder, onnx, profile, precision="int8", opset=OPSET)
    releases = ", ".join(f"{r.tensorrt} (JetPack {r.jetpack})" for r in profile.tensorrt)
    return BuiltModel(
        backend=NAME,
        backend_version="",
        precision="int8",
        kind="recipe",
        files=(ref,),
        source_sha256=onnx.sha256,
        detail=(WHY_NOT_HERE, *([f"TensorRT on this device: {releases}"] if releases else [])),
    )


def can_build_here() -> bool:
    """Tell whether TensorRT and a GPU are present."""
    if not is_installed("tensorrt"):
        return False
    try:
        load_cuda_runtime().compute_capability()
    except WeckdError:
        return False
    return True


def version() -> str:
    """Return the version of the TensorRT that is installed."""
    return str(require("tensorrt", "build an engine").__version__)


def preflight(onnx: Path, recipe_folder: Path, progress: Progress) -> BuiltModel:
    """Build an engine for the GPU of this host and keep only that it could be built.

    Raises:
        ModelError: TensorRT refuses the graph.
        DeviceError: It is older than the recipe asks for.
    """
    engine = build_engine(onnx, read_recipe(recipe_folder / RECIPE_FILE), progress)
    return BuiltModel(
        backend=NAME,
        backend_version=version(),
        precision="int8",
        kind="preflight",
        files=(),
        source_sha256=sha256_file(onnx),
        detail=(f"built for this host's own GPU ({len(engine) / 2**20:.1f} MiB, not kept)",),
    )
