"""The pipeline of ``weckd-edge compile``: the stages of a build behind the training, for a network that was imported."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import HELD_OUT, SCHEMA_VERSION, DatasetIndex, ImageRecord, Link, Target
from weckd_edge.config import BuildConfig, DataConfig, LinkConfig
from weckd_edge.core.errors import ConfigError, DataError, StoreError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace, sha256_file
from weckd_edge.devices.runtime.stored_predictions import predict_once
from weckd_edge.pipeline.build import (
    check_libraries,
    check_output,
    choose_profile,
    compile_chain,
    sources_of,
    workspace_of,
)
from weckd_edge.pipeline.context import BuildContext, start
from weckd_edge.pipeline.import_model import ImportedModel, NetworkSource
from weckd_edge.pipeline.networks import CalibrationSet, TrainedChain, TrainedNetwork
from weckd_edge.pipeline.output_paths import ReadPath, normal_path
from weckd_edge.pipeline.request import BuildRequest
from weckd_edge.pipeline.steps.read_data import check_data, index_data
from weckd_edge.report import BundleContents

if TYPE_CHECKING:
    from weckd_edge.compile.importing.hints import InputHints

DISK_MIB = 64
DISK_FACTOR = 16
"""Free space asked for: this many MiB for frames and reports, and this many times the weights, which every stage writes."""

MAX_TRIAL_IMAGES = 128
"""So many images, none of the test split, are shown to an imported network under other descriptions."""

FEWEST_CALIBRATION = 32
"""A separate calibration folder holds at least so many images, or ``quantize.images`` where that is less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileRequest:
    """What ``compile`` is asked for.

    Attributes:
        source: An ONNX file, a checkpoint, or the folder of a former build's link or bundle.
        data: Labelled folder or CSV, split as by a build: calibration on training images, verification on test images.
        target: Where the bundle will run.
        device: Name or file of a device profile; None takes the target's default.
        out: The bundle's folder.
        hints: What the file does not tell of its input.
        config: Splits, calibration, limits and bench; its chain only counts for how many shares a build would cut.
        model: timm name and options of a checkpoint; None: the checkpoint says it itself.
        weights_key: Which of a checkpoint's tables of weights to take; None decides.
        labels: Classes in the order of the network's outputs; None: as the data set's are sorted.
        calibrate_on: Other images to calibrate on, labelled like ``data``.
        skip_bad: Go on without the files that cannot be used, and record them.
        key: PEM private key to sign with; None leaves the bundle unsigned.
        bundle_version: Of the bundle, for firmware that never goes back; 0: none.
    """

    source: Path
    data: Path
    target: Target
    device: str | None
    out: Path
    hints: InputHints
    config: BuildConfig
    model: LinkConfig | None = None
    weights_key: str | None = None
    labels: tuple[str, ...] | None = None
    calibrate_on: Path | None = None
    skip_bad: bool = False
    key: Path | None = None
    bundle_version: int = 0

    def as_build(self) -> BuildRequest:
        """Return the same request in the terms of a build."""
        return BuildRequest(
            data=self.data,
            target=self.target,
            device=self.device,
            out=self.out,
            config=self.config,
            skip_bad=self.skip_bad,
            key=self.key,
            bundle_version=self.bundle_version,
        )


def compile_model(request: CompileRequest, progress: Progress) -> BundleContents:
    """Compile a network that was imported, or go on where an earlier run was stopped.

    Returns:
        What the bundle holds, as it was sealed.

    Raises:
        WeckdError: Anything a user can mend. Where the network, the request or the disk is at fault, nothing is changed.
    """
    request = replace(request, out=normal_path(request.out))
    as_build = request.as_build()
    profile = choose_profile(request.target, request.device)
    more = () if request.calibrate_on is None else (ReadPath("--calibrate-on", request.calibrate_on),)
    check_output(request.out, (*sources_of(as_build), *more))
    check_libraries(as_build)
    source = open_source_network(request)
    check_disk(request.out, source.bytes)
    ctx = start(as_build, profile, Workspace(workspace_of(request.out)), progress)
    with ctx.workspace.in_use():
        index = read_data_for(ctx, source)
        # The chain of the settings was not trained: it has no place in what is recorded of this bundle.
        ctx = replace(ctx, config=replace(ctx.config, link=()))
        calibration = CalibrationSet(index=index, root=ctx.root)
        if request.calibrate_on is not None:
            calibration = read_calibration(request.calibrate_on, index, ctx.config, ctx.progress, skip_bad=request.skip_bad)
        chain = import_network(ctx, source, index)
        return compile_chain(ctx, chain, index, calibration)


