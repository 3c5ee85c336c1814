"""The bundle is written: files are copied, the report and documents are made, and the whole is sealed and signed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import BuildRecord, Prediction
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.config import without_folders
from weckd_edge.core.sampling import round_robin
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import atomic_folder, write_atomic
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.steps.sdk import write_sdk
from weckd_edge.report import BundleContents, Picture, Sample, write_documents, write_evidence, write_report
from weckd_edge.report.chapters.gallery import MAX_FRAMES, by_severity
from weckd_edge.report.evidence import EVIDENCE_FOLDER, REPORT_FILE
from weckd_edge.report.frames import picture_frames


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReportImages:
    """Images and predictions that the report's pictures are made from.

    Attributes:
        test: The test images.
        predicted: Predictions for them ``[N, classes]``, by the name of the backend that ran the deployed model.
    """

    test: SplitFrames
    predicted: Mapping[str, Probabilities]

    def by_path(self, predicted: Probabilities) -> dict[str, Probabilities]:
        """Return predictions by the path of the image."""
        return {record.path: row for record, row in zip(self.test.records, predicted, strict=True)}


def write_bundle(ctx: BuildContext, contents: BundleContents, images: ReportImages) -> BundleContents:
    """Write the bundle: whole, or not at all.

    Args:
        ctx: The build.
        contents: The bundle's contents, with the verdicts of its gates.
        images: Images and predictions for the report's pictures.

    Returns:
        The contents with the sealed manifest.

    Raises:
        StoreError: The folder cannot be written.
        BundleError: A file is not the one that the manifest names.
        ConfigError: The key cannot be used.
    """
    with atomic_folder(ctx.out) as folder:
        for path, source in contents.files.items():
            _write_file(folder / path, source)
        write_evidence(folder, contents)
        write_documents(folder, contents)
        _write_report(ctx, contents, images, folder)
        write_sdk(folder)
        manifest = seal(folder, contents.manifest)
        if ctx.key is not None:
            sign(folder, ctx.key)
    return replace(contents, manifest=manifest)


def record_build(ctx: BuildContext, data_name: str) -> BuildRecord:
    """Return the record of the build: its settings, and the durations of the steps so far."""
    return BuildRecord(config=to_json(without_folders(ctx.config)), steps=ctx.times.taken, data_name=data_name)


def _write_file(path: Path, source: Path | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        write_atomic(path, source)
    else:
        shutil.copyfile(source, path)


def _write_report(ctx: BuildContext, contents: BundleContents, images: ReportImages, folder: Path) -> None:
    count = ctx.config.report.sample_frames
    frames = _frames(contents, images, folder) if count else None
    write_report(contents, folder / EVIDENCE_FOLDER / REPORT_FILE, tuple(_samples(contents, images.test, count)), frames)


def _frames(contents: BundleContents, images: ReportImages, folder: Path) -> dict[str, Picture]:
    """Return pictures of frames whose prediction flipped, and of those on which implementations differ most."""
    changed = [frame.path for frame in by_severity(contents.metrics)][:MAX_FRAMES] if contents.metrics else []
    difference = sorted({frame.path for pair in contents.verification.parity for frame in pair.worst})
    return picture_frames(
        folder,
        contents.manifest,
        {path: images.test.of(path) for path in {*changed, *difference}},
        changed,
        {backend: images.by_path(found) for backend, found in images.predicted.items()},
    )


def _samples(contents: BundleContents, images: SplitFrames, count: int) -> Iterator[Sample]:
    """Yield test frames for the report: at most half of them predicted wrongly, then right ones, each class in turn.

    Where too few are right, more wrong ones are shown.
    """
    digest = {record.path: record.sha256 for record in contents.dataset.images}
    ordered = sorted(contents.verification.predictions, key=lambda p: digest[p.path])
    wrong: list[Prediction] = []
    right: list[Prediction] = []
    for prediction in ordered:
        decided = prediction.compiled.index(max(prediction.compiled))
        (right if decided == prediction.label else wrong).append(prediction)
    shown = wrong[: max(count // 2, count - len(right))]
    shown += round_robin(right)[: count - len(shown)]
    manifest = contents.manifest
    for prediction in shown:
        best = max(prediction.compiled)
        yield Sample(
            image=images.of(prediction.path),
            truth=manifest.labels[prediction.label],
            predicted=manifest.labels[prediction.compiled.index(best)],
            probability=best,
        )
