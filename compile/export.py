"""From a trained network to one ONNX graph: a uint8 camera frame in, probabilities out, preprocessing inside.

The only module of ``compile`` that imports torch. The exporter is the TorchScript one (``dynamo=False``): its opset-17
graphs are what both the TensorRT of JetPack 5 and 6 and OpenVINO read.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from weckd_edge.artifacts import ExportedModel, InputContract
from weckd_edge.compile.graph import INPUT_NAME, NETWORK_INPUT_NAME, OPSET, OUTPUT_NAME, clean_up, preprocessing_nodes
from weckd_edge.errors import ModelError
from weckd_edge.optional import require
from weckd_edge.store import file_ref, write_atomic

if TYPE_CHECKING:
    from onnx import ModelProto

ONNX_FILE = "model.onnx"


class Preprocess(torch.nn.Module):
    """What stands between a camera frame and the network, as ``InputContract`` describes it.

    Args:
        contract: Frame size, crop, network size and normalisation.
    """

    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, contract: InputContract) -> None:
        super().__init__()
        self.contract = contract
        mean, std = torch.tensor(contract.mean), torch.tensor(contract.std)
        self.register_buffer("scale", (1.0 / (255.0 * std)).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("bias", (-mean / std).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Turn frames, uint8 RGB ``[B, frame_height, frame_width, 3]``, into float32 ``[B, 3, S, S]``, normalised."""
        contract = self.contract
        # Cast comes first: TensorRT's parser refuses to transpose a uint8 tensor.
        x = frames.to(torch.float32).permute(0, 3, 1, 2)
        height, width = contract.frame_height, contract.frame_width
        if contract.crop == "center" and height != width:
            axis, side = (2, height), width
            if width > height:
                axis, side = (3, width), height
            x = x.narrow(axis[0], (axis[1] - side) // 2, side)
            height = width = side
        size = (contract.input_size, contract.input_size)
        if (height, width) != size:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=False)
        return x * self.scale + self.bias


class FrameModel(torch.nn.Module):
    """Preprocessing, network and softmax as one module.

    Args:
        network: Takes normalised float32 ``[B, 3, S, S]``, gives logits ``[B, classes]``.
        contract: The frame it will see.
    """

    def __init__(self, network: torch.nn.Module, contract: InputContract) -> None:
        super().__init__()
        self.preprocess = Preprocess(contract)
        self.network = network

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """Turn frames, uint8 RGB ``[B, frame_height, frame_width, 3]``, into probabilities ``[B, classes]``."""
        probabilities: torch.Tensor = torch.softmax(self.network(self.preprocess(frame)), dim=1)
        return probabilities


class _TwoOutputs(torch.nn.Module):
    """``FrameModel`` that also hands out the network's input, which gives that tensor its name in the graph."""

    def __init__(self, model: FrameModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        network_input = self.model.preprocess(frame)
        return torch.softmax(self.model.network(network_input), dim=1), network_input


def export_onnx(
    network: torch.nn.Module,
    contract: InputContract,
    labels: tuple[str, ...],
    link_sha256: str,
    folder: Path,
) -> ExportedModel:
    """Write ``model.onnx`` into ``folder``: batch 1, opset 17, batch norms folded into convolutions.

    Args:
        network: Takes normalised float32 ``[B, 3, S, S]``, gives logits ``[B, classes]``; it is put into evaluation mode.
        contract: The frame the graph takes.
        labels: Class names in the order of the network's outputs.
        link_sha256: Digest of the weights.
        folder: Where to write; exists.

    Returns:
        The artefact, its path relative to ``folder``.

    Raises:
        ModelError: The network does not fit the contract or the labels, or holds an operator that ONNX cannot express.
    """
    onnx = require("onnx", "export a network")
    model = FrameModel(network, contract).eval()
    frame = torch.zeros(1, contract.frame_height, contract.frame_width, 3, dtype=torch.uint8)
    _check_output(model, frame, len(labels))
    proto = clean_up(onnx.load_from_string(_trace(_TwoOutputs(model).eval(), frame, [OUTPUT_NAME, NETWORK_INPUT_NAME])))
    preprocessing_nodes(proto.graph)
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


def preprocessing_graph(contract: InputContract) -> ModelProto:
    """Return what stands before a network as a graph of its own, from ``frame`` to ``network_input``."""
    onnx = require("onnx", "export a network")
    frame = torch.zeros(1, contract.frame_height, contract.frame_width, 3, dtype=torch.uint8)
    model: ModelProto = onnx.load_from_string(_trace(Preprocess(contract).eval(), frame, [NETWORK_INPUT_NAME]))
    return model


def _check_output(model: FrameModel, frame: torch.Tensor, classes: int) -> None:
    try:
        with torch.inference_mode():
            shape = tuple(model(frame).shape)
    except (RuntimeError, TypeError, ValueError, IndexError) as err:
        side = model.preprocess.contract.input_size
        reason = str(err).splitlines()[0]
        raise ModelError(
            f"{_name(model.network)}: it cannot run on float32 [1, 3, {side}, {side}] ({reason}); "
            "give it the input_size it was made for"
        ) from err
    if shape != (1, classes):
        raise ModelError(
            f"{_name(model.network)}: expected one logit for each of {classes} labels, [1, {classes}], got {list(shape)}"
        )


def _trace(model: torch.nn.Module, frame: torch.Tensor, outputs: list[str]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter is chosen on purpose (see the module's docstring); the shapes it warns of are constants here.
        warnings.filterwarnings("ignore", message=".*legacy TorchScript-based ONNX export", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*[Cc]onstant folding", category=UserWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]  # not in its __all__
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.(onnx|jit)\..*")
        try:
            torch.onnx.export(
                model,
                (frame,),
                buffer,  # type: ignore[arg-type]  # the legacy exporter takes a file object
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=outputs,
            )
        except (torch.onnx.errors.UnsupportedOperatorError, torch.onnx.errors.SymbolicValueError) as err:
            raise ModelError(
                f"the network holds an operator that ONNX opset {OPSET} cannot express: {str(err).splitlines()[0]} "
                "Choose a model without it"
            ) from err
        except RuntimeError as err:
            raise ModelError(f"the network cannot be exported to ONNX: {str(err).splitlines()[0]}") from err
    return buffer.getvalue()


def _name(network: torch.nn.Module) -> str:
    return type(network).__name__
