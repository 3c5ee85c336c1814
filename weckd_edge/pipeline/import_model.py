"""What a user may bring to ``compile`` instead of images to train on: an ONNX file, a checkpoint, a link of a former build.

Each is opened and checked before any work is done, and then adopted: evaluated on the data set and written as a link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    HELD_OUT,
    SCHEMA_VERSION,
    ChainRecord,
    Colour,
    DatasetIndex,
    ExportedModel,
    InputSpec,
    Link,
    Manifest,
    NetworkInput,
    Rate,
)
from weckd_edge.bundle.reader import is_bundle, open_bundle
from weckd_edge.config import BuildConfig, LinkConfig
from weckd_edge.core.errors import ConfigError, ModelError, StoreError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_json
from weckd_edge.core.store import ARTIFACT_FILE, check_ref, sha256_bytes, sha256_file
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.stored_predictions import ModelRun, predict_once
from weckd_edge.report.evidence import CHAIN_FILE, DATASET_FILE, EVIDENCE_FOLDER

if TYPE_CHECKING:
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.compile.importing.network import OnnxNetwork
    from weckd_edge.pipeline.context import BuildContext
    from weckd_edge.pipeline.networks import Predictor
    from weckd_edge.train.networks.checkpoint import Checkpoint

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

T = TypeVar("T")

_MAX_BYTES = 1 << 30
"""Of a record: an index of some two million images."""

SAMPLES = 16
"""Validation images on which a brought ONNX file and what was made of it must answer alike."""

_UNKNOWN = "Which images it was trained on is not known here: if test images were among them, the accuracy is too high."


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedModel:
    """A network that was imported, as the stages take it.

    Attributes:
        link: The network and its accuracy on this data set.
        notes: What was found and decided, in words.
        schema_version: Of this record.
    """

    link: Link
    notes: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION


class NetworkSource(Protocol):
    """A network that was opened and found usable.

    Attributes:
        labels: Classes in the order of its outputs; None where nobody has said.
        former: The data set of the build it comes from, with its split; None where that is not known.
        trained_name: What it is answered by, in FP32.
    """

    labels: tuple[str, ...] | None
    former: DatasetIndex | None
    trained_name: str

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return what may be wrong with it, in words, as far as its file tells."""

    @property
    def takes_bytes(self) -> bool:
        """Tell whether it takes whole grey levels, so that no mean and standard deviation apply."""

    @property
    def takes_luminance(self) -> bool:
        """Tell whether it takes one channel, so that no order of channels applies."""

    @property
    def is_bgr(self) -> bool:
        """Tell whether it takes blue first."""

    @property
    def bytes(self) -> int:
        """Return the size of its weights."""

    def key(self) -> object:
        """Return everything the adoption depends on, beside the data set."""

    def import_into(self, ctx: BuildContext, index: DatasetIndex, folder: Path) -> ImportedModel:
        """Evaluate it and write it into ``folder``."""

    def export(self, imported: Link, source: Path, folder: Path, *, cast_first: bool) -> ExportedModel:
        """Write the graph from frame to probabilities; ``cast_first`` as TensorRT asks for it."""

    def predictor(self, imported: Link, source: Path) -> Predictor:
        """Return what it answers to one frame, without anything that compiling does."""

    def predict(self, imported: Link, source: Path, images: SplitFrames) -> Probabilities:
        """Return what it predicts of images ``[N, classes]``, without anything that compiling does."""

    def recorded_as(self, weights_sha256: str, spec: InputSpec) -> ModelRun:
        """Return under what its predictions are recorded."""

    def run(self, imported: Link, source: Path) -> Run:
        """Return what it predicts of one normalised image ``[1, 3, S, S]``, red first: probabilities ``[classes]``."""


def _input_spec(index: DatasetIndex, config: BuildConfig, size: int, mean: Colour, std: Colour) -> InputSpec:
    from weckd_edge.train.distill.chain import frame_spec

    frame = frame_spec(index, config.input, resize="bilinear")
    return InputSpec(frame=frame, network=NetworkInput(size=size, mean=mean, std=std))


def _rates(
    ctx: BuildContext, index: DatasetIndex, model: ModelRun, predict: Callable[[SplitFrames], Probabilities]
) -> tuple[Rate, Rate]:
    """Return how many validation and test images a network predicts rightly; its predictions are recorded."""
    from weckd_edge.train.distill.evaluate import record_accuracy

    rates = []
    for split in HELD_OUT:
        images = decode_split(ctx.workspace, index, split, ctx.root, model.input.frame, ctx.progress)
        rates.append(record_accuracy(predict_once(ctx.workspace, model, images, partial(predict, images)), images.records))
    return rates[0], rates[1]


