"""What is deployed is verified, measured and timed."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import (
    Abstention,
    DataAudit,
    DatasetIndex,
    ExportedModel,
    GoldenFrames,
    GuardRecord,
    InputContract,
    Link,
    Measurement,
    MetricsRecord,
    PrecisionSelection,
    Recalibration,
    StageTime,
    Verification,
)
from weckd_edge.core.fingerprint import library_versions
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.store import Stage, sha256_file
from weckd_edge.devices.bench.bench import bench_model
from weckd_edge.devices.bench.power.table import open_source
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.input_guard import OpenGuard
from weckd_edge.metrics import measure_metrics
from weckd_edge.pipeline.stages.base import StageRunner
from weckd_edge.pipeline.steps.guard import AbstentionInputs, evaluate_abstention, make_guard

if TYPE_CHECKING:
    from weckd_edge.compile.verify.parity import Candidate, Predictor


class JudgingStages(StageRunner):
    """What is deployed is compared, measured, probed and timed, and learns what it does not answer."""

    trained_name = "torch fp32"
    """What answers as the trained network, in reports."""

    def _trained(self, link: Stage[Link]) -> Predictor:
        """Return the trained network in FP32, from a frame to probabilities."""
        from weckd_edge.train.distill.evaluate import frame_predictor

        return frame_predictor(link.artifact, link.folder)

    def _verify(
        self,
        link: Stage[Link],
        exported: Stage[ExportedModel],
        as_written: Candidate,
        deployed: Candidate,
        index: Stage[DatasetIndex],
        uncalibrated: Candidate,
        recalibration: Recalibration,
        teacher: Stage[Link] | None,
    ) -> Stage[Verification]:
        from weckd_edge.compile.verify.parity import Candidate, verify

        onnx = exported.folder / exported.artifact.onnx.path
        backends = ["onnxruntime", *(["openvino"] if self.request.target == "cpu" else [])]
        fp32 = [Candidate(backend=name, model=onnx, precision="fp32") for name in backends]
        if exported.artifact.quantized:  # it never was in FP32: what is exported must answer as the file that was imported
            fp32 = [Candidate(backend="onnxruntime", model=onnx, precision="int8", reference=True)]
        # Where the device builds its own, what else runs the graph here says how far it can be trusted.
        others = self._runners_here(as_written) if deployed == as_written else []
        return self.stage(
            "verify",
            Verification,
            {
                "link": link.artifact.weights.sha256,
                "fp32": exported.artifact.onnx.sha256,
                "shipped": [deployed.name, deployed.model.parent.name],
                "others": [other.name for other in others],
                "images": [[r.pixels_sha256, r.label, r.group] for r in index.artifact.images if r.split == "test"],
                "recalibration": recalibration,
                "teacher": teacher.artifact.weights.sha256 if teacher else None,
                "layers": self.config.verify.layers,
                "versions": library_versions(),
            },
            lambda folder: verify(
                self._trained(link),
                fp32,
                as_written,
                deployed,
                index.artifact,
                self.root,
                exported.artifact.input,
                self.progress,
                trained_name=self.trained_name,
                uncalibrated=uncalibrated,
                recalibration=recalibration,
                others=others,
                layers=self.config.verify.layers,
                teacher=self._trained(teacher) if teacher else None,
            ),
        )

    def _metrics(
        self,
        link: Stage[Link],
        deployed: Candidate,
        verification: Stage[Verification],
        index: Stage[DatasetIndex],
        teacher: Stage[Link] | None,
        abstain_below: float,
    ) -> Stage[MetricsRecord]:
        name = link.artifact.name
        names = (
            f"{teacher.artifact.name} {self.trained_name}" if teacher else None,
            f"{name} {self.trained_name}",
            f"{name} {deployed.name}",
        )
        return self.stage(
            "performance",
            MetricsRecord,
            {
                "verification": verification.artifact,
                "images": [[r.path, r.attributes] for r in index.artifact.images],
                "named_groups": index.artifact.named_groups,
                "report": self.config.report,
                "abstain_below": abstain_below,
                "names": names,
                "versions": library_versions(),
            },
            lambda _: measure_metrics(
                verification.artifact,
                index.artifact,
                self.config.report,
                abstain_below=abstain_below,
                names=names,
            ),
        )

    def _probe(self, link: Stage[Link], index: Stage[DatasetIndex]) -> DataAudit | None:
        """Look for leaks, shortcuts and label errors in the data set; classify covered images with the deployed link."""
        config = self.config.probes
        if not config.enabled:
            return None
        from weckd_edge.train.audit.masks import masks_fingerprint
        from weckd_edge.train.audit.occlusion import DeployedNetwork
        from weckd_edge.train.audit.run import run_audit
        from weckd_edge.train.data.listing import fingerprint

        stage = self.stage(
            "probes",
            DataAudit,
            {
                "files": fingerprint(self.request.data, self.config.data),
                "masks": masks_fingerprint(config.masks),
                "index": index.artifact,
                "config": [config, self.config.data, self.config.input, self.config.link, self.config.seed],
                "weights": [sha256_file(Path(x.weights)) if x.weights else None for x in self.config.link],
                "link": link.artifact.weights.sha256,
                "versions": library_versions(),
            },
            lambda _: run_audit(
                self.request.data,
                index.artifact,
                self.config,
                self.progress,
                deployed=DeployedNetwork(predict=self._trained(link), contract=link.artifact.input),
            ),
        )
        return stage.artifact

    def _runners_here(self, as_written: Candidate) -> list[Candidate]:
        """Return what runs a graph on this machine, in whatever way is fastest."""
        return [replace(as_written, backend=n, reference=False) for n in ("onnxruntime", "openvino") if is_installed(n)]

    def _golden(
        self, exported: Stage[ExportedModel], as_written: Candidate, deployed: Candidate, index: Stage[DatasetIndex]
    ) -> Stage[GoldenFrames]:
        from weckd_edge.compile.verify.golden import make_golden
        from weckd_edge.compile.verify.parity import Candidate

        others = [as_written] if deployed != as_written else self._runners_here(as_written)
        if as_written.backend == deployed.backend == "openvino":  # NNCF's IR: what other backends run is the graph in FP32
            onnx = exported.folder / exported.artifact.onnx.path
            others = [Candidate(backend="onnxruntime", model=onnx, precision="fp32")]

        return self.stage(
            "golden",
            GoldenFrames,
            {
                "shipped": [deployed.name, deployed.model.parent.name],
                "others": [other.name for other in others],
                "frames": self.config.selftest.frames,
                "input": exported.artifact.input,
                "images": [[r.sha256, r.label] for r in index.artifact.images if r.split == "val"],
                "versions": library_versions(),
            },
            lambda folder: make_golden(
                index.artifact,
                self.root,
                exported.artifact.input,
                self.config.selftest.frames,
                deployed,
                others,
                folder,
            ),
        )

    def guard(self, contract: InputContract, index: Stage[DatasetIndex]) -> Stage[GuardRecord]:
        """Fit the frame guard: one for all links, as it looks at the frame alone."""
        contract = replace(contract, input_size=1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        requested = replace(self.config.guard, other_frames=())
        images = [[r.pixels_sha256, r.split, r.group] for r in index.artifact.images if r.split != "test"]
        if self._guard is None:
            self._guard = self.stage(
                "guard",
                GuardRecord,
                {
                    "input": contract,
                    "guard": requested,
                    "images": images,
                    "seed": self.config.seed,
                    "versions": library_versions(),
                },
                lambda _: make_guard(index.artifact, self.root, contract, requested, self.config.seed, self.progress),
            )
        return self._guard

    def _abstention(
        self,
        exported: Stage[ExportedModel],
        deployed: Candidate,
        verification: Stage[Verification],
        guard: Stage[GuardRecord],
        index: Stage[DatasetIndex],
    ) -> Stage[Abstention]:
        def judge(_: Path) -> Abstention:
            with closing(open_runner(deployed.backend, deployed.model, reference=deployed.reference)) as runner:
                trial = AbstentionInputs(
                    index=index.artifact,
                    root=self.root,
                    contract=exported.artifact.input,
                    config=self.config,
                    predictions=verification.artifact.predictions,
                    predict=runner.run,
                )
                return evaluate_abstention(trial, guard.artifact, self.progress)

        return self.stage(
            "abstention",
            Abstention,
            {
                "guard": guard.folder.name,
                "verification": verification.folder.name,
                "others": self.config.guard.other_frames,
                "refuse": self.config.guard.refuse_labels,
                "abstain": [self.config.abstain, self.config.abstain_below],
                "seed": self.config.seed,
            },
            judge,
        )

    def _bench(
        self,
        exported: Stage[ExportedModel],
        selected: Stage[PrecisionSelection],
        deployed: Candidate,
        golden: Stage[GoldenFrames],
        guard: GuardRecord,
    ) -> Measurement:
        """Measure what is deployed; never reused, as machines change."""
        start_ns = time.monotonic_ns()
        bench = self.config.bench
        with closing(open_source("auto")) as meter:
            found = bench_model(
                deployed.backend,
                deployed.model,
                np.load(golden.folder / golden.artifact.frames.path, allow_pickle=False),
                precision=deployed.precision,
                network_input_name=exported.artifact.network_input_name,
                onnx=selected.folder / selected.artifact.onnx.path,
                queries=bench.queries,
                warmup=bench.warmup,
                threads=bench.threads,
                power=meter,
                guard=OpenGuard(guard.guard, exported.artifact.input) if guard.guard is not None else None,
                progress=self.progress,
            )
        seconds = (time.monotonic_ns() - start_ns) / 1e9
        self.times.append(StageTime(name="bench", seconds=round(seconds, 3), reused=False))
        self.progress.note(f"bench: {seconds:.1f} s")
        return found
