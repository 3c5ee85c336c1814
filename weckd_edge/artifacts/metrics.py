"""What a build is worth in a clinic, in figures: per class, per slice of the data, and what compression cost."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.verification import Estimate
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A figure between 0 and 1 with its 95 % interval by groups.

    Attributes:
        value: The figure.
        low: Lower bound; None where too few images or groups stand behind it for an interval.
        high: Upper bound; likewise.
        images: How many images it is taken over.
        groups: How many independent groups they belong to.
    """

    value: float
    low: float | None
    high: float | None
    images: int
    groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassMetrics:
    """One class against the rest; a figure is None where no image decides it.

    Attributes:
        label: Index of the class.
        images: Images of it.
        found: How many of them are decided for it.
        sensitivity: Of its images, how many are decided for it.
        specificity: Of the others, how many are not.
        ppv: Of the decisions for it, how many are right, with the class mix of these images.
        npv: Of the decisions against it, how many are right, likewise.
        f1: Harmonic mean of ``sensitivity`` and ``ppv``.
        auc: Area under the ROC curve of its probability.
        ppv_at_prevalence: ``ppv`` as it would be at the prevalences that were stated; None where none were.
        npv_at_prevalence: ``npv`` likewise.
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
    """One implementation's answers to some images.

    Attributes:
        accuracy: Share of right decisions.
        balanced_accuracy: Mean sensitivity of the classes that are there.
        macro_f1: Mean F1 of the classes that are there.
        macro_auc: Mean area under the ROC curve of the classes that are there; None where there is one class alone.
        classes: Each class, in label order.
    """

    accuracy: Metric
    balanced_accuracy: Metric
    macro_f1: Metric
    macro_auc: Metric | None
    classes: tuple[ClassMetrics, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricDifferences:
    """What is deployed less FP32, on the same images, with 95 % intervals of a bootstrap over groups on the pair.

    Attributes:
        accuracy: Difference of accuracies; under 0 where compiling cost some. None where there are too few images or groups.
        balanced_accuracy: Likewise.
        macro_f1: Likewise.
        macro_auc: Likewise.
        sensitivity: For each class, in label order.
    """

    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    macro_f1: Estimate | None
    macro_auc: Estimate | None
    sensitivity: tuple[Estimate | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectiveMetrics:
    """What is deployed where it may decline to answer; see ``OperatingPoint``.

    Attributes:
        confidence_threshold: No decision is made where no probability reaches this.
        coverage: Share of images that are answered.
        class_coverage: The same for each class, in label order; None for a class the images lack.
        figures: Of the answered images alone; None where none is.
    """

    confidence_threshold: float
    coverage: Metric
    class_coverage: tuple[Metric | None, ...]
    figures: Metrics | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """The images that share one value of one column.

    Attributes:
        column: Such as ``site``.
        value: Such as ``Temuco``, or a band of numbers such as ``2 to 6``.
        images: How many.
        groups: Independent groups among them.
        right_fp32: How many FP32 decides rightly.
        right: How many what is deployed decides rightly.
        class_images: Images of each class, in label order.
        class_found: How many of those what is deployed decides rightly.
        fp32: Figures of FP32; None where the slice is too small.
        compiled: Figures of what is deployed; likewise.
        difference: What is deployed less FP32; likewise.
        note: What cannot be said of it, and why; None where all can.
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
        """Column and value in one."""
        return f"{self.column} {self.value}"


@dataclass(frozen=True, kw_only=True, slots=True)
class FlipCount:
    """Decisions that changed between two implementations, among some images.

    Attributes:
        of: The class or the slice they are counted in.
        images: How many images there are.
        better: Wrong before, right after.
        worse: Right before, wrong after.
        other: Wrong before and after, in different ways.
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
        before: The first, such as ``M1 torch fp32``.
        after: The second.
        total: All images together.
        mcnemar_p: McNemar's exact test of better against worse, images taken as independent.
        classes: By true class, in label order.
        slices: By slice, in the order of ``MetricsRecord.slices``.
    """

    before: str
    after: str
    total: FlipCount
    mcnemar_p: float
    classes: tuple[FlipCount, ...]
    slices: tuple[FlipCount, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlippedFrame:
    """A test image on which not all of teacher, FP32 and what is deployed agree.

    Attributes:
        path: The image.
        label: Its true label index.
        teacher: What the first link decides; None where the first link is the one that is deployed, or nothing was taught.
        fp32: What the link that is deployed decides before it is compiled.
        compiled: What is deployed decides.
    """

    path: str
    label: int
    teacher: int | None
    fp32: int
    compiled: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsRecord:
    """The figures a clinic asks for, on the test split.

    Attributes:
        fp32_name: Who answers before compiling, such as ``M3 torch fp32``.
        compiled_name: Who answers as deployed, such as ``M3 openvino int8``.
        teacher_name: The first link; None where it is the one that is deployed, or nothing was taught.
        images: Test images.
        groups: Independent groups among them.
        fp32: Figures before compiling.
        compiled: Figures of what is deployed, every image decided.
        difference: What is deployed less FP32.
        selective: Figures where it may decline to answer; None where it always answers.
        prevalence: The stated prevalence of each class, in label order, summing to 1; None where none was stated.
        slices: By column, then value.
        worst_class: Label index of the class found least often, among those with an interval; None where none has one.
        worst_slice: Index into ``slices`` of the one with the lowest accuracy, among those large enough; None where none is.
        flips: Teacher to FP32, FP32 to what is deployed, teacher to what is deployed; without a teacher the second alone.
        frames: Every image with a flip, by path.
        notes: What these figures cannot tell, and why.
        schema_version: Of this record.
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
