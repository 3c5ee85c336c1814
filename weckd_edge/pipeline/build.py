"""A whole build, from a folder of images to a sealed bundle: each step is found finished or made, top to bottom.

    read data ► train chain ► quantize ► calibrate ► select link ► convert ► verify ► measure ► bundle

The one place where training and compiling meet, and they meet in artefacts. Each step is a function of the context and of
what the steps before it made; the store keeps what is finished, so that a build that was stopped goes on from there.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from weckd_edge.artifacts import DatasetIndex, Target
from weckd_edge.bundle.reader import is_bundle, open_bundle
from weckd_edge.config import BuildConfig, paths_of
from weckd_edge.core.errors import ConfigError, MissingDependency, ModelError, StoreError
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.store import Workspace, explain_os_errors
from weckd_edge.devices.jetson.recipe import check_tensorrt
from weckd_edge.devices.latency_model.measurements import read_measurements
from weckd_edge.devices.profiles.profile import DeviceProfile, load_profile
from weckd_edge.pipeline.context import BuildContext, start
from weckd_edge.pipeline.networks import CalibrationSet, TrainedChain
from weckd_edge.pipeline.output_paths import ReadPath, bundle_name, check_place, normal_path
from weckd_edge.pipeline.request import BuildRequest
from weckd_edge.pipeline.steps.abstain import abstain
from weckd_edge.pipeline.steps.audit_data import audit_data
from weckd_edge.pipeline.steps.bench import bench_network
from weckd_edge.pipeline.steps.calibrate import calibrate
from weckd_edge.pipeline.steps.convert import convert
from weckd_edge.pipeline.steps.golden import choose_golden
from weckd_edge.pipeline.steps.guard import guard
from weckd_edge.pipeline.steps.judge import judge_bundle
from weckd_edge.pipeline.steps.layout import Part, draft_manifest, lay_out
from weckd_edge.pipeline.steps.measure import measure
from weckd_edge.pipeline.steps.predict import decode
from weckd_edge.pipeline.steps.quantize import quantize
from weckd_edge.pipeline.steps.read_data import read_data
from weckd_edge.pipeline.steps.select_link import links_to_compile, select_link
from weckd_edge.pipeline.steps.train_chain import check_strategy, choose_links, train_chain
from weckd_edge.pipeline.steps.verify import images_for_report, verify
from weckd_edge.pipeline.steps.write_bundle import record_build, write_bundle
from weckd_edge.report import BundleContents
from weckd_edge.report.documents.licences import read_environment

__all__ = ["BuildRequest", "build", "keeps_results", "train_along"]


def build(request: BuildRequest, progress: Progress) -> BundleContents:
    """Run a build, or go on with one that was stopped.

    Where several processes train together, this is for the first of them, and ``train_along`` for the others.

    Returns:
        What the bundle holds, as it was sealed.

    Raises:
        WeckdError: Anything a user can mend; nothing half-written is left, and finished steps are kept.
    """
    request = replace(request, out=normal_path(request.out))
    profile = choose_profile(request.target, request.device)
    check_output(request.out, sources_of(request))
    check_libraries(request)
    check_measurements(request.config)
    check_strategy(request.config)
    ctx = start(request, profile, Workspace(workspace_of(request.out)), progress)
    with ctx.workspace.in_use():
        index = read_data(ctx)
        if request.auto_links:
            ctx = choose_links(ctx, index)
        chain = train_chain(ctx, index)
        return compile_chain(ctx, chain, index, CalibrationSet(index=index, root=ctx.root))


def compile_chain(
    ctx: BuildContext, chain: TrainedChain, index: DatasetIndex, calibration: CalibrationSet
) -> BundleContents:
    """Go on from trained networks to a sealed bundle: what ``build`` and ``compile_model`` have in common.

    Args:
        ctx: The build.
        chain: The networks, trained or imported.
        index: The data set.
        calibration: Images that activation ranges are found on.

    Returns:
        What the bundle holds, as it was sealed.

    Raises:
        WeckdError: See ``build``.
    """
    spec = chain.networks[-1].link.artifact.input.frame
    frames = decode(ctx, index, spec)
    students = [
        calibrate(ctx, quantize(ctx, network, frames.val, calibration), frames.val)
        for network in links_to_compile(ctx, chain)
    ]
    fitted = guard(ctx, spec, index, frames.val)
    choice = select_link(ctx, chain, students, fitted.artifact.guard, frames.val, index)
    student = choice.student
    built = convert(ctx, student, calibration)

    teacher = chain.networks[0] if student.network is not chain.networks[0] else None
    verification = verify(ctx, student, teacher, frames.test)
    golden = choose_golden(ctx, student, frames.val)
    abstention = abstain(ctx, student, verification, fitted, frames, index)
    performance = measure(
        ctx, student, teacher, verification.artifact, index, abstention.operating_point.confidence_threshold
    )
    measurement = bench_network(ctx, student, choice.measurement)
    audit = audit_data(ctx, student.network, frames.test, index)

    layout = lay_out(
        Part(student.selection, student.folder), built, Part(golden.artifact, golden.folder), fitted.artifact.guard
    )
    contents = BundleContents(
        manifest=draft_manifest(
            ctx, layout, student.exported.artifact, student.selection, abstention, synthetic=index.synthetic
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
        metrics=performance,
        abstention=abstention,
        environment=read_environment(ctx.config.link, host=ctx.machine.host),
        files=layout.files,
    )
    sealed = write_bundle(ctx, judge_bundle(ctx, contents), images_for_report(ctx, student, frames.test))
    finalize_here(ctx)
    return sealed


def finalize_here(ctx: BuildContext) -> None:
    """Where this very machine is a Jetson with TensorRT, build the engine of the bundle at once."""
    if ctx.target != "jetson" or ctx.machine.module is None or not is_installed("tensorrt"):
        return
    from weckd_edge.devices.jetson.finalize import finalize

    finalize(open_bundle(ctx.out), progress=ctx.progress)


def keeps_results(environment: Mapping[str, str]) -> bool:
    """Tell whether this process keeps what is made: of several that train together, as a launcher starts them, the first."""
    if not {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS"} & environment.keys():
        return True
    from weckd_edge.train.distill.distributed import is_first

    return is_first()


def train_along(request: BuildRequest) -> None:
    """Take part in a build's training, as one of several processes, and keep nothing."""
    profile = choose_profile(request.target, request.device)
    check_strategy(request.config)
    with TemporaryDirectory() as folder:
        ctx = start(request, profile, Workspace(Path(folder)), SilentProgress())
        index = read_data(ctx)
        train_chain(choose_links(ctx, index) if request.auto_links else ctx, index)


