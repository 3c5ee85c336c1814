"""A whole build, from a folder of images to a sealed bundle: ``build`` runs the steps in order.

    read data ► train chain ► export ► quantize ► calibrate ► select link ► convert ► verify ► measure ► bundle

Training and compiling meet here alone, in artefacts. Each step is a function of the context and of earlier artefacts; the
workspace keeps what is finished, so that a build that was stopped goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.pipeline.checks import (
    check_libraries,
    check_logging,
    check_measurements,
    check_output,
    check_outside,
    sources_of,
    warn_of_early_stopping,
    workspace_of,
)
from weckd_edge.pipeline.context import BuildContext, choose_profile, start
from weckd_edge.pipeline.networks import CalibrationSet, Student, TrainedChain, TrainedNetwork
from weckd_edge.pipeline.output_paths import check_place, normal_path
from weckd_edge.pipeline.request import BuildRequest
from weckd_edge.pipeline.steps.abstain import abstain
from weckd_edge.pipeline.steps.audit_data import audit_data
from weckd_edge.pipeline.steps.bench import bench_parts
from weckd_edge.pipeline.steps.calibrate import calibrate
from weckd_edge.pipeline.steps.convert import convert
from weckd_edge.pipeline.steps.exam import exam
from weckd_edge.pipeline.steps.export import export
from weckd_edge.pipeline.steps.gates import apply_gates
from weckd_edge.pipeline.steps.golden import choose_golden
from weckd_edge.pipeline.steps.guard import guard
from weckd_edge.pipeline.steps.layout import Part, draft_manifest, lay_out
from weckd_edge.pipeline.steps.measure import measure
from weckd_edge.pipeline.steps.predict import decode
from weckd_edge.pipeline.steps.quantize import quantize
from weckd_edge.pipeline.steps.read_data import read_data
from weckd_edge.pipeline.steps.select_link import select_link
from weckd_edge.pipeline.steps.train_chain import (
    check_strategy,
    choose_links,
    open_build_run,
    settle_links,
    train_chain,
    trained_settings,
)
from weckd_edge.pipeline.steps.verify import images_for_report, verify
from weckd_edge.pipeline.steps.write_bundle import ReportImages, record_build, write_bundle
from weckd_edge.report import BundleContents
from weckd_edge.report.documents.licences import read_environment


def build(request: BuildRequest, progress: Progress) -> BundleContents:
    """Build a bundle, or go on with a build that was stopped.

    Where several processes train together, the first of them calls this, and the others call ``train_along``.

    Returns:
        Everything that the sealed bundle holds.

    Raises:
        WeckdError: The data set, a setting or the machine does not allow it; finished steps are kept.
    """
    request = replace(request, out=normal_path(request.out))
    profile = choose_profile(request.target, request.device)
    sources = sources_of(request)
    check_output(request.out, sources)
    if request.cache is not None:
        check_place(request.cache, sources, option="--cache")
        check_outside(request.cache, request.out, option="--cache")
    check_libraries(request)
    check_logging(request)
    check_measurements(request.config)
    check_strategy(request.config)
    warn_of_early_stopping(request.config, progress)
    ctx = start(request, profile, Workspace(workspace_of(request.out)), progress)
    from weckd_edge.train.distill.loop.distributed import lock_patience_s
    from weckd_edge.train.distill.loop.last_wait import others_wait

    with ctx.workspace.in_use(lock_patience_s()):
        index = read_data(ctx)
        if request.auto_links:
            ctx = choose_links(ctx, index)
        ctx = settle_links(ctx)
        with open_build_run(ctx) as run:
            chain = train_chain(ctx, index, run)
            with others_wait():
                contents = compile_chain(ctx, chain, index, CalibrationSet(index=index, root=ctx.root))
            run.folder(ctx.out)
        return contents


def compile_chain(
    ctx: BuildContext, chain: TrainedChain, index: DatasetIndex, calibration: CalibrationSet
) -> BundleContents:
    """Turn trained networks into a sealed bundle: the steps that ``build`` and ``compile_model`` share.

    Args:
        ctx: The build.
        chain: The networks, trained or imported.
        index: The data set.
        calibration: Images that activation ranges are found on.

    Returns:
        Everything that the sealed bundle holds.

    Raises:
        WeckdError: A step cannot be done; finished steps are kept, and no half bundle is left.
    """
    spec = chain.networks[-1].link.artifact.input.frame
    frames = decode(ctx, index, spec)
    fitted = guard(ctx, spec, index, frames.val)

    def compile_link(network: TrainedNetwork) -> Student:
        return calibrate(ctx, quantize(ctx, network, export(ctx, network), frames.val, calibration), frames.val)

    choice = select_link(ctx, chain, compile_link, fitted.artifact.guard, frames.val, index)
    student = choice.student
    built = convert(ctx, student, calibration)
    teacher = chain.networks[0] if student.network is not chain.networks[0] else None
    verification = verify(ctx, student, teacher, frames.test)
    golden = choose_golden(ctx, student, frames.val)
    abstention = abstain(ctx, student, verification, fitted, frames, index)
    exams = exam(ctx, student, verification, fitted, frames, index, abstention.operating_point)
    metrics = measure(ctx, student, teacher, verification.artifact, index, abstention.operating_point)
    measurement = bench_parts(ctx, student, frames.val, fitted.artifact.guard, choice.measurement)
    audit = audit_data(ctx, student.network, frames.test, index)
    layout = lay_out(
        Part(student.selection, student.folder), built, Part(golden.artifact, golden.folder), fitted.artifact.guard
    )
    contents = BundleContents(
        manifest=draft_manifest(
            ctx, layout, student.exported.artifact, student.selection, abstention, exams, synthetic=index.synthetic
        ),
        dataset=index,
        chain=chain.record(deployed=student.name),
        verification=verification.artifact,
        measurement=measurement,
        link_measurements=choice.others,
        build=record_build(ctx, index.name),
        selection=student.selection,
        link_selection=choice.link_selection,
        audit=audit,
        metrics=metrics,
        abstention=abstention,
        exams=exams,
        environment=read_environment(trained_settings(ctx.config, chain), host=ctx.machine.host),
        files=layout.files,
    )
    return _seal(ctx, apply_gates(ctx, contents, choice.latency), images_for_report(ctx, student, frames.test))


def _seal(ctx: BuildContext, contents: BundleContents, images: ReportImages) -> BundleContents:
    """Write and seal a bundle, and build its engine where this machine is the device."""
    sealed = write_bundle(ctx, contents, images)
    finalize_here(ctx)
    return sealed


def finalize_here(ctx: BuildContext) -> None:
    """Build the bundle's TensorRT engine at once, on a Jetson that builds for itself."""
    if ctx.target != "jetson" or ctx.machine.module is None or not is_installed("tensorrt"):
        return
    from weckd_edge.devices.jetson.finalize import finalize

    finalize(open_bundle(ctx.out), progress=ctx.progress)


