"""What the compiled artefact answers: parity, layers, calibration, accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.base import Rate
from weckd_edge.artifacts.models import Recalibration
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure with its 95 % interval from a bootstrap over groups."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin:
    """the predictions whose largest probability lies in one of the bins of equal width.

    Attributes:
        images: How many there are.
        confidence: Their mean largest probability; 0 in an empty bin.
        accuracy: The share of them that is right; 0 in an empty bin.
    """

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationMetrics:
    """How far the probabilities of one implementation can be taken at their word.

    Attributes:
        ece: Expected calibration error of the largest probability, 15 bins of equal width (Naeini et al. 2015, AAAI).
        rms_debiased: Root of the squared calibration error over bins of equal content, less what chance alone would give
            (Kumar, Liang and Ma 2019, NeurIPS); 0 where chance explains all.
        brier: Brier score summed over classes, 0 to 2.
        nll: Negative log likelihood of the true class, nat.
        bins: The bins of ``ece``, from 0 to 1.
        ece_by_chance: ``ece`` of as many images with the same probabilities, were each true as often as it says, by chance
            alone (images taken as independent; where groups hold several it would be larger): mean, and where 95 % of
            the draws lie. None in records from before it was kept.
    """

    ece: Estimate
    rms_debiased: Estimate
    brier: Estimate
    nll: Estimate
    bins: tuple[ReliabilityBin, ...]
    ece_by_chance: Estimate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationCheck:
    """What the temperature did on the test split, by the bytes that ship.

    Attributes:
        recalibration: The temperature, and how it was found.
        before: On the test split, as it was compiled without the temperature.
        after: On the test split, as deployed.
    """

    recalibration: Recalibration
    before: CalibrationMetrics
    after: CalibrationMetrics


@dataclass(frozen=True, kw_only=True, slots=True)
class DisagreementFrame:
    """One frame on which two implementations differ, with both predictions.

    Attributes:
        path: The image.
        label: Its true label index.
        a: Probabilities of the first implementation.
        b: Probabilities of the second.
    """

    path: str
    label: int
    a: tuple[float, ...]
    b: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerParity:
    """One tensor inside a graph, in two implementations.

    Attributes:
        name: Name of the operator that makes it.
        kind: Its ONNX type.
        sqnr_db: Energy of the tensor over that of the difference, all frames together, dB; None where they are equal.
        max_abs: Largest difference of an element.
        peak: Largest element of the first implementation, by absolute value.
        disturbed: By how much reading the tensor changed a probability of the second implementation, as its fusion had to
            change; 0: what was read is what runs.
    """

    name: str
    kind: str
    sqnr_db: float | None
    max_abs: float
    peak: float
    disturbed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerDivergence:
    """Where two implementations of one graph part, layer by layer.

    Attributes:
        a: The reference.
        b: The other.
        frames: On how many frames: those on which their predictions differ most.
        threshold_db: They are said to part where a layer's SQNR is under this.
        first: Index into ``layers`` of the first one under it; None where there is none.
        steepest: Index of the layer that falls furthest under the lowest before it; None where they hardly differ anywhere.
        layers: In graph order.
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
    """One layer as a backend really runs it.

    Attributes:
        name: As the backend calls it.
        kind: Its type, as the backend calls it.
        precision: The type it computes in, such as ``u8``, ``i8``, ``f32``.
        kernel: The implementation that was chosen.
    """

    name: str
    kind: str
    precision: str
    kernel: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """Two implementations of one model on the same frames.

    Attributes:
        a: Reference, such as ``torch fp32``.
        b: Implementation, such as ``openvino int8``.
        frames: How many frames.
        max_abs: Largest difference of a probability, over all frames.
        p95_abs: The same for the 95th percentile of the frames, each by its largest difference.
        sqnr_db: Signal to quantization noise of the probabilities, dB; None where they are equal.
        flips: Frames on which the decision differs.
        tolerance: Largest ``p95_abs`` allowed; None where only reported (quantized against FP32).
        passed: Whether it is within the tolerance.
        only_a_right: Frames that only the first answers rightly; None where nobody knows what is right.
        only_b_right: Frames that only the second answers rightly.
        mcnemar_p: Chance of a split at least as uneven if both were equally good (McNemar's exact test, frames taken as
            independent).
        worst: The frames that differ most, largest difference first.
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
    """One test image's predictions.

    Attributes:
        path: The image.
        group: Its group.
        label: Its true label index.
        fp32: Probabilities before quantization.
        compiled: Probabilities of the artefact that is deployed.
        teacher: Probabilities of the chain's first link in FP32; None where that link is deployed or nothing was taught.
    """

    path: str
    group: str
    label: int
    fp32: tuple[float, ...]
    compiled: tuple[float, ...]
    teacher: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """Whether the compiled artefact still answers as the trained network did.

    Attributes:
        parity: Every pair that was compared.
        accuracy_fp32: On the test split.
        accuracy_compiled: On the test split, by the bytes that ship.
        recall_fp32: Per class, in label order; None for a class the test split lacks.
        recall_compiled: Likewise, by the bytes that ship.
        flips: Test images whose decision changed between FP32 and the compiled artefact.
        predictions: Every test image.
        precision: Precision of the compiled artefact.
        backend: Its backend.
        calibration: What the temperature did to its probabilities; None where none was sought.
        layer_divergences: Layer by layer, for the pairs that failed.
        executed: The layers as the backend runs them on the machine that built it; empty where it cannot tell.
        schema_version: Of this record.
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
    schema_version: int = SCHEMA_VERSION
