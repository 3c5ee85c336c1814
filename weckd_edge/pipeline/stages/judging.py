"""What ships is verified, measured and timed."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import (
    Abstention,
    DatasetIndex,
    ExportedModel,
    FrameSpec,
    GoldenFrames,
    GuardRecord,
    Link,
    Measurement,
    Performance,
    Probes,
    Recalibration,
    Selection,
    StageTime,
    Verification,
)
from weckd_edge.core.fingerprint import versions
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.store import Stage, sha256_file
from weckd_edge.devices.bench.bench import bench_model
from weckd_edge.devices.bench.power.table import open_source
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.input_guard import OpenGuard
from weckd_edge.metrics import measure_performance
from weckd_edge.pipeline.stages.base import StageRunner
from weckd_edge.pipeline.steps.guard import Trial, judge_abstention, make_guard

if TYPE_CHECKING:
    from weckd_edge.compile.verify.parity import Candidate, Predictor


class JudgingStages(StageRunner):
    """What ships is compared, measured, probed and timed, and learns what it does not answer."""

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
        shipped: Candidate,
        index: Stage[DatasetIndex],
        uncalibrated: Candidate,
        recalibration: Recalibration,
        teacher: Stage[Link] | None,
    ) -> Stage[Verification]:
        from weckd_edge.compile.verify.parity import Candidate, verify

        onnx = exported.folder / exported.artifact.onnx.path
        backends = ["onnxruntime", *(["openvino"] if self.request.target == "cpu" else [])]
        fp32 = [Candidate(backend=name, model=onnx, precision="fp32") for name in backends]
        if exported.artifact.quantized:  # it never was in FP32: what is exported must answer as the file that was brought
            fp32 = [Candidate(backend="onnxruntime", model=onnx, precision="int8", reference=True)]
        # Where the device builds its own, what else runs the graph here says how far it can be trusted.
        others = self._runners_here(as_written) if shipped == as_written else []
        return self.stage(
            "verify",
            Verification,
            {
                "link": link.artifact.weights.sha256,
                "fp32": exported.artifact.onnx.sha256,
                "shipped": [shipped.name, shipped.model.parent.name],
                "others": [other.name for other in others],
                "images": index.artifact.identity("test"),
                "recalibration": recalibration,
                "teacher": teacher.artifact.weights.sha256 if teacher else None,
                "layers": self.config.verify.layers,
                "versions": versions(),
            },
            lambda folder: verify(
                self._trained(link),
                fp32,
                as_written,
                shipped,
                index.artifact,
                self.root,
                exported.artifact.input.frame,
                self.progress,
                trained_name=self.trained_name,
                uncalibrated=uncalibrated,
                recalibration=recalibration,
                others=others,
                layers=self.config.verify.layers,
                teacher=self._trained(teacher) if teacher else None,
            ),
        )

    def _performance(
        self,
        link: Stage[Link],
        shipped: Candidate,
        verification: Stage[Verification],
        index: Stage[DatasetIndex],
        teacher: Stage[Link] | None,
        abstain_below: float,
    ) -> Stage[Performance]:
        name = link.artifact.name
        names = (
            f"{teacher.artifact.name} {self.trained_name}" if teacher else None,
            f"{name} {self.trained_name}",
            f"{name} {shipped.name}",
        )
        return self.stage(
            "performance",
            Performance,
            {
                "verification": verification.artifact,
                "images": [[r.path, r.attributes] for r in index.artifact.images],
                "named_groups": index.artifact.named_groups,
                "report": self.config.report,
                "abstain_below": abstain_below,
                "names": names,
                "versions": versions(),
            },
            lambda _: measure_performance(
                verification.artifact,
                index.artifact,
                self.config.report,
                abstain_below=abstain_below,
                names=names,
            ),
        )

    def _probe(self, link: Stage[Link], index: Stage[DatasetIndex]) -> Probes | None:
        """Look for leaks, shortcuts and doubtful labels in the data set, and show covered images to what ships, in FP32."""
        config = self.config.probes
        if not config.enabled:
            return None
        from weckd_edge.train.audit.masks import masks_fingerprint
        from weckd_edge.train.audit.occlusion import Shipped
        from weckd_edge.train.audit.run import probe
        from weckd_edge.train.data.listing import fingerprint

        stage = self.stage(
            "probes",
            Probes,
            {
                "files": fingerprint(self.request.data, self.config.data),
                "masks": masks_fingerprint(config.masks),
                "index": index.artifact,
                "config": [config, self.config.data, self.config.input, self.config.link, self.config.seed],
                "weights": [sha256_file(Path(x.weights)) if x.weights else None for x in self.config.link],
                "link": link.artifact.weights.sha256,
                "versions": versions(),
            },
            lambda _: probe(
                self.request.data,
                index.artifact,
                self.config,
                self.progress,
                shipped=Shipped(answer=self._trained(link), input=link.artifact.input),
            ),
        )
        return stage.artifact

    def _runners_here(self, as_written: Candidate) -> list[Candidate]:
        """Return what runs a graph on this machine, in whatever way is fastest."""
        return [replace(as_written, backend=n, reference=False) for n in ("onnxruntime", "openvino") if is_installed(n)]

    def _golden(
        self, exported: Stage[ExportedModel], as_written: Candidate, shipped: Candidate, index: Stage[DatasetIndex]
    ) -> Stage[GoldenFrames]:
        from weckd_edge.compile.verify.golden import make_golden
        from weckd_edge.compile.verify.parity import Candidate

        others = [as_written] if shipped != as_written else self._runners_here(as_written)
        if as_written.backend == shipped.backend == "openvino":  # NNCF's IR: what other backends run is the graph in FP32
            onnx = exported.folder / exported.artifact.onnx.path
            others = [Candidate(backend="onnxruntime", model=onnx, precision="fp32")]

        return self.stage(
            "golden",
            GoldenFrames,
            {
                "shipped": [shipped.name, shipped.model.parent.name],
                "others": [other.name for other in others],
                "frames": self.config.selftest.frames,
                "frame": exported.artifact.input.frame,
                "images": index.artifact.identity("val", files=True),
                "versions": versions(),
            },
            lambda folder: make_golden(
                index.artifact,
                self.root,
                exported.artifact.input.frame,
                self.config.selftest.frames,
                shipped,
                others,
                folder,
            ),
        )

    def guard(self, spec: FrameSpec, index: Stage[DatasetIndex]) -> Stage[GuardRecord]:
        """Fit the frame guard: one for all links, as it looks at the frame alone."""
        asked = replace(self.config.guard, other_frames=())
        images = index.artifact.identity("train", "val")
        if self._guard is None:
            self._guard = self.stage(
                "guard",
                GuardRecord,
                {"frame": spec, "guard": asked, "images": images, "seed": self.config.seed, "versions": versions()},
                lambda _: make_guard(index.artifact, self.root, spec, asked, self.config.seed, self.progress),
            )
        return self._guard

    def _abstention(
        self,
        exported: Stage[ExportedModel],
        shipped: Candidate,
        verification: Stage[Verification],
        guard: Stage[GuardRecord],
        index: Stage[DatasetIndex],
    ) -> Stage[Abstention]:
        def judge(_: Path) -> Abstention:
            with closing(open_runner(shipped.backend, shipped.model, reference=shipped.reference)) as runner:
                trial = Trial(
                    index=index.artifact,
                    root=self.root,
                    spec=exported.artifact.input.frame,
                    config=self.config,
                    predictions=verification.artifact.predictions,
                    answer=runner.run,
                )
                return judge_abstention(trial, guard.artifact, self.progress)

        return self.stage(
            "abstention",
            Abstention,
            {
                "guard": guard.folder.name,
                "verification": verification.folder.name,
                "others": self.config.guard.other_frames,
                "refuse": self.config.guard.refuse_labels,
                "abstain": self.config.abstain,
                "seed": self.config.seed,
            },
            judge,
        )

    def _bench(
        self,
        exported: Stage[ExportedModel],
        selected: Stage[Selection],
        shipped: Candidate,
        golden: Stage[GoldenFrames],
        guard: GuardRecord,
    ) -> Measurement:
        """Measure what ships; never reused, as machines change."""
        start_ns = time.monotonic_ns()
        bench = self.config.bench
        with closing(open_source("auto")) as meter:
            found = bench_model(
                shipped.backend,
                shipped.model,
                np.load(golden.folder / golden.artifact.frames.path, allow_pickle=False),
                precision=shipped.precision,
                network_input_name=exported.artifact.network_input_name,
                onnx=selected.folder / selected.artifact.onnx.path,
                queries=bench.queries,
                warmup=bench.warmup,
                threads=bench.threads,
                power=meter,
                guard=OpenGuard(guard.guard, exported.artifact.input.frame) if guard.guard is not None else None,
                progress=self.progress,
            )
        seconds = (time.monotonic_ns() - start_ns) / 1e9
        self.times.append(StageTime(name="bench", seconds=round(seconds, 3), reused=False))
        self.progress.note(f"bench: {seconds:.1f} s")
        return found
