"""Try torch-tensorrt where CUDA is present: it converts the network itself into an engine, without ONNX between.

For a plain network it adds nothing to the ONNX path and needs torch on the machine that builds, so no engine of its making
is deployed: a build for a Jetson tries it where it can, and reports how it went. The network runs in the type its weights
have; for int8, quantize the ONNX graph. Not yet run: no GPU was at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weckd_edge.artifacts import BuiltModel, InputSpec
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import is_installed, require
from weckd_edge.devices.runtime.backends.cudart import has_gpu

if TYPE_CHECKING:
    from torch.nn import Module

NAME = "torch-tensorrt"
_PURPOSE = "build an engine from the torch network"


def can_build_here() -> bool:
    """Tell whether torch-tensorrt and a GPU are present."""
    return is_installed("torch_tensorrt") and has_gpu()


def preflight(network: Module, spec: InputSpec, weights_sha256: str) -> BuiltModel:
    """Build an engine from the torch network for this host's GPU, and report only whether it could be built.

    Args:
        network: Module from normalised ``[1, 3, S, S]`` to logits ``[1, classes]``.
        spec: The frame that the engine takes, ``[1, height, width, 3]``, and the network's input.
        weights_sha256: Digest of the network's weights.
    """
    try:
        size = len(build_torch_tensorrt_engine(network, spec)) / 2**20
        found = f"built for this host's own GPU from the torch network ({size:.1f} MiB, not kept)"
    except ModelError as err:  # another way to the same end: that it is closed stops nothing
        found = str(err)
    return BuiltModel(
        backend=NAME,
        backend_version=str(require("torch_tensorrt", _PURPOSE).__version__),
        precision="fp32",
        kind="preflight",
        files=(),
        source_sha256=weights_sha256,
        detail=(found,),
    )


def build_torch_tensorrt_engine(network: Module, spec: InputSpec, *, workspace_mib: int = 512) -> bytes:
    """Build an engine for this machine's GPU, from a uint8 frame to probabilities.

    Args:
        network: Module from normalised ``[1, 3, S, S]`` to logits ``[1, classes]``.
        spec: The frame that the engine takes, ``[1, height, width, 3]``, and the network's input.
        workspace_mib: Largest scratch memory a layer may use.

    Returns:
        The serialized engine, as TensorRT's runtime loads it; valid for this GPU and the TensorRT of torch-tensorrt alone.

    Raises:
        ModelError: torch or TensorRT cannot convert the network as a whole.
        MissingDependency: The extra ``torch-tensorrt`` is not installed.
    """
    library: Any = require("torch_tensorrt", _PURPOSE)
    torch: Any = require("torch", _PURPOSE)
    from weckd_edge.compile.export.onnx_export import FrameModel

    model = FrameModel(network, spec).eval().cuda()
    frame = torch.zeros(1, spec.frame.height, spec.frame.width, 3, dtype=torch.uint8, device="cuda")
    try:
        exported = torch.export.export(model, (frame,))
        engine = library.dynamo.convert_exported_program_to_serialized_trt_engine(
            exported, arg_inputs=(frame,), workspace_size=workspace_mib << 20
        )
    except Exception as err:  # both libraries raise whatever their parts raise
        reason = str(err).strip().splitlines()
        raise ModelError(
            f"torch-tensorrt cannot convert this network ({reason[0] if reason else type(err).__name__})",
            code="E_MODEL_BACKEND_BUILD",
        ) from err
    return bytes(engine)
