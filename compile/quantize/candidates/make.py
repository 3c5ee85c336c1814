"""Make candidates of one network: in floating point, in int8, and in int8 with some layers left in floating point."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weckd_edge.artifacts import Precision, QuantizationTrial
from weckd_edge.compile.backends import litert_backend, nncf_backend, openvino_backend
from weckd_edge.compile.backends.graph_model import record_graph
from weckd_edge.compile.graph import load_graph
from weckd_edge.compile.quantize.calibration_images import CalibrationImages
from weckd_edge.compile.quantize.candidates.base import Deployment, FloatNetwork, PrecisionCandidate, WholeInt8
from weckd_edge.compile.quantize.candidates.refused_nodes import MAX_TRIES, layers_to_leave_in_float
from weckd_edge.compile.quantize.candidates.sensitivity import rank_layers
from weckd_edge.compile.quantize.forms import form_for
from weckd_edge.compile.quantize.fp16_form import make_half
from weckd_edge.compile.quantize.mixed_precision import leave_float
from weckd_edge.compile.quantize.quantize import (
    IMPORTED,
    ONNX_FILE,
    calibrate,
    quantize_each,
    write_imported,
    write_quantized,
)
from weckd_edge.compile.quantize.ranges import METHODS, Method
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.errors import MissingDependency, ModelError
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import write_atomic
from weckd_edge.devices.runtime.backends.openvino_backend import computes_in_half
from weckd_edge.devices.runtime.backends.table import find_backend

_RANKED_IMAGES = 32
"""Number of training images on which layers are ranked by their sensitivity."""

HALF_FILE = "half.onnx"
"""File name of a candidate's FP16 form."""


