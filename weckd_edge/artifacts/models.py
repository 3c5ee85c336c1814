"""Models of a link: exported, quantized, built for a backend, recalibrated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weckd_edge.artifacts.base import Precision, Rate
from weckd_edge.artifacts.chain import Link
from weckd_edge.artifacts.frame import InputSpec
from weckd_edge.core.store import SCHEMA_VERSION, FileRef


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedModel:
    """One ONNX graph from a uint8 RGB frame to probabilities, float32 ``[1, classes]``.

    Attributes:
        onnx: The ONNX file.
        opset: Version of the ONNX operator set.
        input_name: Name of the frame input.
        network_input_name: Name of the tensor between preprocessing and network, where a benchmark of the network alone
            cuts.
        output_name: Name of the output, the probabilities.
        input: The camera frame and the network's input.
        labels: Class names, in output order.
        link_sha256: SHA-256 of the weights that the graph was made from, hexadecimal.
        quantized: Whether an imported model was quantized already, so that it has no FP32 version.
        schema_version: Schema version of this record.
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
    """An exported graph with explicit symmetric int8 Q/DQ nodes.

    Attributes:
        onnx: The ONNX file.
        method: How activation ranges were estimated; ``imported`` for an imported int8 model.
        calibration_images: Number of training images for range estimation; 0 for an imported int8 model.
        calibration_sha256: SHA-256 of the sorted pixel digests of those images, hexadecimal; ``""`` for an imported int8
            model.
        quantized_nodes: Names of the operators with quantized inputs.
        float_nodes: Names of the network's convolutions and matrix products that stay in floating point.
        source_sha256: SHA-256 of the FP32 graph, hexadecimal.
        schema_version: Schema version of this record.
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
    """A model that one backend runs, with its own proof, or the recipe from which the device makes it.

    Attributes:
        backend: Name of the backend: ``openvino``, ``onnxruntime``, ``litert``, ``tensorrt`` or ``tensorrt-rtx``.
        backend_version: Version of the library that built the model, or ran it on the host; ``""`` for a recipe.
        precision: ``int8``, ``fp16`` or ``fp32``; a bundle holds at most one model of a backend in each.
        kind: ``model`` runs as it is; ``recipe`` is built on the device; ``preflight`` only proves that a parser and builder
            accept the graph.
        files: Files of the model.
        source_sha256: SHA-256 of the ONNX graph that the model came from, hexadecimal.
        expected: ``.npy`` file of what the golden frames must give: float32 ``[N, classes]``. In a bundle, a model and a
            recipe have one; several may name the same.
        tolerance: Largest accepted difference of a probability from ``expected``, 0..0.5.
        int8_layers: Number of convolutions and matrix products that the host's library ran in int8; None where it was not
            asked.
        layers: Number of all of them, without the preprocessing's; None where it was not asked.
        detail: Findings in words: layers, sizes, what was refused.
        settings: Settings that the runtime must open the model with to predict as it was verified, under the backend's own
            names.
        schema_version: Schema version of this record.
    """

    backend: str
    backend_version: str
    precision: Precision
    kind: Literal["model", "recipe", "preflight"]
    files: tuple[FileRef, ...]
    source_sha256: str
    expected: FileRef | None = None
    tolerance: float | None = None
    int8_layers: int | None = None
    layers: int | None = None
    detail: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def name(self) -> str:
        """Backend and precision, such as ``openvino int8``."""
        return f"{self.backend} {self.precision}"

    @property
    def half(self) -> bool:
        """Whether its settings ask for float16 wherever a layer is not int8."""
        return self.settings.get("INFERENCE_PRECISION_HINT") == "f16"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizationTrial:
    """One precision that was tried for the graph, with its accuracy, size and speed.

    Attributes:
        name: Name of the trial, such as ``int8 minmax``.
        backend: Backend that ran the trial on the host.
        precision: Precision of the network.
        method: How int8 activation ranges were estimated; ``imported`` for an imported int8 model; None for other
            precisions.
        float_nodes: Layers with weights that an int8 graph keeps in floating point because they cost the most accuracy.
        unsupported_nodes: Operators that an int8 graph keeps in floating point because a backend refuses them in int8.
        accuracy: Accuracy on the validation images; None where the model could not be made.
        net_lost: Number of validation images that only FP32 predicts correctly, minus the number that only this model does.
        divergence: Mean Kullback-Leibler divergence of its predictions from FP32's on the validation images, nats.
        bytes: Size of the files that the device would load, bytes.
        median_ns: Median end-to-end latency, nanoseconds; None where it was not timed.
        relative_time: Latency divided by FP32's, timed in turn: the median over rounds.
        relative_low: First quartile of that ratio over the rounds.
        relative_high: Third quartile of that ratio over the rounds.
        within_limits: Whether the trial is within the limits on accuracy and recall.
        note: Why it is not within the limits, or could not be made; ``""`` where there is nothing to say.
    """

    name: str
    precision: Precision
    method: str | None
    backend: str = "openvino"
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
    """The file ``evidence/precision_selection.json``: which precision is deployed, out of those tried, and why.

    Attributes:
        trials: Every precision that was tried in every backend of the host, FP32 in OpenVINO first.
        chosen: Name of the trial that is deployed.
        reason: Reason for the choice, in a sentence.
        images: Number of validation images that the trials were judged on; range estimation never saw them.
        timed_on: Machine whose latencies decided; None where none were taken.
        precision: Precision of the deployed model.
        onnx: ONNX graph of the deployed model.
        quantized: How that graph was quantized; None where it was not.
        models: Every model that is listed for the host's kind of device, the deployed one first and the others by their
            time; empty where the device builds its own.
        listed: Names of the trials that ``models`` were, in the same order.
        backends: Faster precision of each backend on the host, in a sentence each.
        quantize_aware_link: Last link after quantization-aware training, where the graph was made from it.
        schema_version: Schema version of this record.
    """

    trials: tuple[QuantizationTrial, ...]
    chosen: str
    reason: str
    images: int
    timed_on: str | None
    precision: Precision
    onnx: FileRef
    quantized: QuantizedModel | None
    models: tuple[BuiltModel, ...] = ()
    listed: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    quantize_aware_link: Link | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalibration:
    """Temperature that the logits are divided by, fitted on the validation images.

    Attributes:
        temperature: Divisor of the logits inside the graph; 1 changes nothing.
        unshrunk: Temperature that fits the validation images best, before it is pulled towards 1 where images are few.
        val_images: Number of validation images.
        val_groups: Number of independent groups among them.
        val_nll_before: Negative log likelihood of the validation labels without the temperature, nats.
        val_nll_after: Negative log likelihood of the validation labels with the temperature, nats.
        predicted_by: Implementation that predicted the validation images: the deployed one.
        note: How the temperature was found and how far to trust it, in words.
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
    """The graphs with one temperature in front of their last Softmax.

    Attributes:
        onnx: ONNX file of the deployed model's graph; where the temperature is 1, the unchanged graph.
        recalibration: The temperature, and how it was fitted.
        source_sha256: SHA-256 of that graph without the temperature, hexadecimal.
        models: Every model that is listed, with the temperature inside, in the order of the selection.
        schema_version: Schema version of this record.
    """

    onnx: FileRef
    recalibration: Recalibration
    source_sha256: str
    models: tuple[BuiltModel, ...] = ()
    schema_version: int = SCHEMA_VERSION
