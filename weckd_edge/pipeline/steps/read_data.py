"""The data set is read and split, and the settings that name something in it are checked."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.core.bounds import MAX_SIDE, MIN_SIDE
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import sha256_file
from weckd_edge.metrics import check_report
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.network_sources.base import NetworkSource
from weckd_edge.pipeline.steps.abstain import check_labels


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

    The split of a former build is kept where the data set still is the one that the network was trained on.

    Raises:
        WeckdError: The data set cannot be used, or the network was trained on some of its test images.
    """
    former = source.former
    if former is not None and is_unchanged(ctx.root, former):
        stage = ctx.step(
            "data", DatasetIndex, key_of({"former": former}, "weckd_edge.artifacts.data"), lambda folder: former
        )
        index = stage.artifact
        ctx.progress.note("the split of the build that trained it is kept")
    else:
        index = index_data(ctx)
        if former is not None:
            refuse_trained_on(former, index)
    if source.labels is not None:
        index = index.with_order(source.labels)
    check_data(ctx, index)
    return index


def is_unchanged(root: Path, former: DatasetIndex) -> bool:
    """Tell whether a data set still holds the very files that a former build was made from."""
    files = [(root / record.path, record.sha256) for record in former.images]
    return all(path.is_file() for path, _ in files) and all(sha256_file(path) == digest for path, digest in files)


def refuse_trained_on(former: DatasetIndex, index: DatasetIndex) -> None:
    """Refuse test images that the build of an imported link was trained on.

    Args:
        former: The data set of that build.
        index: The data set to verify on.

    Raises:
        DataError: A test image has the pixels of a training or validation image of that build.
    """
    trained = {record.pixels_sha256 for record in former.split("train", "val")}
    held_out = index.split("test")
    seen = [record for record in held_out if record.pixels_sha256 in trained]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(held_out)} test images were trained on by the build this link comes from (the first is "
            f"{seen[0].path}); give that build's very data set, whose split is then kept, or one without its images",
            code="E_DATA_TRAINED_ON",
        )
