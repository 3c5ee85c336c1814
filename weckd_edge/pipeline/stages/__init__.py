"""The seven stages of one build, in order, each found finished or made; what they hand to each other are artefacts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from weckd_edge.artifacts import ChainRecord
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.devices.machine.detect import detect
from weckd_edge.pipeline.request import BuildOutcome, BuildRequest
from weckd_edge.pipeline.stages.compiling import CompilingStages
from weckd_edge.pipeline.stages.judging import JudgingStages
from weckd_edge.pipeline.stages.training import TrainingStages
from weckd_edge.pipeline.steps.guard import evaluate_threshold
from weckd_edge.pipeline.steps.select_link import select_link
from weckd_edge.pipeline.steps.write_bundle import Part, Parts, assemble

if TYPE_CHECKING:
    from weckd_edge.train.distill.chain import TrainedChain

__all__ = ["BuildOutcome", "BuildRequest", "Stages"]


class Stages(TrainingStages, CompilingStages, JudgingStages):
    """One build, from the data set to the sealed bundle."""

    def run(self) -> BuildOutcome:
        index, chain = self.train()
        exports = [self._export(link) for link in chain.links]
        deployed_link = select_link(self, chain, exports, index)
        link, exported, selected = chain.links[deployed_link.at], exports[deployed_link.at], deployed_link.selected
        _, uncalibrated = self.candidates(selected)
        recalibrated = self._recalibrate(exported, selected, uncalibrated, index)
        with_temperature = recalibrated.artifact
        selected = replace(
            selected,
            artifact=replace(selected.artifact, onnx=with_temperature.onnx, built=with_temperature.built),
            folder=recalibrated.folder,
        )
        built = (*self._compile(selected, exported.artifact.input, index), *self._convert(link))
        as_written, deployed = self.candidates(selected)
        teacher = chain.links[0] if deployed_link.at else None
        verification = self._verify(link, exported, as_written, deployed, index, uncalibrated, with_temperature, teacher)
        golden = self._golden(exported, as_written, deployed, index)
        guard = self.guard(exported.artifact.input, index)
        abstention = self._abstention(exported, deployed, verification, guard, index)
        threshold = abstention.artifact.abstain_below
        performance = self._metrics(link, deployed, verification, index, teacher, threshold).artifact
        measurements = (self._bench(exported, selected, deployed, golden, guard.artifact), *deployed_link.measurements)
        probes = self._probe(link, index)
        record = replace(self._record(chain), shipped=link.artifact.name)
        manifest = assemble(
            Parts(
                out=self.out,
                root=self.root,
                config=self.config,
                profile=self.profile,
                key=self.request.key,
                bundle_version=self.request.bundle_version,
                index=index.artifact,
                chain=record,
                exported=exported.artifact,
                selected=Part(selected.artifact, selected.folder),
                shipping=deployed_link.shipping,
                built=built,
                verification=verification.artifact,
                performance=performance,
                golden=Part(golden.artifact, golden.folder),
                measurements=measurements,
                stages=tuple(self.times),
                probes=probes,
                guard=guard.artifact.guard,
                abstention=abstention.artifact,
                more_gates=evaluate_threshold(abstention.artifact.threshold, self.config.abstain),
            )
        )
        self._finalize_on_jetson()
        return BuildOutcome(
            bundle=self.out,
            manifest=manifest,
            chain=record,
            verification=verification.artifact,
            performance=performance,
            selection=selected.artifact,
            shipping=deployed_link.shipping,
            abstention=abstention.artifact,
            stages=tuple(self.times),
        )

    def _record(self, chain: TrainedChain) -> ChainRecord:
        return ChainRecord(
            links=tuple(stage.artifact for stage in chain.links),
            twin=chain.twin.artifact if chain.twin else None,
            labels_used=chain.labels_used,
        )

    def _finalize_on_jetson(self) -> None:
        """Where this very machine is a Jetson with TensorRT, build its engine at once."""
        if self.request.target != "jetson" or detect().module is None or not is_installed("tensorrt"):
            return
        from weckd_edge.devices.jetson.finalize import finalize

        finalize(open_bundle(self.out), progress=self.progress)