class CandidateMaker:
    """Makes the candidates of one network, each in a folder of its own.

    Args:
        network: Network to make them of.
        calibration: Images that ranges are found on.
        config: Settings, of which precision, methods and images are used.
        deployment: Device that the chosen graph will run on.
        folder: Folder that the candidates' folders are made in; exists.
        progress: Receiver of the progress.
    """

    def __init__(
        self,
        network: FloatNetwork,
        calibration: CalibrationImages,
        config: QuantizeConfig,
        deployment: Deployment,
        *,
        folder: Path,
        progress: Progress,
    ) -> None:
        self.network, self.calibration, self.config, self.deployment = network, calibration, config, deployment
        self.folder, self.progress = folder, progress
        self.made: list[PrecisionCandidate] = []
        """Every candidate, in the order in which they were made."""
        self.refused: tuple[str, ...] = ()
        """Operators that a backend refuses in int8; every later candidate leaves them in floating point from the start."""
        self.tries = 0
        """Number of refusals by a backend so far; after ``MAX_TRIES`` no further candidate is tried."""

    def find(self, trial: QuantizationTrial) -> PrecisionCandidate:
        """Return the candidate of a trial."""
        return next(candidate for candidate in self.made if candidate.trial is trial)

    def add_imported(self) -> PrecisionCandidate:
        """Add the graph as its user has quantized it."""
        candidate = self._new("int8 as imported", "int8", IMPORTED)
        candidate.quantized = write_imported(
            self.network.onnx, self.network.exported.onnx.sha256, form_for(self.deployment.target), candidate.folder
        )
        if self.deployment.target == "cpu":
            _build(candidate)
        return candidate

    def add_float(self, precision: Precision) -> PrecisionCandidate:
        """Add a candidate that needs no calibration: FP32 or FP16."""
        candidate = self._new(precision, precision, None)
        candidate.onnx = self.network.onnx
        if self.deployment.target == "cpu":
            _build(candidate)
        elif precision == "fp16":
            candidate.runnable = candidate.folder / HALF_FILE
            try:
                write_half(candidate.onnx, candidate.runnable)
            except ModelError as err:
                candidate.trial = replace(candidate.trial, note=str(err))
        return candidate

    def add_arithmetic_in_half(self) -> None:
        """Add the FP32 graph as a processor runs it that computes in float16; others are shown the graph's FP16 form."""
        candidate = self._new("fp16, computed in float16", "fp16", None)
        shutil.copyfile(self.network.onnx, candidate.onnx)
        candidate.built = record_graph(candidate.onnx, "openvino", candidate.trial.precision, half=True)
        if computes_in_half():
            return
        candidate.runnable = candidate.folder / HALF_FILE
        try:
            write_half(candidate.onnx, candidate.runnable)
        except ModelError as err:
            candidate.trial = replace(candidate.trial, note=str(err))

    def add_onnxruntime(self, source: PrecisionCandidate) -> PrecisionCandidate:
        """Add the graph of a candidate as ONNX Runtime runs it in its fastest way."""
        candidate = self._in_backend(source, "onnxruntime")
        candidate.built = record_graph(candidate.onnx, "onnxruntime", candidate.trial.precision)
        return candidate

    def add_litert(self, source: PrecisionCandidate) -> PrecisionCandidate:
        """Add the graph of a candidate as LiteRT runs it."""
        candidate = self._in_backend(source, "litert")
        try:
            candidate.built = litert_backend.build_tflite(candidate.onnx, candidate.trial.precision, candidate.folder)
        except ModelError as err:
            candidate.trial = replace(candidate.trial, note=f"cannot be built: {err}")
        return candidate

    def _in_backend(self, source: PrecisionCandidate, backend: str) -> PrecisionCandidate:
        """Add a candidate with the graph of another one, for another backend."""
        trial = source.trial
        name = f"{trial.name} in {find_backend(backend).title}"
        candidate = self._new(name, trial.precision, trial.method, trial.float_nodes, trial.unsupported_nodes)
        candidate.trial = replace(candidate.trial, backend=backend)
        shutil.copyfile(source.onnx, candidate.onnx)
        candidate.whole, candidate.quantized = source.whole, source.quantized
        return candidate

    def add_ranges(self, network: FloatNetwork) -> None:
        """Calibrate a network and add an int8 candidate for each kind of range.

        Args:
            network: The network itself, or the one that ``train_for_int8`` returned.

        Raises:
            DataError: A calibration image cannot be read.
            ModelError: The graph cannot be run.
        """
        images = self.calibration
        calibration = calibrate(
            network.exported,
            network.folder,
            images.index,
            images.root,
            self.config,
            seed=images.seed,
            progress=self.progress,
        )
        methods: Sequence[Method] = METHODS if self.config.method == "auto" else (self.config.method,)
        graphs = quantize_each(
            calibration,
            methods,
            form_for(self.deployment.target),
            reduce_range=self.deployment.reduce_range,
            progress=self.progress,
        )
        for method, graph in graphs.items():
            name = f"int8 {method}" + (", trained for it" if network.int8_link else "")
            if isinstance(graph, ModelError):
                candidate = self._new(name, "int8", method)
                candidate.trial = replace(candidate.trial, note=str(graph))
                continue
            self.add_int8(
                WholeInt8(name=name, graph=graph, calibration=calibration, method=method, int8_link=network.int8_link)
            )

    def add_nncf(self) -> None:
        """Add the int8 model that NNCF makes, which processors alone run."""
        candidate = self._new("int8 nncf", "int8", "nncf")
        candidate.onnx = self.network.onnx
        exported = self.network.exported
        chosen = self.calibration.choose(self.config.images)
        inputs = self.calibration.inputs(chosen, exported.input)
        try:
            with self.progress.task("int8 by NNCF", 1):
                candidate.built = nncf_backend.build_int8_ir(
                    candidate.onnx,
                    inputs,
                    len(chosen),
                    exported.network_input_name,
                    candidate.folder,
                    reduce_range=self.deployment.reduce_range,
                )
        except (ModelError, MissingDependency) as err:
            candidate.trial = replace(candidate.trial, note=str(err))

    def add_int8(self, whole: WholeInt8, left: tuple[str, ...] = ()) -> PrecisionCandidate:
        """Add an int8 candidate; while it cannot be built here, add one more with the refused operators in floating point.

        Args:
            whole: Int8 graph that it is made from.
            left: Names of the layers to leave in floating point.
        """
        fp32, cpu = whole.calibration.graph, self.deployment.target == "cpu"
        layers = f", {len(left)} layer{'s' if len(left) > 1 else ''} in float" if left else ""
        while True:
            refused = f" without {len(self.refused)} refused" if self.refused else ""
            candidate = self._new(whole.name + layers + refused, "int8", whole.method, left, self.refused)
            candidate.whole, candidate.graph = whole, leave_float(whole.graph, {*left, *self.refused}, fp32)
            written = leave_float(candidate.graph, (), fp32)  # a copy, which the writing changes
            candidate.quantized = write_quantized(
                whole.calibration, written, whole.method, small=cpu, folder=candidate.folder
            )
            if cpu:
                _build(candidate)
            if candidate.refusal is None or not self.note_refusal(candidate):
                return candidate

    def note_refusal(self, candidate: PrecisionCandidate) -> bool:
        """Note the operators that a backend refused of an int8 candidate; tell whether to try again without them."""
        self.tries += 1
        if candidate.refusal is None or candidate.graph is None or self.tries > MAX_TRIES:
            return False
        more = [
            name for name in layers_to_leave_in_float(candidate.refusal, candidate.graph.graph) if name not in self.refused
        ]
        self.refused = (*self.refused, *more)
        return bool(more)

    def rank_layers(self, candidate: PrecisionCandidate) -> list[str]:
        """Return the names of an int8 candidate's layers, the most sensitive first; none for a candidate of another kind."""
        if candidate.graph is None or candidate.whole is None:
            return []
        exported = self.network.exported
        inputs = list(self.calibration.inputs(self.calibration.choose(_RANKED_IMAGES), exported.input))
        fp32 = candidate.whole.calibration.graph
        return [layer.node for layer in rank_layers(candidate.graph, fp32, exported.input_name, inputs, self.progress)]

    def _new(
        self,
        name: str,
        precision: Precision,
        method: str | None,
        float_nodes: tuple[str, ...] = (),
        refused: tuple[str, ...] = (),
    ) -> PrecisionCandidate:
        folder = self.folder / f"trial-{len(self.made)}"
        folder.mkdir()
        trial = QuantizationTrial(
            name=name,
            precision=precision,
            method=method,
            backend="openvino" if self.deployment.target == "cpu" else "onnxruntime",
            float_nodes=float_nodes,
            unsupported_nodes=refused,
        )
        candidate = PrecisionCandidate(
            trial=trial, input=self.network.exported.input, folder=folder, onnx=folder / ONNX_FILE
        )
        self.made.append(candidate)
        return candidate


def write_half(onnx: Path, path: Path) -> None:
    """Write the FP16 form of a graph.

    Raises:
        ModelError: The graph has no FP16 form.
    """
    write_atomic(path, make_half(load_graph(onnx)).SerializeToString(deterministic=True))


def _build(candidate: PrecisionCandidate) -> None:
    try:
        candidate.built = openvino_backend.build_ir(candidate.onnx, candidate.trial.precision, candidate.folder)
    except ModelError as err:
        candidate.refusal = err
        candidate.trial = replace(candidate.trial, note=f"cannot be built: {err}")
