"""The bundle's manifest: what a device reads first."""

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
    """Frames with the predictions they must give, for a self-test on the device.

    Attributes:
        frames: uint8 ``[N, height, width, 3]`` as a ``.npy`` file.
        expected: float32 ``[N, classes]`` as a ``.npy`` file: the predictions of the reference backend.
        reference: Which backend, version and precision gave them.
        tolerance: Largest difference of a probability allowed, per backend name: 0 to 0.5.
    """

    frames: FileRef
    expected: FileRef
    reference: str
    tolerance: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a bundle holds: the file ``manifest.json`` that firmware reads first.

    Attributes:
        name: Of the bundle.
        target: ``cpu`` or ``jetson``.
        device: Id of the device profile it was built for.
        labels: Class names in output order.
        input: The camera frame, and the network's input.
        input_name: Name of the graph's input.
        network_input_name: Name of the tensor between preprocessing and network.
        output_name: Name of the graph's output.
        operating_point: How a decision is made.
        models: What each backend runs, or builds on the device.
        onnx: The graph, source of every engine.
        onnx_precision: Of that graph: what OpenVINO runs may be int8 of another make, from a graph in FP32.
        selftest: Golden frames.
        gates: Every limit with its verdict.
        passed: True when no gate failed.
        synthetic: True when the training data were synthetic images.
        files: Every file of the bundle but the manifest and the signature.
        versions: Of this software and of the libraries that made the bundle.
        manifest_sha256: SHA-256 of the bytes of ``manifest.json`` itself with this value written as 64 zeros; filled in when
            the bundle is sealed. It finds a damaged manifest in a bundle without a signature.
        guard: The frame guard, a ``FrameGuard`` as JSON; None: every frame is given to the network.
        version: Of the bundle's content, for firmware that never goes back to a lower one; 0: it has none. It is worth as
            much as the signature over it.
        schema_version: Of the bundle's format.
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