def keeps_results(environment: Mapping[str, str]) -> bool:
    """Tell whether this process writes the bundle: of several that train together, the first does.

    Args:
        environment: Environment variables, in which torchrun and SLURM tell a process its rank.
    """
    if not {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS"} & environment.keys():
        return True
    from weckd_edge.train.distill.loop.distributed import is_first

    return is_first()


def train_along(request: BuildRequest) -> None:
    """Take part in the training of a build, as one of several processes, and wait until the first one has ended.

    Raises:
        WeckdError: The data set or a setting does not allow it, or the first process gives no sign any more.
    """
    from weckd_edge.train.distill.loop.distributed import lock_patience_s, rank
    from weckd_edge.train.distill.loop.last_wait import wait_for_first
    from weckd_edge.train.distill.loop.process_folders import own_folder

    profile = choose_profile(request.target, request.device)
    check_strategy(request.config)
    with own_folder(workspace_of(normal_path(request.out)), rank()) as folder:
        # The process that writes the bundle uses the cache alone.
        ctx = start(replace(request, cache=None), profile, Workspace(folder), SilentProgress())
        with ctx.workspace.locked(lock_patience_s()):
            index = read_data(ctx)
            train_chain(settle_links(choose_links(ctx, index) if request.auto_links else ctx), index)
            wait_for_first()
