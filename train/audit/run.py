"""All probes of one data set: would its figures lie?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import DataAudit, DatasetIndex, FingerprintAudit, Labels, SplitLeaks
from weckd_edge.config import AuditConfig, BuildConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.train.audit.columns import BOX_COLUMN, choose_source, index_columns
from weckd_edge.train.audit.cross_validation import group_folds
from weckd_edge.train.audit.embeddings import choose_embedder
from weckd_edge.train.audit.features import embed_images
from weckd_edge.train.audit.label_errors import find_suspects
from weckd_edge.train.audit.leakage import find_leaks, nearest_pairs
from weckd_edge.train.audit.linear_classifier import Ridge
from weckd_edge.train.audit.masking import Masking
from weckd_edge.train.audit.metadata_baselines import audit_fingerprint, read_traces, source_trace
from weckd_edge.train.audit.occlusion import DeployedNetwork
from weckd_edge.train.audit.random_split_bias import FOLDS, compare_folds
from weckd_edge.train.audit.sample import AuditSample, number_groups, sample_groups
from weckd_edge.train.audit.scores import majority
from weckd_edge.train.audit.sources import leave_out
from weckd_edge.train.data.duplicates import Tie, find_ties, group_images
from weckd_edge.train.data.index import build_index, find_contradictions
from weckd_edge.train.data.reading import read_data
from weckd_edge.train.data.scan import ScannedImage
from weckd_edge.train.distill.chain import frame_spec
from weckd_edge.train.distill.reproducible import reproducible

NO_GROUPS = (
    "no group column: groups are the copies and near duplicates that a search found, so two images of one patient that do "
    "not look alike are dealt apart, and the figures by groups may still flatter"
)


def audit_folder(path: Path, config: BuildConfig, progress: Progress) -> DataAudit:
    """Probe a data set by itself, before any build; files that cannot be used are left out and counted.

    Args:
        path: A folder of ``<label>/<image>`` or a CSV; see ``list_data``.
        config: Its data, input, link and probes tables are used.
        progress: Where the work is shown.

    Raises:
        DataError: Nothing is there, or it is not laid out as a data set.
        ModelError: The backbone's weights cannot be read.
    """
    try:
        index = build_index(
            path, config.data, labelled_subsets=len(config.link), seed=config.seed, skip_bad=True, progress=progress
        )
    except DataError as err:
        reason = str(err)
    else:
        return run_audit(path, index, config, progress)
    # Few groups or few classes: there is no split to look at, but the rest can be.
    return run_audit(path, None, config, progress, note=f"no split was made: {reason}")


def check_audit_settings(index: DatasetIndex, config: AuditConfig) -> None:
    """Find out before hours of training that the probes cannot be made as they are set.

    Raises:
        DataError: Masks, boxes or the source column are amiss.
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
) -> DataAudit:
    """Probe a data set.

    Args:
        path: A folder of ``<label>/<image>`` or a CSV.
        index: Its split; None: it has none.
        config: Its data, input, link and probes tables are used.
        progress: Where the work is shown.
        deployed: A network that was trained on that split, to be shown covered test images.
        note: Something to say first.

    Raises:
        DataError: Nothing is there, it is not laid out as a data set, or masks, boxes or the source column are amiss.
        ModelError: The backbone's weights cannot be read.
    """
    read = read_data(path, progress, config.data)
    root, found = read.root, read.images
    distance = config.data.near_duplicate_distance
    ties = find_ties(found, distance) if distance is not None else ()
    grouped = group_images(found, ties).groups
    whole = index if index is not None else _without_split(root, found, grouped)
    columns = index_columns(whole)
    column = choose_source(columns, config.audit.source_column)
    notes = [note] if note else []
    if read.bad_files:
        first = read.bad_files[0]
        notes.append(f"{len(read.bad_files)} files cannot be read and are left out, such as {first.path}: {first.reason}")
    if not any(image.listed.group for image in found):
        notes.append(NO_GROUPS)
    if contradictions := find_contradictions(found):
        notes.append(f"{len(contradictions)} images are there under two labels, such as {contradictions[0].path}")
    chosen, remarks = _sample_images(whole, config)
    notes += remarks
    embedder = choose_embedder(config.link, frame_spec(whole, config.input))
    if not embedder.pretrained:
        notes.append(
            "no pretrained trunk was given: a fixed description of colours and edges tells less apart, so that leaks and "
            "shortcuts may be greater than is found here"
        )
    foldable = int((chosen.groups_of_classes(len(whole.labels)) > 1).sum()) > 1
    masking = Masking(config.audit, columns.get(BOX_COLUMN, {}), whole, chosen, config.seed) if foldable else None
    masks = masking.masks(embedder.input.frame) if masking else ()
    with reproducible(config.train.threads):
        embedded = embed_images(
            embedder,
            root,
            chosen.records,
            masking.covered if masking else np.zeros(len(chosen.labels), np.bool_),
            masks,
            progress,
        )
        own, published = _leaks(found, ties, grouped, whole if index is not None else None)
        if own is not None:
            at = {image.listed.path: image for image in found}
            nearest = nearest_pairs(embedded.whole, [at[r.path] for r in chosen.records], [r.split for r in chosen.records])
            own = replace(own, pairs=(*own.pairs, *nearest))
        result = DataAudit(
            features=embedder.name,
            pretrained=embedder.pretrained,
            images=len(chosen.labels),
            groups=chosen.group_count,
            labels=whole.labels,
            majority=majority(chosen.labels),
            published=published,
            this_split=own,
            folds=None,
            masking=None,
            fingerprints=(),
            sources=None,
            label_issues=None,
        )
        classes = len(whole.labels)
        ridge = Ridge(embedded.whole, chosen.labels, classes)
        sources = [columns[column].get(record.path, "") for record in chosen.records] if column else []
        scores = None
        if masking is None:
            notes.append("no folds can be made: at least two classes with two groups each are needed")
        else:
            folds = min(FOLDS, chosen.group_count)
            compared = compare_folds(ridge, chosen.labels, chosen.groups, folds, config.seed)
            scores = compared.scores
            result = replace(
                result,
                folds=compared.comparison,
                masking=masking.measure(embedded, masks, deployed, progress),
                fingerprints=_fingerprints(root, chosen, classes, folds, column, sources, config.seed, progress),
                label_issues=find_suspects(scores, chosen.labels, [r.path for r in chosen.records], whole.labels),
            )
            notes += masking.notes
        if column:
            result = replace(
                result,
                sources=leave_out(column, sources, ridge, scores, chosen.labels, chosen.groups, whole.labels),
            )
    return replace(result, notes=tuple(notes))


