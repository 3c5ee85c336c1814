"""What a build is refused for before hours of work: its output folder, its disk, its libraries and its files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from weckd_edge.bundle.reader import is_bundle
from weckd_edge.bundle.signing import check_private_key
from weckd_edge.config import BuildConfig, exam_settings, paths_of, stops_early
from weckd_edge.core.errors import ConfigError, MissingDependency, ModelError, StoreError
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import explain_os_errors, refuse_link
from weckd_edge.devices.latency_model.measurements import read_measurements
from weckd_edge.pipeline.output_paths import ReadPath, bundle_name, check_place, normal_path
from weckd_edge.pipeline.request import BuildRequest

DISK_MIB = 64
DISK_FACTOR = 16
"""Free space that a compile asks for: ``DISK_MIB`` MiB, and ``DISK_FACTOR`` times the size of the weights."""


def check_disk(out: Path, weights: int) -> None:
    """Refuse a compile that would fill the disk.

    Args:
        out: The bundle's folder; it need not exist yet.
        weights: Size of the network's weights, bytes.

    Raises:
        StoreError: Too little space is free where the bundle goes, or where temporary files lie.
    """
    needed = DISK_MIB + (DISK_FACTOR * weights >> 20)
    place = out
    while not place.exists():
        place = place.parent
    for folder in (place, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free >> 20
        if free < needed:
            raise StoreError(
                f"{folder}: expected {needed} MiB of free space to work with, found {free} MiB; delete something there",
                code="E_STORE_NO_SPACE",
            )


def workspace_of(out: Path) -> Path:
    """Return the folder in which a build keeps its finished steps: beside the bundle's folder."""
    return out.with_name(out.name + ".work")


def sources_of(request: BuildRequest) -> tuple[ReadPath, ...]:
    """Return every folder and file that a build reads, with its name in messages."""
    named = tuple(ReadPath(name, Path(path)) for name, path in paths_of(request.config))
    key = () if request.key is None else (ReadPath("the key", request.key),)
    return (ReadPath("the data set", request.data), *named, *key)


def check_output(out: Path, sources: Sequence[ReadPath] = ()) -> None:
    """Refuse an output folder that holds something other than an earlier bundle, that is read, or whose name cannot be used.

    Args:
        out: The bundle's folder, absolute.
        sources: Folders and files that are read to make the bundle.

    Raises:
        ConfigError: The folder, or the workspace beside it, lies in a source or in a bundle; or its name cannot be used.
        StoreError: The folder holds something else, is a file or a link, or cannot be read.
    """
    bundle_name(out)
    check_place(out, sources, makes="bundle")
    check_place(workspace_of(out), sources)
    with explain_os_errors(out):
        _check_content(out)


def _check_content(out: Path) -> None:
    refuse_link(out)
    if out.exists() and not out.is_dir():
        raise StoreError(
            f"{out}: expected a folder to write the bundle to, found a file; choose another --out", code="E_STORE_OCCUPIED"
        )
    if out.is_dir() and any(out.iterdir()) and not is_bundle(out):
        raise StoreError(
            f"{out}: the folder holds something other than a bundle; choose a new or empty folder for --out",
            code="E_STORE_OCCUPIED",
        )


def check_libraries(request: BuildRequest) -> None:
    """Check that every step's libraries are installed, and that the key can sign.

    Raises:
        ConfigError: The key cannot be used to sign.
        MissingDependency: Libraries are missing; the message names each of them and the extra that brings them.
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
            f"a build for --target {request.target} needs {', '.join(missing)}, which are not installed; run "
            "pip install 'weckd-edge[all]'",
            code="E_MISSING_LIBRARY",
        )
    if request.key is not None:
        check_private_key(request.key)


def check_logging(request: BuildRequest) -> None:
    """Check that the logger of ``[train] log`` is installed, and that ``log_dir`` is a place to write to.

    Raises:
        ConfigError: The folder of the logs lies in the bundle, or in what is read.
        MissingDependency: The logger's library is not installed, or is broken.
    """
    train = request.config.train
    if train.log == "none":
        return
    from weckd_edge.train.run_logging.open_run import check_logger

    check_logger(train)
    if train.log_dir is None:
        return
    folder = Path(train.log_dir)
    check_place(folder, sources_of(request), option="train.log_dir")
    check_outside(folder, request.out, option="train.log_dir")


def check_outside(folder: Path, out: Path, *, option: str) -> None:
    """Refuse a folder in the bundle that a build makes.

    Args:
        folder: The folder.
        out: The bundle's folder.
        option: Option that named ``folder``, for the message.

    Raises:
        ConfigError: The folder is the bundle's, or lies in it.
    """
    if normal_path(folder).is_relative_to(normal_path(out)):
        raise ConfigError(
            f"{option} {folder}: lies in the bundle that is built there ({out}), which holds no other files; choose a place "
            "outside it",
            code="E_CONFIG_OUT_PLACE",
        )


def warn_of_early_stopping(config: BuildConfig, progress: Progress) -> None:
    """Warn where a threshold is sought on the validation images on which early stopping chooses the epochs."""
    searches = (config.abstain.max_group_error, exam_settings(config).max_group_error)
    if stops_early(config) and any(limit is not None for limit in searches):
        progress.warn(
            f"train.patience = {config.train.patience} chooses each link's epoch on the validation images, on which the "
            "threshold for max_group_error is found too: the limit may hold with less than the requested confidence; set "
            "train.patience = 0 to keep it"
        )


def check_measurements(config: BuildConfig) -> None:
    """Check that the latencies which ``[select] measurements`` names can be read.

    Raises:
        ConfigError: The file cannot be read, or holds something other than latencies.
    """
    if config.select.measurements is None:
        return
    try:
        read_measurements(Path(config.select.measurements))
    except ModelError as err:
        raise ConfigError(f"[select] measurements: {err}", code="E_CONFIG_MEASUREMENTS") from err
