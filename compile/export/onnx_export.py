"""Export a trained network as one ONNX graph: a uint8 camera frame, or its resized pixels, in; probabilities out.

It uses the TorchScript exporter (``dynamo=False``), whose opset-17 graphs are what both the TensorRT of JetPack 5 and 6 and
OpenVINO read.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from weckd_edge.artifacts import ExportedModel, InputSpec, crop_box
from weckd_edge.compile.export.filter_form import FilterResize
from weckd_edge.compile.export.preprocess_graph import fold_scale
from weckd_edge.compile.graph import (
    NETWORK_INPUT_NAME,
    OPSET,
    OUTPUT_NAME,
    check_graph,
    clean_up,
    preprocessing_nodes,
)
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import file_ref, write_atomic
from weckd_edge.devices.images.filters import FILTERS

if TYPE_CHECKING:
    from onnx import ModelProto

ONNX_FILE = "model.onnx"


class Preprocess(torch.nn.Module):
    """The graph's part of the preprocessing, to the network's input: what ``InputSpec`` describes, but for the front end.

    Args:
        spec: The frame, and the network's input.
        cast_first: Whether the whole frame is cast to floating point before pixels are taken from it. TensorRT's parser asks
            for that; a processor is several times as fast where only the taken pixels are cast. The pixels are the same.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, spec: InputSpec, *, cast_first: bool = False) -> None:
        super().__init__()
        self.spec = spec
        self.cast_first = cast_first
        self.register_buffer("mean", _channels(255 * v for v in spec.network.mean), persistent=False)
        self.register_buffer("scale", _channels(1 / (255 * v) for v in spec.network.std), persistent=False)
        if spec.frame.resize in FILTERS:
            self.filter = FilterResize(spec)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Preprocess what the graph takes, uint8 RGB ``[B, rows, columns, 3]``, to normalised float32 ``[B, 3, S, T]``."""
        ways = {"area": _planes, "bilinear": self._bilinear}
        resized = ways.get(self.spec.frame.resize, self._filtered)
        return (resized(frames) - self.mean) * self.scale

    def _filtered(self, frames: torch.Tensor) -> torch.Tensor:
        levels: torch.Tensor = self.filter(frames.to(torch.float32) if self.cast_first else frames)
        return levels

    def _bilinear(self, frames: torch.Tensor) -> torch.Tensor:
        x = _planes(frames)
        top, left, height, width = crop_box(self.spec.frame)
        if height < self.spec.frame.height:
            x = x.narrow(2, top, height)
        if width < self.spec.frame.width:
            x = x.narrow(3, left, width)
        size = self.spec.network.size
        if (height, width) != size:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=False)
        return x


def _planes(pixels: torch.Tensor) -> torch.Tensor:
    # Cast comes first: TensorRT's parser refuses to transpose a uint8 tensor.
    return pixels.to(torch.float32).permute(0, 3, 1, 2)


def _channels(values: Iterable[float]) -> torch.Tensor:
    """Return one value for each channel, or a single one where all are equal: OpenVINO then works pixel after pixel."""
    three = torch.tensor(list(values))
    return three[0] if bool((three == three[0]).all()) else three.reshape(1, 3, 1, 1)


class FrameModel(torch.nn.Module):
    """Preprocessing, network and softmax as one module.

    Args:
        network: Module from normalised float32 ``[B, 3, S, T]`` to logits ``[B, classes]``.
        spec: The frame, and the network's input.
        cast_first: Whether the whole frame is cast to floating point first, as for ``Preprocess``.
    """

    def __init__(self, network: torch.nn.Module, spec: InputSpec, *, cast_first: bool = False) -> None:
        super().__init__()
        self.preprocess = Preprocess(spec, cast_first=cast_first)
        self.network = network

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """Predict probabilities ``[B, classes]`` from what the graph takes, uint8 RGB ``[B, rows, columns, 3]``."""
        probabilities: torch.Tensor = torch.softmax(self.network(self.preprocess(frame)), dim=1)
        return probabilities


class _TwoOutputs(torch.nn.Module):
    """``FrameModel`` that also returns the network's input, which gives that tensor its name in the graph."""

    def __init__(self, model: FrameModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        network_input = self.model.preprocess(frame)
        return torch.softmax(self.model.network(network_input), dim=1), network_input


def export_onnx(
    network: torch.nn.Module,
    spec: InputSpec,
    labels: tuple[str, ...],
    link_sha256: str,
    folder: Path,
    *,
    cast_first: bool = False,
) -> ExportedModel:
    """Write ``model.onnx`` into ``folder``: batch 1, opset 17, batch norms and scales folded into convolutions.

    Args:
        network: Module from normalised float32 ``[B, 3, S, T]`` to logits ``[B, classes]``; it is put into evaluation mode.
        spec: The frame, and the network's input.
        labels: Class names in the order of the network's outputs.
        link_sha256: Digest of the weights.
        folder: Folder to write to; exists.
        cast_first: Whether to write the form that TensorRT reads, which is slower on a processor.

    Returns:
        Record of the graph, its path relative to ``folder``.

    Raises:
        ModelError: The network does not fit its input or the labels, or holds an operator that ONNX cannot express.
    """
    onnx = require("onnx", "export a network")
    model = FrameModel(network, spec, cast_first=cast_first).eval()
    _check_output(model, len(labels))
    proto = clean_up(onnx.load_from_string(_trace(_TwoOutputs(model).eval(), spec, [OUTPUT_NAME, NETWORK_INPUT_NAME])))
    preprocessing_nodes(proto.graph)
    fold_scale(proto)
    check_graph(proto)
    return write_graph(proto, spec, labels, link_sha256, folder)


def write_graph(
    proto: ModelProto, spec: InputSpec, labels: tuple[str, ...], link_sha256: str, folder: Path, *, quantized: bool = False
) -> ExportedModel:
    """Write a graph from frame to probabilities, and return its record.

    Args:
        proto: The graph, with the names of inputs and outputs that this module gives.
        spec: The frame, and the network's input.
        labels: Class names, in the order of its output.
        link_sha256: Digest of the weights that the graph was made from.
        folder: Folder to write to; exists.
        quantized: Whether the graph was imported quantized, so that no FP32 form of it exists.
    """
    path = folder / ONNX_FILE
    write_atomic(path, proto.SerializeToString(deterministic=True))
    return ExportedModel(
        onnx=file_ref(folder, path),
        opset=OPSET,
        input_name=spec.graph_input_name,
        network_input_name=NETWORK_INPUT_NAME,
        output_name=OUTPUT_NAME,
        input=spec,
        labels=labels,
        link_sha256=link_sha256,
        quantized=quantized,
    )


def preprocessing_graph(spec: InputSpec, *, cast_first: bool = False) -> ModelProto:
    """Return the graph's part of the preprocessing as a graph of its own, to ``network_input``."""
    onnx = require("onnx", "export a network")
    preprocess = Preprocess(spec, cast_first=cast_first).eval()
    model: ModelProto = onnx.load_from_string(_trace(preprocess, spec, [NETWORK_INPUT_NAME]))
    return model


def _empty_input(spec: InputSpec) -> torch.Tensor:
    return torch.zeros(spec.graph_shape, dtype=torch.uint8)


def _check_output(model: FrameModel, classes: int) -> None:
    try:
        with torch.inference_mode():
            shape = tuple(model(_empty_input(model.preprocess.spec)).shape)
    except (RuntimeError, TypeError, ValueError, IndexError) as err:
        height, width = model.preprocess.spec.network.size
        reason = first_line(err)
        raise ModelError(
            f"{_name(model.network)}: it cannot run on float32 [1, 3, {height}, {width}] ({reason}); "
            "give it the input_size it was made for",
            code="E_MODEL_INPUT_SIZE",
        ) from err
    if shape != (1, classes):
        raise ModelError(
            f"{_name(model.network)}: expected one logit for each of {classes} labels, [1, {classes}], got {list(shape)}",
            code="E_MODEL_OUTPUT",
        )


def _trace(model: torch.nn.Module, spec: InputSpec, outputs: list[str]) -> bytes:
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
                (_empty_input(spec),),
                buffer,  # type: ignore[arg-type]  # the legacy exporter takes a file object
                dynamo=False,
                opset_version=OPSET,
                input_names=[spec.graph_input_name],
                output_names=outputs,
            )
        except (torch.onnx.errors.UnsupportedOperatorError, torch.onnx.errors.SymbolicValueError) as err:
            raise ModelError(
                f"the network holds an operator that ONNX opset {OPSET} cannot express: {first_line(err)} "
                "Choose a model without it",
                code="E_MODEL_EXPORT",
            ) from err
        except RuntimeError as err:
            raise ModelError(f"the network cannot be exported to ONNX: {first_line(err)}", code="E_MODEL_EXPORT") from err
    return buffer.getvalue()


def _name(network: torch.nn.Module) -> str:
    return type(network).__name__
