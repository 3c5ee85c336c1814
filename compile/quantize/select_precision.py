"""Select a precision: candidates are made, scored on validation images and timed; the fastest within the limits is deployed.

Calibration never sees the validation images, and the test images take no part here, so that what they say afterwards is
not flattered by the choice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    BuiltModel,
    DatasetIndex,
    ExportedModel,
    Link,
    Precision,
    PrecisionSelection,
    QuantizationTrial,
    QuantizedModel,
    Target,
)
from weckd_edge.compile.backends import nncf_backend, openvino_backend, tensorrt_rtx_backend
from weckd_edge.compile.graph import load_graph
from weckd_edge.compile.quantize.calibration_images import calibration_frames, choose_images
from weckd_edge.compile.quantize.candidates import (
    choose_candidate,
    closest_candidate,
    explain_choice,
    is_whole_int8,
    score_candidate,
)
from weckd_edge.compile.quantize.fp16_variants import make_half
from weckd_edge.compile.quantize.qdq_nodes import leave_float
from weckd_edge.compile.quantize.quantize import (
    IMPORTED,
    ONNX_FILE,
    Calibration,
    calibrate,
    quantize,
    write_imported,
    write_quantized,
)
from weckd_edge.compile.quantize.ranges import METHODS, Method
from weckd_edge.compile.quantize.refused_nodes import MAX_TRIES, layers_to_leave_in_float
from weckd_edge.compile.quantize.sensitivity import rank_layers
from weckd_edge.compile.verify.implementations import Candidate, Predict, PredictionError
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.errors import MissingDependency, ModelError
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import file_ref, write_atomic
from weckd_edge.devices.bench.interleaved import InterleavedTiming, time_interleaved
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities, Runner
from weckd_edge.devices.runtime.backends.table import open_runner

if TYPE_CHECKING:
    from onnx import ModelProto

_RANKED_FRAMES = 32
_TIMED_FRAMES = 8
_PROVER = "tensorrt_rtx"

TimeModels = Callable[[Sequence[Runner], Sequence[NDArray[Any]]], list[InterleavedTiming]]
"""Times models in turn on the same frames: ``interleaved.time_interleaved``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeAwareNetwork:
    """A network trained further under int8 rounding.

    Attributes:
        link: Its record.
        exported: Its FP32 graph, which is good for nothing but int8.
        folder: Where the graph lies.
    """

    link: Link
    exported: ExportedModel
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class _WholeInt8:
    """An int8 graph as it was quantized, before anything of it was left in floating point.

    Attributes:
        name: Of the candidate it is.
        graph: With weights in floating point.
        calibration: Where its ranges are from.
        method: How they were clipped.
        aware: The network it was made from, where that is not the FP32 one.
    """

    name: str
    graph: ModelProto
    calibration: Calibration
    method: Method
    aware: Link | None


@dataclass(kw_only=True, slots=True)
class _Candidate:
    """One candidate under way.

    Attributes:
        trial: Its record.
        folder: Where its files lie.
        onnx: Its graph, as it would ship.
        runnable: What stands for that graph here, where the device builds its own from it.
        graph: For our int8, its graph with weights in floating point.
        whole: What that graph was made from.
        quantized: Its record as an int8 graph.
        built: What the processor runs.
        probabilities: Its answers on the validation images.
        refusal: What the backend said that could not build it.
    """

    trial: QuantizationTrial
    folder: Path
    onnx: Path
    runnable: Path | None = None
    graph: ModelProto | None = None
    whole: _WholeInt8 | None = None
    quantized: QuantizedModel | None = None
    built: BuiltModel | None = None
    probabilities: Probabilities | None = None
    refusal: ModelError | None = None


