"""The steps of a build behind the training, for a network that was imported: ``compile_model`` runs them in order.

read data ► import network ► export ► quantize ► calibrate ► convert ► verify ► measure ► bundle
"""

from __future__ import annotations

from dataclasses import replace

from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Workspace
from weckd_edge.pipeline.build import compile_chain
from weckd_edge.pipeline.checks import (
    check_disk,
    check_libraries,
    check_measurements,
    check_output,
    sources_of,
    workspace_of,
)
from weckd_edge.pipeline.context import choose_profile, start
from weckd_edge.pipeline.network_sources.open import open_source_network
from weckd_edge.pipeline.networks import CalibrationSet
from weckd_edge.pipeline.output_paths import ReadPath, check_place, normal_path
from weckd_edge.pipeline.request import CompileRequest
from weckd_edge.pipeline.steps.import_network import import_network
from weckd_edge.pipeline.steps.read_calibration import read_calibration
from weckd_edge.pipeline.steps.read_data import read_data_of_import
from weckd_edge.report import BundleContents


def compile_model(request: CompileRequest, progress: Progress) -> BundleContents:
    """Compile a network that was imported, or go on where an earlier run was stopped.

    Returns:
        Everything that the sealed bundle holds.

    Raises:
        WeckdError: The network, the data set, a setting or the machine does not allow it; finished steps are kept.
    """
    request = replace(request, out=normal_path(request.out))
    as_build = request.as_build()
    profile = choose_profile(request.target, request.device)
    more = () if request.calibrate_on is None else (ReadPath("--calibrate-on", request.calibrate_on),)
    check_output(request.out, (*sources_of(as_build), *more))
    check_place(request.out, [ReadPath("the model", request.source)], makes="bundle")
    check_libraries(as_build)
    check_measurements(as_build.config)
    source = open_source_network(request)
    check_disk(request.out, source.bytes)
    ctx = start(as_build, profile, Workspace(workspace_of(request.out)), progress)
    with ctx.workspace.in_use():
        index = read_data_of_import(ctx, source)
        # No link of the settings was trained: the bundle's record holds none.
        ctx = replace(ctx, config=replace(ctx.config, link=()))
        calibration = CalibrationSet(index=index, root=ctx.root)
        if request.calibrate_on is not None:
            calibration = read_calibration(request.calibrate_on, index, ctx.config, ctx.progress, skip_bad=request.skip_bad)
        chain = import_network(ctx, source, index)
        return compile_chain(ctx, chain, index, calibration)
