"""What the steps behind the training take: trained networks of a chain, and each as it is made ready to ship."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ChainRecord, DatasetIndex, ExportedModel, InputSpec, Link, PrecisionSelection, Recalibration
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities

if TYPE_CHECKING:
    from torch.nn import Module

    from weckd_edge.compile.verify.implementations import Implementation


Predictor = Callable[[NDArray[np.uint8]], Probabilities]
"""From a frame ``[1, H, W, 3]`` to probabilities ``[classes]``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedNetwork:
    """A link of the chain, trained here or imported.

    Attributes:
        link: Its record and weights.
        name_in_reports: What answers as the trained network, such as ``torch fp32``.
        export: Writes the graph from frame to probabilities into a folder; the flag is ``cast_first``, as TensorRT asks.
        modules: Modules of this package that export it and predict with it, for the keys of steps.
        predictor: Opens the network as it was trained: from a frame ``[1, H, W, 3]`` to probabilities ``[classes]``.
        predict: What the network, as it was trained, predicts of images ``[N, classes]``.
        module: Opens the network of torch; None for one that torch does not run.
        train_for_int8: Trains it further under int8 rounding; None where that cannot be done.
    """

    link: Stage[Link]
    name_in_reports: str
    export: Callable[[Path, bool], ExportedModel]
    modules: tuple[str, ...]
    predictor: Callable[[], Predictor]
    predict: Callable[[SplitFrames], Probabilities]
    module: Callable[[], Module] | None = None
    train_for_int8: Callable[[], TrainedNetwork] | None = None

    @property
    def name(self) -> str:
        """The link's name, such as ``M2``."""
        return self.link.artifact.name


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedChain:
    """The networks that a build may ship, largest first.

    Attributes:
        networks: At least one.
        baseline: The last network trained without a teacher; None where the build left it out.
        labels_used: Distinct training images whose label any link saw.
        import_notes: What was found in an imported network and decided, in words.
        import_warnings: What may be wrong with how it was described, in words.
    """

    networks: tuple[TrainedNetwork, ...]
    baseline: Link | None = None
    labels_used: int = 0
    import_notes: tuple[str, ...] = ()
    import_warnings: tuple[str, ...] = ()

    def record(self, deployed: str) -> ChainRecord:
        """Return the chain as evidence; ``deployed`` names the link that is deployed."""
        return ChainRecord(
            links=tuple(network.link.artifact for network in self.networks),
            baseline=self.baseline,
            labels_used=self.labels_used,
            deployed=deployed,
            import_notes=self.import_notes,
            import_warnings=self.import_warnings,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationSet:
    """Images that activation ranges are found on: the training images of an index, and the folder they lie in."""

    index: DatasetIndex
    root: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Student:
    """A link made ready to ship: in its precision and, where the target is a processor, built.

    Attributes:
        network: The trained network.
        exported: Its FP32 graph.
        selection: Its precision, its graph and what was built of it.
        folder: Where those files lie.
        recalibration: The temperature inside; None: there is none yet.
        uncalibrated: What would ship without it; None likewise.
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
        """The frame and what the graph makes of it."""
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
        """Size of what the device would load."""
        built = self.selection.built
        return sum(ref.bytes for ref in (built.files if built else (self.selection.onnx,)))

    @property
    def as_written(self) -> Implementation:
        """The graph that is deployed, answered exactly as it is written."""
        from weckd_edge.compile.verify.implementations import Implementation

        chosen = self.selection
        if chosen.built is not None and chosen.quantized is None and chosen.precision == "int8":
            # NNCF's int8 stands in its own IR alone.
            return replace(self.deployed, reference=True)
        return Implementation(backend="onnxruntime", model=self.onnx, precision=chosen.precision, reference=True)

    @property
    def deployed(self) -> Implementation:
        """What is deployed; the graph as it is written, where the device builds its own."""
        from weckd_edge.compile.verify.implementations import Implementation

        built = self.selection.built
        if built is None:
            return self.as_written
        return Implementation(
            backend=built.backend, model=self.folder / built.files[0].path, precision=self.selection.precision
        )
