"""Records of the search for a precision: the network it starts from, and each candidate made of that network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import BuiltModel, ExportedModel, InputSpec, Link, QuantizationTrial, QuantizedModel, Target
from weckd_edge.compile.quantize.quantize import Calibration
from weckd_edge.compile.quantize.ranges import Method
from weckd_edge.compile.verify.implementations import Implementation
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.runtime.backends.base import Probabilities

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatNetwork:
    """A network's exported FP32 graph and the folder it lies in.

    Attributes:
        exported: Record of the graph.
        folder: Folder that holds the graph's file.
        int8_link: Record of the network that was trained further under int8 rounding; its graph is good for int8 alone.
            None for any other network.
        train_for_int8: Trains the network further under int8 rounding and exports it; None where that cannot be done.
    """

    exported: ExportedModel
    folder: Path
    int8_link: Link | None = None
    train_for_int8: Callable[[], FloatNetwork] | None = None

    @property
    def onnx(self) -> Path:
        """Path of the graph's file."""
        return self.folder / self.exported.onnx.path


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """Device that the chosen graph will run on, and machine on which candidates are tried.

    Attributes:
        target: ``cpu`` builds and times every candidate here. A Jetson builds its own engine, so that the graphs alone are
            scored here, as they are written.
        host: Name of this machine in words.
        threads: Processor threads that candidates are timed with.
        reduce_range: Whether weights are kept to seven bits, as for ``quantize``.
    """

    target: Target
    host: str
    threads: int
    reduce_range: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeInt8:
    """An int8 graph as it was quantized, before any layer of it was left in floating point.

    Attributes:
        name: Name of the candidate that it is.
        graph: Graph with weights in floating point.
        calibration: Source of its ranges.
        method: How its ranges were clipped.
        int8_link: Record of the network trained for int8 that it was made from; None for the FP32 network.
    """

    name: str
    graph: ModelProto
    calibration: Calibration
    method: Method
    int8_link: Link | None


@dataclass(kw_only=True, slots=True)
class PrecisionCandidate:
    """One candidate while it is made, scored and timed.

    Attributes:
        trial: Record of the candidate.
        input: The camera frame, and the network's input.
        folder: Folder that its files lie in.
        onnx: Path of its graph, as it would be deployed.
        runnable: Graph that stands for it on this machine, where a device builds or computes it otherwise.
        graph: Graph of an int8 candidate of our own, with weights in floating point.
        whole: Int8 graph that ``graph`` was made from.
        quantized: Record of it as an int8 graph.
        built: Record of the model that the processor runs.
        probabilities: Predictions of the validation images, ``[N, classes]``.
        refusal: Error of the backend that could not build it.
    """

    trial: QuantizationTrial
    input: InputSpec
    folder: Path
    onnx: Path
    runnable: Path | None = None
    graph: ModelProto | None = None
    whole: WholeInt8 | None = None
    quantized: QuantizedModel | None = None
    built: BuiltModel | None = None
    probabilities: Probabilities | None = None
    refusal: ModelError | None = None

    @property
    def implementation(self) -> Implementation:
        """How it is run on this machine."""
        precision = self.trial.precision
        if self.built is not None and self.runnable is None:
            return Implementation(
                backend=self.built.backend,
                model=self.folder / self.built.files[0].path,
                input=self.input,
                precision=precision,
                half=self.built.half,
            )
        graph = self.runnable or self.onnx
        return Implementation(backend="onnxruntime", model=graph, input=self.input, precision=precision, reference=True)
