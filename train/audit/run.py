"""Audit one data set: find leaks, shortcuts and label errors that would flatter figures measured on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import (
    DataAudit,
    DatasetIndex,
    FingerprintAudit,
    ImageRecord,
    LabelIssueAudit,
    Labels,
    SourceAudit,
    SplitLeaks,
)
from weckd_edge.config import AuditConfig, BuildConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.train.audit.classifier.cross_validation import group_folds
from weckd_edge.train.audit.classifier.linear_classifier import Ridge
from weckd_edge.train.audit.classifier.scores import majority
from weckd_edge.train.audit.columns import BOX_COLUMN, choose_source, index_columns
from weckd_edge.train.audit.embeddings import choose_embedder
from weckd_edge.train.audit.features import EmbeddedImages, embed_images
from weckd_edge.train.audit.label_errors import find_suspects
from weckd_edge.train.audit.leakage import find_leaks, nearest_pairs
from weckd_edge.train.audit.masking.masking import Masking
from weckd_edge.train.audit.masking.occlusion import DeployedNetwork
from weckd_edge.train.audit.metadata_baselines import audit_fingerprint, read_traces, source_trace
from weckd_edge.train.audit.random_split_bias import FOLDS, FoldResults, compare_folds
from weckd_edge.train.audit.sample import AuditSample, number_groups, sample_groups
from weckd_edge.train.audit.sources import leave_out
from weckd_edge.train.data.duplicates.groups import group_images
from weckd_edge.train.data.duplicates.ties import Ties, find_ties
from weckd_edge.train.data.index import build_index, find_contradictions
from weckd_edge.train.data.reading import read_data
from weckd_edge.train.data.scan import ScannedImage
from weckd_edge.train.data.scan_store import ScanStore, open_scan_store
from weckd_edge.train.distill.link_plan import frame_spec
from weckd_edge.train.distill.reproducible import reproducible
from weckd_edge.train.networks.available_weights import settle_weights

NO_GROUPS = (
    "no group column: groups are the copies and near duplicates that a search found, so two images of one patient that do "
    "not look alike may be in different folds, and results by groups may still be too high"
)
NOT_PRETRAINED = (
    "no pretrained backbone was given: a fixed description of colours and edges tells less apart, so that leaks and "
    "shortcuts may be greater than is found here"
)
NO_FOLDS = "no folds can be made: at least two classes with two groups each are needed"


def audit_folder(path: Path, config: BuildConfig, progress: Progress, cache: Path | None = None) -> DataAudit:
    """Audit a data set by itself, before any build; files that cannot be used are left out and counted.

    Args:
        path: A folder of ``<label>/<image>``, or a CSV.
        config: Settings, of which the tables data, input, link and audit are used.
        progress: Receiver of the progress.
        cache: Folder that keeps what was read of each image, so that a stopped audit goes on; None keeps nothing.

    Raises:
        DataError: Nothing is there, or it is not laid out as a data set.
        ModelError: The backbone's weights cannot be read.
        StoreError: The cache cannot be used.
    """
    with open_scan_store(cache, progress) as store:  # the images are read for the split, and looked up for the audit
        return _audit_folder(path, config, progress, store)


def _audit_folder(path: Path, config: BuildConfig, progress: Progress, store: ScanStore) -> DataAudit:
    config = replace(config, link=settle_weights(config.link).links)
    try:
        index = build_index(
            path,
            config.data,
            labelled_subsets=len(config.link),
            seed=config.seed,
            skip_bad=True,
            progress=progress,
            cache=store,
        )
    except DataError as err:
        reason = str(err)
    else:
        return run_audit(path, index, config, progress, cache=store)
    # Few groups or few classes: there is no split to audit, but the rest can be.
    return run_audit(path, None, config, progress, note=f"no split was made: {reason}", cache=store)


def check_audit_settings(index: DatasetIndex, config: AuditConfig) -> None:
    """Check before hours of training that the audit can be made as it is set.

    Raises:
        DataError: Masks, boxes or the source column cannot be used.
    """
    columns = index_columns(index)
    choose_source(columns, config.source_column)
    Masking(config, columns.get(BOX_COLUMN, {}), index, number_groups(index.images), 0)


def run_audit(
    path: Path,
    index: DatasetIndex | None,
    config: BuildConfig,
    progress: Progress,
    *,
    deployed: DeployedNetwork | None = None,
    note: str = "",
    cache: Path | ScanStore | None = None,
) -> DataAudit:
    """Audit a data set.

    Args:
        path: A folder of ``<label>/<image>`` or a CSV.
        index: Index with its split; None where it has none.
        config: Settings, of which the tables data, input, link and audit are used.
        progress: Receiver of the progress.
        deployed: A network that was trained on that split, which is shown covered test images.
        note: First remark of the audit; empty for none.
        cache: Folder that keeps what was read of each image; None keeps nothing; or a store that is open.

    Raises:
        DataError: Nothing is there, it is not laid out as a data set, or masks, boxes or the source column cannot be used.
        ModelError: The backbone's weights cannot be read.
    """
    data = _read(path, index, config, progress, cache)
    chosen, remarks = _sample_images(data.index, config)
    embedder = choose_embedder(config.link, frame_spec(data.index, config.input))
    notes = [*([note] if note else []), *data.notes, *remarks, *([] if embedder.pretrained else [NOT_PRETRAINED])]
    classes = len(data.index.labels)
    foldable = int((chosen.groups_of_classes(classes) > 1).sum()) > 1
    boxes = data.columns.get(BOX_COLUMN, {})
    masking = Masking(config.audit, boxes, data.index, chosen, config.seed) if foldable else None
    masks = masking.masks(embedder.input.frame) if masking else ()
    covered = masking.covered if masking else np.zeros(len(chosen.labels), np.bool_)
    with reproducible(config.train.threads):
        embedded = embed_images(embedder, data.root, chosen.records, covered, masks, progress)
        own, published = _leaks(data, chosen, embedded)
        ridge = Ridge(embedded.whole, chosen.labels, classes)
        folds = min(FOLDS, chosen.group_count)
        compared = compare_folds(ridge, chosen.labels, chosen.groups, folds, config.seed) if masking else None
        audit = DataAudit(
            features=embedder.name,
            pretrained=embedder.pretrained,
            images=len(chosen.labels),
            groups=chosen.group_count,
            labels=data.index.labels,
            majority=majority(chosen.labels),
            published=published,
            this_split=own,
            folds=compared.comparison if compared else None,
            masking=masking.measure(embedded, masks, deployed, progress) if masking else None,
            fingerprints=_fingerprints(data, chosen, folds, config.seed, progress) if masking else (),
            sources=_sources(data, chosen, ridge, compared),
            label_issues=_label_issues(data, chosen, compared) if compared else None,
        )
    notes += masking.notes if masking else [NO_FOLDS]
    return replace(audit, notes=tuple(notes))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _AuditedData:
    """A data set as the audit sees it.

    Attributes:
        root: Folder that its paths start from.
        images: Every readable image, copies among them.
        groups: Group of each image.
        ties: Near duplicates among them, by position.
        index: Index of the data set; without a split, of the first of each image's copies.
        has_split: Whether the index holds a split.
        columns: Further columns of a CSV: by name, each image's cell by its path.
        source_column: Name of the column that names the source; None without one.
        notes: Limits of the audit, in words.
    """

    root: Path
    images: tuple[ScannedImage, ...]
    groups: Sequence[str]
    ties: Ties
    index: DatasetIndex
    has_split: bool
    columns: Mapping[str, Mapping[str, str]]
    source_column: str | None
    notes: tuple[str, ...]

    def sources(self, column: str, records: Sequence[ImageRecord]) -> list[str]:
        """Return the source of each image; empty where the column does not say."""
        return [self.columns[column].get(record.path, "") for record in records]


def _read(
    path: Path, index: DatasetIndex | None, config: BuildConfig, progress: Progress, cache: Path | ScanStore | None
) -> _AuditedData:
    with open_scan_store(cache, progress) as store:
        read = read_data(path, progress, config.data, store)
        ties = find_ties(read.images, config.data.near_duplicate_distance, store)
    groups = group_images(read.images, ties).groups
    whole = index if index is not None else _without_split(read.root, read.images, groups)
    columns = index_columns(whole)
    notes = []
    if read.bad_files:
        first = read.bad_files[0]
        notes.append(f"{len(read.bad_files)} files cannot be read and are left out, such as {first.path}: {first.reason}")
    if not any(image.listed.group for image in read.images):
        notes.append(NO_GROUPS)
    if contradictions := find_contradictions(read.images):
        notes.append(f"{len(contradictions)} images are there under two labels, such as {contradictions[0].path}")
    return _AuditedData(
        root=read.root,
        images=read.images,
        groups=groups,
        ties=ties,
        index=whole,
        has_split=index is not None,
        columns=columns,
        source_column=choose_source(columns, config.audit.source_column),
        notes=tuple(notes),
    )


def _without_split(root: Path, found: Sequence[ScannedImage], groups: Sequence[str]) -> DatasetIndex:
    """Return an index of the first of each image's copies, all of them training images, as there is no split."""
    labels = Labels(sorted({image.listed.label for image in found}))
    dropped = {file.path for file in find_contradictions(found)}
    first: dict[str, tuple[ScannedImage, str]] = {}
    for image, group in zip(found, groups, strict=True):
        if image.listed.path not in dropped:
            first.setdefault(image.pixels_sha256, (image, group))
    return DatasetIndex(
        name=root.resolve().name,
        labels=labels,
        images=tuple(
            image.record(label=labels.index(image.listed.label), group=group, split="train")
            for image, group in first.values()
        ),
    )


