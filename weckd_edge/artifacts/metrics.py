"""Clinical metrics of a build: by class, by slice of the data, and what compression changed."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.base import Estimate
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A value between 0 and 1 with its 95 % interval by groups.

    Attributes:
        value: The value, 0..1.
        low: Lower end of the 95 % interval; None where there are too few images or groups for one.
        high: Upper end of the 95 % interval; None where there are too few images or groups for one.
        images: Number of images that the value is taken over.
        groups: Number of independent groups among them.
    """

    value: float
    low: float | None
    high: float | None
    images: int
    groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassMetrics:
    """Metrics of one class against all others; a metric is None where no image decides it.

    Attributes:
        label: Label index of the class.
        images: Number of images of the class.
        found: Number of them that are predicted as the class.
        sensitivity: Fraction of the class's images that are predicted as the class.
        specificity: Fraction of the other images that are not predicted as the class.
        ppv: Positive predictive value: fraction of the predictions of the class that are correct, with the class mix of
            these images.
        npv: Negative predictive value: fraction of the predictions of another class that are correct, with the class mix of
            these images.
        f1: F1 score: harmonic mean of ``sensitivity`` and ``ppv``.
        auc: Area under the ROC curve of the class's probability.
        ppv_at_prevalence: Positive predictive value at the stated prevalences; None where none are stated.
        npv_at_prevalence: Negative predictive value at the stated prevalences; None where none are stated.
    """

    label: int
    images: int
    found: int
    sensitivity: Metric | None
    specificity: Metric | None
    ppv: Metric | None
    npv: Metric | None
    f1: Metric | None
    auc: Metric | None
    ppv_at_prevalence: Metric | None = None
    npv_at_prevalence: Metric | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """Metrics of one implementation's predictions on a set of images.

    Attributes:
        accuracy: Fraction of correct decisions.
        balanced_accuracy: Mean sensitivity of the classes that have images.
        macro_f1: Mean F1 score of the classes that have images.
        macro_auc: Mean area under the ROC curve of the classes that have images; None where only one class has any.
        classes: Metrics of each class, in label order.
    """

    accuracy: Metric
    balanced_accuracy: Metric
    macro_f1: Metric
    macro_auc: Metric | None
    classes: tuple[ClassMetrics, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricDifferences:
    """Metrics of the deployed model minus those of FP32, on the same images, with paired 95 % intervals by groups.

    Attributes:
        accuracy: Difference of accuracy; negative where compiling lost some. None where there are too few images or groups.
        balanced_accuracy: Difference of balanced accuracy; None where there are too few images or groups.
        macro_f1: Difference of macro F1; None where there are too few images or groups.
        macro_auc: Difference of macro AUC; None where there are too few images or groups.
        sensitivity: Difference of each class's sensitivity, in label order.
    """

    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    macro_f1: Estimate | None
    macro_auc: Estimate | None
    sensitivity: tuple[Estimate | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectiveMetrics:
    """Metrics of the deployed model with its operating point, where it may abstain.

    Attributes:
        confidence_threshold: Smallest largest-class probability that gives a decision, 0..1.
        non_gradeable_labels: Classes whose prediction gives no decision.
        coverage: Fraction of the images with a decision.
        class_coverage: Fraction of each class's images with a decision, in label order; None for a class without images.
        metrics: Metrics of the images with a decision; None where there is none.
    """

    confidence_threshold: float
    coverage: Metric
    class_coverage: tuple[Metric | None, ...]
    metrics: Metrics | None
    non_gradeable_labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """Test images that share one value of one column, and the metrics on them.

    Attributes:
        column: Name of the column, such as ``site``.
        value: Value of the column, such as ``Temuco``, or a band of numbers such as ``2 to 6``.
        images: Number of images.
        groups: Number of independent groups among them.
        right_fp32: Number of images that FP32 predicts correctly.
        right: Number of images that the deployed model predicts correctly.
        class_images: Number of images of each class, in label order.
        class_found: Number of them that the deployed model predicts correctly, in label order.
        fp32: Metrics of FP32; None where the slice is too small.
        compiled: Metrics of the deployed model; None where the slice is too small.
        difference: Deployed model minus FP32; None where the slice is too small.
        note: Names of missing metrics with the reason; None where none are missing.
    """

    column: str
    value: str
    images: int
    groups: int
    right_fp32: int
    right: int
    class_images: tuple[int, ...]
    class_found: tuple[int, ...]
    fp32: Metrics | None
    compiled: Metrics | None
    difference: MetricDifferences | None
    note: str | None = None

    @property
    def name(self) -> str:
        """Column and value as one text."""
        return f"{self.column} {self.value}"


@dataclass(frozen=True, kw_only=True, slots=True)
class FlipCount:
    """Number of decisions that changed between two implementations on a set of images.

    Attributes:
        of: Class or slice that the images belong to.
        images: Number of images.
        better: Number of images that were wrong before and are correct after.
        worse: Number of images that were correct before and are wrong after.
        other: Number of images that are wrong before and after, with different decisions.
    """

    of: str
    images: int
    better: int
    worse: int
    other: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Flips:
    """Decisions that changed between two implementations.

    Attributes:
        before: First implementation, such as ``M1 torch fp32``.
        after: Second implementation, such as ``M1 openvino int8``.
        total: Flips on all images.
        mcnemar_p: P value of McNemar's exact test of better against worse, 0..1; images are taken as independent.
        classes: Flips by true class, in label order.
        slices: Flips by slice, in the order of ``MetricsRecord.slices``.
    """

    before: str
    after: str
    total: FlipCount
    mcnemar_p: float
    classes: tuple[FlipCount, ...]
    slices: tuple[FlipCount, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlippedFrame:
    """A test image on which teacher, FP32 and the deployed model do not all agree.

    Attributes:
        path: Path of the image.
        label: True label index.
        teacher: Decision of the first link; None where the first link is deployed, or nothing was taught.
        fp32: Decision of the deployed link before compiling.
        compiled: Decision of the deployed model.
    """

    path: str
    label: int
    teacher: int | None
    fp32: int
    compiled: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsRecord:
    """The file ``evidence/metrics.json``: clinical metrics on the test split.

    Attributes:
        fp32_name: Name of the model before compiling, such as ``M3 torch fp32``.
        compiled_name: Name of the deployed model, such as ``M3 openvino int8``.
        teacher_name: Name of the first link; None where it is the deployed link, or nothing was taught.
        images: Number of test images.
        groups: Number of independent groups among them.
        fp32: Metrics before compiling.
        compiled: Metrics of the deployed model, with a decision on every image.
        difference: Deployed model minus FP32.
        selective: Metrics with the operating point, where the model may abstain; None where it never abstains.
        prevalence: Stated prevalence of each class, in label order, adding up to 1; None where none is stated.
        slices: Metrics by slice, sorted by column, then value.
        worst_class: Label index of the class with the lowest sensitivity, among those with an interval; None where none has
            one.
        worst_slice: Index into ``slices`` of the slice with the lowest accuracy, among those large enough; None where none
            is.
        flips: Teacher to FP32, FP32 to deployed, teacher to deployed; without a teacher, FP32 to deployed alone.
        frames: Every image with a flip, sorted by path.
        notes: Limits of these metrics, in words.
        schema_version: Schema version of this record.
    """

    fp32_name: str
    compiled_name: str
    teacher_name: str | None
    images: int
    groups: int
    fp32: Metrics
    compiled: Metrics
    difference: MetricDifferences
    selective: SelectiveMetrics | None
    prevalence: tuple[float, ...] | None
    slices: tuple[Slice, ...]
    worst_class: int | None
    worst_slice: int | None
    flips: tuple[Flips, ...]
    frames: tuple[FlippedFrame, ...]
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