def open_source_network(request: CompileRequest) -> NetworkSource:
    """Open what was imported, as its name tells: a folder, an ``.onnx`` file, or a checkpoint.

    Raises:
        ConfigError: An option contradicts it, or a checkpoint has no model.
        ModelError: It cannot be used.
        StoreError: The folder holds no link.
    """
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.pipeline.import_model import open_checkpoint, open_link, open_onnx

    source = request.source
    if request.labels is not None and len(set(request.labels)) != len(request.labels):
        raise ConfigError(
            "--labels: names a class twice; expected each once, in the order of the network's outputs",
            code="E_CONFIG_CLASSES",
        )
    is_onnx = source.suffix.lower() == ".onnx"
    for option, value in (("--model", request.model), ("--weights-key", request.weights_key)):
        if value is not None and (is_onnx or source.is_dir()):
            raise ConfigError(
                f"{source.name}: {option} is for a checkpoint; an ONNX file or a link says itself what it is",
                code="E_CONFIG_OPTION_UNUSED",
            )
    if source.is_dir():
        if request.hints != InputHints() or request.labels is not None:
            raise ConfigError(
                f"{source.name}: a link says itself how its input and labels are; leave those options out",
                code="E_CONFIG_OPTION_UNUSED",
            )
        return open_link(source)
    if is_onnx:
        return open_onnx(source, request.hints, request.labels)
    if not source.is_file():
        raise ConfigError(
            f"{source}: expected an .onnx file, a checkpoint with --model TIMM_NAME, or the folder of a former build's link",
            code="E_CONFIG_SOURCE",
        )
    return open_checkpoint(source, request.model, request.hints, request.labels, weights_key=request.weights_key)