@dataclass(kw_only=True, slots=True)
class OnnxSource:
    """An ONNX classifier from elsewhere."""

    network: OnnxNetwork
    labels: tuple[str, ...] | None
    former: DatasetIndex | None = None
    trained_name: str = "imported onnx fp32"

    @property
    def doubts(self) -> tuple[str, ...]:
        return self.network.doubts

    @property
    def takes_bytes(self) -> bool:
        return self.network.form.kind == "uint8"

    @property
    def takes_luminance(self) -> bool:
        return self.network.form.channels == 1

    @property
    def is_bgr(self) -> bool:
        return self.network.form.order == "bgr"

    @property
    def bytes(self) -> int:
        return self.network.bytes

    def key(self) -> object:
        found = self.network
        return ["onnx", found.sha256, found.form, [output.name for output in found.file_model.graph.output], found.doubts]

    def import_into(self, ctx: BuildContext, index: DatasetIndex, folder: Path) -> ImportedModel:
        from weckd_edge.compile.importing.imported_network import import_network
        from weckd_edge.train.distill.evaluate import network_pixels

        found = self.network
        form = found.form
        spec = _input_spec(index, ctx.config, form.side, form.mean, form.std)
        val = decode_split(ctx.workspace, index, "val", ctx.root, spec.frame, ctx.progress)
        samples = [network_pixels(val.frame(row), spec) for row in range(min(SAMPLES, len(val)))]
        made = import_network(found, samples, index.labels, folder)
        model = self.recorded_as(made.onnx.sha256, spec)
        rates = _rates(ctx, index, model, partial(_predict_onnx, folder / made.onnx.path, spec))
        link = Link(
            name="imported",
            model=found.name,
            options={},
            input=spec,
            labels=index.labels,
            parameters=made.parameters,
            macs=made.macs,
            weights=made.onnx,
            parent=None,
            labelled_subset=0,
            labels_used=0,
            images_used=0,
            val_accuracy=rates[0],
            test_accuracy=rates[1],
        )
        return ImportedModel(link=link, notes=(*made.notes, _UNKNOWN))

    def export(self, imported: Link, source: Path, folder: Path, *, cast_first: bool) -> ExportedModel:
        from weckd_edge.compile.importing.imported_network import wrap_network

        weights = imported.weights
        return wrap_network(
            source / weights.path, imported.input, imported.labels, weights.sha256, folder, cast_first=cast_first
        )

    def predictor(self, imported: Link, source: Path) -> Predictor:
        return _onnx_predictor(source / imported.weights.path, imported.input)

    def predict(self, imported: Link, source: Path, images: SplitFrames) -> Probabilities:
        return _predict_onnx(source / imported.weights.path, imported.input, images)

    def recorded_as(self, weights_sha256: str, spec: InputSpec) -> ModelRun:
        return ModelRun(
            digest=weights_sha256,
            input=spec,
            runtime=("onnxruntime", "as written", "pixels made outside the graph"),
            modules=("weckd_edge.devices.runtime.backends.onnxruntime_backend", "weckd_edge.train.distill.evaluate"),
        )

    def run(self, imported: Link, source: Path) -> Run:
        from weckd_edge.devices.runtime.backends.table import open_runner

        return open_runner("onnxruntime", source / imported.weights.path).run  # type: ignore[return-value]  # takes float32


