"""What travels between the stages: small, frozen, schema-versioned records, written as JSON.

Paths in an artefact are relative to the folder it lies in, and nothing in it depends on when or where it was made
(times and measurements are kept apart in ``Measurement``), so that equal inputs give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SCHEMA_VERSION = 1

Split = Literal["train", "val", "test"]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Target = Literal["cpu", "jetson"]
Precision = Literal["int8", "fp16", "fp32"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRef:
    """A file below the artefact's folder.

    Attributes:
        path: Relative POSIX path.
        sha256: Digest of its bytes, hexadecimal.
        bytes: Size.
    """

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecord:
    """One labelled image.

    Attributes:
        path: Relative to the data set's root, POSIX.
        label: Index into ``DatasetIndex.labels``.
        group: What a split must never cut: a patient, an exam, or a cluster of near-identical frames.
        split: Where the image is used.
        share: Index of the labelled share it belongs to (training images only); None: its label is not used in training.
        sha256: Digest of the file.
        pixels_sha256: Digest of size and decoded RGB pixels: equal for copies, whatever the file around them.
        width: Pixels, after the EXIF orientation is applied.
        height: Pixels, after the EXIF orientation is applied.
        published_split: The split the data set came with, if its CSV names one.
    """

    path: str
    label: int
    group: str
    split: Split
    share: int | None
    sha256: str
    pixels_sha256: str
    width: int
    height: int
    published_split: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UnlabelledImage:
    """One frame without a label, which only teachers comment on.

    Attributes:
        path: Relative to the folder of unlabelled frames, POSIX.
        sha256: Digest of the file.
        pixels_sha256: Digest of size and decoded RGB pixels.
    """

    path: str
    sha256: str
    pixels_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BadFile:
    """A file that is named as data and cannot be used, with the reason in words."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetIndex:
    """Which images there are and how each is used.

    Attributes:
        name: The data set's folder name, for reports.
        labels: Class names, sorted, or in the order of a brought network's outputs; ``ImageRecord.label`` indexes them.
        images: Sorted by path.
        bad_files: Files that were skipped.
        synthetic: True for drawn phantoms; every report that uses them says so.
        seed: Seed of the split and the shares.
        near_duplicate_groups: Number of groups of more than one image that near-duplicate search found.
        exact_copies: Images left out because an earlier path holds the same pixels under the same label.
        unlabelled: Frames of the folder of unlabelled ones, sorted by path.
        unlabelled_left_out: Frames of that folder that copy another image or resemble a held-out one.
        schema_version: Of this record.
    """

    name: str
    labels: tuple[str, ...]
    images: tuple[ImageRecord, ...]
    bad_files: tuple[BadFile, ...] = ()
    synthetic: bool = False
    seed: int = 0
    near_duplicate_groups: int = 0
    exact_copies: int = 0
    unlabelled: tuple[UnlabelledImage, ...] = ()
    unlabelled_left_out: int = 0
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class InputContract:
    """What a caller hands over: one camera frame, and how the graph itself turns it into the network's input.

    The frame is ``[1, frame_height, frame_width, 3]``, uint8, RGB, rows first. Inside the graph it is cropped to the
    centred square of side ``min(frame_height, frame_width)`` (``crop = "center"``) or left whole (``"stretch"``), resized
    to ``input_size`` squared, and normalised: ``(x / 255 - mean) / std`` per channel.

    ``resize = "diagonal"``: each new pixel is the mean of two old ones, on the diagonal of the part of the frame that it
    stands for (see ``diagonal_positions``), rounded to whole grey levels, halves to the even one. All of it is exact in
    float32, so every implementation gives the same pixels. ``"bilinear"``: half-pixel centres, no antialiasing.

    Attributes:
        frame_height: Pixels.
        frame_width: Pixels.
        crop: What is kept of the frame.
        input_size: Side of the network's input, pixels.
        mean: Per RGB channel, of values in 0..1.
        std: Per RGB channel, of values in 0..1.
        resize: How the network's input is made from the frame's pixels.
    """

    frame_height: int
    frame_width: int
    crop: Literal["center", "stretch"]
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Literal["diagonal", "bilinear"] = "bilinear"


