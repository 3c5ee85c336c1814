"""A trained link is exported, quantized, compiled and recalibrated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import (
    BuiltModel,
    DatasetIndex,
    ExportedModel,
    InputContract,
    Link,
    PrecisionSelection,
    Recalibration,
)
from weckd_edge.core.fingerprint import library_versions
from weckd_edge.core.store import Stage, sha256_file
from weckd_edge.devices.machine.detect import detect, needs_half_range
from weckd_edge.pipeline.stages.base import StageRunner
from weckd_edge.pipeline.steps.write_bundle import Part

if TYPE_CHECKING:
    from torch.nn import Module

    from weckd_edge.compile.verify.parity import Candidate

FORM_FRAMES = 16
"""Training images on which a further form of the graph is compared with it."""


class CompilingStages(StageRunner):
    """A link becomes a graph, the graph gets its precision, and a target its model."""

    def _export(self, link: Stage[Link]) -> Stage[ExportedModel]:
        from weckd_edge.compile.export.onnx_export import export_onnx
        from weckd_edge.train.networks.models import load_link

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
                "versions": library_versions(),
            },
            lambda folder: export_onnx(
                load_link(artifact, link.folder).backbone,
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

    def select(
        self, at: int, exports: Sequence[Stage[ExportedModel]], index: Stage[DatasetIndex]
    ) -> Stage[PrecisionSelection]:
        """Choose the precision of one link, and make its graph.

        Args:
            at: Its place in the chain.
            exports: The FP32 graphs of the whole chain.
            index: The data set.
        """
        from weckd_edge.compile.quantize.select_precision import QuantizeAwareNetwork, Selector

        exported = exports[at]

        def aware(refine: Callable[[], Stage[Link]]) -> QuantizeAwareNetwork:
            link = refine()
            self._done(f"train {link.artifact.name}", link)
            made = self._export(link)
            return QuantizeAwareNetwork(link=link.artifact, exported=made.artifact, folder=made.folder)

        half_range = needs_half_range(self.profile, detect())
        images, root = self._calibration(index)
        return self.stage(
            f"select-M{at + 1}" if len(exports) > 1 else "select",
            PrecisionSelection,
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
                "versions": library_versions(),
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
        self, selected: Stage[PrecisionSelection], contract: InputContract, index: Stage[DatasetIndex]
    ) -> tuple[Part[BuiltModel], ...]:
        """Return what is deployed: built for the selection already, or, for a Jetson, the recipe and what proves it."""
        chosen = selected.artifact
        if chosen.built is not None:
            return (Part(chosen.built, selected.folder),)
        from weckd_edge.compile.backends import tensorrt_backend, tensorrt_rtx_backend
        from weckd_edge.compile.quantize.calibration_images import calibration_digest, calibration_frames, choose_images

        onnx = selected.folder / chosen.onnx.path
        key = {"onnx": chosen.onnx.sha256, "profile": self.profile, "versions": library_versions()}
        images, root = self._calibration(index)
        frames = choose_images(images, FORM_FRAMES, self.config.seed)
        recipe = self.stage(
            "recipe-tensorrt",
            BuiltModel,
            {**key, "frames": calibration_digest(frames)},
            lambda folder: tensorrt_backend.prepare_recipe(
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
                    {**key, "tensorrt": tensorrt_backend.tensorrt_version()},
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
            {"link": weights, "input": link.artifact.input, "versions": library_versions()},
            lambda _: torch_tensorrt_backend.preflight(network, link.artifact.input, weights),
        )
        return (Part(stage.artifact, stage.folder),)

    def _network(self, link: Stage[Link]) -> Module | None:
        """Return the trained network, where it is one of torch."""
        from weckd_edge.train.networks.models import load_link

        return load_link(link.artifact, link.folder).backbone

    def candidates(self, selected: Stage[PrecisionSelection]) -> tuple[Candidate, Candidate]:
        """Return the graph as it is written, and what is deployed (the same, where the device builds its own)."""
        from weckd_edge.compile.verify.parity import Candidate

        chosen = selected.artifact
        onnx = selected.folder / chosen.onnx.path
        as_written = Candidate(backend="onnxruntime", model=onnx, precision=chosen.precision, reference=True)
        if chosen.built is None:
            return as_written, as_written
        model = selected.folder / chosen.built.files[0].path
        if chosen.quantized is None and chosen.precision == "int8":  # NNCF's int8 stands in its own IR alone
            as_written = Candidate(backend=chosen.built.backend, model=model, precision="int8", reference=True)
        return as_written, Candidate(backend=chosen.built.backend, model=model, precision=chosen.precision)

    def _recalibrate(
        self,
        exported: Stage[ExportedModel],
        selected: Stage[PrecisionSelection],
        deployed: Candidate,
        index: Stage[DatasetIndex],
    ) -> Stage[Recalibration]:
        from weckd_edge.compile.verify.temperature import recalibrate

        return self.stage(
            "recalibrate",
            Recalibration,
            {
                "shipped": [deployed.name, deployed.model.parent.name],
                "onnx": selected.artifact.onnx.sha256,
                "images": [[r.pixels_sha256, r.label, r.group] for r in index.artifact.images if r.split == "val"],
                "versions": library_versions(),
            },
            lambda folder: recalibrate(
                selected.artifact,
                selected.folder,
                deployed,
                index.artifact,
                self.root,
                exported.artifact.input,
                folder,
                self.progress,
            ),
        )
