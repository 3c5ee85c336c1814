"""A link's graph: exported, in every precision that was tried, built, recalibrated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weckd_edge.artifacts.base import Precision, Rate
from weckd_edge.artifacts.chain import Link
from weckd_edge.artifacts.frame import InputSpec
from weckd_edge.core.store import SCHEMA_VERSION, FileRef


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedModel:
    """One ONNX graph from a uint8 RGB frame to probabilities ``[1, classes]`` float32.

    Attributes:
        onnx: The graph.
        opset: ONNX operator set.
        input_name: Name of the frame input.
        network_input_name: Name of the tensor between preprocessing and network, where a bench of the network alone cuts.
        output_name: Name of the probabilities.
        input: The camera frame, and the network's input.
        labels: Class names.
        link_sha256: Digest of the weights it was made from.
        quantized: Whether a user brought it quantized already, so that nothing of it is there in FP32.
        schema_version: Of this record.
    """

    onnx: FileRef
    opset: int
    input_name: str
    network_input_name: str
    output_name: str
    input: InputSpec
    labels: tuple[str, ...]
    link_sha256: str
    quantized: bool = False
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizedModel:
    """The same graph with explicit symmetric int8 Q/DQ nodes.

    Attributes:
        onnx: The graph.
        method: How activation ranges were found; ``imported`` where the graph is the user's own, quantized already.
        calibration_images: How many training images they were found on; 0 of the user's own.
        calibration_sha256: Digest of the sorted pixel digests of those images; ``""`` of the user's own.
        quantized_nodes: Names of the operators that read quantized inputs.
        float_nodes: Names of the network's convolutions and matrix products left in floating point.
        source_sha256: Digest of the FP32 graph.
        schema_version: Of this record.
    """

    onnx: FileRef
    method: str
    calibration_images: int
    calibration_sha256: str
    quantized_nodes: tuple[str, ...]
    float_nodes: tuple[str, ...]
    source_sha256: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltModel:
    """What one backend made of the graph, or the recipe from which the device will make it.

    Attributes:
        backend: ``openvino``, ``tensorrt`` or ``tensorrt-rtx``.
        backend_version: Of the library that built it; ``""`` for a recipe.
        precision: ``int8`` or ``fp32``.
        kind: ``model`` runs as it is, ``recipe`` is built on the device, ``preflight`` only proves that a parser and builder
            accept the graph.
        files: Its files.
        source_sha256: Digest of the ONNX graph it came from.
        detail: Findings in words: layers, sizes, what was refused.
        settings: With what the runtime must open it to answer as it was verified; its own names for them.
        schema_version: Of this record.
    """

    backend: str
    backend_version: str
    precision: str
    kind: Literal["model", "recipe", "preflight"]
    files: tuple[FileRef, ...]
    source_sha256: str
    detail: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizationTrial:
    """One precision that was tried for the graph.

    Attributes:
        name: Such as ``int8 minmax``.
        precision: Of the network.
        method: How int8 ranges were found; ``imported`` for a user's own int8; None for the others.
        float_nodes: Layers with weights that an int8 graph leaves in floating point, because they hurt the predictions most.
        unsupported_nodes: Operators that it leaves in floating point because a backend refuses them in int8.
        accuracy: On the validation images; None where it could not be made.
        net_lost: Validation images that FP32 answers rightly and this one does not, less the opposite.
        divergence: Mean Kullback-Leibler divergence of its predictions from FP32's on the validation images, nats.
        bytes: Size of what would ship.
        median_ns: End-to-end latency; None where it was not timed.
        relative_time: Its time divided by FP32's, both timed in turn; the median over rounds.
        relative_low: First quartile of the rounds.
        relative_high: Third quartile.
        within_limits: Whether it keeps to the limits.
        note: Why it does not, or why it could not be made; ``""`` where there is nothing to say.
    """

    name: str
    precision: Precision
    method: str | None
    float_nodes: tuple[str, ...] = ()
    unsupported_nodes: tuple[str, ...] = ()
    accuracy: Rate | None = None
    net_lost: int | None = None
    divergence: float | None = None
    bytes: int | None = None
    median_ns: int | None = None
    relative_time: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    within_limits: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionSelection:
    """Which precision ships, out of those that were tried, and why.

    Attributes:
        trials: FP32 first.
        chosen: Name of the one that is deployed.
        reason: In a sentence.
        images: Validation images it was judged on; calibration never saw them.
        timed_on: The machine whose times decided; None where none were taken.
        precision: Of what is deployed.
        onnx: Its graph.
        quantized: How that graph was quantized; None where it was not.
        built: What is deployed, where it was built for the trial already.
        quantize_aware_link: The last link as it was trained further for int8, where the graph was made from that one.
        schema_version: Of this record.
    """

    trials: tuple[QuantizationTrial, ...]
    chosen: str
    reason: str
    images: int
    timed_on: str | None
    precision: Precision
    onnx: FileRef
    quantized: QuantizedModel | None
    built: BuiltModel | None
    quantize_aware_link: Link | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalibration:
    """The temperature that the logits are divided by, found on validation images.

    Attributes:
        temperature: The logits are divided by it, inside the graph; 1 changes nothing.
        unshrunk: What fits the validation images best, before the pull towards 1 that few images call for.
        val_images: Validation images it was found on.
        val_groups: Independent groups among them.
        val_nll_before: Negative log likelihood of the validation labels as it was, nat.
        val_nll_after: The same with the temperature.
        predicted_by: Which implementation answered them: what is deployed.
        note: What to know about it, in words.
    """

    temperature: float
    unshrunk: float
    val_images: int
    val_groups: int
    val_nll_before: float
    val_nll_after: float
    predicted_by: str
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RecalibratedModel:
    """The quantized graph with a temperature in front of its last Softmax.

    Attributes:
        onnx: The graph; where the temperature is 1, the very bytes it was made from.
        recalibration: The temperature, and how it was found.
        source_sha256: Digest of the graph without the temperature.
        built: What is deployed, with the temperature inside, where it is built here.
        schema_version: Of this record.
    """

    onnx: FileRef
    recalibration: Recalibration
    source_sha256: str
    built: BuiltModel | None
    schema_version: int = SCHEMA_VERSION
