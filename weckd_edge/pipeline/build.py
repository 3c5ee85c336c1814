"""A whole build: seven stages, each resumed where an earlier run finished it, ending in a sealed bundle.

The one place where training and compiling meet, and they meet in artefacts.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from weckd_edge.artifacts import Target
from weckd_edge.bundle.reader import is_bundle
from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import ConfigError, MissingDependency, ModelError, StoreError
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.store import Workspace, explain_os_errors
from weckd_edge.devices.jetson.recipe import check_tensorrt
from weckd_edge.devices.latency_model.measurements import read_measurements
from weckd_edge.devices.profiles.profile import DeviceProfile, load_profile
from weckd_edge.pipeline.output_paths import ReadPath, bundle_name, check_place, normal_path
from weckd_edge.pipeline.stages import BuildOutcome, BuildRequest, Stages

__all__ = ["BuildOutcome", "BuildRequest", "build", "keeps_results", "train_along"]


def build(request: BuildRequest, progress: Progress) -> BuildOutcome:
    """Run a build, or go on with one that was stopped.

    Where several processes train together, this is for the first of them, and ``train_along`` for the others.

    Raises:
        WeckdError: Anything a user can mend; nothing half-written is left, and finished stages are kept.
    """
    out = normal_path(request.out)
    profile = choose_profile(request.target, request.device)
    check_output(out, sources_of(request))
    check_libraries(request)
    check_measurements(request.config)
    workspace = Workspace(workspace_of(out))
    try:
        with workspace.locked():
            return Stages(request, profile, workspace, out, progress).run()
    finally:
        workspace.remove_if_empty()


def keeps_results(environment: Mapping[str, str]) -> bool:
    """Tell whether this process keeps what is made: of several that train together, as a launcher starts them, the first."""
    if not {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS"} & environment.keys():
        return True
    from weckd_edge.train.distill.distributed import is_first

    return is_first()


def train_along(request: BuildRequest) -> None:
    """Take part in a build's training, as one of several processes, and keep nothing."""
    profile = choose_profile(request.target, request.device)
    with TemporaryDirectory() as folder:
        Stages(request, profile, Workspace(Path(folder)), request.out, SilentProgress()).train()


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
            f"device '{profile.id}' is for --target {profile.target}, but --target {target} was asked; change one of the two"
        )
    check_tensorrt(profile)
    return profile


def workspace_of(out: Path) -> Path:
    """Return the folder in which a bundle's build keeps its stages: beside the bundle's own."""
    return out.with_name(out.name + ".work")


def sources_of(request: BuildRequest) -> tuple[ReadPath, ...]:
    """Return everything a build reads, by the words for it."""
    config = request.config
    named = [
        ("the data set", request.data),
        ("data.unlabelled", config.data.unlabelled),
        ("probes.masks", config.probes.masks),
        ("ship.measurements", config.ship.measurements),
        *(("guard.other_frames", folder) for folder in config.guard.other_frames),
        *(("a link's weights", link.weights) for link in config.link),
        ("the key", request.key),
    ]
    return tuple(ReadPath(what, Path(path)) for what, path in named if path)


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
        raise StoreError(f"{out}: expected a folder to write the bundle to, found a file; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not is_bundle(out):
        raise StoreError(f"{out}: the folder holds something that is no bundle; choose a new or empty folder for --out")


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
    ]
    needed += ["openvino"] if request.target == "cpu" else ["tensorrt_rtx"]
    needed += ["model_signing"] if request.key else []
    if missing := [name for name in needed if not is_installed(name)]:
        raise MissingDependency(
            f"a build for --target {request.target} needs {', '.join(missing)}, not installed; pip install 'weckd-edge[all]'"
        )
    if request.key is not None and not request.key.is_file():
        raise ConfigError(f"{request.key}: no such key file")


def check_measurements(config: BuildConfig) -> None:
    """Find out before hours of training that the times a prediction shall rest on cannot be read.

    Raises:
        ConfigError: The file that ``[ship] measurements`` names cannot be read, or holds something else.
    """
    if config.ship.measurements is None:
        return
    try:
        read_measurements(Path(config.ship.measurements))
    except ModelError as err:
        raise ConfigError(f"[ship] measurements: {err}") from err
