"""The last step of a build: everything that was made is copied, described, sealed and signed as one bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from weckd_edge.artifacts import BuildRecord, Prediction
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.config import without_folders
from weckd_edge.core.sampling import in_turn
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import atomic_folder, write_atomic
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.steps.sdk import write_sdk
from weckd_edge.report import BundleContents, Picture, Sample, write_documents, write_evidence, write_report
from weckd_edge.report.chapters.gallery import MOST_FRAMES, by_harm
from weckd_edge.report.evidence import EVIDENCE_FOLDER, REPORT_FILE
from weckd_edge.report.frames import picture_frames


def write_bundle(ctx: BuildContext, contents: BundleContents) -> BundleContents:
    """Write the bundle: whole, or not at all.

    Args:
        ctx: The build; its data set is where the report's pictures are from.
        contents: What the bundle holds, judged.

    Returns:
        The same with the manifest as it was sealed.

    Raises:
        StoreError: It cannot be written.
        BundleError: A file is not the one that the manifest names.
        DataError: An image for the report cannot be read.
        ConfigError: The key cannot be used.
    """
    with atomic_folder(ctx.out) as folder:
        for path, source in contents.files.items():
            _write_file(folder / path, source)
        write_evidence(folder, contents)
        write_documents(folder, contents)
        _write_report(ctx, contents, folder)
        write_sdk(folder)
        manifest = seal(folder, contents.manifest)
        if ctx.key is not None:
            sign(folder, ctx.key)
    return replace(contents, manifest=manifest)


def record_build(ctx: BuildContext, data_name: str) -> BuildRecord:
    """Return how the bundle was built, with the times of the steps so far."""
    return BuildRecord(config=to_json(without_folders(ctx.config)), stages=ctx.times.taken, data_name=data_name)


def _write_file(path: Path, source: Path | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        write_atomic(path, source)
    else:
        shutil.copyfile(source, path)


def _write_report(ctx: BuildContext, contents: BundleContents, folder: Path) -> None:
    count = ctx.config.report.sample_frames
    frames = _frames(ctx, contents, folder) if count else None
    write_report(contents, folder / EVIDENCE_FOLDER / REPORT_FILE, tuple(_samples(ctx, contents, count)), frames)


def _frames(ctx: BuildContext, contents: BundleContents, folder: Path) -> dict[str, Picture]:
    """Return pictures of the frames whose decision changed, and of those on which implementations differ most."""
    changed = [frame.path for frame in by_harm(contents.performance)][:MOST_FRAMES] if contents.performance else []
    apart = sorted({frame.path for pair in contents.verification.parity for frame in pair.worst})
    return picture_frames(folder, contents.manifest, ctx.root, changed, apart)


def _samples(ctx: BuildContext, contents: BundleContents, count: int) -> Iterator[Sample]:
    """Yield test frames for the report: wrong answers for at most half of them, then right ones, each class in turn.

    Where there are too few right ones, wrong ones take their place.
    """
    digest = {record.path: record.sha256 for record in contents.dataset.images}
    ordered = sorted(contents.verification.predictions, key=lambda p: digest[p.path])
    wrong: list[Prediction] = []
    right: list[Prediction] = []
    for prediction in ordered:
        decided = prediction.compiled.index(max(prediction.compiled))
        (right if decided == prediction.label else wrong).append(prediction)
    shown = wrong[: max(count // 2, count - len(right))]
    shown += in_turn(right)[: count - len(shown)]
    manifest = contents.manifest
    for prediction in shown:
        best = max(prediction.compiled)
        yield Sample(
            image=frame_from_file(ctx.root / prediction.path, manifest.input.frame)[0],
            truth=manifest.labels[prediction.label],
            predicted=manifest.labels[prediction.compiled.index(best)],
            probability=best,
        )