def check_disk(out: Path, weights: int) -> None:
    """Refuse to start where the disk would be full before the end.

    Args:
        out: The bundle's folder; need not be there yet.
        weights: Size of the network's weights, bytes.

    Raises:
        StoreError: There is too little space where the bundle goes or where temporary files lie.
    """
    needed = DISK_MIB + (DISK_FACTOR * weights >> 20)
    place = out
    while not place.exists():
        place = place.parent
    for folder in (place, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free >> 20
        if free < needed:
            raise StoreError(
                f"{folder}: expected {needed} MiB of free space to work with, found {free} MiB; free some",
                code="E_STORE_NO_SPACE",
            )


def read_data_for(ctx: BuildContext, source: NetworkSource) -> DatasetIndex:
    """Return the index of the data set with its classes in the order of the network's outputs.

    The split of a former build is kept where the data set still is the one that the network was trained on.

    Raises:
        WeckdError: The data set cannot be used, or its test images are some that the network was trained on.
    """
    former = source.former
    if former is not None and holds(ctx.root, former):
        stage = ctx.step(
            "data", DatasetIndex, key_of({"former": former}, "weckd_edge.artifacts.data"), lambda folder: former
        )
        index = stage.artifact
        ctx.progress.note("the split of the build that trained it is kept")
    else:
        index = index_data(ctx)
        if former is not None:
            _refuse_trained_on(former, index)
    if source.labels is not None:
        index = index.with_order(source.labels)
    check_data(ctx, index)
    return index


def holds(root: Path, former: DatasetIndex) -> bool:
    """Tell whether a data set still is what a former build was made from."""
    files = [(root / record.path, record.sha256) for record in former.images]
    return all(path.is_file() for path, _ in files) and all(sha256_file(path) == digest for path, digest in files)


def import_network(ctx: BuildContext, source: NetworkSource, index: DatasetIndex) -> TrainedChain:
    """Take what was imported as a chain of one link: evaluate it, and look for mistakes in how it was described.

    Raises:
        WeckdError: It does not fit the data set.
    """
    imported = ctx.step(
        "adopt",
        ImportedModel,
        key_of(
            {
                "imported": source.key(),
                "labels": index.labels,
                "images": index.identity(*HELD_OUT),
                "input": ctx.config.input,
                "frame": sorted({(r.height, r.width) for r in index.images}),
                "known": source.former is not None,
            },
            "weckd_edge.pipeline.import_model",
        ),
        lambda folder: source.import_into(ctx, index, folder),
    )
    link, folder = imported.artifact.link, imported.folder
    for line in (*imported.artifact.notes, *source.doubts):
        ctx.progress.note(line)
    doubts = _find_description_mistakes(ctx, source, link, folder, index)
    for sentence in doubts.sentences:
        ctx.progress.note(sentence)
    network = TrainedNetwork(
        link=Stage(name="adopt", artifact=link, folder=folder, seconds=imported.seconds, reused=imported.reused),
        name_in_reports=source.trained_name,
        export=lambda out, cast_first: source.export(link, folder, out, cast_first=cast_first),
        modules=("weckd_edge.pipeline.import_model",),
        predictor=lambda: source.predictor(link, folder),
        predict=lambda images: predict_once(
            ctx.workspace,
            source.recorded_as(link.weights.sha256, link.input),
            images,
            lambda: source.predict(link, folder, images),
        ),
    )
    return TrainedChain(
        networks=(network,),
        labels_used=link.labels_used,
        import_notes=imported.artifact.notes,
        import_warnings=(*source.doubts, *doubts.sentences),
    )


def _find_description_mistakes(
    ctx: BuildContext, source: NetworkSource, link: Link, folder: Path, index: DatasetIndex
) -> DescriptionDoubts:
    """Try other descriptions of the network on images that are no test images."""
    records = choose_trial_images(index, ctx.config.seed)
    return ctx.step(
        "doubts",
        DescriptionDoubts,
        key_of(
            {"link": link, "is_bgr": source.is_bgr, "images": [[r.pixels_sha256, r.label] for r in records]},
            "weckd_edge.compile.verify.usual_mistakes",
            "weckd_edge.pipeline.import_model",
        ),
        lambda _: DescriptionDoubts(sentences=_mistakes(ctx, source, link, folder, records)),
    ).artifact


def _mistakes(
    ctx: BuildContext, source: NetworkSource, link: Link, folder: Path, records: Sequence[ImageRecord]
) -> tuple[str, ...]:
    from weckd_edge.compile.verify.usual_mistakes import InputDescription, find_mistakes
    from weckd_edge.train.distill.evaluate import network_images

    run, is_bgr = source.run(link, folder), source.is_bgr
    return find_mistakes(
        (lambda image: run(np.ascontiguousarray(image[:, ::-1]))) if is_bgr else run,
        network_images([ctx.root / record.path for record in records], link.input),
        np.array([record.label for record in records]),
        InputDescription(
            mean=link.input.network.mean,
            std=link.input.network.std,
            is_bgr=is_bgr,
            takes_bytes=source.takes_bytes,
            takes_luminance=source.takes_luminance,
        ),
        link.labels,
        ctx.progress,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class DescriptionDoubts:
    """What may be wrong with how a network was described.

    Attributes:
        sentences: One for each doubt.
        schema_version: Of this record.
    """

    sentences: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION


def choose_trial_images(index: DatasetIndex, seed: int) -> list[ImageRecord]:
    """Return up to ``MAX_TRIAL_IMAGES`` images, none of the test split: validation images first, then training images."""
    found: list[ImageRecord] = []
    for records in (index.split("val"), index.split("train")):
        order = np.random.default_rng(seed).permutation(len(records))
        found += [records[at] for at in order]
    return found[:MAX_TRIAL_IMAGES]


def _refuse_trained_on(former: DatasetIndex, index: DatasetIndex) -> None:
    trained = {record.pixels_sha256 for record in former.split("train", "val")}
    held_out = index.split("test")
    seen = [record for record in held_out if record.pixels_sha256 in trained]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(held_out)} test images were trained on by the build this link comes from (the first is "
            f"{seen[0].path}); give that build's very data set, whose split is then kept, or one without its images",
            code="E_DATA_TRAINED_ON",
        )


def read_calibration(
    path: Path, index: DatasetIndex, config: BuildConfig, progress: Progress, *, skip_bad: bool = False
) -> CalibrationSet:
    """Read a separate calibration folder or CSV.

    Args:
        path: A folder of ``<label>/<image>`` or a CSV.
        index: The data set.
        config: Its quantize table says how many images are wanted.
        progress: Where the reading is shown.
        skip_bad: Leave out files that cannot be read, and say how many.

    Returns:
        Its images, all for calibration, and the folder they lie in.

    Raises:
        DataError: It cannot be read, holds too few images or other classes, or images of the validation or test split.
    """
    from weckd_edge.train.data.reading import read_data

    named = config.data if path.is_file() else DataConfig()
    found = read_data(path, progress, named)
    root, classes = found.root, set(found.labels)
    if classes != set(index.labels):
        odd = sorted(classes ^ set(index.labels))
        raise DataError(
            f"calibration: {path} holds the classes {', '.join(sorted(classes))}, expected those of the data set "
            f"({', '.join(index.labels)}); '{odd[0]}' is in one alone",
            code="E_DATA_CALIBRATION",
        )
    if found.bad_files:
        first = found.bad_files[0]
        text = f"calibration: {len(found.bad_files)} files of {path} cannot be used (such as {first.path}: {first.reason})"
        if not skip_bad:
            raise DataError(f"{text}; repair or remove them, or give --skip-bad to leave them out", code="E_DATA_BAD_IMAGES")
        progress.note(f"{text}; they are left out")
    for note in found.notes:
        progress.note(f"calibration: {note.text}")
    held_out = {record.pixels_sha256: record for record in index.split(*HELD_OUT)}
    for image in found.images:
        copied = held_out.get(image.pixels_sha256)
        if copied is not None:
            raise DataError(
                f"calibration: {image.listed.path} has the very pixels of the {copied.split} image {copied.path}; "
                "ranges fitted to it would flatter the figures, leave it out",
                code="E_DATA_CALIBRATION_SPLIT",
            )
    images: Sequence[ImageRecord] = [
        image.record(label=index.labels.index(image.listed.label), group=image.pixels_sha256, split="train")
        for image in {image.pixels_sha256: image for image in found.images}.values()
    ]
    fewest = min(FEWEST_CALIBRATION, config.quantize.images)
    if len(images) < fewest:
        raise DataError(
            f"calibration: {path} holds {len(images)} different images, expected at least {fewest}; add some, or leave "
            "--calibrate-on out to take training images",
            code="E_DATA_CALIBRATION",
        )
    progress.note(f"calibration images: {len(images)} of {path.name}, none of them held out")
    found_index = DatasetIndex(
        name=root.resolve().name, labels=index.labels, images=tuple(images), synthetic=index.synthetic
    )
    return CalibrationSet(index=found_index, root=root)
