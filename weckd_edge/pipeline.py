"""A whole build: seven stages, each resumed where an earlier run finished it, ending in a sealed bundle.

The one place where training and compiling meet, and they meet in artefacts.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import weckd_edge
from weckd_edge.artifacts import (
    BuiltModel,
    ChainRecord,
    DatasetIndex,
    ExportedModel,
    Link,
    Manifest,
    QuantizedModel,
    StageTime,
    Target,
    Verification,
)
from weckd_edge.bundle import is_bundle
from weckd_edge.config import BuildConfig
from weckd_edge.devices.profile import DeviceProfile, load_profile
from weckd_edge.errors import ConfigError, MissingDependency, StoreError
from weckd_edge.optional import is_installed
from weckd_edge.progress import Progress
from weckd_edge.store import Stage, Workspace

if TYPE_CHECKING:
    from weckd_edge.train.chain import Chain

T = TypeVar("T")

LIBRARIES = ("torch", "timm", "onnx", "onnxruntime", "openvino", "tensorrt-rtx", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """What a build is asked for.

    Attributes:
        data: Folder or CSV.
        target: Where the bundle will run.
        device: Name or file of a device profile; None takes the target's default.
        out: The bundle's folder.
        config: Everything else.
        skip_bad: Go on without the files that cannot be used, and record them.
        key: PEM private key to sign with; None leaves the bundle unsigned.
    """

    data: Path
    target: Target
    device: str | None
    out: Path
    config: BuildConfig
    skip_bad: bool = False
    key: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOutcome:
    """What a build ends with.

    Attributes:
        bundle: The sealed folder.
        manifest: Its manifest.
        chain: Links and twin.
        verification: Accuracy, parity and flips of what ships.
        stages: Seconds of every stage.
    """

    bundle: Path
    manifest: Manifest
    chain: ChainRecord
    verification: Verification
    stages: tuple[StageTime, ...]


def build(request: BuildRequest, progress: Progress) -> BuildOutcome:
    """Run a build, or go on with one that was stopped.

    Raises:
        WeckdError: Anything a user can mend; nothing half-written is left, and finished stages are kept.
    """
    out = request.out.absolute()
    profile = choose_profile(request.target, request.device)
    check_output(out)
    check_libraries(request)
    workspace = Workspace(out.with_name(out.name + ".work"))
    try:
        with workspace.locked():
            return _Build(request, profile, workspace, out, progress).run()
    finally:
        workspace.remove_if_empty()


def choose_profile(target: Target, device: str | None) -> DeviceProfile:
    """Return the profile to build for.

    Raises:
        ConfigError: The profile is for another target.
    """
    if device is None:
        arm = platform.machine() in ("aarch64", "arm64")
        device = "jetson-orin-nano-8gb" if target == "jetson" else "generic-arm64" if arm else "generic-x86"
    profile = load_profile(device)
    if profile.target != target:
        raise ConfigError(
            f"device '{profile.id}' is for --target {profile.target}, but --target {target} was asked; change one of the two"
        )
    return profile


def check_output(out: Path) -> None:
    """Refuse an output folder that holds something other than an earlier bundle.

    Raises:
        StoreError: It does, or it is a file.
    """
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
        "sklearn",
        "onnx",
        "onnxruntime",
        "jinja2",
        "matplotlib",
    ]
    needed += ["openvino"] if request.target == "cpu" else ["tensorrt_rtx"]
    needed += ["model_signing"] if request.key else []
    if missing := [name for name in needed if not is_installed(name)]:
        raise MissingDependency(
            f"a build for --target {request.target} needs {', '.join(missing)}, not installed; pip install 'weckd-edge[all]'"
        )
    if request.key is not None and not request.key.is_file():
        raise ConfigError(f"{request.key}: no such key file")


class _Build:
    """One build under way: what the stages hand to each other lives here."""

    def __init__(
        self, request: BuildRequest, profile: DeviceProfile, workspace: Workspace, out: Path, progress: Progress
    ) -> None:
        self.request = request
        self.config = request.config
        self.profile = profile
        self.workspace = workspace
        self.out = out
        self.progress = progress
        self.times: list[StageTime] = []

    def run(self) -> BuildOutcome:
        index = self._data()
        chain = self._train(index)
        last = chain.links[-1]
        exported = self._export(last)
        quantized = self._quantize(exported, index)
        built = self._compile(quantized)
        verification = self._verify(last, exported, quantized, built, index)
        measurement = self._bench(built, quantized)
        return self._seal(index, chain, exported, quantized, built, verification, measurement)

    def _stage(
        self, name: str, kind: type[T], key: object, make: Callable[[Path], T], *, title: str | None = None
    ) -> Stage[T]:
        stage = self.workspace.stage(name, kind, key, make)
        self._done(title or name, stage)
        return stage

    def _done(self, name: str, stage: Stage[T]) -> None:
        self.times.append(StageTime(name=name, seconds=round(stage.seconds, 3), reused=stage.reused))
        how = "reused" if stage.reused else f"{stage.seconds:.1f} s"
        self.progress.note(f"{name}: {how}")

    def _data(self) -> Stage[DatasetIndex]:
        from weckd_edge.train.data.index import build_index, data_root
        from weckd_edge.train.data.listing import fingerprint

        config = self.config
        self.root = data_root(self.request.data)
        key = {
            "files": fingerprint(self.request.data),
            "data": config.data,
            "shares": len(config.link),
            "seed": config.seed,
            "skip_bad": self.request.skip_bad,
            "code": weckd_edge.__version__,
        }
        return self._stage(
            "data",
            DatasetIndex,
            key,
            lambda folder: build_index(
                self.request.data,
                config.data,
                shares=len(config.link),
                seed=config.seed,
                skip_bad=self.request.skip_bad,
                progress=self.progress,
            ),
        )

    def _train(self, index: Stage[DatasetIndex]) -> Chain:
        from weckd_edge.train.chain import Trainer, plan_chain

        plans = plan_chain(index.artifact, self.config)
        trainer = Trainer(self.workspace, self.root, index.artifact, self.config, self.progress)
        chain = trainer.chain(plans)
        for stage in (*chain.links, *([chain.twin] if chain.twin else [])):
            self._done(f"train {stage.artifact.name}", stage)
        return chain

    def _export(self, link: Stage[Link]) -> Stage[ExportedModel]:
        from weckd_edge.compile.export import export_onnx
        from weckd_edge.train.models import load_link

        artifact = link.artifact
        key = {"link": artifact.weights.sha256, "input": artifact.input, "labels": artifact.labels, **self._versions()}
        return self._stage(
            "export",
            ExportedModel,
            key,
            lambda folder: export_onnx(
                load_link(artifact, link.folder).trunk,
                artifact.input,
                artifact.labels,
                artifact.weights.sha256,
                folder,
            ),
        )

    def _quantize(self, exported: Stage[ExportedModel], index: Stage[DatasetIndex]) -> Stage[QuantizedModel]:
        from weckd_edge.compile.quantize import quantize

        key = {
            "onnx": exported.artifact.onnx.sha256,
            "quantize": self.config.quantize,
            "images": [[r.pixels_sha256, r.split] for r in index.artifact.images],
            "seed": self.config.seed,
            **self._versions(),
        }
        return self._stage(
            "quantize",
            QuantizedModel,
            key,
            lambda folder: quantize(
                exported.artifact,
                exported.folder,
                index.artifact,
                self.root,
                self.config.quantize,
                seed=self.config.seed,
                folder=folder,
                progress=self.progress,
            ),
        )

    def _compile(self, quantized: Stage[QuantizedModel]) -> Stage[BuiltModel]:
        onnx = quantized.folder / quantized.artifact.onnx.path
        key = {"onnx": quantized.artifact.onnx.sha256, "profile": self.profile, **self._versions()}
        if self.request.target == "cpu":
            from weckd_edge.compile.backends import openvino_backend

            return self._stage(
                "compile-openvino",
                BuiltModel,
                key,
                lambda folder: openvino_backend.build(onnx, "int8", folder),
                title="compile",
            )
        from weckd_edge.compile.backends import tensorrt_rtx_backend

        return self._stage(
            "preflight-tensorrt-rtx",
            BuiltModel,
            key,
            lambda folder: tensorrt_rtx_backend.preflight(onnx, folder),
            title="compile",
        )
