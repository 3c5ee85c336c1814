"""The data set is read and split, and the settings that name something in it are checked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from weckd_edge.artifacts import DatasetIndex, ImageRecord
from weckd_edge.core.bounds import MAX_SIDE, MIN_SIDE
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.metrics import check_report
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.network_sources.base import NetworkSource
from weckd_edge.pipeline.steps.abstain import check_labels

if TYPE_CHECKING:
    from weckd_edge.train.data.reading import DataSet
    from weckd_edge.train.data.scan import ScannedImage


def read_data(ctx: BuildContext) -> DatasetIndex:
    """Return the index of the data set: which image is used where.

    Raises:
        WeckdError: The data set cannot be used, or settings name what it does not have.
    """
    index = index_data(ctx)
    check_data(ctx, index)
    return index


def index_data(ctx: BuildContext) -> DatasetIndex:
    """Return the index of the data set, before the settings are checked against it.

    Raises:
        DataError: The data set cannot be used.
    """
    from weckd_edge.train.data.index import cached_index

    stage = cached_index(ctx.workspace, ctx.data, ctx.config, skip_bad=ctx.skip_bad, progress=ctx.progress, cache=ctx.cache)
    ctx.note_step("data", stage.seconds, reused=stage.reused)
    return stage.artifact


def check_data(ctx: BuildContext, index: DatasetIndex) -> None:
    """Check the settings that name something in the data set, and the size of its frames.

    Raises:
        WeckdError: A slice, band, prevalence, refused label, mask, box or source column is not in the data set, or no device
            takes frames of that size.
    """
    from weckd_edge.train.distill.link_plan import frame_spec

    frame = frame_spec(index, ctx.config.input)
    if not (min(frame.height, frame.width) >= MIN_SIDE and max(frame.height, frame.width) <= MAX_SIDE):
        raise ConfigError(
            f"the most common size of the images is {frame.width} by {frame.height} pixels, but a device takes "
            f"{MIN_SIDE} to {MAX_SIDE} a side; give the camera's frame in the config: [input] frame = [HEIGHT, WIDTH]",
            code="E_CONFIG_RANGE",
        )
    check_report(ctx.config.report, index)
    check_labels(ctx.config.guard, index.labels)
    if ctx.config.audit.enabled:
        from weckd_edge.train.audit.run import check_audit_settings

        check_audit_settings(index, ctx.config.audit)


def read_data_of_import(ctx: BuildContext, source: NetworkSource) -> DatasetIndex:
    """Return the index of the data set for an imported network, its classes in the order of the network's outputs.

    The split of a former build is kept where the data set that is given still is the one that the network was trained on.

    Raises:
        WeckdError: The data set cannot be used, or the network was trained on some of its test images.
    """
    index = index_data(ctx) if source.former is None else _read_data_of_former(ctx, source.former)
    if source.labels is not None:
        index = index.with_order(source.labels)
    check_data(ctx, index)
    return index


def _read_data_of_former(ctx: BuildContext, former: DatasetIndex) -> DatasetIndex:
    """Return the index of the data set with the split of a former build, or, where it has changed, with a split of its own.

    Raises:
        DataError: The data set cannot be used, or a test image was trained on by that build.
    """
    from weckd_edge.train.data import reading
    from weckd_edge.train.data.scan_store import open_scan_store, scan_folder

    with open_scan_store(ctx.cache or scan_folder(ctx.workspace), ctx.progress) as store:
        given = reading.read_data(ctx.data, ctx.progress, ctx.config.data, store)
    change = find_change(former, given)
    if change is not None:
        ctx.progress.note(f"the split of the build that trained it is not kept: {change}")
        index = index_data(ctx)
        refuse_trained_on(former, index, change)
        return index
    kept = _with_columns_of(former, given)
    stage = ctx.step("data", DatasetIndex, key_of({"kept": kept}, "weckd_edge.artifacts.data"), lambda folder: kept)
    ctx.progress.note("the split of the build that trained it is kept")
    return stage.artifact


def find_change(former: DatasetIndex, given: DataSet) -> str | None:
    """Return how a data set differs from that of a former build, in words; None where its split still holds.

    The images, their labels, examinations and published split must be the same, and no group that is named may be cut by
    the former split's groups. Further columns, and copies of the same images, make no difference.

    Args:
        former: The data set of that build.
        given: The data set that is given now, as it was read.
    """
    here = {image.listed.path: image for image in given.images}
    group_of: dict[str, str] = {}
    for record in former.images:
        image = here.get(record.path)
        change = "is not among the images" if image is None else _change_of(image, record, former.label_of(record))
        group = None if image is None else image.listed.group
        if change is None and group is not None and group_of.setdefault(group, record.group) != record.group:
            change = "is of another group"
        if change is not None:
            return f"{record.path} {change}"
    named = sum(here[record.path].listed.group is not None for record in former.images)
    if former.named_groups not in (None, named):
        return f"{named} of its images name a group, and {former.named_groups} did"
    return _addition_to(former, given)


def _change_of(image: ScannedImage, record: ImageRecord, label: str) -> str | None:
    """Return how an image differs from its record, as the end of a sentence; None where it does not."""
    given = image.listed
    if image.sha256 != record.sha256:
        return "is another file"
    if given.label != label:
        return f"is of the class '{given.label}', and was of '{label}'"
    if given.exam != record.exam:
        return "is of another examination"
    if given.published_split != record.published_split:
        return "is of another published split"
    return None


def _addition_to(former: DatasetIndex, given: DataSet) -> str | None:
    """Return which file is new, as a sentence; None for none: copies, and what was left out before, are not new."""
    paths = {record.path for record in former.images} | {bad.path for bad in former.bad_files}
    labels = {record.pixels_sha256: former.label_of(record) for record in former.images}
    for image in given.images:
        if image.listed.path not in paths and labels.get(image.pixels_sha256) != image.listed.label:
            return f"{image.listed.path} was not among the images"
    return next((f"{bad.path} cannot be used: {bad.reason}" for bad in given.bad_files if bad.path not in paths), None)


def _with_columns_of(former: DatasetIndex, given: DataSet) -> DatasetIndex:
    """Return the former data set with the further columns, and the times, of the one that is given."""
    here = {image.listed.path: image.listed for image in given.images}
    images = [
        replace(record, attributes=here[record.path].attributes, time_s=here[record.path].time_s) for record in former.images
    ]
    return replace(former, images=tuple(images))


def refuse_trained_on(former: DatasetIndex, index: DatasetIndex, change: str) -> None:
    """Refuse test images that the build of an imported link was trained on.

    Args:
        former: The data set of that build.
        index: The data set to verify on, with a split of its own.
        change: Why the split of that build is not kept, as ``find_change`` tells it.

    Raises:
        DataError: A test image has the pixels of a training or validation image of that build.
    """
    trained = {record.pixels_sha256 for record in former.split("train", "val")}
    held_out = index.split("test")
    seen = [record for record in held_out if record.pixels_sha256 in trained]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(held_out)} test images were trained on by the build this link comes from (the first is "
            f"{seen[0].path}), whose split is not kept, as the data set has changed: {change}; give that build's very data "
            "set, whose split is then kept, or one without its images",
            code="E_DATA_TRAINED_ON",
        )
