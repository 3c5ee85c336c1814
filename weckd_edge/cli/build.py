"""``weckd-edge build``: the whole way, from images to a bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import click

from weckd_edge.cli.console.libraries import set_up_libraries
from weckd_edge.cli.console.outcome import report_outcome
from weckd_edge.cli.parsing.option_groups import (
    Cache,
    ChainSettings,
    DataSet,
    NewBundle,
    ProgressOutput,
    TargetDevice,
)
from weckd_edge.cli.parsing.options import Command, option, takes


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSettings(ChainSettings):
    """The settings of a build, whose chain may be chosen by measured latency."""

    links: str | None = option(
        "--links",
        help="The chain, largest first: model[@pixels[:width]][=weights file], separated by commas; or auto, by measured "
        "latency.",
    )

    @property
    def auto_links(self) -> bool:
        """Whether the chain is chosen by measured latency."""
        return self.links == "auto"

    def settings(self) -> dict[str, Any]:
        return replace(self, links=None).settings() if self.auto_links else ChainSettings.settings(self)


@click.command("build", cls=Command)
@takes(data=DataSet, device=TargetDevice, settings=BuildSettings, bundle=NewBundle, cache=Cache, output=ProgressOutput)
def command(
    data: DataSet,
    device: TargetDevice,
    settings: BuildSettings,
    bundle: NewBundle,
    cache: Cache,
    output: ProgressOutput,
) -> int:
    """Train the chain, compile the link that is selected, check it against the device profile, and write a verified bundle.

    After a stop, run the same command again: it goes on from the last finished step or epoch (kept in OUT.work).
    It exits with 3 where the bundle misses a limit of the device profile; the bundle is written, and marked as not passing.
    """
    set_up_libraries()
    from weckd_edge.api.build import build
    from weckd_edge.pipeline.build import keeps_results, train_along
    from weckd_edge.pipeline.output_paths import normal_path
    from weckd_edge.pipeline.request import BuildRequest

    request: dict[str, Any] = {
        "data": data.path,
        "target": device.target,
        "device": device.device,
        "out": normal_path(bundle.out),
        "config": settings.load(data),
        "skip_bad": data.skip_bad,
        "key": bundle.key,
        "bundle_version": bundle.bundle_version,
        "auto_links": settings.auto_links,
        "cache": cache.folder,
    }
    if not keeps_results(os.environ):  # one of several processes that train together; the first one writes the bundle
        train_along(BuildRequest(**request))
        return 0
    with output.progress() as progress:
        made = build(**request, progress=progress)
    return report_outcome(made.contents, bundle.out, output)
