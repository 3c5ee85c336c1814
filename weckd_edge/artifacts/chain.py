"""The links of a chain, and the record of the build that made them."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.base import Rate
from weckd_edge.artifacts.frame import InputSpec
from weckd_edge.core.network_options import NetworkOptions, check_network_options
from weckd_edge.core.store import SCHEMA_VERSION, FileRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One trained student of the chain.

    Attributes:
        name: ``M1``, ``M2``, ... or ``baseline``; ``imported`` for a network that was not trained here.
        model: timm name; of an imported ONNX file its own.
        options: Keyword arguments for ``timm.create_model`` that shape the network; none that makes timm read, fetch or run
            something.
        input: The frame and the preprocessing it was trained with.
        labels: Class names in the order of its outputs.
        parameters: Number of weights, head included.
        macs: MACs of one image.
        weights: safetensors file with this student's weights alone; of an imported ONNX file the network as ONNX.
        parent: SHA-256 of the teacher's weights; None for the first link and the baseline.
        labelled_subset: Which labelled share it learned from.
        labels_used: Number of labels it saw; 0 for a network that was imported, of which it is not known.
        images_used: Number of distinct training images it saw, labelled or not; likewise.
        val_accuracy: On the validation split.
        test_accuracy: On the held-out test split, in FP32.
        epochs: Epochs that it was trained for, fewer than the setting where early stopping ended the training; None where
            that is not known, as of an imported network.
        schema_version: Of this record.
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
    epochs: int | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        check_network_options(self.options)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainRecord:
    """The whole chain as evidence: what each link is and reached, and what stands beside it.

    Attributes:
        links: In training order, largest first.
        baseline: The last link's architecture trained without a teacher; None where the build left it out.
        labels_used: Distinct training images whose label any link saw.
        deployed: Name of the link that is deployed; None means the last, as bundles had it that weighed no link.
        import_notes: Where the one link was not trained here but brought: what was found in it and decided, in words.
        import_warnings: What may be wrong with how that link was described, a sentence each.
        schema_version: Of this record.
    """

    links: tuple[Link, ...]
    baseline: Link | None
    labels_used: int
    deployed: str | None = None
    import_notes: tuple[str, ...] = ()
    import_warnings: tuple[str, ...] = ()
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
        steps: In order.
        data_name: The data set's folder name.
        schema_version: Of this record.
    """

    config: str
    steps: tuple[StageTime, ...]
    data_name: str
    schema_version: int = SCHEMA_VERSION
