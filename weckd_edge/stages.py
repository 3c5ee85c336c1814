"""The seven stages of one build, in order, each found finished or made; what they hand to each other are artefacts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from weckd_edge.artifacts import (
    Abstention,
    BuiltModel,
    ChainRecord,
    DatasetIndex,
    ExportedModel,
    GoldenFrames,
    GuardRecord,
    InputContract,
    Link,
    Manifest,
    Measurement,
    Performance,
    Probes,
    Recalibration,
    Selection,
    Shipping,
    StageTime,
    Target,
    Verification,
)
from weckd_edge.assembly import Part, Parts, assemble, versions
from weckd_edge.bundle import open_bundle
from weckd_edge.config import BuildConfig
from weckd_edge.devices.backends.table import open_runner
from weckd_edge.devices.bench import bench_model
from weckd_edge.devices.detect import detect, is_same_device, needs_half_range
from weckd_edge.devices.gates import merge_bars
from weckd_edge.devices.guard import OpenGuard
from weckd_edge.devices.power.table import open_source
from weckd_edge.devices.profile import DeviceProfile
from weckd_edge.guarding import Trial, check_labels, judge_abstention, judge_threshold, make_guard
from weckd_edge.optional import is_installed
from weckd_edge.performance import check_report, measure_performance
from weckd_edge.progress import Progress
from weckd_edge.store import Stage, Workspace, sha256_file
from weckd_edge.weighing import ship

if TYPE_CHECKING:
    from torch.nn import Module

    from weckd_edge.compile.verify import Candidate, Predictor
    from weckd_edge.train.chain import Chain

T = TypeVar("T")

FORM_FRAMES = 16
"""Training images on which a further form of the graph is compared with it."""


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
        bundle_version: Of the bundle, for firmware that never goes back; 0: none.
        auto_links: Pick the chain from the ladder of students, as many links as the configuration names.
    """

    data: Path
    target: Target
    device: str | None
    out: Path
    config: BuildConfig
    skip_bad: bool = False
    key: Path | None = None
    bundle_version: int = 0
    auto_links: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOutcome:
    """What a build ends with.

    Attributes:
        bundle: The sealed folder.
        manifest: Its manifest.
        chain: Links and twin.
        verification: Accuracy, parity and flips of what ships.
        performance: Clinical figures of what ships, by class and slice.
        selection: Which precisions were tried, and why this one ships.
        shipping: Which links were weighed, and why this one ships.
        abstention: What is not answered, and what that is worth.
        stages: Seconds of every stage.
    """

    bundle: Path
    manifest: Manifest
    chain: ChainRecord
    verification: Verification
    performance: Performance
    selection: Selection
    shipping: Shipping
    abstention: Abstention
    stages: tuple[StageTime, ...]


