"""The links of a chain, and the record of the build that made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts.base import Estimate, Rate
from weckd_edge.artifacts.frame import InputSpec, NetworkInput
from weckd_edge.core.network_options import NetworkOptions, check_network_options
from weckd_edge.core.store import SCHEMA_VERSION, FileRef, digest_of


def network_digest(model: str, options: NetworkOptions, weights_sha256: str) -> str:
    """Return the SHA-256, hexadecimal, of what a network computes from its input: the architecture and the weights.

    Two architectures may have the same tensors and compute different things from them.

    Args:
        model: Name of the architecture.
        options: Options that shape it.
        weights_sha256: Digest of its weights, whose shapes say how many channels each layer keeps.
    """
    return digest_of([model, options, weights_sha256])


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One network of the chain, trained, with its accuracies.

    Attributes:
        name: ``M1``, ``M2``, ... or ``baseline``; ``imported`` for a network that was not trained here.
        model: timm name; of an imported ONNX file, the file's name.
        options: Keyword arguments of ``timm.create_model`` that shape the network; arguments that make timm read, fetch or
            run something are refused.
        input: Camera frame and preprocessing that the link was trained with.
        labels: Class names, in the order of the outputs.
        parameters: Number of weights, classifier included.
        macs: Multiply-accumulate operations (MACs) for one image.
        weights: safetensors file with this link's weights alone; of an imported ONNX file, the network as ONNX.
        parent: SHA-256 of the teacher's weights, hexadecimal; None for the first link and the baseline.
        labelled_subset: Index of the labelled subset that the link learned from.
        labels_used: Number of labels that the link saw; 0 for an imported model, for which it is not known.
        images_used: Number of distinct training images that the link saw, labelled or not; 0 for an imported model.
        val_accuracy: Accuracy on the validation split, in FP32.
        test_accuracy: Accuracy on the held-out test split, in FP32.
        width: Part of the model's channels that it keeps. Below 1 the model was pruned to whole channels before it was
            trained; the shapes of the weights say how many each layer kept.
        epochs: Number of epochs that the link was trained for, fewer than the setting where early stopping ended the
            training; None where it is not known, as for an imported model.
        schema_version: Schema version of this record.
    """

    name: str
    model: str
    options: NetworkOptions
    input: InputSpec
    labels: tuple[str, ...]
    parameters: int
    macs: int
    weights: FileRef
    parent: str | None
    labelled_subset: int
    labels_used: int
    images_used: int
    val_accuracy: Rate
    test_accuracy: Rate
    width: float = 1.0
    epochs: int | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        check_network_options(self.options)

    @property
    def network_text(self) -> str:
        """The network in words: the model, and the part of its channels where that is not all of them."""
        return self.model if self.width == 1 else f"{self.model}, width {self.width:g}"

    @property
    def network_sha256(self) -> str:
        """Digest of what the network computes from its input, as ``network_digest`` finds it."""
        return network_digest(self.model, self.options, self.weights.sha256)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherRecord:
    """A teacher from outside the chain.

    Attributes:
        name: Name of the network or of its file.
        sha256: Digest of everything that its outputs depend on, its weights and its input, hexadecimal.
        input: Size and normalisation of its input.
        head: What turned its outputs into classes: its ``own`` classifier, a ``ridge`` regression that was fitted here, or
            ``fine-tune``, trainings of the whole network.
    """

    name: str
    sha256: str
    input: NetworkInput
    head: Literal["own", "ridge", "fine-tune"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftLabels:
    """Soft labels of all teachers from outside together: the mean of their probabilities.

    Teachers with a ridge regression are one member of this mean: one regression reads the features of all of them. Every
    other teacher is one more member.

    Attributes:
        training: float32 ``[N, classes]`` as ``.npy``, log-probabilities of the index's training images in order, then of
            the unlabelled ones.
        validation: float32 ``[V, classes]`` as ``.npy``, probabilities of the validation images in order.
        agreement: float32 ``[N]`` as ``.npy``, how far the teachers agree on each image of ``training``, over 0 to 1: one
            minus the mutual information of decision and teacher, as a part of its maximum.
        folds: Number of folds that a classifier was fitted or a network trained without, one each; 0 where none was.
        views: Number of views of an image that a teacher's output is the mean over.
        labels_used: Number of labels that these saw.
        out_of_fold: Accuracy on these labelled images, each predicted without its group; None where ``folds`` is 0.
        schema_version: Version of this record's fields.
    """

    training: FileRef
    validation: FileRef
    agreement: FileRef
    folds: int
    views: int
    labels_used: int
    out_of_fold: Rate | None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class OutsideTeaching:
    """The teachers from outside the chain, judged before any link learned from them.

    Attributes:
        teachers: The teachers.
        folds: Number of folds of the labelled images, each of which was predicted by a classifier that was fitted without
            it; 0 where each teacher has its own classifier.
        views: Number of views of an image that a teacher's output is the mean over.
        labels_used: Number of labels that classifiers were fitted on, those that the last link may see.
        out_of_fold_accuracy: Accuracy on these labelled images, each predicted without its group; None where ``folds`` is 0.
        accuracy: Accuracy of the teachers together on the validation split.
        alone_accuracy: Accuracy of the last link's network, trained alone, on the same images; None where the gate was off.
        difference: Teachers minus network alone, by a paired bootstrap over groups; None where there are too few images or
            groups, or where the gate was off.
        used: Whether the links learned from them.
        reason: Why, a sentence.
    """

    teachers: tuple[TeacherRecord, ...]
    folds: int
    views: int
    labels_used: int
    out_of_fold_accuracy: Rate | None
    accuracy: Rate
    alone_accuracy: Rate | None
    difference: Estimate | None
    used: bool
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainRecord:
    """The file ``evidence/chain.json``: every link of the chain, and the baseline.

    Attributes:
        links: Links in training order, largest first.
        baseline: The last link's network trained alone, without a teacher; None where the build left it out.
        labels_used: Number of distinct training images whose label any link saw.
        deployed: Name of the deployed link; None means the last link, in bundles that made no selection.
        import_notes: What was found in an imported model and what was decided about it, in words; empty for a trained chain.
        import_warnings: What may be wrong with the description of an imported model, one sentence each.
        outside: The teachers from outside the chain, and whether the links learned from them; None where there are none.
        notes: What a reader should know of the chain, one sentence each: pretrained weights that the settings ask for where
            they can be had, and that could not; links that are the same network as the one before.
        schema_version: Schema version of this record.
    """

    links: tuple[Link, ...]
    baseline: Link | None
    labels_used: int
    deployed: str | None = None
    import_notes: tuple[str, ...] = ()
    import_warnings: tuple[str, ...] = ()
    outside: OutsideTeaching | None = None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def ends_in_baseline(self) -> bool:
        """Whether the last of several links is the baseline: the network trained alone, which took the link's place."""
        alone, last = self.baseline, self.links[-1]
        return (
            alone is not None
            and last.weights.sha256 == alone.weights.sha256
            and last is not self.links[0]
            and last.parent is None
        )

    @property
    def trained(self) -> tuple[Link, ...]:
        """The links, and the baseline behind them where it is not the last of them."""
        return self.links if self.baseline is None or self.ends_in_baseline else (*self.links, self.baseline)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTime:
    """Duration of one step of a build.

    Attributes:
        name: Name of the step.
        seconds: Duration in this run, seconds.
        reused: Whether the result of an earlier run was used.
    """

    name: str
    seconds: float
    reused: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRecord:
    """The file ``evidence/build.json``: settings and durations of a build.

    Attributes:
        config: Every setting of the build (``BuildConfig``), as JSON text.
        steps: Durations of the steps, in order.
        data_name: Name of the data set's folder.
        schema_version: Schema version of this record.
    """

    config: str
    steps: tuple[StageTime, ...]
    data_name: str
    schema_version: int = SCHEMA_VERSION
