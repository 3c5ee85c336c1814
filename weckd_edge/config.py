"""Everything a build can be told, as frozen dataclasses read from TOML.

Each class refuses what contradicts itself when it is made, so that a wrong setting is one line before any work starts.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from weckd_edge.errors import ConfigError
from weckd_edge.schema import from_data

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise ConfigError(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """How images are split.

    Attributes:
        share: Part of the training images in one labelled share, 0..1; there is one share for each link.
        test_fraction: Part of all images held out for the final figures, by whole groups.
        val_fraction: Part of all images held out for choosing, by whole groups.
        near_duplicate_distance: Largest Hamming distance of two 64-bit perceptual hashes at which two images are compared
            as near duplicates; None looks for exact copies only. At 10, of the pairs of frames that otoscopy_chile's own
            clusters keep together 83 % are found and 98 % of the found are right (at 6: 69 % and 100 %).
        unlabelled: A folder of frames without labels, relative to the config file: shown to links with a teacher where the
            strategy ends in ``+pool``. Copies, and frames that resemble a held-out image, are left out.
        use_published_split: Keep the test split that the CSV names instead of making one (its leaks are reported).
    """

    share: float = 0.1
    test_fraction: float = 0.2
    val_fraction: float = 0.1
    near_duplicate_distance: int | None = 10
    unlabelled: str | None = None
    use_published_split: bool = False

    def __post_init__(self) -> None:
        _check(0 < self.share <= 1, f"share = {self.share}: expected a part of the training images, over 0 and at most 1")
        for name in ("test_fraction", "val_fraction"):
            value = getattr(self, name)
            _check(0 < value < 0.5, f"{name} = {value}: expected over 0 and under 0.5")
        distance = self.near_duplicate_distance
        _check(distance is None or 0 <= distance <= 16, f"near_duplicate_distance = {distance}: expected 0 to 16")


@dataclass(frozen=True, kw_only=True, slots=True)
class InputConfig:
    """The camera frame the graph will be fed with.

    Attributes:
        frame: ``[height, width]`` in pixels; None takes the commonest size in the data set.
        crop: Keep the centred square of the frame, or stretch the whole of it.
        resize: ``diagonal`` means two of the frame's pixels into one of the network's, in a fraction of the time of
            ``bilinear``, which suits networks that were trained elsewhere.
    """

    frame: tuple[int, int] | None = None
    crop: Literal["center", "stretch"] = "center"
    resize: Literal["diagonal", "bilinear"] = "diagonal"

    def __post_init__(self) -> None:
        if self.frame is not None:
            _check(
                all(16 <= side <= 8192 for side in self.frame),
                f"frame = {list(self.frame)}: expected 16 to 8192 pixels",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkConfig:
    """One student.

    Attributes:
        model: A timm name, or ``hf_hub:owner/name``.
        input_size: Side of the network's input, pixels.
        weights: A local checkpoint (safetensors, or a PyTorch file of plain tensors), relative to the config file; its
            classifier is left out where its shape differs.
        pretrained: Ask timm for its own pretrained weights (needs a network or a filled cache).
        options: Keyword arguments for ``timm.create_model``, such as ``{ channels = [16, 32, 64, 128] }``
            for a narrow ResNet.
        mean: Per-channel mean the weights were trained with; None takes the model's own, or middle grey (128/255) for random
            weights. 0.5 is taken as middle grey, which int8 holds without rounding.
        std: Likewise.
        weights_licence: Under which licence the weights it starts from were given, in words or as SPDX says it; it is
            written into the model card. None: not stated.
    """

    model: str
    input_size: int = 128
    weights: str | None = None
    pretrained: bool = False
    options: dict[str, bool | int | float | str | tuple[int, ...]] = field(default_factory=dict)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    weights_licence: str | None = None

    def __post_init__(self) -> None:
        _check(32 <= self.input_size <= 1024, f"input_size = {self.input_size}: expected 32 to 1024 pixels")
        _check(
            not (self.weights and self.pretrained),
            f"{self.model}: weights and pretrained contradict each other; keep one of the two",
        )
        _check((self.mean is None) == (self.std is None), f"{self.model}: give both mean and std, or neither")
        _check(self.std is None or min(self.std) > 0, f"{self.model}: std must be over 0")
        _check(
            self.weights_licence is None or bool(self.weights_licence.strip()),
            f"{self.model}: weights_licence holds no words; leave it out instead",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The loop.

    Attributes:
        epochs: How often the schedule moves on and a checkpoint is written.
        steps_per_epoch: Gradient steps in one epoch.
        batch: Labelled images in one step; those without a label come on top, see ``distill.pool_ratio``.
        learning_rate: Peak. A classifier that starts from random weights takes ten times as much.
        linear_probe: Start the classifier of a pretrained trunk from a ridge regression on its features (linear probing
            before fine-tuning, arXiv 2202.10054).
        weight_decay: AdamW's.
        augment: Strength of flips, crops, rotation and colour changes, 0 (none) to 1.
        balance: How far rare classes are shown as often as common ones: 0 as they come, 1 all alike.
        ema: Part of the training over which weights are averaged, exponentially, towards its end; 0 keeps the last weights.
            A part, not a number of steps, so that a short training is not left with its first weights.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed`` (a GPU).
        accelerator: Where to train.
        accumulate: Parts that a step's batch is worked through in, one after another, where it does not fit the device;
            batch norms see one part at a time.
        compile: Let ``torch.compile`` write the student's kernels: pays on a GPU from some thousand steps on.
        threads: Processor threads; 0 takes all cores.
    """

    epochs: int = 10
    steps_per_epoch: int = 20
    batch: int = 32
    learning_rate: float = 1e-3
    linear_probe: bool = True
    weight_decay: float = 0.02
    augment: float = 0.5
    balance: float = 0.5
    ema: float = 0.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    accumulate: int = 1
    compile: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch"):
            _check(getattr(self, name) >= 1, f"{name} = {getattr(self, name)}: expected at least 1")
        _check(self.accumulate >= 1, f"accumulate = {self.accumulate}: expected at least 1")
        _check(self.batch >= 4, f"batch = {self.batch}: expected at least 4")
        _check(0 < self.learning_rate < 1, f"learning_rate = {self.learning_rate}: expected over 0 and under 1")
        for name in ("augment", "balance"):
            _check(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)}: expected 0 to 1")
        _check(0 <= self.ema <= 0.5, f"ema = {self.ema}: expected 0 to 0.5 of the training")


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillConfig:
    """How a link learns from its predecessor.

    Attributes:
        strategy: Who teaches whom with which data; see ``weckd_edge.train.strategies``.
        loss: ``kl`` (soft targets), ``dkd``, ``dist`` or ``standardised``; the last two need three classes or more.
        weight: Part of the loss that comes from the teacher, 0..1; the rest is cross-entropy on the labels the link may see.
        temperature_start: Softmax temperature in the first epoch.
        temperature_end: Softmax temperature in the last epoch.
        attention: Weight of the spatial-attention term; 0 leaves it out.
        mixup: Part of the batches whose images are mixed in pairs, alike for teacher and student (Zhang 2018).
        view_uses: How often each random view of an image is shown within an epoch, among other images each time: a teacher
            need look at it only once. 1 shows every view once.
        pool_ratio: How many images without a label each step of a taught link shows beside each labelled one, where its
            strategy ends in ``+pool``. In their place rather than beside them they cost four-class MRI slices two points.
        teacher_drop: With several teachers, the chance that one is left out of a step (Son 2021, arXiv 2009.08825).
        last_part: Part of the whole chain's gradient steps that its last link takes, the earlier ones alike; None: all links
            alike. What ships needs its steps; a teacher is good after fewer.
        refine: Last part of a link's training in which it learns from its labels alone before it teaches, 0..0.5.
        twin: Train the last link's architecture once more without a teacher, to see whether the chain helped.
    """

    strategy: str = "dgkd+pool"
    loss: Literal["kl", "dkd", "dist", "standardised"] = "kl"
    weight: float = 0.7
    temperature_start: float = 4.0
    temperature_end: float = 1.0
    attention: float = 0.0
    mixup: float = 0.0
    view_uses: int = 2
    pool_ratio: float = 1.0
    teacher_drop: float = 0.25
    last_part: float | None = None
    refine: float = 0.0
    twin: bool = True

    def __post_init__(self) -> None:
        _check(0 <= self.weight <= 1, f"weight = {self.weight}: expected 0 to 1")
        _check(
            0 < self.temperature_end <= self.temperature_start,
            f"temperature_end = {self.temperature_end}, temperature_start = {self.temperature_start}: "
            "annealing expects 0 < end <= start",
        )
        for name, most in (("mixup", 1.0), ("teacher_drop", 0.9), ("refine", 0.5)):
            value = getattr(self, name)
            _check(0 <= value <= most, f"{name} = {value}: expected 0 to {most:g}")
        last = self.last_part
        _check(last is None or 0 < last < 1, f"last_part = {last}: expected a part of the steps, over 0 and under 1")
        _check(0 < self.pool_ratio <= 16, f"pool_ratio = {self.pool_ratio}: expected over 0, at most 16")
        _check(1 <= self.view_uses <= 16, f"view_uses = {self.view_uses}: expected 1 to 16")
        _check(self.attention >= 0, f"attention = {self.attention}: expected 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeConfig:
    """Which precisions are tried, and what one may cost. The fastest within the bars ships.

    Attributes:
        precision: ``auto`` tries int8, float16 and float32; the others leave no choice.
        method: How activation ranges are found: see ``weckd_edge.compile.ranges``. ``auto`` takes the one whose answers on
            the validation images stay closest.
        images: How many training images to calibrate on.
        accuracy_drop: Accuracy on the validation images that may be lost against FP32, 0..1; never less than one image.
        accuracy_kept: Part of FP32's accuracy that must be kept, 0..1 (MLPerf asks for 0.99).
        recall_drop: Sensitivity that any class may lose, 0..1; never less than one image.
        float_layers: Where int8 as a whole breaks a bar, at most so many of the layers it hurts most stay in floating point.
        aware: Whether the last link is also trained a little further under int8 rounding (``quantize_aware``):
            ``when-needed`` does so where int8 as a whole breaks a bar.
        nncf: Also try NNCF's own int8, where it is installed and the target is a processor.
    """

    precision: Literal["auto", "int8", "fp16", "fp32"] = "auto"
    method: Literal["auto", "minmax", "percentile", "entropy", "mse"] = "auto"
    images: int = 128
    accuracy_drop: float = 0.005
    accuracy_kept: float = 0.99
    recall_drop: float = 0.02
    float_layers: int = 8
    aware: Literal["never", "when-needed", "always"] = "when-needed"
    nncf: bool = True

    def __post_init__(self) -> None:
        _check(self.images >= 8, f"images = {self.images}: expected at least 8 calibration images")
        _check(self.float_layers >= 0, f"float_layers = {self.float_layers}: expected 0 or more")
        for name in ("accuracy_drop", "accuracy_kept", "recall_drop"):
            value = getattr(self, name)
            _check(0 <= value <= 1, f"{name} = {value}: expected 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeAwareConfig:
    """Quantization-aware distillation: how the last link goes on learning under int8 rounding.

    Attributes:
        epochs: As long as those of ``train``.
        learning_rate: Peak. Small, as the link is trained already: AdamW's steps are this long however small the loss is.
        teacher: The link ``itself``, as it was without rounding, or its ``predecessor``.
        weight: Part of the loss that comes from the teacher, 0..1; the rest is cross-entropy on the labels the link may see.
        augment: Strength of the random views, 0..1.
    """

    epochs: int = 3
    learning_rate: float = 1e-5
    teacher: Literal["itself", "predecessor"] = "itself"
    weight: float = 1.0
    augment: float = 0.5

    def __post_init__(self) -> None:
        _check(self.epochs >= 1, f"epochs = {self.epochs}: expected at least 1")
        _check(0 < self.learning_rate < 1, f"learning_rate = {self.learning_rate}: expected over 0 and under 1")
        for name in ("weight", "augment"):
            _check(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)}: expected 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """Bars that the build must clear; None takes the device profile's, and where that has none, nothing is asked.

    Attributes:
        latency_p90_ms: Frame to answer, 90th percentile, at most.
        memory_mib: Peak resident memory, at most.
        size_mib: Size of what the device loads, at most.
        accuracy: Accuracy of the compiled artefact on the test split, at least (0..1).
        accuracy_drop: Accuracy lost between FP32 and the compiled artefact, at most (0..1).
        energy_mj: Energy of one frame above idle, at most, millijoule.
        recall: Sensitivity of the compiled artefact for the class it recognises worst, on the test split, at least (0..1).
        slice_accuracy: Accuracy of the compiled artefact in the slice it serves worst, on the test split, at least (0..1);
            see ``ReportConfig.slices``.
        slice_recall: Sensitivity in the slice and for the class where it is lowest, likewise.
    """

    latency_p90_ms: float | None = None
    memory_mib: float | None = None
    size_mib: float | None = None
    accuracy: float | None = None
    accuracy_drop: float | None = None
    energy_mj: float | None = None
    recall: float | None = None
    slice_accuracy: float | None = None
    slice_recall: float | None = None

    def __post_init__(self) -> None:
        for name in ("latency_p90_ms", "memory_mib", "size_mib", "energy_mj"):
            value = getattr(self, name)
            _check(value is None or value > 0, f"{name} = {value}: expected over 0")
        for name in ("accuracy", "accuracy_drop", "recall", "slice_accuracy", "slice_recall"):
            value = getattr(self, name)
            _check(value is None or 0 <= value <= 1, f"{name} = {value}: expected 0 to 1 (0.9 for 90 %)")


Bar = float | Literal["auto", "off"]
"""A bar of quality: a figure, found from the training frames, or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardConfig:
    """The frame guard: which frames are refused before the network sees them.

    Attributes:
        use: Fit a guard and ship it.
        refused: Part of familiar frames that may be refused as unfamiliar, 0..1; 0: no frame is refused for that.
        least_sharpness: Grey levels, or ``auto``, or ``off``; see ``QualityFigures``, as for the next three.
        least_contrast: Grey levels.
        most_dark: Part of the frame, 0..1.
        most_bright: Part of the frame, 0..1.
        refuse_labels: Classes that are no answer: "unable to analyze" and the label, such as wax that covers the drum.
        other_frames: Folders of frames that should be refused, relative to the config file: how well they are is measured.
    """

    use: bool = True
    refused: float = 0.01
    least_sharpness: Bar = "auto"
    least_contrast: Bar = "auto"
    most_dark: Bar = "auto"
    most_bright: Bar = "auto"
    refuse_labels: tuple[str, ...] = ()
    other_frames: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(0 <= self.refused <= 0.5, f"refused = {self.refused}: expected 0 to 0.5 (0.01 for one frame in a hundred)")
        for name in ("least_sharpness", "least_contrast"):
            value = getattr(self, name)
            _check(isinstance(value, str) or value >= 0, f"{name} = {value}: expected 0 or more, 'auto' or 'off'")
        for name in ("most_dark", "most_bright"):
            value = getattr(self, name)
            _check(isinstance(value, str) or 0 <= value <= 1, f"{name} = {value}: expected 0 to 1, 'auto' or 'off'")
        _check(len(set(self.refuse_labels)) == len(self.refuse_labels), "refuse_labels: a label stands there twice")


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstainConfig:
    """How sure an answer must be.

    Attributes:
        risk: Largest part of the answered groups that may be answered wrongly, 0..1; the lowest threshold that keeps it is
            sought on validation images. None: none is sought.
        confidence: With which probability over draws of validation images it must hold, 0..1.
        unmet: Where no threshold keeps it, the build fails, or only says so.
    """

    risk: float | None = None
    confidence: float = 0.95
    unmet: Literal["fail", "report"] = "fail"

    def __post_init__(self) -> None:
        _check(self.risk is None or 0 < self.risk < 1, f"risk = {self.risk}: expected over 0 and under 1 (0.05 for 5 %)")
        _check(0.5 <= self.confidence < 1, f"confidence = {self.confidence}: expected 0.5 up to under 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """The latency run of a build.

    Attributes:
        queries: How many frames, one after another.
        warmup: How many before those, not counted.
        threads: Processor threads the model may use.
    """

    queries: int = 1024
    warmup: int = 50
    threads: int = 1

    def __post_init__(self) -> None:
        _check(self.queries >= 64, f"queries = {self.queries}: a 90th percentile needs at least 64")
        _check(self.threads >= 1, f"threads = {self.threads}: expected at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShipConfig:
    """Which link of the chain ships.

    Attributes:
        link: ``smallest``: every link is quantized, compiled, timed and held against the bars on validation images, and the
            smallest that misses none ships. Else ``last``, or a link's name such as ``M2``, and no other is compiled.
        queries: Frames on which each link is timed for that.
        measurements: What ``weckd-edge predict --calibrate`` wrote on the device, relative to the config file: where the
            build does not run on the device, latencies are predicted from it.
    """

    link: str = "smallest"
    queries: int = 256
    measurements: str | None = None

    def __post_init__(self) -> None:
        named = self.link[:1] == "M" and self.link[1:].isdecimal()
        _check(named or self.link in ("smallest", "last"), f"link = '{self.link}': expected smallest, last, or such as M2")
        _check(self.queries >= 64, f"queries = {self.queries}: a 90th percentile needs at least 64")


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """What verification does beyond comparing answers.

    Attributes:
        layers: Compare the int8 graph and what ships layer by layer: where their answers differ too much, or always.
    """

    layers: Literal["on-failure", "always"] = "on-failure"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbesConfig:
    """The probes of the data set: leaks, shortcuts and doubtful labels.

    Attributes:
        enabled: Whether a build makes them.
        images: At most so many images are described; of more, a sample of whole groups.
        masked_images: At most so many of them are also described under every mask.
        discs: Diameters of the centred discs that are covered, and left alone, in parts of the picture's side; rising.
        masks: A folder of masks, relative to the config file, named as the images (``label/name.png``): what is brighter
            than black holds the clinical content. A CSV's column ``box`` (left top right bottom, pixels) serves too.
        source: The CSV's column that names where an image comes from; None takes ``source``, ``site``, ``hospital`` or
            ``device``, where there is one.
    """

    enabled: bool = True
    images: int = 4000
    masked_images: int = 400
    discs: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    masks: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for name in ("images", "masked_images"):
            _check(getattr(self, name) >= 16, f"{name} = {getattr(self, name)}: expected at least 16")
        _check(
            all(0 < part <= 1.2 for part in self.discs) and list(self.discs) == sorted(set(self.discs)),
            f"discs = {list(self.discs)}: expected rising diameters over 0 and at most 1.2",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BandConfig:
    """Where a column of numbers is cut into slices.

    Attributes:
        column: Of the data CSV, such as ``age``.
        edges: Rising; a number on an edge belongs to the band above it.
    """

    column: str
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in itertools.pairwise(self.edges))
        _check(bool(self.edges) and rising, f"edges = {list(self.edges)}: expected at least one number, rising")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrevalenceConfig:
    """How frequent a class is where the device will be used.

    Attributes:
        label: The class.
        share: Of all examined, over 0 and under 1.
    """

    label: str
    share: float

    def __post_init__(self) -> None:
        _check(0 < self.share < 1, f"share = {self.share}: expected over 0 and under 1 (0.2 for 20 %)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportConfig:
    """What the report shows.

    Attributes:
        sample_frames: How many test frames to picture with their answers; 0 keeps every image out of the bundle's report.
        slices: Columns of the data CSV whose values are judged apart, such as ``["site", "age"]``; None: every further
            column with 2 to 20 values, and columns of numbers.
        bands: Where columns of numbers are cut; others are cut at their terciles.
        prevalence: Of every class, in the clinic, for predictive values there; empty: only those of the test images' own
            mix are given.
    """

    sample_frames: int = 12
    slices: tuple[str, ...] | None = None
    bands: tuple[BandConfig, ...] = ()
    prevalence: tuple[PrevalenceConfig, ...] = ()

    def __post_init__(self) -> None:
        _check(0 <= self.sample_frames <= 200, f"sample_frames = {self.sample_frames}: expected 0 to 200")
        for name, named in (("slices", self.slices or ()), ("bands", tuple(band.column for band in self.bands))):
            _check(len(set(named)) == len(named), f"{name} = {list(named)}: names a column twice")
        total = sum(entry.share for entry in self.prevalence)
        _check(
            not self.prevalence or abs(total - 1) < 1e-6,
            f"prevalence: the shares add up to {total:g}, expected 1; name every class once",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CardConfig:
    """What only the builder can say of the model; it is written into the model card and the bill of materials as it is.

    What is left out stands there as "not stated by the builder".

    Attributes:
        owner: Who answers for the model.
        contact: Where to ask, such as a mail address.
        licence: Of the model itself.
        intended_use: What it is made for.
        intended_users: By whom it is to be used.
        out_of_scope: What it is not made for, one entry each.
        data_origin: Where the images are from: sites, devices, years, how they were labelled.
        data_owner: Who holds the images.
        data_licence: Under which terms they may be used.
        ethical: What was weighed: consent, privacy, who could be harmed and how.
        caveats: What else a user must know, one entry each.
    """

    owner: str | None = None
    contact: str | None = None
    licence: str | None = None
    intended_use: str | None = None
    intended_users: str | None = None
    out_of_scope: tuple[str, ...] = ()
    data_origin: str | None = None
    data_owner: str | None = None
    data_licence: str | None = None
    ethical: str | None = None
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            texts = value if isinstance(value, tuple) else () if value is None else (value,)
            _check(all(text.strip() for text in texts), f"{item.name}: expected some words, got none; leave it out instead")


@dataclass(frozen=True, kw_only=True, slots=True)
class SelftestConfig:
    """The golden frames inside the bundle.

    Attributes:
        frames: How many validation images travel in the bundle, with the answers they must give. They are real images: where
            none may leave the clinic, build from images that may.
    """

    frames: int = 8

    def __post_init__(self) -> None:
        _check(1 <= self.frames <= 64, f"frames = {self.frames}: expected 1 to 64 golden frames")


DEFAULT_LINKS = (
    LinkConfig(model="mobilenetv2_100", input_size=128),
    LinkConfig(model="mobilenetv2_050", input_size=128),
    LinkConfig(model="mobilenetv2_035", input_size=96),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """A whole build. Each attribute is a table of the TOML file; ``link`` is a list of tables.

    Attributes:
        seed: Of splits, weights, batches and phantoms.
        link: The chain, largest first; empty where a network is brought instead.
        data: Splits and shares.
        input: The camera frame.
        train: The loop.
        distill: The teaching.
        quantize: Calibration.
        quantize_aware: The last link's training under int8 rounding.
        gates: Bars.
        bench: The latency run.
        ship: Which link ships.
        selftest: The golden frames.
        verify: The comparison of implementations.
        probes: The probes of the data set.
        report: The report.
        guard: The frame guard.
        abstain: How sure an answer must be.
        card: What the builder says of the model.
        abstain_below: See ``OperatingPoint``.
    """

    seed: int = 0
    link: tuple[LinkConfig, ...] = DEFAULT_LINKS
    data: DataConfig = DataConfig()
    input: InputConfig = InputConfig()
    train: TrainConfig = TrainConfig()
    distill: DistillConfig = DistillConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    quantize_aware: QuantizeAwareConfig = QuantizeAwareConfig()
    gates: GateConfig = GateConfig()
    bench: BenchConfig = BenchConfig()
    ship: ShipConfig = ShipConfig()
    selftest: SelftestConfig = SelftestConfig()
    verify: VerifyConfig = VerifyConfig()
    probes: ProbesConfig = ProbesConfig()
    report: ReportConfig = ReportConfig()
    guard: GuardConfig = GuardConfig()
    abstain: AbstainConfig = AbstainConfig()
    card: CardConfig = CardConfig()
    abstain_below: float = 0.0

    def __post_init__(self) -> None:
        _check(len(self.link) != 1, f"a chain needs at least two links, got {len(self.link)}")
        _check(0 <= self.abstain_below < 1, f"abstain_below = {self.abstain_below}: expected 0 up to under 1")
        _check(
            self.abstain.risk is None or self.abstain_below == 0,
            "abstain_below and abstain.risk contradict each other: the one sets the threshold, the other finds it; keep one",
        )
        number = int(self.ship.link[1:]) if self.ship.link[:1] == "M" else 1
        _check(
            not self.link or 1 <= number <= len(self.link),
            f"ship.link = '{self.ship.link}': the chain has the links M1 to M{len(self.link)}",
        )
        total = self.data.share * len(self.link)
        _check(
            total <= 1 + 1e-9,
            f"share = {self.data.share} for each of {len(self.link)} links asks for {total:.0%} of the training images; "
            f"shares are disjoint, so at most {1 / max(1, len(self.link)):.3f} each",
        )


def load_config(path: Path) -> BuildConfig:
    """Read a TOML file; relative ``weights`` are taken from the file's own folder.

    Raises:
        ConfigError: The file is missing, is not TOML, or holds an unknown, wrong or contradictory setting.
    """
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise ConfigError(f"{path}: no such config file") from err
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: cannot be read ({err})") from err
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{path}: expected TOML ({err})") from err
    config = from_data(BuildConfig, data, where=path.name)
    _check(bool(config.link), f"{path.name}: a chain needs at least two links, got 0")
    links = tuple(
        replace(link, weights=str((path.parent / link.weights).resolve())) if link.weights else link for link in config.link
    )
    data_config = config.data
    if data_config.unlabelled:
        data_config = replace(data_config, unlabelled=str((path.parent / data_config.unlabelled).resolve()))
    ship = config.ship
    if ship.measurements:
        ship = replace(ship, measurements=str((path.parent / ship.measurements).resolve()))
    probes = config.probes
    if probes.masks:
        probes = replace(probes, masks=str((path.parent / probes.masks).resolve()))
    others = tuple(str((path.parent / folder).resolve()) for folder in config.guard.other_frames)
    guard = replace(config.guard, other_frames=others)
    return replace(config, link=links, data=data_config, ship=ship, guard=guard, probes=probes)
