"""Records that steps hand on: trained networks, chains of them, and students that could be deployed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    BuiltModel,
    ChainRecord,
    DatasetIndex,
    ExportedModel,
    InputSpec,
    Link,
    OutsideTeaching,
    PrecisionSelection,
    Recalibration,
)
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.backends.table import refusal

if TYPE_CHECKING:
    from torch.nn import Module

    from weckd_edge.compile.verify.implementations import Implementation


Predictor = Callable[[NDArray[np.uint8]], Probabilities]
"""Function from a frame ``[1, H, W, 3]`` to probabilities ``[classes]``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedNetwork:
    """A link of the chain, trained here or imported.

    Attributes:
        link: The link's record, and the folder of its weights.
        name_in_reports: Name of the runtime and precision of the trained network, such as ``torch fp32``.
        export: Function that writes the graph from frame to probabilities into a folder; its flag is ``cast_first``, as
            TensorRT asks for it.
        modules: Modules of this package that export it and predict with it, for the keys of steps.
        predictor: Function that opens the network as it was trained.
        predict: Function that returns what the network, as it was trained, predicts of images ``[N, classes]``.
        module: Function that opens the torch module; None for a network that torch does not run.
        train_for_int8: Function that trains the network further under int8 rounding; None where that cannot be done.
        int8_training: What that training depends on beside the network and ``[quantize_aware]``, for the keys of steps.
    """

    link: Stage[Link]
    name_in_reports: str
    export: Callable[[Path, bool], ExportedModel]
    modules: tuple[str, ...]
    predictor: Callable[[], Predictor]
    predict: Callable[[SplitFrames], Probabilities]
    module: Callable[[], Module] | None = None
    train_for_int8: Callable[[], TrainedNetwork] | None = None
    int8_training: object = None

    @property
    def name(self) -> str:
        """The link's name, such as ``M2``."""
        return self.link.artifact.name


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedChain:
    """The networks of which one is deployed, largest first.

    Attributes:
        networks: The links, at least one.
        baseline: The last link's network trained without a teacher; None where the build left it out.
        labels_used: Number of distinct training images whose label a link saw.
        import_notes: Sentences on what was found in an imported network and decided.
        import_warnings: Sentences on what may be wrong with the description of an imported network.
        outside: Teachers from outside the chain, and whether the links learned from them; None where there are none.
        notes: Sentences on pretrained weights that could not be had, and on links that do not shrink.
    """

    networks: tuple[TrainedNetwork, ...]
    baseline: Link | None = None
    labels_used: int = 0
    import_notes: tuple[str, ...] = ()
    import_warnings: tuple[str, ...] = ()
    outside: OutsideTeaching | None = None
    notes: tuple[str, ...] = ()

    def record(self, deployed: str) -> ChainRecord:
        """Return the chain as evidence; ``deployed`` names the link that is deployed."""
        return ChainRecord(
            links=tuple(network.link.artifact for network in self.networks),
            baseline=self.baseline,
            labels_used=self.labels_used,
            deployed=deployed,
            import_notes=self.import_notes,
            import_warnings=self.import_warnings,
            outside=self.outside,
            notes=self.notes,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationSet:
    """Images for range estimation: the training images of an index, and the folder they lie in."""

    index: DatasetIndex
    root: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Student:
    """A compiled link: in its precision and, where the target is a processor, built.

    Attributes:
        network: The trained network.
        exported: The FP32 graph.
        selection: The precision that was chosen, its graph, and the model built from that.
        folder: Folder that the files of ``selection`` lie in.
        recalibration: The temperature inside the graph; None before the calibration.
        uncalibrated: The model without that temperature; None before the calibration.
    """

    network: TrainedNetwork
    exported: Stage[ExportedModel]
    selection: PrecisionSelection
    folder: Path
    recalibration: Recalibration | None = None
    uncalibrated: Implementation | None = None

    @property
    def name(self) -> str:
        """The link's name, such as ``M2``."""
        return self.network.name

    @property
    def input(self) -> InputSpec:
        """The camera frame, and the network's input."""
        return self.exported.artifact.input

    @property
    def onnx(self) -> Path:
        """The graph that is deployed."""
        return self.folder / self.selection.onnx.path

    @property
    def fp32_onnx(self) -> Path:
        """The graph as it was exported."""
        return self.exported.folder / self.exported.artifact.onnx.path

    @property
    def loaded_bytes(self) -> int:
        """Size of the files that the device would load, bytes."""
        models = self.selection.models
        return sum(ref.bytes for ref in (models[0].files if models else (self.selection.onnx,)))

    @property
    def as_written(self) -> Implementation:
        """The deployed graph, run exactly as it is written."""
        from weckd_edge.compile.verify.implementations import Implementation

        chosen = self.selection
        if chosen.models and chosen.quantized is None and chosen.precision == "int8":
            # NNCF's int8 exists in its own IR alone.
            return replace(self.deployed, reference=True)
        return Implementation(
            backend="onnxruntime", model=self.onnx, input=self.input, precision=chosen.precision, reference=True
        )

    @property
    def deployed(self) -> Implementation:
        """The deployed model; where the device builds its own, the graph as it is written."""
        models = self.selection.models
        return self.implementation(models[0]) if models else self.as_written

    def implementation(self, model: BuiltModel) -> Implementation:
        """Return how one of the listed models is run."""
        from weckd_edge.compile.verify.implementations import Implementation

        graph = next(ref for ref in model.files if not ref.path.endswith(".bin"))
        return Implementation(
            backend=model.backend,
            model=self.folder / graph.path,
            input=self.input,
            precision=model.precision,
            half=model.half,
        )

    @property
    def runs_here(self) -> list[BuiltModel]:
        """The listed models that this machine can run, the deployed one first."""
        return [model for model in self.selection.models if refusal(model.backend, half=model.half) is None]