class Stages:
    """One build under way: what the stages hand to each other lives here."""

    trained_name = "torch fp32"
    """What answers as the trained network, in reports."""

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
        self.refine: Callable[[int], Stage[Link]] | None = None
        self._guard: Stage[GuardRecord] | None = None

    def run(self) -> BuildOutcome:
        index, chain = self.train()
        exports = [self._export(link) for link in chain.links]
        shipped_link = ship(self, chain, exports, index)
        link, exported, selected = chain.links[shipped_link.at], exports[shipped_link.at], shipped_link.selected
        _, uncalibrated = self.candidates(selected)
        recalibrated = self._recalibrate(exported, selected, uncalibrated, index)
        with_temperature = recalibrated.artifact
        selected = replace(
            selected,
            artifact=replace(selected.artifact, onnx=with_temperature.onnx, built=with_temperature.built),
            folder=recalibrated.folder,
        )
        built = (*self._compile(selected, exported.artifact.input, index), *self._convert(link))
        as_written, shipped = self.candidates(selected)
        teacher = chain.links[0] if shipped_link.at else None
        verification = self._verify(link, exported, as_written, shipped, index, uncalibrated, with_temperature, teacher)
        golden = self._golden(exported, as_written, shipped, index)
        guard = self.guard(exported.artifact.input, index)
        abstention = self._abstention(exported, shipped, verification, guard, index)
        threshold = abstention.artifact.abstain_below
        performance = self._performance(link, shipped, verification, index, teacher, threshold).artifact
        measurements = (self._bench(exported, selected, shipped, golden, guard.artifact), *shipped_link.measurements)
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
                shipping=shipped_link.shipping,
                built=built,
                verification=verification.artifact,
                performance=performance,
                golden=Part(golden.artifact, golden.folder),
                measurements=measurements,
                stages=tuple(self.times),
                probes=probes,
                guard=guard.artifact.guard,
                abstention=abstention.artifact,
                more_gates=judge_threshold(abstention.artifact.threshold, self.config.abstain),
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
            shipping=shipped_link.shipping,
            abstention=abstention.artifact,
            stages=tuple(self.times),
        )

    def train(self) -> tuple[Stage[DatasetIndex], Chain]:
        """Run the first two stages: what other processes of a training take part in."""
        index = self._data()
        self.check_data(index.artifact)
        if self.request.auto_links:
            self._pick_links(index)
        return index, self._train(index)

    def check_data(self, index: DatasetIndex) -> None:
        """Find out before hours of training which settings name what the data set does not have.

        Raises:
            WeckdError: Slices, bands, prevalences, refused labels, masks, boxes or the source column are amiss.
        """
        check_report(self.config.report, index)
        check_labels(self.config.guard, index.labels)
        if self.config.probes.enabled:
            from weckd_edge.train.probes.run import check_settings

            check_settings(index, self.config.probes)

    def _record(self, chain: Chain) -> ChainRecord:
        return ChainRecord(
            links=tuple(stage.artifact for stage in chain.links),
            twin=chain.twin.artifact if chain.twin else None,
            labels_used=chain.labels_used,
        )

    def stage(self, name: str, kind: type[T], key: object, make: Callable[[Path], T]) -> Stage[T]:
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

    def _pick_links(self, index: Stage[DatasetIndex]) -> None:
        """Replace the configured links by those that this machine's times say are worth it."""
        from weckd_edge.ladder import RUNGS, Ladder, measure_ladder, pick_chain

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
        from weckd_edge.train.chain import make_trainer, plan_chain, train_build
        from weckd_edge.train.processes import count
        from weckd_edge.train.quantize_aware import refine_for_int8

        plans = plan_chain(index.artifact, self.config)
        trainer = make_trainer(self.workspace, self.root, index.artifact, plans, self.progress, self.config.data.unlabelled)
        chain = train_build(trainer, plans, self.config)
        if count() == 1:  # a launcher's other processes end with the chain
            self.refine = partial(refine_for_int8, trainer, plans, self.config, chain.links)
        for stage in (*chain.links, *([chain.twin] if chain.twin else [])):
            self._done(f"train {stage.artifact.name}", stage)
        return chain

    def _export(self, link: Stage[Link]) -> Stage[ExportedModel]:
        from weckd_edge.compile.export import export_onnx
        from weckd_edge.train.models import load_link

        artifact = link.artifact
        cast_first = self.request.target == "jetson"
        return self.stage(
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

    def _calibration(self, index: Stage[DatasetIndex]) -> tuple[DatasetIndex, Path]:
        """Return the images that activation ranges are found on, as an index, and their folder."""
        return index.artifact, self.root

    def select(self, at: int, exports: Sequence[Stage[ExportedModel]], index: Stage[DatasetIndex]) -> Stage[Selection]:
        """Choose the precision of one link, and make its graph.

        Args:
            at: Its place in the chain.
            exports: The FP32 graphs of the whole chain.
            index: The data set.
        """
        from weckd_edge.compile.select import Aware, Selector

        exported = exports[at]

        def aware(refine: Callable[[], Stage[Link]]) -> Aware:
            link = refine()
            self._done(f"train {link.artifact.name}", link)
            made = self._export(link)
            return Aware(link=link.artifact, exported=made.artifact, folder=made.folder)

        half_range = needs_half_range(self.profile, detect())
        images, root = self._calibration(index)
        return self.stage(
            f"select-M{at + 1}" if len(exports) > 1 else "select",
            Selection,
            {
                "onnx": exported.artifact.onnx.sha256,
                "quantize": self.config.quantize,
                "aware": self.config.quantize_aware,
                "images": [[r.pixels_sha256, r.split, r.label, r.group] for r in index.artifact.images if r.split != "test"],
                "calibration": [[r.pixels_sha256, r.split] for r in images.images if r.split == "train"],
                "seed": self.config.seed,
                "target": self.request.target,
                "threads": self.config.bench.threads,
                "reduce_range": half_range,
                "versions": versions(),
            },
            lambda folder: Selector(
                exported.artifact,
                exported.folder,
                index.artifact,
                self.root,
                self.config.quantize,
                calibration=(images, root),
                target=self.request.target,
                reduce_range=half_range,
                aware=partial(aware, partial(self.refine, at)) if self.refine is not None else None,
                folder=folder,
                seed=self.config.seed,
                threads=self.config.bench.threads,
                progress=self.progress,
            ).run(),
        )

    def _compile(
        self, selected: Stage[Selection], contract: InputContract, index: Stage[DatasetIndex]
    ) -> tuple[Part[BuiltModel], ...]:
        """Return what ships: built for the selection already, or, for a Jetson, the recipe and what proves it."""
        chosen = selected.artifact
        if chosen.built is not None:
            return (Part(chosen.built, selected.folder),)
        from weckd_edge.compile.backends import tensorrt_backend, tensorrt_rtx_backend
        from weckd_edge.compile.calibration import calibration_digest, calibration_frames, choose_images

        onnx = selected.folder / chosen.onnx.path
        key = {"onnx": chosen.onnx.sha256, "profile": self.profile, "versions": versions()}
        images, root = self._calibration(index)
        frames = choose_images(images, FORM_FRAMES, self.config.seed)
        recipe = self.stage(
            "recipe-tensorrt",
            BuiltModel,
            {**key, "frames": calibration_digest(frames)},
            lambda folder: tensorrt_backend.recipe(
                chosen.onnx,
                onnx,
                self.profile,
                folder,
                calibration_frames(root, frames, contract),
                precision=chosen.precision,
            ),
        )
        stages = [recipe]
        for name, graph in tensorrt_backend.graphs_to_prove(onnx, recipe.artifact, recipe.folder).items():
            stages.append(
                self.stage(
                    f"preflight-tensorrt-rtx-{name}",
                    BuiltModel,
                    {**key, "graph": sha256_file(graph)},
                    lambda folder, graph=graph: tensorrt_rtx_backend.preflight(graph, folder),  # type: ignore[misc]
                )
            )
        if tensorrt_backend.can_build_here():
            stages.append(
                self.stage(
                    "preflight-tensorrt",
                    BuiltModel,
                    {**key, "tensorrt": tensorrt_backend.version()},
                    lambda folder: tensorrt_backend.preflight(onnx, recipe.folder, self.progress),
                )
            )
        return tuple(Part(stage.artifact, stage.folder) for stage in stages)

    def _convert(self, link: Stage[Link]) -> tuple[Part[BuiltModel], ...]:
        """Try torch-tensorrt on the network itself, for a Jetson and where it and a GPU are at hand."""
        from weckd_edge.compile.backends import torch_tensorrt_backend

        network = (
            self._network(link) if self.request.target == "jetson" and torch_tensorrt_backend.can_build_here() else None
        )
        if network is None:
            return ()
        weights = link.artifact.weights.sha256
        stage = self.stage(
            "preflight-torch-tensorrt",
            BuiltModel,
            {"link": weights, "input": link.artifact.input, "versions": versions()},
            lambda _: torch_tensorrt_backend.preflight(network, link.artifact.input, weights),
        )
        return (Part(stage.artifact, stage.folder),)

    def _network(self, link: Stage[Link]) -> Module | None:
        """Return the trained network, where it is one of torch."""
        from weckd_edge.train.models import load_link

        return load_link(link.artifact, link.folder).trunk

    def candidates(self, selected: Stage[Selection]) -> tuple[Candidate, Candidate]:
        """Return the graph as it is written, and what ships (the same, where the device builds its own)."""
        from weckd_edge.compile.verify import Candidate

        chosen = selected.artifact
        onnx = selected.folder / chosen.onnx.path
        as_written = Candidate(backend="onnxruntime", model=onnx, precision=chosen.precision, reference=True)
        if chosen.built is None:
            return as_written, as_written
        model = selected.folder / chosen.built.files[0].path
        if chosen.quantized is None and chosen.precision == "int8":  # NNCF's int8 stands in its own IR alone
            as_written = Candidate(backend=chosen.built.backend, model=model, precision="int8", reference=True)
        return as_written, Candidate(backend=chosen.built.backend, model=model, precision=chosen.precision)

    def _trained(self, link: Stage[Link]) -> Predictor:
        """Return the trained network in FP32, from a frame to probabilities."""
        from weckd_edge.train.evaluate import frame_predictor

        return frame_predictor(link.artifact, link.folder)

    def _recalibrate(
        self,
        exported: Stage[ExportedModel],
        selected: Stage[Selection],
        shipped: Candidate,
        index: Stage[DatasetIndex],
    ) -> Stage[Recalibration]:
        from weckd_edge.compile.recalibrate import recalibrate

        return self.stage(
            "recalibrate",
            Recalibration,
            {
                "shipped": [shipped.name, shipped.model.parent.name],
                "onnx": selected.artifact.onnx.sha256,
                "images": [[r.pixels_sha256, r.label, r.group] for r in index.artifact.images if r.split == "val"],
                "versions": versions(),
            },
            lambda folder: recalibrate(
                selected.artifact,
                selected.folder,
                shipped,
                index.artifact,
                self.root,
                exported.artifact.input,
                folder,
                self.progress,
            ),
        )

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
        from weckd_edge.compile.verify import Candidate, verify

        onnx = exported.folder / exported.artifact.onnx.path
        backends = ["onnxruntime", *(["openvino"] if self.request.target == "cpu" else [])]
        fp32 = [Candidate(backend=name, model=onnx, precision="fp32") for name in backends]
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
                "images": [[r.pixels_sha256, r.label, r.group] for r in index.artifact.images if r.split == "test"],
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
        from weckd_edge.train.data.listing import fingerprint
        from weckd_edge.train.probes.covered import Shipped
        from weckd_edge.train.probes.masks import masks_fingerprint
        from weckd_edge.train.probes.run import probe

        stage = self.stage(
            "probes",
            Probes,
            {
                "files": fingerprint(self.request.data),
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
                shipped=Shipped(answer=self._trained(link), contract=link.artifact.input),
            ),
        )
        return stage.artifact

    def _runners_here(self, as_written: Candidate) -> list[Candidate]:
        """Return what runs a graph on this machine, in whatever way is fastest."""
        return [replace(as_written, backend=n, reference=False) for n in ("onnxruntime", "openvino") if is_installed(n)]

    def _golden(
        self, exported: Stage[ExportedModel], as_written: Candidate, shipped: Candidate, index: Stage[DatasetIndex]
    ) -> Stage[GoldenFrames]:
        from weckd_edge.compile.golden import make_golden
        from weckd_edge.compile.verify import Candidate

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
                others,
                folder,
            ),
        )

    def guard(self, contract: InputContract, index: Stage[DatasetIndex]) -> Stage[GuardRecord]:
        """Fit the frame guard: one for all links, as it looks at the frame alone."""
        contract = replace(contract, input_size=1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        asked = replace(self.config.guard, other_frames=())
        images = [[r.pixels_sha256, r.split, r.group] for r in index.artifact.images if r.split != "test"]
        if self._guard is None:
            self._guard = self.stage(
                "guard",
                GuardRecord,
                {"input": contract, "guard": asked, "images": images, "seed": self.config.seed, "versions": versions()},
                lambda _: make_guard(index.artifact, self.root, contract, asked, self.config.seed, self.progress),
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
                    contract=exported.artifact.input,
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
                "abstain": [self.config.abstain, self.config.abstain_below],
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
                guard=OpenGuard(guard.guard, exported.artifact.input) if guard.guard is not None else None,
                progress=self.progress,
            )
        seconds = (time.monotonic_ns() - start_ns) / 1e9
        self.times.append(StageTime(name="bench", seconds=round(seconds, 3), reused=False))
        self.progress.note(f"bench: {seconds:.1f} s")
        return found

    def _finalize_on_jetson(self) -> None:
        """Where this very machine is a Jetson with TensorRT, build its engine at once."""
        if self.request.target != "jetson" or detect().module is None or not is_installed("tensorrt"):
            return
        from weckd_edge.devices.finalize import finalize

        finalize(open_bundle(self.out), progress=self.progress)
