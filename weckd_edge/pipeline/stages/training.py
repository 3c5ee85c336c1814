"""The data set is read and the chain trained."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.core.bounds import LEAST_SIDE, MOST_SIDE
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.fingerprint import versions
from weckd_edge.core.store import Stage
from weckd_edge.devices.gates.gates import merge_bars
from weckd_edge.devices.machine.detect import detect, is_same_device
from weckd_edge.metrics import check_report
from weckd_edge.pipeline.stages.base import StageRunner
from weckd_edge.pipeline.steps.guard import check_labels

if TYPE_CHECKING:
    from weckd_edge.train.distill.chain import Chain


class TrainingStages(StageRunner):
    """The data set, and the links that learn on it."""

    def train(self) -> tuple[Stage[DatasetIndex], Chain]:
        """Run the first two stages: what other processes of a training take part in."""
        self._check_strategy()
        index = self._data()
        self.check_data(index.artifact)
        if self.request.auto_links:
            self._pick_links(index)
        return index, self._train(index)

    def _check_strategy(self) -> None:
        from weckd_edge.train.distill.strategies import POOL, find_strategy

        strategy = find_strategy(self.config.distill.strategy)
        if self.config.data.unlabelled and not strategy.pool:
            raise ConfigError(
                f"data.unlabelled names a folder, but distill.strategy = '{strategy.name}' shows no link an image without a "
                f"label; name a strategy that does, such as 'guided{POOL}', or leave the folder out",
                code="E_CONFIG_CONFLICT",
            )

    def check_data(self, index: DatasetIndex) -> None:
        """Find out before hours of training which settings name what the data set does not have.

        Raises:
            WeckdError: Slices, bands, prevalences, refused labels, masks, boxes or the source column are amiss, or frames
                are of a size that no device takes.
        """
        from weckd_edge.train.distill.chain import frame_spec

        frame = frame_spec(index, self.config.input)
        if not (min(frame.height, frame.width) >= LEAST_SIDE and max(frame.height, frame.width) <= MOST_SIDE):
            raise ConfigError(
                f"the commonest size of the images is {frame.width} by {frame.height} pixels, but a device takes "
                f"{LEAST_SIDE} to {MOST_SIDE} a side; name the camera's in the config: [input] frame = [HEIGHT, WIDTH]",
                code="E_CONFIG_RANGE",
            )
        check_report(self.config.report, index)
        check_labels(self.config.guard, index.labels)
        if self.config.probes.enabled:
            from weckd_edge.train.audit.run import check_settings

            check_settings(index, self.config.probes)

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
        from weckd_edge.pipeline.auto_chain import RUNGS, Ladder, measure_ladder, pick_chain

        stage = self.stage(
            "ladder",
            Ladder,
            {
                "rungs": RUNGS,
                "labels": len(index.artifact.labels),
                "input": self.config.input,
                "images": [[r.height, r.width] for r in index.artifact.images],
                "threads": self.config.bench.threads,
                "versions": versions(),
                "host": detect().host,
            },
            lambda _: measure_ladder(index.artifact, self.root, self.config, self.progress),
        )
        bar = merge_bars(self.config.gates, self.profile.bars).latency_p90_ms
        if not is_same_device(self.profile, detect()):
            bar = None
        links = pick_chain(stage.artifact, bar, len(self.config.link))
        self.config = replace(self.config, link=links)
        times = {rung.link.model + str(rung.link.input_size): rung.int8_ns / 1e6 for rung in stage.artifact.rungs}
        chain = " > ".join(f"{x.model} at {x.input_size} px ({times[x.model + str(x.input_size)]:.2f} ms)" for x in links)
        fit = f"the last within {bar:g} ms" if bar is not None else "the fastest last, as no latency bar can be judged here"
        self.progress.note(f"links: {chain}; int8 times on {stage.artifact.host}, {fit}")
        if not stage.artifact.pretrained:
            self.progress.note(
                "links: their pretrained weights cannot be fetched, so they start from nothing and need many more images "
                "and steps; connect to a network once, or name links with local weights"
            )

    def _train(self, index: Stage[DatasetIndex]) -> Chain:
        from weckd_edge.train.distill.chain import make_trainer, plan_chain, train_build
        from weckd_edge.train.distill.distributed import count
        from weckd_edge.train.quantize_aware.finetune import refine_for_int8

        plans = plan_chain(index.artifact, self.config)
        trainer = make_trainer(self.workspace, self.root, index.artifact, plans, self.progress, self.config.data.unlabelled)
        chain = train_build(trainer, plans, self.config)
        if count() == 1:  # a launcher's other processes end with the chain
            self.refine = partial(refine_for_int8, trainer, plans, self.config, chain.links)
        for stage in (*chain.links, *([chain.twin] if chain.twin else [])):
            self._done(f"train {stage.artifact.name}", stage)
        return chain
