"""The data audit: leaks, shortcuts and label errors of the data set."""

from __future__ import annotations

from weckd_edge.artifacts import DataAudit, DatasetIndex
from weckd_edge.core.fingerprint import key_of
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import TrainedNetwork


def audit_data(ctx: BuildContext, network: TrainedNetwork, images: SplitFrames, index: DatasetIndex) -> DataAudit | None:
    """Return the findings of the data audit; None where the settings switch it off.

    Args:
        ctx: The build.
        network: The link that is deployed; it predicts covered images.
        images: The test images; parts of some are covered.
        index: The data set.

    Raises:
        DataError: Masks, boxes or the source column cannot be used.
        ModelError: The backbone's weights cannot be read.
    """
    config, link = ctx.config, network.link.artifact
    if not config.audit.enabled:
        return None
    from weckd_edge.train.audit.masking.masks import masks_fingerprint
    from weckd_edge.train.audit.masking.occlusion import DeployedNetwork
    from weckd_edge.train.audit.run import run_audit
    from weckd_edge.train.data.listing import fingerprint
    from weckd_edge.train.data.scan_store import scan_folder
    from weckd_edge.train.networks.start_digest import digest_of_start

    return ctx.step(
        "audit",
        DataAudit,
        key_of(
            {
                "files": fingerprint(ctx.data, config.data),
                "masks": masks_fingerprint(config.audit.masks),
                "index": index,
                "config": [config.audit, config.data, config.input, config.link, config.seed],
                "weights": [digest_of_start(one, len(index.labels)) for one in config.link],
                "link": link.network_sha256,
            },
            "weckd_edge.train.audit.run",
        ),
        lambda _: run_audit(
            ctx.data,
            index,
            config,
            ctx.progress,
            deployed=DeployedNetwork(
                predict=network.predictor(), input=link.input, images=images, predictions=network.predict(images)
            ),
            cache=ctx.cache or scan_folder(ctx.workspace),
        ),
    ).artifact