def _sample_images(index: DatasetIndex, config: BuildConfig) -> tuple[AuditSample, list[str]]:
    """Return the images that are audited, and remarks on the others.

    Raises:
        DataError: No image is left.
    """
    notes = []
    chosen = number_groups(index.images)
    if not chosen.records:
        raise DataError("expected images of at least two classes that can be read, none is left", code="E_DATA_FEW_CLASSES")
    kept = sample_groups(chosen, config.audit.images, config.seed)
    if not kept.all():
        notes.append(
            f"{int(kept.sum())} of {len(kept)} images were audited, whole groups drawn by chance (audit.images); copies and "
            "near copies were looked for among all"
        )
        chosen = chosen.where(kept)
    groups = chosen.groups_of_classes(len(index.labels))
    for c, name in enumerate(index.labels):
        if groups[c] == 1:
            notes.append(f"class '{name}' has one group alone: nothing of it would be left to learn from, it is left out")
        elif 1 < groups[c] < FOLDS:
            notes.append(f"class '{name}' has {groups[c]} groups: not every one of {FOLDS} folds holds it")
    if (groups == 1).any() and (groups > 1).sum() > 1:
        chosen = chosen.where(groups[chosen.labels] > 1)
    return chosen, notes


def _leaks(data: _AuditedData, chosen: AuditSample, embedded: EmbeddedImages) -> tuple[SplitLeaks | None, SplitLeaks | None]:
    """Return the leaks of this build's split, and of the published one."""
    published = find_leaks(data.images, [image.listed.published_split for image in data.images], data.groups, data.ties)
    if not data.has_split:
        return None, published
    records = {record.path: record for record in data.index.images}
    used = [records.get(image.listed.path) for image in data.images]
    own = find_leaks(
        data.images,
        [record.split if record else None for record in used],
        [record.group if record else group for record, group in zip(used, data.groups, strict=True)],
        data.ties,
    )
    if own is not None:
        at = {image.listed.path: image for image in data.images}
        nearest = nearest_pairs(embedded.whole, [at[r.path] for r in chosen.records], [r.split for r in chosen.records])
        own = replace(own, pairs=(*own.pairs, *nearest))
    return own, published


def _fingerprints(
    data: _AuditedData, chosen: AuditSample, folds: int, seed: int, progress: Progress
) -> tuple[FingerprintAudit, ...]:
    assigned = group_folds(chosen.labels, chosen.groups, folds, seed)
    traces = read_traces(data.root, chosen.records, progress)
    column = data.source_column
    if column is not None:
        traces = (*traces, source_trace(column, data.sources(column, chosen.records)))
    classes = len(data.index.labels)
    return tuple(audit_fingerprint(trace, chosen.labels, chosen.groups, assigned, classes) for trace in traces)


def _sources(data: _AuditedData, chosen: AuditSample, ridge: Ridge, compared: FoldResults | None) -> SourceAudit | None:
    column = data.source_column
    if column is None:
        return None
    sources, seen = data.sources(column, chosen.records), compared.scores if compared else None
    return leave_out(column, sources, ridge, seen, chosen.labels, chosen.groups, data.index.labels)


def _label_issues(data: _AuditedData, chosen: AuditSample, compared: FoldResults) -> LabelIssueAudit:
    return find_suspects(compared.scores, chosen.labels, [r.path for r in chosen.records], data.index.labels)
