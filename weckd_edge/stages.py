"""The seven stages of one build, in order, each found finished or made; what they hand to each other are artefacts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from weckd_edge.artifacts import (
    BuiltModel,
    ChainRecord,
    DatasetIndex,
    ExportedModel,
    GoldenFrames,
    Link,
    Manifest,
    Measurement,
    QuantizedModel,
    StageTime,
    Target,
    Verification,
)
from weckd_edge.assembly import Part, Parts, assemble, versions
from weckd_edge.bundle import open_bundle
from weckd_edge.config import BuildConfig
from weckd_edge.devices.bench import bench_model
from weckd_edge.devices.detect import detect
from weckd_edge.devices.profile import DeviceProfile
from weckd_edge.optional import is_installed
from weckd_edge.progress import Progress
from weckd_edge.store import Stage, Workspace

if TYPE_CHECKING:
    from weckd_edge.compile.verify import Candidate
    from weckd_edge.train.chain import Chain

T = TypeVar("T")

LINK_QUERIES = 256
"""Frames on which each link is timed in FP32, for the picture of accuracy against latency."""


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


class Stages:
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
        index, chain = self.train()
        exports = [self._export(link) for link in chain.links]
        exported = exports[-1]
        quantized = self._quantize(exported, index)
        built = self._compile(quantized)
        as_written, shipped = self._candidates(quantized, built)
        verification = self._verify(chain.links[-1], exported, as_written, shipped, index)
        golden = self._golden(exported, as_written, shipped, index)
        measurements = self._bench(chain, exports, quantized, shipped, golden)
        record = ChainRecord(
            links=tuple(stage.artifact for stage in chain.links),
            twin=chain.twin.artifact if chain.twin else None,
            labels_used=chain.labels_used,
        )
        manifest = assemble(
            Parts(
                out=self.out,
                root=self.root,
                config=self.config,
                profile=self.profile,
                key=self.request.key,
                index=index.artifact,
                chain=record,
                exported=exported.artifact,
                quantized=Part(quantized.artifact, quantized.folder),
                built=tuple(Part(stage.artifact, stage.folder) for stage in built),
                verification=verification.artifact,
                golden=Part(golden.artifact, golden.folder),
                measurements=measurements,
                stages=tuple(self.times),
            )
        )
        self._finalize_on_jetson()
        return BuildOutcome(
            bundle=self.out,
            manifest=manifest,
            chain=record,
            verification=verification.artifact,
            stages=tuple(self.times),
        )

    def train(self) -> tuple[Stage[DatasetIndex], Chain]:
        """Run the first two stages: what other processes of a training take part in."""
        index = self._data()
        return index, self._train(index)

    def _stage(self, name: str, kind: type[T], key: object, make: Callable[[Path], T]) -> Stage[T]:
        stage = self.workspace.stage(name, kind, key, make)
        self._done(name, stage)
        return stage

    def _done(self, name: str, stage: Stage[T]) -> None:
        self.times.append(StageTime(name=name, seconds=round(stage.seconds, 3), reused=stage.reused))
        how = "reused" if stage.reused else f"{stage.seconds:.1f} s"
        self.progress.note(f"{name}: {how}")

    def _data(self) -> Stage[DatasetIndex]:
        from weckd_edge.train.data.index import cached_index, data_root

        self.root = data_root(self.request.data)
        stage = cached_index(
            self.workspace,
            self.request.data,
            self.config,
            skip_bad=self.request.skip_bad,
            progress=self.progress,
        )
        self._done("data", stage)
        return stage

    def _train(self, index: Stage[DatasetIndex]) -> Chain:
        from weckd_edge.train.chain import make_trainer, plan_chain, train_build

        plans = plan_chain(index.artifact, self.config)
        trainer = make_trainer(self.workspace, self.root, index.artifact, plans, self.progress, self.config.data.unlabelled)
        chain = train_build(trainer, plans, self.config)
        for stage in (*chain.links, *([chain.twin] if chain.twin else [])):
            self._done(f"train {stage.artifact.name}", stage)
        return chain

    def _export(self, link: Stage[Link]) -> Stage[ExportedModel]:
        from weckd_edge.compile.export import export_onnx
        from weckd_edge.train.models import load_link

        artifact = link.artifact
        cast_first = self.request.target == "jetson"
        return self._stage(
            f"export-{artifact.name}",
            ExportedModel,
            {
                "link": artifact.weights.sha256,
                "input": artifact.input,
                "labels": artifact.labels,
                "cast_first": cast_first,
                "versions": versions(),
            },
            lambda folder: export_onnx(
                load_link(artifact, link.folder).trunk,
                artifact.input,
                artifact.labels,
                artifact.weights.sha256,
                folder,
                cast_first=cast_first,
            ),
        )

    def _quantize(self, exported: Stage[ExportedModel], index: Stage[DatasetIndex]) -> Stage[QuantizedModel]:
        from weckd_edge.compile.quantize import quantize

        open_sums = self.request.target == "jetson"
        return self._stage(
            "quantize",
            QuantizedModel,
            {
                "onnx": exported.artifact.onnx.sha256,
                "quantize": self.config.quantize,
                "images": [[r.pixels_sha256, r.split] for r in index.artifact.images],
                "seed": self.config.seed,
                "open_sums": open_sums,
                "versions": versions(),
            },
            lambda folder: quantize(
                exported.artifact,
                exported.folder,
                index.artifact,
                self.root,
                self.config.quantize,
                seed=self.config.seed,
                open_sums=open_sums,
                folder=folder,
                progress=self.progress,
            ),
        )

    def _compile(self, quantized: Stage[QuantizedModel]) -> list[Stage[BuiltModel]]:
        onnx = quantized.folder / quantized.artifact.onnx.path
        key = {"onnx": quantized.artifact.onnx.sha256, "profile": self.profile, "versions": versions()}
        if self.request.target == "cpu":
            from weckd_edge.compile.backends import openvino_backend

            return [
                self._stage("compile-openvino", BuiltModel, key, lambda folder: openvino_backend.build(onnx, "int8", folder))
            ]
        from weckd_edge.compile.backends import tensorrt_backend, tensorrt_rtx_backend

        stages = [
            self._stage(
                "recipe-tensorrt",
                BuiltModel,
                key,
                lambda folder: tensorrt_backend.recipe(quantized.artifact.onnx, self.profile, folder),
            ),
            self._stage("preflight-tensorrt-rtx", BuiltModel, key, lambda folder: tensorrt_rtx_backend.preflight(onnx)),
        ]
        if tensorrt_backend.can_build_here():
            stages.append(
                self._stage(
                    "preflight-tensorrt",
                    BuiltModel,
                    {**key, "tensorrt": tensorrt_backend.version()},
                    lambda folder: tensorrt_backend.preflight(onnx, stages[0].folder, self.progress),
                )
            )
        return stages

    def _candidates(self, quantized: Stage[QuantizedModel], built: list[Stage[BuiltModel]]) -> tuple[Candidate, Candidate]:
        """Return the quantized graph as it is written, and what ships (the same, where the device builds its own)."""
        from weckd_edge.compile.verify import Candidate

        onnx = quantized.folder / quantized.artifact.onnx.path
        as_written = Candidate(backend="onnxruntime", model=onnx, precision="int8", reference=True)
        for stage in built:
            if stage.artifact.kind == "model":
                model = stage.folder / stage.artifact.files[0].path
                return as_written, Candidate(backend=stage.artifact.backend, model=model, precision="int8")
        return as_written, as_written

    def _verify(
        self,
        link: Stage[Link],
        exported: Stage[ExportedModel],
        as_written: Candidate,
        shipped: Candidate,
        index: Stage[DatasetIndex],
    ) -> Stage[Verification]:
        from weckd_edge.compile.verify import Candidate, verify
        from weckd_edge.train.evaluate import frame_predictor

        onnx = exported.folder / exported.artifact.onnx.path
        backends = ["onnxruntime", *(["openvino"] if self.request.target == "cpu" else [])]
        fp32 = [Candidate(backend=name, model=onnx, precision="fp32") for name in backends]
        return self._stage(
            "verify",
            Verification,
            {
                "link": link.artifact.weights.sha256,
                "fp32": exported.artifact.onnx.sha256,
                "shipped": [shipped.name, shipped.model.parent.name],
                "images": [[r.pixels_sha256, r.label, r.group] for r in index.artifact.images if r.split == "test"],
                "versions": versions(),
            },
            lambda folder: verify(
                frame_predictor(link.artifact, link.folder),
                fp32,
                as_written,
                shipped,
                index.artifact,
                self.root,
                exported.artifact.input,
                self.progress,
            ),
        )

    def _golden(
        self, exported: Stage[ExportedModel], as_written: Candidate, shipped: Candidate, index: Stage[DatasetIndex]
    ) -> Stage[GoldenFrames]:
        from weckd_edge.compile.golden import make_golden

        other = as_written if shipped != as_written else replace(as_written, reference=False)

        return self._stage(
            "golden",
            GoldenFrames,
            {
                "shipped": [shipped.name, shipped.model.parent.name],
                "frames": self.config.selftest.frames,
                "input": exported.artifact.input,
                "images": [[r.sha256, r.label] for r in index.artifact.images if r.split == "val"],
                "versions": versions(),
            },
            lambda folder: make_golden(
                index.artifact,
                self.root,
                exported.artifact.input,
                self.config.selftest.frames,
                shipped,
                other,
                folder,
            ),
        )

    def _bench(
        self,
        chain: Chain,
        exports: list[Stage[ExportedModel]],
        quantized: Stage[QuantizedModel],
        shipped: Candidate,
        golden: Stage[GoldenFrames],
    ) -> tuple[Measurement, ...]:
        """Measure what ships, and each link in FP32 for comparison; never reused, as machines change."""
        start_ns = time.monotonic_ns()
        bench = self.config.bench
        frames = np.load(golden.folder / golden.artifact.frames.path, allow_pickle=False)
        name = exports[-1].artifact.network_input_name
        found = [
            bench_model(
                shipped.backend,
                shipped.model,
                frames,
                precision=shipped.precision,
                network_input_name=name,
                onnx=quantized.folder / quantized.artifact.onnx.path,
                queries=bench.queries,
                warmup=bench.warmup,
                threads=bench.threads,
                progress=self.progress,
            )
        ]
        for link, exported in zip(chain.links, exports, strict=True):
            measured = bench_model(
                shipped.backend,
                exported.folder / exported.artifact.onnx.path,
                frames,
                precision="fp32",
                network_input_name=name,
                queries=min(LINK_QUERIES, bench.queries),
                warmup=bench.warmup,
                threads=bench.threads,
                progress=self.progress,
            )
            found.append(replace(measured, link=link.artifact.name))
        seconds = (time.monotonic_ns() - start_ns) / 1e9
        self.times.append(StageTime(name="bench", seconds=round(seconds, 3), reused=False))
        self.progress.note(f"bench: {seconds:.1f} s")
        return tuple(found)

    def _finalize_on_jetson(self) -> None:
        """Where this very machine is a Jetson with TensorRT, build its engine at once."""
        if self.request.target != "jetson" or detect().module is None or not is_installed("tensorrt"):
            return
        from weckd_edge.devices.finalize import finalize

        finalize(open_bundle(self.out), progress=self.progress)
