"""An imported network becomes a chain of one link: it is evaluated, and mistakes in its description are looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import HELD_OUT, SCHEMA_VERSION, DatasetIndex, ImageRecord, Preparation, prepared_frame
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.images.split_frames import decode_split
from weckd_edge.devices.machine.detect import DetectedMachine, needs_half_range
from weckd_edge.devices.profiles.profile import DeviceProfile
from weckd_edge.devices.runtime.stored_predictions import predict_once
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.network_sources.base import ImportedModel, NetworkSource
from weckd_edge.pipeline.networks import TrainedChain, TrainedNetwork

MAX_TRIAL_IMAGES = 128
"""Largest number of images that an imported network is shown under other descriptions of its input."""

MAY_OVERFLOW = (
    "Its int8 weights take all 8 bits. On x86 processors without VNNI, as the device's or this machine's is, sums of their "
    "products can overflow in OpenVINO, and not in ONNX Runtime. Quantize it with weights of 7 bits (reduce_range in ONNX "
    "Runtime, overflow_fix in NNCF), or import the float network."
)
"""Warning of an imported int8 network for such a processor: its weights are never changed here."""

_SOURCES = "weckd_edge.pipeline.network_sources.open"
"""Module that imports every kind of source, for the keys of steps."""


def import_network(ctx: BuildContext, source: NetworkSource, index: DatasetIndex) -> TrainedChain:
    """Return an imported network as a chain of one link, with what may be wrong with its description.

    Raises:
        WeckdError: The network does not fit the data set.
    """
    imported = ctx.step(
        "import",
        ImportedModel,
        key_of(
            {
                "imported": source.key(),
                "labels": index.labels,
                "images": index.identity(*HELD_OUT),
                "input": ctx.config.input,
                "frame": sorted(Counter((r.height, r.width) for r in index.images).items()),
                "known": source.former is not None,
            },
            _SOURCES,
        ),
        lambda folder: source.import_into(ctx, index, folder),
    )
    link, folder = imported.artifact.link, imported.folder
    for line in imported.artifact.notes:
        ctx.progress.note(line)
    of_file = doubts_of_file(source, ctx.profile, ctx.machine)
    for doubt in of_file:
        ctx.progress.warn(doubt)
    network = TrainedNetwork(
        link=Stage(name="import", artifact=link, folder=folder, seconds=imported.seconds, reused=imported.reused),
        name_in_reports=source.trained_name,
        export=lambda out, cast_first: source.export(link, folder, out, cast_first=cast_first),
        modules=(_SOURCES,),
        predictor=lambda: source.predictor(link, folder),
        predict=lambda images: predict_once(
            ctx.workspace,
            source.recorded_as(link.network_sha256, link.input),
            images,
            lambda: source.predict(link, folder, images),
        ),
    )
    doubts = _find_description_mistakes(ctx, source, network, index, imported.artifact.preparation)
    for sentence in doubts.sentences:
        ctx.progress.warn(sentence)
    return TrainedChain(
        networks=(network,),
        labels_used=link.labels_used,
        import_notes=imported.artifact.notes,
        import_warnings=(*of_file, *doubts.sentences),
    )


def doubts_of_file(source: NetworkSource, profile: DeviceProfile, machine: DetectedMachine) -> tuple[str, ...]:
    """Return sentences on what may be wrong with a network's file, in itself and for a device."""
    return (*source.doubts, *([MAY_OVERFLOW] if source.wide_weights and needs_half_range(profile, machine) else []))


def _find_description_mistakes(
    ctx: BuildContext,
    source: NetworkSource,
    network: TrainedNetwork,
    index: DatasetIndex,
    preparation: Preparation | None,
) -> DescriptionDoubts:
    """Try other descriptions of the network's input, on images outside the test split."""
    records = choose_trial_images(index, ctx.config.seed)
    return ctx.step(
        "check-description",
        DescriptionDoubts,
        key_of(
            {
                "link": network.link.artifact,
                "is_bgr": source.is_bgr,
                "preparation": preparation,
                "images": [[r.pixels_sha256, r.label] for r in records],
            },
            "weckd_edge.compile.verify.usual_mistakes",
            _SOURCES,
        ),
        lambda _: DescriptionDoubts(sentences=_mistakes(ctx, source, network, _TrialSet(index, records, preparation))),
    ).artifact


@dataclass(frozen=True, slots=True)
class _TrialSet:
    """Images that other descriptions are tried on, and how they are cropped and resized as described."""

    index: DatasetIndex
    records: Sequence[ImageRecord]
    preparation: Preparation | None


def _mistakes(
    ctx: BuildContext,
    source: NetworkSource,
    network: TrainedNetwork,
    trial: _TrialSet,
) -> tuple[str, ...]:
    from weckd_edge.compile.verify.usual_mistakes import InputDescription, PixelDescription, TrialImages, find_mistakes
    from weckd_edge.train.distill.evaluate import network_levels

    link = network.link.artifact
    run, is_bgr = source.run(link, network.link.folder), source.is_bgr
    val = decode_split(ctx.workspace, trial.index, "val", ctx.root, link.input.frame, ctx.progress)
    outputs = {record.path: int(row.argmax()) for record, row in zip(val.records, network.predict(val), strict=True)}
    decided, given = trial.preparation, None
    if decided is not None and decided.resize and decided.crop and decided.crop_pct:
        given = PixelDescription(resize=decided.resize, crop=decided.crop, crop_pct=decided.crop_pct)
    rows = {record.path: row for row, record in enumerate(val.records)}

    def frame(record: ImageRecord) -> NDArray[np.uint8]:
        """Return an image's frame; those of validation images are decoded already."""
        at = rows.get(record.path)
        return val.frame(at) if at is not None else frame_from_file(ctx.root / record.path, link.input.frame)

    as_given = [network_levels(frame(record), link.input) for record in trial.records]

    def pixels(described: PixelDescription | None, place: int) -> NDArray[np.float32]:
        if described is None or described == given:
            return as_given[place]
        spec = replace(link.input.frame, crop=described.crop, resize=described.resize)
        spec = prepared_frame(spec, link.input.network.size, described.crop_pct)
        return network_levels(frame(trial.records[place]), replace(link.input, frame=spec))

    images = TrialImages(
        pixels=pixels,
        truth=np.array([record.label for record in trial.records]),
        outputs={place: outputs[record.path] for place, record in enumerate(trial.records) if record.path in outputs},
    )
    return find_mistakes(
        (lambda image: run(np.ascontiguousarray(image[:, ::-1]))) if is_bgr else run,
        images,
        InputDescription(
            mean=link.input.network.mean,
            std=link.input.network.std,
            is_bgr=is_bgr,
            takes_bytes=source.takes_bytes,
            takes_luminance=source.takes_luminance,
            pixels=given,
        ),
        link.labels,
        ctx.progress,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class DescriptionDoubts:
    """Doubts about how a user described a network's input.

    Attributes:
        sentences: One sentence for each doubt.
        schema_version: Version of this record's format.
    """

    sentences: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION


def choose_trial_images(index: DatasetIndex, seed: int) -> list[ImageRecord]:
    """Return up to ``MAX_TRIAL_IMAGES`` images: validation images first, then training images, none of the test split."""
    found: list[ImageRecord] = []
    for records in (index.split("val"), index.split("train")):
        order = np.random.default_rng(seed).permutation(len(records))
        found += [records[at] for at in order]
    return found[:MAX_TRIAL_IMAGES]
