"""An imported link of a former build: from its own folder in the build's workspace, or from the bundle beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from weckd_edge.artifacts import ChainRecord, DatasetIndex, Link, Manifest
from weckd_edge.bundle.reader import is_bundle, open_bundle
from weckd_edge.core.errors import ModelError, StoreError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_json
from weckd_edge.core.store import ARTIFACT_FILE, check_ref
from weckd_edge.pipeline.network_sources.base import UNKNOWN_TRAINING_IMAGES, ImportedModel, measure_accuracy
from weckd_edge.pipeline.network_sources.torch_network import TorchNetwork
from weckd_edge.report.evidence import CHAIN_FILE, DATASET_FILE, EVIDENCE_FOLDER

if TYPE_CHECKING:
    from weckd_edge.pipeline.context import BuildContext

T = TypeVar("T")

_MAX_RECORD_BYTES = 1 << 30
"""Largest record that is read, bytes; an index of two million images is about as large."""


@dataclass(kw_only=True)
class LinkSource(TorchNetwork):
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

        model = self.recorded_as(self.link.network_sha256, self.link.input)
        rates = measure_accuracy(ctx, index, model, partial(self.predict, self.link, self.folder))
        copied = replace(copy_link(self.link, self.folder, folder), val_accuracy=rates[0], test_accuracy=rates[1])
        known = "no test image was trained on." if self.former else UNKNOWN_TRAINING_IMAGES
        note = f"Link {self.link.name} ({self.link.network_text}) of a former build; {known}"
        return ImportedModel(link=copied, notes=(note,))


def open_link(folder: Path) -> LinkSource:
    """Open a link of a former build: its own folder in the build's workspace, or the bundle beside that workspace.

    Raises:
        StoreError: The folder holds no link, or the weights are not whole.
        ModelError: The workspace that held the weights of a bundle is gone.
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
    data = read_bounded(path, at_most=_MAX_RECORD_BYTES, where=str(path), error=StoreError)
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