def _without_split(root: Path, found: Sequence[ScannedImage], groups: Sequence[str]) -> DatasetIndex:
    """Return an index of the first of each image's copies, whose split says nothing."""
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
    """Return the images that are probed, and what is to be said of the others.

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
            f"{int(kept.sum())} of {len(kept)} images were probed, whole groups drawn by chance (probes.images); copies and "
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


def _leaks(
    found: Sequence[ScannedImage], ties: Sequence[Tie], groups: Sequence[str], index: DatasetIndex | None
) -> tuple[SplitLeaks | None, SplitLeaks | None]:
    """Return what this build's split leaks, and what the published one does."""
    published = find_leaks(found, [image.listed.published_split for image in found], groups, ties)
    if index is None:
        return None, published
    records = {record.path: record for record in index.images}
    used = [records.get(image.listed.path) for image in found]
    own = find_leaks(
        found,
        [record.split if record else None for record in used],
        [record.group if record else group for record, group in zip(used, groups, strict=True)],
        ties,
    )
    return own, published


def _fingerprints(
    root: Path,
    chosen: AuditSample,
    classes: int,
    folds: int,
    column: str | None,
    sources: Sequence[str],
    seed: int,
    progress: Progress,
) -> tuple[FingerprintAudit, ...]:
    assigned = group_folds(chosen.labels, chosen.groups, folds, seed)
    traces = read_traces(root, chosen.records, progress)
    if column is not None:
        traces = (*traces, source_trace(column, sources))
    return tuple(audit_fingerprint(trace, chosen.labels, chosen.groups, assigned, classes) for trace in traces)