class Selector:
    """The search for one graph.

    Args:
        exported: The FP32 graph.
        source: The folder it lies in.
        images: The validation images.
        config: What to try, and the limits.
        calibration: Where ranges are found: an index, of which training images are taken, and the folder they lie in.
        predict: Gives what a candidate predicts of images.
        target: ``cpu`` builds and times every candidate; a Jetson builds its own engine, so that here only the graphs are
            judged, as they are written.
        folder: Where the chosen files go; exists and is empty.
        seed: Of the choice of calibration images.
        threads: Processor threads of the timing.
        host: This machine in words.
        progress: Where to show it.
        reduce_range: See ``quantize``.
        aware: Trains the network further under int8 rounding and exports it; None: that cannot be done.
        time_models: Times models in turn on the same frames; None: ``time_interleaved``.
    """

    def __init__(
        self,
        exported: ExportedModel,
        source: Path,
        images: SplitFrames,
        config: QuantizeConfig,
        *,
        calibration: tuple[DatasetIndex, Path],
        predict: Predict,
        target: Target,
        folder: Path,
        seed: int,
        threads: int,
        host: str,
        progress: Progress,
        reduce_range: bool = False,
        aware: Callable[[], QuantizeAwareNetwork] | None = None,
        time_models: TimeModels | None = None,
    ) -> None:
        self.exported, self.config = exported, config
        self.calibration_index, self.calibration_root = calibration
        self.fp32_onnx = source / exported.onnx.path
        self.source = source
        self.target: Target = target
        self.aware = aware
        self.time_models = time_models or time_interleaved
        self.folder = folder
        self.seed, self.threads, self.host, self.progress, self.reduce_range = seed, threads, host, progress, reduce_range
        self.images, self.predict = images.required("to choose a precision on"), predict
        self.candidates: list[_Candidate] = []
        self.refused: tuple[str, ...] = ()
        """Operators that a backend refuses in int8; every later candidate leaves them in floating point from the start."""
        self.tries = 0
        """How often something was refused; see ``MAX_TRIES``."""

    def run(self) -> PrecisionSelection:
        """Try, judge, time and choose.

        Raises:
            DataError: An image cannot be read.
            ModelError: Nothing could be made of the graph in the precision that was asked for, or FP32 cannot run.
        """
        if self.exported.quantized:
            return self._imported_int8()
        wanted = self.config.precision
        self._float("fp32")
        self._predict_candidates(self.candidates)
        if self.candidates[0].probabilities is None:
            raise ModelError(
                f"this network cannot run in FP32, which all others are compared with: {self.candidates[0].trial.note}",
                code="E_MODEL_PRECISION",
            )
        if wanted in ("auto", "fp16"):
            self._float("fp16")
        if wanted in ("auto", "int8"):
            self._int8()
        self._predict_candidates(self.candidates)
        eligible = [m for m in self.candidates if m.probabilities is not None and wanted in ("auto", m.trial.precision)]
        if wanted == "auto":
            eligible = [m for m in eligible if m.trial.within_limits]
        timed_on = self._time(eligible)
        chosen = self._choose(eligible)
        reason = explain_choice(
            chosen.trial,
            [m.trial for m in self.candidates],
            len(self.images),
            requested=wanted != "auto",
            timed=self.target == "cpu",
        )
        return self._keep(chosen, reason, timed_on)

    def _imported_int8(self) -> PrecisionSelection:
        """Take a graph that is quantized already as it is: nothing is calibrated, and no other precision tried."""
        candidate = self._new("int8 as imported", "int8", IMPORTED)
        candidate.quantized = write_imported(
            self.fp32_onnx, self.exported.onnx.sha256, self.target == "cpu", candidate.folder
        )
        if self.target == "cpu":
            self._build(candidate)
        self._predict_candidates([candidate])
        refusal = self._proof(candidate) if candidate.probabilities is not None else None
        if candidate.probabilities is None or refusal is not None:
            raise ModelError(
                f"the network is quantized already, and {refusal or candidate.trial.note}; bring the float network",
                code="E_MODEL_QUANTIZED",
            )
        candidate.trial = replace(candidate.trial, net_lost=None, divergence=None)
        timed_on = self._time([candidate])
        reason = "the network was quantized already: it is verified and measured as it is, and no other precision was tried"
        return self._keep(candidate, reason, timed_on)

    def _choose(self, eligible: Sequence[_Candidate]) -> _Candidate:
        """Return what is deployed: the best of those that can be built. Why one cannot is kept as its note.

        Raises:
            ModelError: None can.
        """
        left = list(eligible)
        while left:
            chosen = self._candidate_of(choose_candidate([m.trial for m in left]))
            refusal = self._proof(chosen)
            if refusal is None:
                return chosen
            left.remove(chosen)
            chosen.refusal = refusal
            chosen.trial = replace(chosen.trial, within_limits=False, note=f"cannot be built: {refusal}")
            again = self._without_refused(chosen)
            if again is not None and (again.trial.within_limits or self.config.precision != "auto"):
                left.append(again)
        requested = "" if self.config.precision == "auto" else f"{self.config.precision} "
        notes = "; ".join(f"{m.trial.name}: {m.trial.note}" for m in self.candidates if m.trial.note)
        raise ModelError(f"no {requested}form of this network could be made ({notes})", code="E_MODEL_PRECISION")

    def _proof(self, candidate: _Candidate) -> ModelError | None:
        """Return why the device could not build a candidate, as far as this host can tell; what is built here is proved."""
        if self.target == "cpu" or not is_installed(_PROVER):
            return None
        with self.progress.task(f"prove that {candidate.trial.name} can be built", 1):
            graphs = [candidate.onnx]
            if candidate.trial.precision != "fp32":
                half = candidate.runnable or candidate.folder / "half.onnx"
                try:
                    if candidate.runnable is None:
                        write_atomic(half, make_half(load_graph(candidate.onnx)).SerializeToString(deterministic=True))
                    graphs.append(half)
                except ModelError:
                    pass  # the recipe leaves this form out, and says so
            try:
                for graph in graphs:
                    tensorrt_rtx_backend.preflight(graph, candidate.folder)
            except ModelError as err:
                return err
        return None

    def _without_refused(self, candidate: _Candidate) -> _Candidate | None:
        """Add a candidate once more, with what the device refuses of it in floating point; None where that cannot help."""
        if candidate.whole is None or not self._refuse(candidate):
            return None
        again = self._add_int8(candidate.whole, candidate.trial.float_nodes)
        self._predict_candidates([again])
        return again if again.probabilities is not None else None

    def _refuse(self, candidate: _Candidate) -> bool:
        """Note what a backend refused of an int8 candidate; tell whether it is worth trying without."""
        self.tries += 1
        if candidate.refusal is None or candidate.graph is None or self.tries > MAX_TRIES:
            return False
        more = [
            name for name in layers_to_leave_in_float(candidate.refusal, candidate.graph.graph) if name not in self.refused
        ]
        self.refused = (*self.refused, *more)
        return bool(more)

    def _candidate_of(self, trial: QuantizationTrial) -> _Candidate:
        return next(candidate for candidate in self.candidates if candidate.trial is trial)

    def _float(self, precision: Precision) -> None:
        """Add a candidate that needs no calibration."""
        candidate = self._new(precision, precision, None)
        candidate.onnx = self.fp32_onnx
        if self.target == "cpu":
            self._build(candidate)
        elif precision == "fp16":
            candidate.runnable = candidate.folder / "half.onnx"
            try:
                write_atomic(candidate.runnable, make_half(load_graph(candidate.onnx)).SerializeToString(deterministic=True))
            except ModelError as err:
                candidate.trial = replace(candidate.trial, note=str(err))

    def _int8(self) -> None:
        """Add int8 candidates: the best of the ranges, NNCF's, and a mixed one where the best breaks a limit."""
        calibration = calibrate(
            self.exported,
            self.source,
            self.calibration_index,
            self.calibration_root,
            self.config,
            seed=self.seed,
            progress=self.progress,
        )
        self._ranges(calibration)
        if self.target == "cpu" and self.config.nncf and self.config.method == "auto" and is_installed("nncf"):
            self._nncf()
        self._predict_candidates(self.candidates)
        best = closest_candidate(
            [m.trial for m in self.candidates if is_whole_int8(m.trial) and m.probabilities is not None]
        )
        within = best is not None and best.within_limits
        if self.aware is not None and (self.config.qat == "always" or (self.config.qat == "when-needed" and not within)):
            self._trained_for_it(self.aware())
        if best is not None and not any(m.trial.within_limits and is_whole_int8(m.trial) for m in self.candidates):
            self._mixed(self._candidate_of(best))

    def _trained_for_it(self, aware: QuantizeAwareNetwork) -> None:
        """Add the same kinds of int8 of the network that was trained further for it."""
        calibration = calibrate(
            aware.exported,
            aware.folder,
            self.calibration_index,
            self.calibration_root,
            self.config,
            seed=self.seed,
            progress=self.progress,
        )
        self._ranges(calibration, aware.link)
        self._predict_candidates(self.candidates)

    def _ranges(self, calibration: Calibration, aware: Link | None = None) -> None:
        """Add an int8 candidate for each kind of range."""
        methods: Sequence[Method] = METHODS if self.config.method == "auto" else (self.config.method,)
        for method in methods:
            name = f"int8 {method}" + (", trained for it" if aware else "")
            try:
                graph = quantize(
                    calibration,
                    method,
                    open_sums=self.target == "jetson",
                    reduce_range=self.reduce_range,
                    progress=self.progress,
                )
            except ModelError as err:
                candidate = self._new(name, "int8", method)
                candidate.trial = replace(candidate.trial, note=str(err))
                continue
            self._add_int8(_WholeInt8(name=name, graph=graph, calibration=calibration, method=method, aware=aware))

    def _nncf(self) -> None:
        candidate = self._new("int8 nncf", "int8", "nncf")
        candidate.onnx = self.fp32_onnx
        chosen = choose_images(self.calibration_index, self.config.images, self.seed)
        frames = calibration_frames(self.calibration_root, chosen, self.exported.input.frame)
        try:
            with self.progress.task("int8 by NNCF", 1):
                candidate.built = nncf_backend.build_int8_ir(
                    self.fp32_onnx, frames, len(chosen), self.exported.network_input_name, candidate.folder
                )
        except (ModelError, MissingDependency) as err:
            candidate.trial = replace(candidate.trial, note=str(err))

    def _add_int8(self, whole: _WholeInt8, left: tuple[str, ...] = ()) -> _Candidate:
        """Add an int8 candidate; while it cannot be built here, one more with what was refused in floating point.

        Args:
            whole: What it is made from.
            left: Layers to leave in floating point.
        """
        fp32 = whole.calibration.graph
        layers = f", {len(left)} layer{'s' if len(left) > 1 else ''} in float" if left else ""
        while True:
            refused = f" without {len(self.refused)} refused" if self.refused else ""
            candidate = self._new(whole.name + layers + refused, "int8", whole.method, left, self.refused)
            candidate.whole, candidate.graph = whole, leave_float(whole.graph, {*left, *self.refused}, fp32)
            written = leave_float(candidate.graph, (), fp32)  # a copy, which the writing changes
            small = self.target == "cpu"
            candidate.quantized = write_quantized(
                whole.calibration, written, whole.method, small=small, folder=candidate.folder
            )
            if self.target == "cpu":
                self._build(candidate)
            if candidate.refusal is None or not self._refuse(candidate):
                return candidate

    def _mixed(self, best: _Candidate) -> None:
        """Leave one more of the most sensitive layers in floating point until the limits hold, twice as many each time."""
        int8, whole = best.graph, best.whole
        if int8 is None or whole is None or self.config.max_float_layers == 0:
            return
        chosen = choose_images(self.calibration_index, _RANKED_FRAMES, self.seed)
        frames = list(calibration_frames(self.calibration_root, chosen, self.exported.input.frame))
        order = [s.node for s in rank_layers(int8, whole.calibration.graph, self.exported.input_name, frames, self.progress)]
        count = 1
        while count <= min(self.config.max_float_layers, len(order) - 1):
            candidate = self._add_int8(whole, tuple(order[:count]))
            self._predict_candidates([candidate])
            if candidate.trial.within_limits:
                return
            count *= 2

    def _new(
        self,
        name: str,
        precision: Precision,
        method: str | None,
        float_nodes: tuple[str, ...] = (),
        refused: tuple[str, ...] = (),
    ) -> _Candidate:
        folder = self.folder / f"trial-{len(self.candidates)}"
        folder.mkdir()
        trial = QuantizationTrial(
            name=name, precision=precision, method=method, float_nodes=float_nodes, unsupported_nodes=refused
        )
        candidate = _Candidate(trial=trial, folder=folder, onnx=folder / ONNX_FILE)
        self.candidates.append(candidate)
        return candidate

    def _build(self, candidate: _Candidate) -> None:
        try:
            candidate.built = openvino_backend.build_ir(candidate.onnx, candidate.trial.precision, candidate.folder)
        except ModelError as err:
            candidate.refusal = err
            candidate.trial = replace(candidate.trial, note=f"cannot be built: {err}")

    def _predict_candidates(self, some: Sequence[_Candidate]) -> None:
        """Classify every validation image with the candidates that have not yet, and judge them."""
        waiting = [m for m in some if m.probabilities is None and not m.trial.note and (m.built or self.target == "jetson")]
        if not waiting:
            return
        with self.progress.task("answer validation images", len(waiting)) as task:
            for candidate in waiting:
                candidate.probabilities = self._predict_frame(candidate)
                task.advance()
        for candidate in waiting:
            reference = self.candidates[0].probabilities
            if candidate.probabilities is None or reference is None:
                continue
            refs = candidate.built.files if candidate.built else (file_ref(candidate.onnx.parent, candidate.onnx),)
            trial = replace(candidate.trial, bytes=sum(ref.bytes for ref in refs))
            labels, groups = self.exported.labels, self.images.groups
            candidate.trial = score_candidate(
                trial, candidate.probabilities, reference, self.images.labels, labels, groups, self.config
            )

    def _predict_frame(self, candidate: _Candidate) -> Probabilities | None:
        """Return what a candidate predicts; one that cannot is told and left out."""
        try:
            probabilities = self.predict(self.candidate(candidate), self.images)
        except PredictionError as err:
            candidate.trial = replace(candidate.trial, note=f"cannot answer: {err}")
            return None
        except ModelError as err:
            candidate.trial = replace(candidate.trial, note=f"cannot be opened: {err}")
            return None
        if not np.isfinite(probabilities).all():
            candidate.trial = replace(candidate.trial, note="answers with values that are no numbers")
            return None
        return probabilities

    @contextmanager
    def _opened(self, some: Sequence[_Candidate]) -> Iterator[list[tuple[_Candidate, Runner]]]:
        """Open candidates; one that cannot be opened is told and left out."""
        with ExitStack() as stack:
            runners: list[tuple[_Candidate, Runner]] = []
            for made in some:
                candidate = self.candidate(made)
                try:
                    runner = open_runner(
                        candidate.backend, candidate.model, threads=self.threads, reference=candidate.reference
                    )
                except ModelError as err:
                    made.trial = replace(made.trial, note=f"cannot be opened: {err}")
                    continue
                stack.callback(runner.close)
                runners.append((made, runner))
            yield runners

    def candidate(self, candidate: _Candidate) -> Candidate:
        """Return how a candidate is answered here."""
        precision = candidate.trial.precision
        if candidate.built is not None:
            model = candidate.folder / candidate.built.files[0].path
            return Candidate(backend=candidate.built.backend, model=model, precision=precision)
        return Candidate(
            backend="onnxruntime", model=candidate.runnable or candidate.onnx, precision=precision, reference=True
        )

    def _time(self, eligible: Sequence[_Candidate]) -> str | None:
        """Time FP32 and what may ship, in turn; of whole int8 graphs, which are equally fast, the closest alone."""
        if self.target != "cpu":
            return None
        whole = [m.trial for m in eligible if is_whole_int8(m.trial)]
        best = closest_candidate(whole)
        others = [m for m in eligible if m.trial not in whole and m is not self.candidates[0]]
        field = [self.candidates[0], *([self._candidate_of(best)] if best else []), *others]
        frames = list(self.images.take(range(min(_TIMED_FRAMES, len(self.images)))))
        with self._opened(field) as opened, self.progress.task("time candidates", 1):
            timings = self.time_models([runner for _, runner in opened], frames)
        for (candidate, _), timing in zip(opened, timings, strict=True):
            candidate.trial = replace(
                candidate.trial,
                median_ns=timing.median_ns,
                relative_time=timing.relative,
                relative_low=timing.low,
                relative_high=timing.high,
            )
        return self.host

    def _keep(self, chosen: _Candidate, reason: str, timed_on: str | None) -> PrecisionSelection:
        """Move the chosen files to the folder, and drop the others."""
        path = self.folder / ONNX_FILE
        shutil.copyfile(chosen.onnx, path)
        for ref in chosen.built.files if chosen.built else ():
            shutil.copyfile(chosen.folder / ref.path, self.folder / ref.path)
        for candidate in self.candidates:
            shutil.rmtree(candidate.folder)
        return PrecisionSelection(
            trials=tuple(candidate.trial for candidate in self.candidates),
            chosen=chosen.trial.name,
            reason=reason,
            images=len(self.images),
            timed_on=timed_on,
            precision=chosen.trial.precision,
            onnx=file_ref(self.folder, path),
            quantized=chosen.quantized,
            built=chosen.built,
            quantize_aware_link=chosen.whole.aware if chosen.whole else None,
        )
