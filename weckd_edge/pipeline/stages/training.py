"""The data set is read and the chain trained."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.core.bounds import MAX_SIDE, MIN_SIDE
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.fingerprint import library_versions
from weckd_edge.core.store import Stage
from weckd_edge.devices.gates.gates import merge_limits
from weckd_edge.devices.machine.detect import detect, is_same_device
from weckd_edge.metrics import check_report
from weckd_edge.pipeline.stages.base import StageRunner
from weckd_edge.pipeline.steps.guard import check_labels

if TYPE_CHECKING:
    from weckd_edge.train.distill.chain import TrainedChain


class TrainingStages(StageRunner):
    """The data set, and the links that learn on it."""

    def train(self) -> tuple[Stage[DatasetIndex], TrainedChain]:
        """Run the first two stages: what other processes of a training take part in."""
        self._check_strategy()
        index = self._data()
        self.check_data(index.artifact)
        if self.request.auto_links:
            self._pick_links(index)
        return index, self._train(index)

    def _check_strategy(self) -> None:
        from weckd_edge.train.distill.strategies import UNLABELLED_SUFFIX, find_strategy

        strategy = find_strategy(self.config.distill.strategy)
        if self.config.data.unlabelled and not strategy.unlabelled:
            raise ConfigError(
                f"data.unlabelled names a folder, but distill.strategy = '{strategy.name}' shows no link an image without a "
                f"label; name a strategy that does, such as 'guided{UNLABELLED_SUFFIX}', or leave the folder out"
            )

    def check_data(self, index: DatasetIndex) -> None:
        """Find out before hours of training which settings name what the data set does not have.

        Raises:
            WeckdError: Slices, bands, prevalences, refused labels, masks, boxes or the source column are amiss, or frames
                are of a size that no device takes.
        """
        from weckd_edge.train.distill.chain import frame_size

        height, width = frame_size(index, self.config.input)
        if not (min(height, width) >= MIN_SIDE and max(height, width) <= MAX_SIDE):
            raise ConfigError(
                f"the commonest size of the images is {width} by {height} pixels, but a device takes {MIN_SIDE} to "
                f"{MAX_SIDE} a side; name the camera's in the config: [input] frame = [HEIGHT, WIDTH]"
            )
        check_report(self.config.report, index)
        check_labels(self.config.guard, index.labels)
        if self.config.probes.enabled:
            from weckd_edge.train.audit.run import check_audit_settings

            check_audit_settings(index, self.config.probes)

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

    def _pick_links(self, index: Stage[DatasetIndex]) -> None:
        """Replace the configured links by those that this machine's times say are worth it."""
        from weckd_edge.pipeline.auto_chain import CANDIDATES, CandidateTimings, pick_chain, time_candidates

        stage = self.stage(
            "ladder",
            CandidateTimings,
            {
                "rungs": CANDIDATES,
                "labels": len(index.artifact.labels),
                "input": self.config.input,
                "images": [[r.height, r.width] for r in index.artifact.images],
                "threads": self.config.bench.threads,
                "versions": library_versions(),
                "host": detect().host,
            },
            lambda _: time_candidates(index.artifact, self.root, self.config, self.progress),
        )
        limit = merge_limits(self.config.gates, self.profile.bars).latency_p90_ms
        if not is_same_device(self.profile, detect()):
            limit = None
        links = pick_chain(stage.artifact, limit, len(self.config.link))
        self.config = replace(self.config, link=links)
        times = {
            candidate.link.model + str(candidate.link.input_size): candidate.int8_ns / 1e6
            for candidate in stage.artifact.candidates
        }
        chain = " > ".join(f"{x.model} at {x.input_size} px ({times[x.model + str(x.input_size)]:.2f} ms)" for x in links)
        fit = (
            f"the last within {limit:g} ms"
            if limit is not None
            else "the fastest last, as no latency bar can be judged here"
        )
        self.progress.note(f"links: {chain}; int8 times on {stage.artifact.host}, {fit}")
        if not stage.artifact.pretrained:
            self.progress.note(
                "links: their pretrained weights cannot be fetched, so they start from nothing and need many more images "
                "and steps; connect to a network once, or name links with local weights"
            )

    def _train(self, index: Stage[DatasetIndex]) -> TrainedChain:
        from weckd_edge.train.distill.chain import make_trainer, plan_chain, train_build
        from weckd_edge.train.distill.distributed import count_processes
        from weckd_edge.train.quantize_aware.finetune import refine_for_int8

        plans = plan_chain(index.artifact, self.config)
        trainer = make_trainer(self.workspace, self.root, index.artifact, plans, self.progress, self.config.data.unlabelled)
        chain = train_build(trainer, plans, self.config)
        if count_processes() == 1:  # a launcher's other processes end with the chain
            self.refine = partial(refine_for_int8, trainer, plans, self.config, chain.links)
        for stage in (*chain.links, *([chain.twin] if chain.twin else [])):
            self._done(f"train {stage.artifact.name}", stage)
        return chain