def choose_profile(target: Target, device: str | None) -> DeviceProfile:
    """Return the profile to build for.

    Raises:
        ConfigError: The profile is for another target.
        DeviceError: It is a Jetson for none of whose TensorRT versions a recipe can be written.
    """
    if device is None:
        arm = platform.machine() in ("aarch64", "arm64")
        device = "jetson-orin-nano-8gb" if target == "jetson" else "generic-arm64" if arm else "generic-x86"
    profile = load_profile(device)
    if profile.target != target:
        raise ConfigError(
            f"device '{profile.id}' is for --target {profile.target}, but --target {target} was asked; "
            "change one of the two",
            code="E_CONFIG_CONFLICT",
        )
    check_tensorrt(profile)
    return profile


def workspace_of(out: Path) -> Path:
    """Return the folder in which a bundle's build keeps its stages: beside the bundle's own."""
    return out.with_name(out.name + ".work")


def sources_of(request: BuildRequest) -> tuple[ReadPath, ...]:
    """Return everything a build reads, by the words for it."""
    named = tuple(ReadPath(name, Path(path)) for name, path in paths_of(request.config))
    key = () if request.key is None else (ReadPath("the key", request.key),)
    return (ReadPath("the data set", request.data), *named, *key)


def check_output(out: Path, sources: Sequence[ReadPath] = ()) -> None:
    """Refuse an output folder that holds something other than an earlier bundle, that is read, or that no bundle can have.

    Args:
        out: The bundle's folder, absolute.
        sources: What is read to make it.

    Raises:
        ConfigError: It, or the workspace beside it, lies in what is read or in a bundle; or no bundle can be called so.
        StoreError: It holds something else, is a file, or cannot be looked at.
    """
    bundle_name(out)
    check_place(out, sources, makes="bundle")
    check_place(workspace_of(out), sources)
    with explain_os_errors(out):
        _check_content(out)


def _check_content(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise StoreError(
            f"{out}: expected a folder to write the bundle to, found a file; choose another --out", code="E_STORE_OCCUPIED"
        )
    if out.is_dir() and any(out.iterdir()) and not is_bundle(out):
        raise StoreError(
            f"{out}: the folder holds something that is no bundle; choose a new or empty folder for --out",
            code="E_STORE_OCCUPIED",
        )


def check_libraries(request: BuildRequest) -> None:
    """Find out before hours of training that a later stage lacks its library.

    Raises:
        MissingDependency: Naming every missing one and the extra that brings them.
    """
    needed = [
        "torch",
        "timm",
        "safetensors",
        "lightning_fabric",
        "scipy",
        "onnx",
        "onnxruntime",
        "jinja2",
        "packaging",
    ]
    needed += ["openvino"] if request.target == "cpu" else ["tensorrt_rtx"]
    needed += ["model_signing"] if request.key else []
    if missing := [name for name in needed if not is_installed(name)]:
        raise MissingDependency(
            f"a build for --target {request.target} needs {', '.join(missing)}, not installed; "
            "pip install 'weckd-edge[all]'",
            code="E_MISSING_LIBRARY",
        )
    if request.key is not None and not request.key.is_file():
        raise ConfigError(f"{request.key}: no such key file", code="E_CONFIG_KEY")


def check_measurements(config: BuildConfig) -> None:
    """Find out before hours of training that the times a prediction shall rest on cannot be read.

    Raises:
        ConfigError: The file that ``[select] measurements`` names cannot be read, or holds something else.
    """
    if config.select.measurements is None:
        return
    try:
        read_measurements(Path(config.select.measurements))
    except ModelError as err:
        raise ConfigError(f"[select] measurements: {err}", code="E_CONFIG_MEASUREMENTS") from err
