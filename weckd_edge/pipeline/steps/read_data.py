"""The data set is read, split, and held against the settings that name something in it."""

from __future__ import annotations

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.core.bounds import MAX_SIDE, MIN_SIDE
from weckd_edge.core.errors import ConfigError
from weckd_edge.metrics import check_report
from weckd_edge.pipeline.context import BuildContext
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
    """Return the index of the data set, not yet held against the settings.

    Raises:
        DataError: It cannot be used; one line says why.
    """
    from weckd_edge.train.data.index import cached_index

    stage = cached_index(ctx.workspace, ctx.data, ctx.config, skip_bad=ctx.skip_bad, progress=ctx.progress)
    ctx.note_step("data", stage.seconds, reused=stage.reused)
    return stage.artifact


def check_data(ctx: BuildContext, index: DatasetIndex) -> None:
    """Find out before hours of training which settings name what the data set does not have.

    Raises:
        WeckdError: Slices, bands, prevalences, refused labels, masks, boxes or the source column are amiss, or frames are of
            a size that no device takes.
    """
    from weckd_edge.train.distill.chain import frame_spec

    frame = frame_spec(index, ctx.config.input)
    if not (min(frame.height, frame.width) >= MIN_SIDE and max(frame.height, frame.width) <= MAX_SIDE):
        raise ConfigError(
            f"the commonest size of the images is {frame.width} by {frame.height} pixels, but a device takes "
            f"{MIN_SIDE} to {MAX_SIDE} a side; name the camera's in the config: [input] frame = [HEIGHT, WIDTH]",
            code="E_CONFIG_RANGE",
        )
    check_report(ctx.config.report, index)
    check_labels(ctx.config.guard, index.labels)
    if ctx.config.audit.enabled:
        from weckd_edge.train.audit.run import check_audit_settings

        check_audit_settings(index, ctx.config.audit)