def _onnx_predictor(network: Path, spec: InputSpec) -> Predictor:
    from weckd_edge.devices.runtime.backends.table import open_runner
    from weckd_edge.train.distill.evaluate import network_pixels

    runner = open_runner("onnxruntime", network, reference=True)

    def predict(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        return runner.run(network_pixels(frame, spec))  # type: ignore[arg-type]  # this graph takes float32

    return predict


def _predict_onnx(network: Path, spec: InputSpec, images: SplitFrames) -> Probabilities:
    predict = _onnx_predictor(network, spec)
    return np.stack([predict(frame) for frame in images])


class _TorchNetwork:
    """What a checkpoint and a former link have in common: torch answers them, and the usual export writes them."""

    trained_name = "torch fp32"
    doubts = ()
    takes_bytes = False
    takes_luminance = False
    is_bgr = False

    def export(self, imported: Link, source: Path, folder: Path, *, cast_first: bool) -> ExportedModel:
        from weckd_edge.compile.export.onnx_export import export_onnx
        from weckd_edge.train.networks.models import load_link

        backbone = load_link(imported, source).backbone
        return export_onnx(backbone, imported.input, imported.labels, imported.weights.sha256, folder, cast_first=cast_first)

    def predictor(self, imported: Link, source: Path) -> Predictor:
        from weckd_edge.train.distill.evaluate import frame_predictor

        return frame_predictor(imported, source)

    def predict(self, imported: Link, source: Path, images: SplitFrames) -> Probabilities:
        from weckd_edge.train.distill.evaluate import predict_records
        from weckd_edge.train.networks.models import load_link

        return predict_records(load_link(imported, source), imported.input, images)

    def recorded_as(self, weights_sha256: str, spec: InputSpec) -> ModelRun:
        from weckd_edge.train.distill.evaluate import as_trained

        return as_trained(weights_sha256, spec)

    def run(self, imported: Link, source: Path) -> Run:
        from weckd_edge.train.distill.evaluate import network_predictor

        return network_predictor(imported, source)


@dataclass(kw_only=True)
class CheckpointSource(_TorchNetwork):
    """A timm network with a file of its weights."""

    checkpoint: Checkpoint
    file: Path
    input_size: int
    labels: tuple[str, ...] | None
    weights_key: str | None = None
    former: DatasetIndex | None = None
    is_bgr: bool = False

    def __post_init__(self) -> None:
        self.sha256 = sha256_file(self.file)

    @property
    def bytes(self) -> int:
        return self.file.stat().st_size

    def key(self) -> object:
        made = self.checkpoint
        described = [made.architecture, made.options, made.mean, made.std, self.input_size, self.is_bgr]
        return ["checkpoint", self.sha256, self.weights_key, *described]

    def import_into(self, ctx: BuildContext, index: DatasetIndex, folder: Path) -> ImportedModel:
        from weckd_edge.train.distill.evaluate import predict_records
        from weckd_edge.train.networks.checkpoint import write_link
        from weckd_edge.train.networks.models import weights_of

        made = self.checkpoint
        if made.classes != len(index.labels):
            raise ModelError(
                f"{self.file.name}: its classifier answers {made.classes} classes, expected one for each of "
                f"{len(index.labels)} labels; train it on these classes, or give the data set of its own",
                code="E_MODEL_CLASSES",
            )
        spec = _input_spec(index, ctx.config, self.input_size, made.mean, made.std)
        model = self.recorded_as(sha256_bytes(weights_of(made.student)), spec)
        rates = _rates(ctx, index, model, partial(predict_records, made.student, spec))
        link = write_link(made, spec, index.labels, rates[0], rates[1], folder)
        numbers = [", ".join(f"{value:g}" for value in values) for values in (made.mean, made.std)]
        notes = (
            f"Checkpoint {self.file.name} of timm's {made.architecture}: every tensor fits.",
            *made.notes,
            f"Input of {self.input_size} by {self.input_size} pixels, mean {numbers[0]}, standard deviation {numbers[1]}.",
            _UNKNOWN,
        )
        return ImportedModel(link=link, notes=notes)


@dataclass(kw_only=True)
class LinkSource(_TorchNetwork):
    """A link of a former build, with its weights."""

    link: Link
    folder: Path
    former: DatasetIndex | None

    def __post_init__(self) -> None:
        self.labels: tuple[str, ...] | None = self.link.labels

    @property
    def bytes(self) -> int:
        return self.link.weights.bytes

    def key(self) -> object:
        return ["link", self.link]

    def import_into(self, ctx: BuildContext, index: DatasetIndex, folder: Path) -> ImportedModel:
        from weckd_edge.train.networks.checkpoint import copy_link

        model = self.recorded_as(self.link.weights.sha256, self.link.input)
        rates = _rates(ctx, index, model, partial(self.predict, self.link, self.folder))
        copied = replace(copy_link(self.link, self.folder, folder), val_accuracy=rates[0], test_accuracy=rates[1])
        known = "its split is kept: no test image was trained on." if self.former else _UNKNOWN
        return ImportedModel(link=copied, notes=(f"Link {self.link.name} ({self.link.model}) of a former build; {known}",))


def open_onnx(path: Path, hints: InputHints, labels: tuple[str, ...] | None) -> OnnxSource:
    """Open an ONNX file.

    Raises:
        WeckdError: See ``weckd_edge.compile.importing.network.read_onnx``.
    """
    from weckd_edge.compile.importing.network import read_onnx

    network = read_onnx(path, hints)
    return OnnxSource(
        network=network,
        labels=labels or network.labels,
        trained_name=f"imported onnx {'int8' if network.quantized else 'fp32'}",
    )


def open_checkpoint(
    path: Path,
    model: LinkConfig | None,
    hints: InputHints,
    labels: tuple[str, ...] | None,
    *,
    weights_key: str | None = None,
) -> CheckpointSource:
    """Open a checkpoint of a timm network.

    Raises:
        ConfigError: A hint does not apply to it, or nothing says which network it is of.
        ModelError: See ``weckd_edge.train.networks.checkpoint.read_checkpoint``.
    """
    from weckd_edge.train.networks.checkpoint import exchange_red_and_blue, read_checkpoint

    given = {
        "--layout": hints.layout is not None,
        "--channels": hints.channels is not None,
        "--output": hints.output is not None,
        "--to-inference": hints.to_inference,
    }
    for option in [option for option, is_listed in given.items() if is_listed]:
        raise ConfigError(
            f"{option} is for ONNX files; {path.name} is a checkpoint, leave it out", code="E_CONFIG_OPTION_UNUSED"
        )
    made = read_checkpoint(model, path, len(labels) if labels else None, key=weights_key, mean=hints.mean, std=hints.std)
    is_bgr = hints.channel_order == "bgr"
    if is_bgr:
        exchange_red_and_blue(made)
    return CheckpointSource(
        checkpoint=made,
        file=path,
        input_size=hints.input_size or made.input_size,
        labels=labels,
        weights_key=weights_key,
        is_bgr=is_bgr,
    )


def open_link(folder: Path) -> LinkSource:
    """Open a link of a former build: its own folder in the build's workspace, or the bundle beside that workspace.

    Raises:
        StoreError: There is none, or its weights are not whole.
        ModelError: The bundle's weights are no longer kept.
    """
    if is_bundle(folder):
        return _link_of_bundle(folder)
    artifact = folder / ARTIFACT_FILE
    if not artifact.is_file():
        raise StoreError(
            f"{folder}: expected a link of a former build (such as OUT.work/link-M3-...) or a bundle, found neither; give "
            "an .onnx file, or a checkpoint with --model",
            code="E_STORE_NO_LINK",
        )
    link = _read_record(Link, artifact)
    check_ref(folder, link.weights)
    return LinkSource(link=link, folder=folder, former=_index_beside(folder))


def _link_of_bundle(folder: Path) -> LinkSource:
    bundle = open_bundle(folder)
    manifest: Manifest = bundle.manifest
    records = {name: bundle.read_path(f"{EVIDENCE_FOLDER}/{name}") or b"" for name in (CHAIN_FILE, DATASET_FILE)}
    chain = from_json(ChainRecord, records[CHAIN_FILE], where=CHAIN_FILE, error=StoreError)
    index = from_json(DatasetIndex, records[DATASET_FILE], where=DATASET_FILE, error=StoreError)
    deployed = next((link for link in chain.links if link.name == chain.deployed), chain.links[-1])
    workspace = folder.absolute().with_name(folder.absolute().name + ".work")
    for place in sorted(workspace.glob("*/" + ARTIFACT_FILE)) if workspace.is_dir() else []:
        weights = place.parent / deployed.weights.path
        if weights.is_file() and weights.stat().st_size == deployed.weights.bytes:
            try:
                check_ref(place.parent, deployed.weights)
            except StoreError:
                continue
            if weights.suffix != ".onnx":
                return LinkSource(link=deployed, folder=place.parent, former=index if not chain.import_notes else None)
    raise ModelError(
        f"{folder}: the bundle {manifest.name} holds the compiled graph alone, and the weights of {deployed.name} are "
        f"no longer in {workspace.name} beside it; give the link's folder, or the checkpoint with --model",
        code="E_MODEL_WEIGHTS_FILE",
    )


def _read_record(kind: type[T], path: Path) -> T:
    data = read_bounded(path, at_most=_MAX_BYTES, where=str(path), error=StoreError)
    return from_json(kind, data, where=str(path), error=StoreError)


def _index_beside(folder: Path) -> DatasetIndex | None:
    """Return the data set of a workspace's build, where it kept only one."""
    found = []
    for artifact in sorted(folder.absolute().parent.glob("data-*/" + ARTIFACT_FILE)):
        try:
            found.append(_read_record(DatasetIndex, artifact))
        except WeckdError:
            continue
    return found[0] if len(found) == 1 else None
