"""The bundle's manifest, which firmware reads first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts.abstention import OperatingPoint
from weckd_edge.artifacts.base import Precision, Target
from weckd_edge.artifacts.exam import ExamRule
from weckd_edge.artifacts.frame import InputSpec
from weckd_edge.artifacts.models import BuiltModel
from weckd_edge.artifacts.selection import Gate
from weckd_edge.core.store import SCHEMA_VERSION, FileRef


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenFrames:
    """Frames of the self-test on the device; what they must give stands with each model.

    Attributes:
        frames: ``.npy`` file of the frames: uint8 ``[N, height, width, 3]``.
        reference: Backend, precision and version of the deployed model, whose predictions chose the frames.
    """

    frames: FileRef
    reference: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenTest:
    """What the golden frames must give with one model.

    Attributes:
        backend: Name of the backend that runs the model.
        precision: Precision of the model.
        expected: ``.npy`` file of the expected probabilities: float32 ``[N, classes]``.
        tolerance: Largest accepted difference of a probability, 0..0.5.
    """

    backend: str
    precision: Precision
    expected: FileRef
    tolerance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenSet:
    """The golden frames with a test for each model of the bundle.

    Attributes:
        golden: The frames.
        tests: What they must give with each model.
        schema_version: Schema version of this record.
    """

    golden: GoldenFrames
    tests: tuple[GoldenTest, ...]
    schema_version: int = SCHEMA_VERSION


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
        operating_point: How the probabilities of one frame become a decision.
        exam: How the frames of an examination become one decision.
        models: Everything that a device may run, the host's choice first and the others by the host's measured time; and the
            recipe from which a device builds its own.
        onnx: The ONNX graph of the deployed model.
        onnx_precision: Precision of the ONNX graph; an int8 model may also be made from an FP32 graph.
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
    exam: ExamRule
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
