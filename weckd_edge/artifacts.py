"""What travels between the stages: small, frozen, schema-versioned records, written as JSON.

Paths in an artefact are relative to the folder it lies in, and nothing in it depends on when or where it was made
(times and measurements are kept apart in ``Measurement``), so that equal inputs give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1

Split = Literal["train", "val", "test"]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Target = Literal["cpu", "jetson"]


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
        labels: Class names, sorted; ``ImageRecord.label`` indexes them.
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
        name: ``M1``, ``M2``, ... or ``twin``.
        model: timm name.
        options: JSON text of the keyword arguments for ``timm.create_model``.
        input: The frame and the preprocessing it was trained with.
        labels: Class names in the order of its outputs.
        parameters: Number of weights, head included.
        macs: Multiply-adds of one image.
        weights: safetensors file with this student's weights alone.
        parent: SHA-256 of the teacher's weights; None for the first link and the twin.
        share: Which labelled share it learned from.
        labels_used: Number of labels it saw.
        images_used: Number of distinct training images it saw, labelled or not.
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
        shipped: Name of the link that ships; None means the last.
        schema_version: Of this record.
    """

    links: tuple[Link, ...]
    twin: Link | None
    labels_used: int
    shipped: str | None = None
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
        schema_version: Of this record.
    """

    backend: str
    backend_version: str
    precision: str
    kind: Literal["model", "recipe", "preflight"]
    files: tuple[FileRef, ...]
    source_sha256: str
    detail: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


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
        link: The link of the chain that was timed in FP32, for comparison; None: what ships.
        frame_to_answer: From a uint8 frame in memory to probabilities.
        network: The network alone, preprocessing cut away.
        cold_start_ns: From opening the model to its first answer.
        peak_rss_bytes: Largest resident memory of the process.
        energy_mj: Energy of one frame, millijoule.
        warnings: What makes the figures doubtful.
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
        onnx: The quantized graph, source of every engine.
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
    schema_version: int = SCHEMA_VERSION