def crop_box(contract: InputContract) -> tuple[int, int, int, int]:
    """Return what a contract keeps of its frame: ``top, left, height, width`` in pixels."""
    height, width = contract.frame_height, contract.frame_width
    if contract.crop == "stretch":
        return 0, 0, height, width
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def diagonal_positions(source: int, target: int) -> tuple[tuple[int, int], ...]:
    """Return the two old pixels, along one axis, whose mean is each new pixel.

    New pixel ``i`` stands for the old ones from ``i * source / target`` on; they are the ones that hold the points at a
    quarter and at three quarters of that part. The first of the pair along both axes is one old pixel, the second of the
    pair along both axes the other.

    Args:
        source: Old pixels along the axis.
        target: New ones.
    """
    return tuple(((4 * i + 1) * source // (4 * target), (4 * i + 3) * source // (4 * target)) for i in range(target))


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A share of images with its 95 % interval, which counts groups rather than images where groups are correlated.

    Attributes:
        value: ``correct / images``.
        low: Lower bound.
        high: Upper bound.
        correct: Images answered correctly.
        images: Images in all.
        groups: Independent groups among them.
    """

    value: float
    low: float
    high: float
    correct: int
    images: int
    groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One trained student of the chain.

    Attributes:
        name: ``M1``, ``M2``, ... or ``twin``; ``brought`` for a network that was not trained here.
        model: timm name; of a brought ONNX file its own.
        options: JSON text of the keyword arguments for ``timm.create_model``.
        input: The frame and the preprocessing it was trained with.
        labels: Class names in the order of its outputs.
        parameters: Number of weights, head included.
        macs: Multiply-adds of one image.
        weights: safetensors file with this student's weights alone; of a brought ONNX file the network as ONNX.
        parent: SHA-256 of the teacher's weights; None for the first link and the twin.
        share: Which labelled share it learned from.
        labels_used: Number of labels it saw; 0 for a network that was brought, of which it is not known.
        images_used: Number of distinct training images it saw, labelled or not; likewise.
        val_accuracy: On the validation split.
        test_accuracy: On the held-out test split, in FP32.
        schema_version: Of this record.
    """

    name: str
    model: str
    options: str
    input: InputContract
    labels: tuple[str, ...]
    parameters: int
    macs: int
    weights: FileRef
    parent: str | None
    share: int
    labels_used: int
    images_used: int
    val_accuracy: Rate
    test_accuracy: Rate
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainRecord:
    """The whole chain as evidence: what each link is and reached, and what stands beside it.

    Attributes:
        links: In training order, largest first.
        twin: The last link's architecture trained without a teacher; None where the build left it out.
        labels_used: Distinct training images whose label any link saw.
        shipped: Name of the link that ships; None means the last, as bundles had it that weighed no link.
        brought: Where the one link was not trained here but brought: what was found in it and decided, in words.
        schema_version: Of this record.
    """

    links: tuple[Link, ...]
    twin: Link | None
    labels_used: int
    shipped: str | None = None
    brought: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTime:
    """How long one stage of a build took.

    Attributes:
        name: The stage.
        seconds: In this run.
        reused: Whether an earlier run had made it.
    """

    name: str
    seconds: float
    reused: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRecord:
    """How a bundle was built.

    Attributes:
        config: JSON text of the whole ``BuildConfig``.
        stages: In order.
        data_name: The data set's folder name.
        schema_version: Of this record.
    """

    config: str
    stages: tuple[StageTime, ...]
    data_name: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedModel:
    """One ONNX graph from a uint8 RGB frame to probabilities ``[1, classes]`` float32.

    Attributes:
        onnx: The graph.
        opset: ONNX operator set.
        input_name: Name of the frame input.
        network_input_name: Name of the tensor between preprocessing and network, where a bench of the network alone cuts.
        output_name: Name of the probabilities.
        input: The contract.
        labels: Class names.
        link_sha256: Digest of the weights it was made from.
        schema_version: Of this record.
    """

    onnx: FileRef
    opset: int
    input_name: str
    network_input_name: str
    output_name: str
    input: InputContract
    labels: tuple[str, ...]
    link_sha256: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizedModel:
    """The same graph with explicit symmetric int8 Q/DQ nodes.

    Attributes:
        onnx: The graph.
        method: How activation ranges were found.
        calibration_images: How many training images they were found on.
        calibration_sha256: Digest of the sorted pixel digests of those images.
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
class Trial:
    """One precision that was tried for the graph.

    Attributes:
        name: Such as ``int8 minmax``.
        precision: Of the network.
        method: How int8 ranges were found; None for the others.
        float_nodes: Layers with weights that an int8 graph leaves in floating point, because they hurt the answers most.
        accuracy: On the validation images; None where it could not be made.
        lost: Validation images that FP32 answers rightly and this one does not, less the opposite.
        divergence: Mean Kullback-Leibler divergence of its answers from FP32's on the validation images, nats.
        bytes: Size of what would ship.
        median_ns: Frame to answer; None where it was not timed.
        relative_time: Its time divided by FP32's, both timed in turn; the median over rounds.
        relative_low: First quartile of the rounds.
        relative_high: Third quartile.
        within: Whether it keeps to the bars.
        note: Why it does not, or why it could not be made; ``""`` where there is nothing to say.
    """

    name: str
    precision: Precision
    method: str | None
    float_nodes: tuple[str, ...] = ()
    accuracy: Rate | None = None
    lost: int | None = None
    divergence: float | None = None
    bytes: int | None = None
    median_ns: int | None = None
    relative_time: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    within: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which precision ships, out of those that were tried, and why.

    Attributes:
        trials: FP32 first.
        chosen: Name of the one that ships.
        reason: In a sentence.
        images: Validation images it was judged on; calibration never saw them.
        timed_on: The machine whose times decided; None where none were taken.
        precision: Of what ships.
        onnx: Its graph.
        quantized: How that graph was quantized; None where it was not.
        built: What ships, where it was built for the trial already.
        aware: The last link as it was trained further for int8, where the graph was made from that one.
        schema_version: Of this record.
    """

    trials: tuple[Trial, ...]
    chosen: str
    reason: str
    images: int
    timed_on: str | None
    precision: Precision
    onnx: FileRef
    quantized: QuantizedModel | None
    built: BuiltModel | None
    aware: Link | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalibration:
    """The quantized graph with a temperature in front of its last Softmax, found on validation images.

    Attributes:
        onnx: The graph; where ``temperature`` is 1, the very bytes it was made from.
        temperature: The logits are divided by it, inside the graph.
        unpulled: What fits the validation images best, before the pull towards 1 that few images call for.
        val_images: Validation images it was found on.
        val_groups: Independent groups among them.
        val_nll_before: Negative log likelihood of the validation labels as it was, nat.
        val_nll_after: The same with the temperature.
        answered_by: Which implementation answered them: what ships.
        note: What to know about it, in words.
        source_sha256: Digest of the graph without the temperature.
        built: What ships, with the temperature inside, where it is built here.
        schema_version: Of this record.
    """

    onnx: FileRef
    temperature: float
    unpulled: float
    val_images: int
    val_groups: int
    val_nll_before: float
    val_nll_after: float
    answered_by: str
    note: str
    source_sha256: str
    built: BuiltModel | None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure with its 95 % interval from a bootstrap over groups."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin:
    """The answers whose largest probability lies in one of the bins of equal width.

    Attributes:
        images: How many there are.
        confidence: Their mean largest probability; 0 in an empty bin.
        accuracy: The share of them that is right; 0 in an empty bin.
    """

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationFigures:
    """How far the probabilities of one implementation can be taken at their word.

    Attributes:
        ece: Expected calibration error of the largest probability, 15 bins of equal width (Naeini et al. 2015, AAAI).
        rms_debiased: Root of the squared calibration error over bins of equal content, less what chance alone would give
            (Kumar, Liang and Ma 2019, NeurIPS); 0 where chance explains all.
        brier: Brier score summed over classes, 0 to 2.
        nll: Negative log likelihood of the true class, nat.
        bins: The bins of ``ece``, from 0 to 1.
    """

    ece: Estimate
    rms_debiased: Estimate
    brier: Estimate
    nll: Estimate
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationCheck:
    """What the temperature did on the test split, by the bytes that ship.

    Attributes:
        temperature: See ``Recalibration``.
        val_images: See ``Recalibration``.
        val_groups: See ``Recalibration``.
        val_nll_before: See ``Recalibration``.
        val_nll_after: See ``Recalibration``.
        answered_by: See ``Recalibration``.
        note: See ``Recalibration``.
        before: On the test split, as it was compiled without the temperature.
        after: On the test split, as it ships.
    """

    temperature: float
    val_images: int
    val_groups: int
    val_nll_before: float
    val_nll_after: float
    answered_by: str
    note: str
    before: CalibrationFigures
    after: CalibrationFigures


@dataclass(frozen=True, kw_only=True, slots=True)
class ApartFrame:
    """One frame on which two implementations differ, with both answers.

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
class Parting:
    """Where two implementations of one graph part, layer by layer.

    Attributes:
        a: The reference.
        b: The other.
        frames: On how many frames: those on which their answers differ most.
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
        b: Candidate, such as ``openvino int8``.
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
    worst: tuple[ApartFrame, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One test image's answers.

    Attributes:
        path: The image.
        group: Its group.
        label: Its true label index.
        fp32: Probabilities before quantization.
        compiled: Probabilities of the artefact that ships.
    """

    path: str
    group: str
    label: int
    fp32: tuple[float, ...]
    compiled: tuple[float, ...]


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
        partings: Layer by layer, for the pairs that failed.
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
    partings: tuple[Parting, ...] = ()
    executed: tuple[ExecutedLayer, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Times of single queries, one after another.

    Attributes:
        samples_ns: Every query, in order.
        p50_ns: Median.
        p90_ns: 90th percentile.
        p99_ns: 99th percentile.
        iqr_over_median: Spread; over 0.1 the machine was too noisy to trust the figures.
    """

    samples_ns: tuple[int, ...]
    p50_ns: int
    p90_ns: int
    p99_ns: int
    iqr_over_median: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyStop:
    """What a run proves about a percentile: MLPerf's early-stopping estimate.

    Attributes:
        percent: Which percentile, 1 to 99.
        estimate_ns: The percentile lies under this time, with that confidence; None: too few queries to say so of any.
        confidence: Between 0 and 1, for queries that are independent of each other.
        over: How many of the slowest queries stand at or above the estimate.
        needed: Fewest queries that give an estimate.
    """

    percent: int
    estimate_ns: int | None
    confidence: float
    over: int
    needed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadgenFigures:
    """What MLPerf's LoadGen says of a run; its times hold its own call into Python.

    Attributes:
        version: Of LoadGen.
        valid: Its own verdict.
        queries: How many it counted.
        p90_ns: 90th percentile.
        p99_ns: 99th percentile.
        early_stopping_p90_ns: Its estimate of the 90th percentile; None: too few queries.
        early_stopping_p99_ns: Likewise of the 99th.
    """

    version: str
    valid: bool
    queries: int
    p90_ns: int
    p99_ns: int
    early_stopping_p90_ns: int | None
    early_stopping_p99_ns: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerFigures:
    """Power and energy of a run. None means that it cannot be measured there, and ``reason`` says why.

    Attributes:
        source: What was read, such as ``ina3221``.
        rails: What it measures, such as ``VDD_IN``.
        idle_mw: Mean power before the run, model open and nothing running.
        run_mw: Mean power over the timed run.
        gross_mj: Energy of one frame, idle power included.
        net_mj: Energy of one frame above idle.
        resolution_mj: What one reading more or less at each end would change in either.
        readings: How many fell into the timed run.
        reason: In words, where something is None.
    """

    source: str
    rails: tuple[str, ...]
    idle_mw: float | None
    run_mw: float | None
    gross_mj: float | None
    net_mj: float | None
    resolution_mj: float | None
    readings: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineState:
    """One look at the machine. None means that the machine does not show it.

    Attributes:
        at_ns: When, counted from the start of the timed run; negative before it.
        cpu_khz: Clock of the core that runs fastest.
        gpu_hz: Clock of the GPU.
        hottest_celsius: Temperature of the hottest zone.
        hottest_zone: Its name.
        load_average: Of the last minute.
        throttling: What slows the machine down at this moment, in words.
    """

    at_ns: int
    cpu_khz: int | None
    gpu_hz: int | None
    hottest_celsius: float | None
    hottest_zone: str | None
    load_average: float | None
    throttling: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineRecord:
    """The machine before, during and after a timed run.

    Attributes:
        before: Before the warm-up.
        during: Once a second.
        after: After the run.
        mode_before: Power mode and clock governors before; None where none is shown.
        mode_after: The same after.
        throttle_events: Counters of throttling that went up during the run, with how much, in words.
        shown: What the machine shows, in words such as ``clocks``; what is not here could not be watched.
        emulated: As what on what, in words, where an emulator ran the model; None where nothing shows one.
    """

    before: MachineState
    during: tuple[MachineState, ...]
    after: MachineState
    mode_before: str | None
    mode_after: str | None
    throttle_events: tuple[str, ...]
    shown: tuple[str, ...]
    emulated: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One bench of one bundle on one machine. None means that it cannot be measured there.

    Attributes:
        device: What was recognised: a profile's id, or ``unknown``.
        host: Processor or board in words.
        backend: What ran the model.
        backend_version: Its version.
        precision: Precision of the model.
        rules: By which rules, such as ``single-stream, 1024 queries``.
        threads: Processor threads the backend was given.
        link: The link that was timed as it would ship, for the choice between links; None: what ships.
        frame_to_answer: From a uint8 frame in memory to probabilities.
        network: The network alone, preprocessing cut away.
        cold_start_ns: From opening the model to its first answer.
        peak_rss_bytes: Largest resident memory of the process.
        energy_mj: Energy of one frame above idle, millijoule; ``power`` has the whole of it.
        warnings: What makes the figures doubtful.
        rule_set: Name of the rules the run was made by.
        generator: What sent the queries: ``own loop`` or LoadGen with its version.
        duration_ns: Of the timed run, frame to answer.
        rules_met: Whether the run was as long as its rules ask; False for one that was cut off.
        early_stopping: What the run proves about the 90th and the 99th percentile, frame to answer.
        loadgen: What LoadGen says of the same run; None where our own loop sent the queries.
        power: Power and energy; None where nobody asked for it.
        machine: The machine's state around the run; None where nobody watched.
        cut_off: Why the run ended before its time; None: it did not. Its times are never VALID.
        schema_version: Of this record.
    """

    device: str
    host: str
    backend: str
    backend_version: str
    precision: str
    rules: str
    threads: int
    frame_to_answer: Latency
    network: Latency | None
    cold_start_ns: int
    peak_rss_bytes: int | None
    energy_mj: float | None
    link: str | None = None
    warnings: tuple[str, ...] = ()
    rule_set: str = "quick"
    generator: str = "own loop"
    duration_ns: int | None = None
    rules_met: bool = True
    early_stopping: tuple[EarlyStop, ...] = ()
    loadgen: LoadgenFigures | None = None
    power: PowerFigures | None = None
    machine: MachineRecord | None = None
    cut_off: str | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One bar, what was reached, and the verdict.

    Attributes:
        name: Such as ``latency_p90_ms``.
        bar: The limit.
        got: The figure; None where it cannot be had here.
        verdict: INCONCLUSIVE where the figure was not measured on the device itself.
        reason: In words.
    """

    name: str
    bar: float
    got: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkLatency:
    """Frame to answer of one link on the device that is built for, and how that is known.

    Attributes:
        label: ``measured`` on that device, ``predicted`` for it, or ``unknown``.
        p90_ns: 90th percentile where it was measured; where it was predicted, the median of undisturbed queries.
        low_ns: Lower end of the predicted 90 % interval.
        high_ns: Upper end.
        reason: Where the figure is from, or why there is none.
    """

    label: Literal["measured", "predicted", "unknown"]
    p90_ns: float | None
    low_ns: float | None
    high_ns: float | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WeighedLink:
    """One link as it would ship: quantized, compiled, and held against every bar, on images no training has seen.

    Attributes:
        name: Such as ``M2``.
        precision: The one its own search chose.
        backend: What answered and was timed.
        method: Name of the chosen trial.
        bytes: Size of what the device would load.
        val_accuracy: On the validation images, compiled: what the choice between links hangs on.
        test_accuracy: On the test images, compiled: for the picture, never for the choice.
        latency: On the device that is built for.
        here_p90_ns: Frame to answer on the machine that builds, 90th percentile.
        gates: The bars, accuracies on the validation images.
    """

    name: str
    precision: Precision
    backend: str
    method: str
    bytes: int
    val_accuracy: Rate
    test_accuracy: Rate
    latency: LinkLatency
    here_p90_ns: int
    gates: tuple[Gate, ...]

    @property
    def passes(self) -> bool:
        """Whether no bar was missed; one that could not be judged is not missed."""
        return all(gate.verdict != "FAIL" for gate in self.gates)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipping:
    """Which link ships and why.

    Attributes:
        chosen: Its name.
        reason: In a sentence.
        links: Every link that was weighed, largest first; empty where there was nothing to choose.
        advice: Where none passes: what is closest, and what to change.
        schema_version: Of this record.
    """

    chosen: str
    reason: str
    links: tuple[WeighedLink, ...] = ()
    advice: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenFrames:
    """Frames with the answers they must give, for a self-test on the device.

    Attributes:
        frames: uint8 ``[N, frame_height, frame_width, 3]`` as a ``.npy`` file.
        expected: float32 ``[N, classes]`` as a ``.npy`` file: the answers of the reference backend.
        reference: Which backend, version and precision gave them.
        tolerance: Largest difference of a probability allowed, per backend name.
    """

    frames: FileRef
    expected: FileRef
    reference: str
    tolerance: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """How probabilities become a decision.

    Attributes:
        abstain_below: The decision is "unable to analyze" where no probability reaches this; 0 never abstains.
    """

    abstain_below: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a bundle holds: the file ``manifest.json`` that firmware reads first.

    Attributes:
        name: Of the bundle.
        target: ``cpu`` or ``jetson``.
        device: Id of the device profile it was built for.
        labels: Class names in output order.
        input: The frame contract.
        input_name: Name of the graph's input.
        network_input_name: Name of the tensor between preprocessing and network.
        output_name: Name of the graph's output.
        operating_point: How a decision is made.
        models: What each backend runs, or builds on the device.
        onnx: The graph, source of every engine.
        onnx_precision: Of that graph: what OpenVINO runs may be int8 of another make, from a graph in FP32.
        selftest: Golden frames.
        gates: Every bar with its verdict.
        passed: True when no gate failed.
        synthetic: True when the training data were drawn phantoms.
        files: Every file of the bundle but the manifest and the signature.
        versions: Of this software and of the libraries that made the bundle.
        manifest_sha256: SHA-256 of the bytes of ``manifest.json`` itself with this value written as 64 zeros; filled in when
            the bundle is sealed. It finds a damaged manifest in a bundle without a signature.
        schema_version: Of the bundle's format.
    """

    name: str
    target: Target
    device: str
    labels: tuple[str, ...]
    input: InputContract
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
    onnx_precision: str = "int8"
    schema_version: int = SCHEMA_VERSION
