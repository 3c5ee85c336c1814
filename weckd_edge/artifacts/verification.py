"""Verification of the compiled model: parity, layers, calibration, accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.base import Estimate, Precision, Rate
from weckd_edge.artifacts.models import Recalibration
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin:
    """Predictions whose largest probability lies in one of the bins of equal width.

    Attributes:
        images: Number of predictions in the bin.
        confidence: Mean largest probability of the bin, 0..1; 0 in an empty bin.
        accuracy: Fraction of correct predictions in the bin, 0..1; 0 in an empty bin.
    """

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationMetrics:
    """How well the probabilities of one implementation match how often it is correct.

    Attributes:
        ece: Expected calibration error of the largest probability, 0..1, with 15 bins of equal width (Naeini et al. 2015,
            AAAI).
        rms_debiased: Root of the squared calibration error over bins of equal content, less what chance alone would give,
            0..1 (Kumar, Liang and Ma 2019, NeurIPS); 0 where chance explains all of it.
        brier: Brier score summed over classes, 0..2; smaller is better.
        nll: Negative log likelihood of the true class, nats.
        bins: Bins of ``ece``, from probability 0 to 1.
        ece_by_chance: ECE of perfectly calibrated predictions on as many images, by chance alone: mean and 95 % interval.
            Images are taken as independent; with several images in a group it would be larger. None in records that do not
            hold it.
    """

    ece: Estimate
    rms_debiased: Estimate
    brier: Estimate
    nll: Estimate
    bins: tuple[ReliabilityBin, ...]
    ece_by_chance: Estimate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationCheck:
    """Effect of the temperature on the test split, measured on the compiled model.

    Attributes:
        recalibration: The temperature, and how it was fitted.
        before: Calibration on the test split without the temperature.
        after: Calibration on the test split as deployed.
    """

    recalibration: Recalibration
    before: CalibrationMetrics
    after: CalibrationMetrics


@dataclass(frozen=True, kw_only=True, slots=True)
class DisagreementFrame:
    """One frame on which two implementations differ, with both predictions.

    Attributes:
        path: Path of the image.
        label: True label index.
        a: Probabilities of the first implementation.
        b: Probabilities of the second.
    """

    path: str
    label: int
    a: tuple[float, ...]
    b: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerParity:
    """Difference of one tensor inside a graph between two implementations.

    Attributes:
        name: Name of the operator that computes the tensor.
        kind: ONNX type of that operator.
        sqnr_db: Signal-to-noise ratio over all frames: energy of the tensor over energy of the difference, dB; None where
            they are equal.
        max_abs: Largest absolute difference of an element.
        peak: Largest absolute element of the first implementation.
        disturbed: Largest change of a probability of the second implementation when the tensor is read, because reading it
            changes how layers are fused; 0: the tensor is the one that runs.
    """

    name: str
    kind: str
    sqnr_db: float | None
    max_abs: float
    peak: float
    disturbed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerDivergence:
    """Layer divergence: where two implementations of one graph differ, layer by layer.

    Attributes:
        a: Reference implementation.
        b: Implementation that is compared with it.
        frames: Number of frames: those on which the predictions differ most.
        threshold_db: SQNR below which a layer counts as diverging, dB.
        first: Index into ``layers`` of the first diverging layer; None where there is none.
        steepest: Index into ``layers`` of the layer that falls furthest below the lowest before it; None where layers hardly
            differ.
        layers: Differences of the layers, in graph order.
    """

    a: str
    b: str
    frames: int
    threshold_db: float
    first: int | None
    steepest: int | None
    layers: tuple[LayerParity, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutedLayer:
    """One layer as a backend runs it.

    Attributes:
        name: Name that the backend gives it.
        kind: Type that the backend gives it.
        precision: Data type that it computes in, such as ``u8``, ``i8``, ``f32``.
        kernel: Kernel that the backend chose.
    """

    name: str
    kind: str
    precision: str
    kernel: str


NAMED_LAYERS = 4
"""Number of layers that a sentence names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Count:
    """Convolutions and matrix products of a network, and how many of them a backend runs in int8 on one processor.

    Attributes:
        int8_layers: Number of them that run in int8.
        layers: Number of all of them, without those of the preprocessing.
        float_layers: Names of those that do not run in int8, as the backend calls them.
    """

    int8_layers: int
    layers: int
    float_layers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.int8_layers} of {self.layers}"

    @property
    def sentence(self) -> str:
        """Number of layers in int8, and the first of the others, in words."""
        text = f"{self} convolutions and matrix products run in int8 on this processor"
        if not self.float_layers:
            return text
        more = len(self.float_layers) - NAMED_LAYERS
        return f"{text}; in floating point: {', '.join(self.float_layers[:NAMED_LAYERS])}" + (
            f" and {more} more" if more > 0 else ""
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelAccuracy:
    """Accuracy of one model of the bundle on the test images, as this host ran it.

    Attributes:
        backend: Name of the backend.
        precision: Precision of the model.
        accuracy: Accuracy on the test images.
        flips: Number of test images whose decision differs from the trained network's.
        recall: Recall of each class on the test images; None for a class without one; empty in records of older versions.
    """

    backend: str
    precision: Precision
    accuracy: Rate
    flips: int
    recall: tuple[Rate | None, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """Comparison of two implementations of one model on the same frames.

    Attributes:
        a: Reference implementation, such as ``torch fp32``.
        b: Implementation that is compared with it, such as ``openvino int8``.
        frames: Number of frames.
        max_abs: Largest absolute difference of a probability, over all frames, 0..1.
        p95_abs: 95th percentile over the frames of each frame's largest difference of a probability, 0..1.
        sqnr_db: Signal to quantization noise ratio of the probabilities, dB; None where they are equal.
        flips: Number of frames whose decision differs.
        tolerance: Largest accepted ``p95_abs``; None where the difference is only reported (quantized against FP32).
        passed: Whether ``p95_abs`` is within the tolerance.
        only_a_right: Number of frames that only the first implementation predicts correctly; None where the labels are
            unknown.
        only_b_right: Number of frames that only the second implementation predicts correctly; None where the labels are
            unknown.
        mcnemar_p: P value of McNemar's exact test, 0..1: probability of so uneven a split if both were equally good; frames
            are taken as independent.
        worst: Frames that differ most, largest difference first.
    """

    a: str
    b: str
    frames: int
    max_abs: float
    p95_abs: float
    sqnr_db: float | None
    flips: int
    tolerance: float | None
    passed: bool
    only_a_right: int | None = None
    only_b_right: int | None = None
    mcnemar_p: float | None = None
    worst: tuple[DisagreementFrame, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Predictions of one test image, before and after compiling.

    Attributes:
        path: Path of the image.
        group: Group of the image.
        label: True label index.
        fp32: Probabilities before quantization ``[classes]``.
        compiled: Probabilities of the deployed model ``[classes]``.
        teacher: Probabilities of the chain's first link in FP32 ``[classes]``; None where that link is deployed, or nothing
            was taught.
    """

    path: str
    group: str
    label: int
    fp32: tuple[float, ...]
    compiled: tuple[float, ...]
    teacher: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The file ``evidence/verification.json``: whether the compiled model predicts as the trained network did.

    Attributes:
        parity: Every comparison of two implementations.
        accuracy_fp32: Test accuracy in FP32.
        accuracy_compiled: Test accuracy of the compiled model.
        recall_fp32: Test recall of each class in FP32, in label order; None for a class the test split lacks.
        recall_compiled: Test recall of each class of the compiled model, in label order; None for a class the test split
            lacks.
        flips: Number of test images whose decision differs between FP32 and the compiled model.
        predictions: Predictions of every test image.
        precision: Precision of the compiled model.
        backend: Backend of the compiled model.
        calibration: Effect of the temperature; None where none was fitted.
        layer_divergences: Layer-by-layer comparison of the pairs that failed.
        executed: Layers as the backend runs them on the build machine; empty where it cannot tell.
        models: Accuracy of every model of the bundle that the build machine can run, the deployed one first.
        schema_version: Schema version of this record.
    """

    parity: tuple[Parity, ...]
    accuracy_fp32: Rate
    accuracy_compiled: Rate
    recall_fp32: tuple[Rate | None, ...]
    recall_compiled: tuple[Rate | None, ...]
    flips: int
    predictions: tuple[Prediction, ...]
    precision: str
    backend: str
    calibration: CalibrationCheck | None = None
    layer_divergences: tuple[LayerDivergence, ...] = ()
    executed: tuple[ExecutedLayer, ...] = ()
    models: tuple[ModelAccuracy, ...] = ()
    schema_version: int = SCHEMA_VERSION
