"""The bundle's manifest, which firmware reads first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts.abstention import OperatingPoint
from weckd_edge.artifacts.base import Target
from weckd_edge.artifacts.frame import InputSpec
from weckd_edge.artifacts.models import BuiltModel
from weckd_edge.artifacts.selection import Gate
from weckd_edge.core.store import SCHEMA_VERSION, FileRef


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenFrames:
    """Frames with the predictions they must give: the self-test on the device.

    Attributes:
        frames: ``.npy`` file of the frames: uint8 ``[N, height, width, 3]``.
        expected: ``.npy`` file of the expected probabilities: float32 ``[N, classes]``, from the reference backend.
        reference: Backend, version and precision that gave the expected probabilities.
        tolerance: Largest accepted difference of a probability for each backend, 0..0.5.
    """

    frames: FileRef
    expected: FileRef
    reference: str
    tolerance: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The file ``manifest.json``: the bundle's contents, which firmware reads first.

    Attributes:
        name: Name of the bundle.
        target: Kind of device: ``cpu`` or ``jetson``.
        device: Id of the device profile that the bundle was built for.
        labels: Class names in output order.
        input: The camera frame and the network's input.
        input_name: Name of the graph's input.
        network_input_name: Name of the tensor between preprocessing and network.
        output_name: Name of the graph's output.
        operating_point: How probabilities become a decision.
        models: One entry for each backend: the model that it runs, or the recipe to build it on the device.
        onnx: The ONNX graph, source of every backend's model.
        onnx_precision: Precision of the ONNX graph; a backend's int8 model may also be made from an FP32 graph.
        selftest: Golden frames of the self-test.
        gates: Every gate with its limit, value and verdict.
        passed: Whether no gate failed.
        synthetic: Whether the training images were synthetic.
        files: Every file of the bundle except the manifest and the signature.
        versions: Versions of weckd-edge and of the libraries that made the bundle.
        manifest_sha256: SHA-256 of ``manifest.json`` with this value written as 64 zeros, hexadecimal; filled in when the
            bundle is sealed. It finds a damaged manifest in a bundle without a signature.
        guard: Input guard, a ``FrameGuard`` as JSON; None: the network sees every frame.
        version: Version of the bundle's content, for firmware that never returns to a lower one; 0: it has none. Only a
            signature protects it.
        schema_version: Version of the bundle format.
    """

    name: str
    target: Target
    device: str
    labels: tuple[str, ...]
    input: InputSpec
    input_name: str
    network_input_name: str
    output_name: str
    operating_point: OperatingPoint
    models: tuple[BuiltModel, ...]
    onnx: FileRef
    selftest: GoldenFrames
    gates: tuple[Gate, ...]
    passed: bool
    synthetic: bool
    files: tuple[FileRef, ...]
    versions: dict[str, str]
    manifest_sha256: str = ""
    onnx_precision: Literal["int8", "fp32"] = "int8"
    guard: FileRef | None = None
    version: int = 0
    schema_version: int = SCHEMA_VERSION
