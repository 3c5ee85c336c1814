"""Export: a trained network is written as one graph from frame to probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weckd_edge.artifacts import ExportedModel
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage

if TYPE_CHECKING:
    from weckd_edge.pipeline.context import BuildContext
    from weckd_edge.pipeline.networks import TrainedNetwork


def export(ctx: BuildContext, network: TrainedNetwork) -> Stage[ExportedModel]:
    """Return a network's FP32 graph.

    Raises:
        ModelError: The exporter refuses the network.
    """
    link, cast_first = network.link.artifact, ctx.target == "jetson"
    return ctx.step(
        f"export-{link.name}",
        ExportedModel,
        key_of(
            {"link": link.network_sha256, "input": link.input, "labels": link.labels, "cast_first": cast_first},
            *network.modules,
        ),
        lambda folder: network.export(folder, cast_first),
    )
