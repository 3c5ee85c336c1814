"""Select a precision: candidates are made, scored on validation images and timed; the fastest within the limits is deployed.

Calibration never sees the validation images, and the test images take no part here, so that figures
measured on them are not flattered by the choice.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weckd_edge.artifacts import BuiltModel, PrecisionSelection, QuantizationTrial
from weckd_edge.compile.quantize.calibration_images import CalibrationImages
from weckd_edge.compile.quantize.candidates.base import Deployment, FloatNetwork, PrecisionCandidate
from weckd_edge.compile.quantize.candidates.choose import (
    choose_candidate,
    closest_candidate,
    compare_precisions,
    explain_choice,
    is_whole_int8,
    rank_listed,
)
from weckd_edge.compile.quantize.candidates.evaluate import Evaluation
from weckd_edge.compile.quantize.candidates.make import CandidateMaker
from weckd_edge.compile.quantize.candidates.prove import find_refusal
from weckd_edge.compile.quantize.quantize import ONNX_FILE
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import file_ref, sha256_file
from weckd_edge.devices.runtime.backends.table import find_backend

FLOAT_FILE = "float.onnx"
"""File name of the graph in floating point, where the deployed model's graph is int8."""

INT8_FILE = "int8.onnx"
"""File name of the int8 graph, where the deployed model's is in floating point; of OpenVINO's int8 with ``.xml``."""


class Selector:
    """The search for the graph of one network that is deployed.

    Args:
        network: Network to choose a precision for.
        calibration: Training images that ranges are found on.
        evaluation: Validation images, and how candidates are run on them.
        config: Settings of the search: precisions, methods and limits.
        deployment: Device that the graph will run on.
        folder: Folder for the chosen files; exists and is empty.
        progress: Receiver of the progress.

    Raises:
        DataError: There is no validation image.
    """

    def __init__(
        self,
        network: FloatNetwork,
        calibration: CalibrationImages,
        evaluation: Evaluation,
        config: QuantizeConfig,
        deployment: Deployment,
        folder: Path,
        progress: Progress,
    ) -> None:
        self.network, self.evaluation, self.config, self.deployment = network, evaluation, config, deployment
        self.folder, self.progress = folder, progress
        self.images = evaluation.images.required("to choose a precision on")
        self.maker = CandidateMaker(network, calibration, config, deployment, folder=folder, progress=progress)

    @property
    def candidates(self) -> list[PrecisionCandidate]:
        """Every candidate made so far; the first is FP32, or the user's own int8 graph."""
        return self.maker.made

    def run(self) -> PrecisionSelection:
        """Make candidates, score them, time them and choose one.

        Raises:
            DataError: An image cannot be read.
            ModelError: Nothing could be made of the graph in the precision that was asked for, or FP32 cannot run.
        """
        if self.network.exported.quantized:
            return self._take_imported_int8()
        wanted = self.config.precision
        fp32 = self.maker.add_float("fp32")
        self._score(self.candidates)
        if fp32.probabilities is None:
            raise ModelError(
                f"this network cannot run in FP32, which all others are compared with: {fp32.trial.note}",
                code="E_MODEL_PRECISION",
            )
        if wanted in ("auto", "fp16"):
            self.maker.add_float("fp16")
        if wanted in ("auto", "int8"):
            self._add_int8()
        self._score(self.candidates)
        if self.deployment.target == "cpu":
            self._add_other_runtimes()
        eligible = self._eligible()
        timed_on = self._time(eligible)
        chosen = self._choose([c for c in eligible if self._can_be_deployed(c)])
        reason = explain_choice(
            chosen.trial,
            [c.trial for c in self.candidates],
            len(self.images),
            requested=wanted != "auto",
            timed=self.deployment.target == "cpu",
        )
        return self._keep(chosen, reason, timed_on)

    def _take_imported_int8(self) -> PrecisionSelection:
        """Take a graph that is quantized already as it is: nothing is calibrated, and no other precision tried."""
        candidate = self.maker.add_imported()
        self._score([candidate])
        refusal = self._refusal(candidate) if candidate.probabilities is not None else None
        if candidate.probabilities is None or refusal is not None:
            raise ModelError(
                f"the network is quantized already, and {refusal or candidate.trial.note}; import the float network",
                code="E_MODEL_QUANTIZED",
            )
        if self.deployment.target == "cpu":
            self._add_other_runtimes()
        candidate.trial = replace(candidate.trial, net_lost=None, divergence=None)
        timed_on = self._time(self.candidates)
        reason = "the network was quantized already: it is verified and measured as it is, and no other precision was tried"
        return self._keep(candidate, reason, timed_on)

    def _eligible(self) -> list[PrecisionCandidate]:
        """Return the candidates that may be deployed."""
        wanted = self.config.precision
        scored = [c for c in self.candidates if c.probabilities is not None and wanted in ("auto", c.trial.precision)]
        return scored if wanted != "auto" else [c for c in scored if c.trial.within_limits]

    def _can_be_deployed(self, candidate: PrecisionCandidate) -> bool:
        """Tell whether a candidate runs here and in firmware. Of a precision that was asked for, OpenVINO runs it."""
        if self.deployment.target == "jetson":
            return True
        if not find_backend(candidate.trial.backend).firmware:
            return False
        return candidate.runnable is None and (self.config.precision == "auto" or candidate.trial.backend == "openvino")

    def _add_other_runtimes(self) -> None:
        """Add the graphs that a bundle could list as ONNX Runtime and LiteRT run them, and FP32 as computed in float16.

        One int8 graph serves all backends: of our own, the one whose predictions stay closest to FP32's.
        """
        is_quantized = self.network.exported.quantized
        own = [c.trial for c in self._eligible() if c.quantized is not None]
        best = closest_candidate(own)
        if is_installed("onnxruntime"):
            if self.config.precision != "int8" and not is_quantized:
                self.maker.add_onnxruntime(self.candidates[0])
            if best is not None:
                self.maker.add_onnxruntime(self.maker.find(best))
        if is_installed("ai_edge_litert") and best is not None:
            self.maker.add_litert(self.maker.find(best))
        if self.config.precision == "auto" and not is_quantized:
            self.maker.add_arithmetic_in_half()
        self._score(self.candidates)

    def _add_int8(self) -> None:
        """Add int8 candidates: the best of the ranges, NNCF's, and a mixed one where the best breaks a limit."""
        self.maker.add_ranges(self.network)
        if self.deployment.target == "cpu" and self.config.nncf and self.config.method == "auto" and is_installed("nncf"):
            self.maker.add_nncf()
        self._score(self.candidates)
        best = self._closest_int8()
        within = best is not None and best.within_limits
        train, when = self.network.train_for_int8, self.config.qat
        if train is not None and (when == "always" or (when == "when-needed" and not within)):
            self.maker.add_ranges(train())
            self._score(self.candidates)
            best = self._closest_int8()
        if best is not None and not any(c.trial.within_limits and is_whole_int8(c.trial) for c in self.candidates):
            self._add_mixed(self.maker.find(best))

    def _closest_int8(self) -> QuantizationTrial | None:
        """Return the trial with every layer in int8 that is closest to FP32, trained for it or not; None without one."""
        return closest_candidate(
            [c.trial for c in self.candidates if is_whole_int8(c.trial) and c.probabilities is not None]
        )

    def _add_mixed(self, best: PrecisionCandidate) -> None:
        """Leave the most sensitive layers in float until the limits hold: twice as many each time, then all allowed."""
        if best.whole is None or self.config.max_float_layers == 0:
            return
        order = self.maker.rank_layers(best)
        most = min(self.config.max_float_layers, len(order) - 1)
        count = min(1, most)
        while count > 0:
            candidate = self.maker.add_int8(best.whole, tuple(order[:count]))
            self._score([candidate])
            if candidate.trial.within_limits or count == most:
                return
            count = min(2 * count, most)

    def _score(self, candidates: Sequence[PrecisionCandidate]) -> None:
        """Score the candidates that can be run and were not scored yet."""
        built_there = self.deployment.target == "jetson"
        waiting = [c for c in candidates if c.probabilities is None and not c.trial.note and (c.built or built_there)]
        if waiting:
            self.evaluation.score(waiting, self.candidates[0], self.config, self.progress)

    def _time(self, eligible: Sequence[PrecisionCandidate]) -> str | None:
        """Time FP32, the eligible candidates and other runtimes; of whole int8 graphs, as fast, the closest to FP32 alone.

        Returns:
            This machine in words; None where the device builds its own engine, so that nothing is timed here.
        """
        if self.deployment.target != "cpu":
            return None
        names = {c.trial.name for c in eligible} | {c.trial.name for c in self.candidates if c.trial.backend != "openvino"}
        here = [c for c in self.candidates if c.trial.name in names and c.runnable is None and c.probabilities is not None]
        whole = [c.trial for c in here if is_whole_int8(c.trial) and c.trial.backend == "openvino"]
        best = closest_candidate(whole)
        others = [c for c in here if c.trial not in whole and c is not self.candidates[0]]
        field = [self.candidates[0], *([self.maker.find(best)] if best else []), *others]
        self.evaluation.time(field, self.deployment.threads, self.progress)
        return self.deployment.host

    def _choose(self, eligible: Sequence[PrecisionCandidate]) -> PrecisionCandidate:
        """Return the candidate that is deployed, the best that can be built; one that cannot keeps the reason as its note.

        Raises:
            ModelError: No candidate can be built.
        """
        left = list(eligible)
        while left:
            chosen = self.maker.find(choose_candidate([c.trial for c in left]))
            refusal = self._refusal(chosen)
            if refusal is None:
                return chosen
            left.remove(chosen)
            chosen.refusal = refusal
            chosen.trial = replace(chosen.trial, within_limits=False, note=f"cannot be built: {refusal}")
            again = self._without_refused(chosen)
            if again is not None and (again.trial.within_limits or self.config.precision != "auto"):
                left.append(again)
        requested = "" if self.config.precision == "auto" else f"{self.config.precision} "
        notes = "; ".join(f"{c.trial.name}: {c.trial.note}" for c in self.candidates if c.trial.note)
        raise ModelError(f"no {requested}form of this network could be made ({notes})", code="E_MODEL_PRECISION")

    def _refusal(self, candidate: PrecisionCandidate) -> ModelError | None:
        """Return why the device could not build a candidate, as far as this host can tell; a model built here is proved."""
        return None if self.deployment.target == "cpu" else find_refusal(candidate, self.progress)

    def _without_refused(self, candidate: PrecisionCandidate) -> PrecisionCandidate | None:
        """Add a candidate once more, with the refused operators in floating point; None where that cannot help."""
        if candidate.whole is None or not self.maker.note_refusal(candidate):
            return None
        again = self.maker.add_int8(candidate.whole, candidate.trial.float_nodes)
        self._score([again])
        return again if again.probabilities is not None else None

    def _keep(self, chosen: PrecisionCandidate, reason: str, timed_on: str | None) -> PrecisionSelection:
        """Move the files of what the bundle lists to the folder, and drop the others."""
        path = self.folder / ONNX_FILE
        shutil.copyfile(chosen.onnx, path)
        listed = self._listed(chosen)
        models = tuple(self._place(candidate, is_deployed=candidate is chosen) for candidate in listed)
        for candidate in self.candidates:
            shutil.rmtree(candidate.folder)
        trials = tuple(candidate.trial for candidate in self.candidates)
        return PrecisionSelection(
            trials=trials,
            chosen=chosen.trial.name,
            reason=reason,
            images=len(self.images),
            timed_on=timed_on,
            precision=chosen.trial.precision,
            onnx=file_ref(self.folder, path),
            quantized=chosen.quantized,
            models=models,
            listed=tuple(candidate.trial.name for candidate in listed),
            backends=compare_precisions(trials),
            quantize_aware_link=chosen.whole.int8_link if chosen.whole else None,
        )

    def _listed(self, chosen: PrecisionCandidate) -> list[PrecisionCandidate]:
        """Return the candidates that are listed, the deployed one first; none where the device builds its own.

        Each is within the limits and was timed here; one that this processor cannot run was shown to another form of it.
        Of a precision that was asked for, the graph is listed alone.
        """
        if self.deployment.target != "cpu":
            return []
        wanted = self.config.precision
        pool = [
            c
            for c in self.candidates
            if c.built is not None
            and c.probabilities is not None
            and (c.trial.within_limits or c is chosen or wanted == c.trial.precision)
            and (c.trial.median_ns is not None or c.runnable is not None)
            and (c is chosen or c.trial.precision != "fp16" or c.built.half)  # weights in FP16 are FP32 again as it computes
            and (wanted == "auto" or (c.trial.precision == "int8") == (chosen.trial.precision == "int8"))
        ]
        listed = [self.maker.find(trial) for trial in rank_listed(chosen.trial, [c.trial for c in pool])]
        graphs = {sha256_file(c.onnx) for c in listed if c is chosen or c.trial.backend == "onnxruntime"}
        # LiteRT's file is written anew from its graph when the temperature is known.
        return [c for c in listed if c.trial.backend != "litert" or sha256_file(c.onnx) in graphs]

    def _place(self, candidate: PrecisionCandidate, *, is_deployed: bool) -> BuiltModel:
        """Copy a candidate's files to the folder and return its record: an IR is only needed where it is deployed, or int8.

        OpenVINO reads a graph in floating point as it is; Q/DQ pairs need the conversion that an IR has behind it.
        LiteRT reads no graph.
        """
        built = candidate.built
        if built is None:
            raise ValueError(f"{candidate.trial.name} was not built")
        is_int8 = candidate.trial.precision == "int8"
        if built.files[0].path.endswith(".onnx") or not (is_deployed or is_int8):
            graph = self._place_graph(candidate, is_int8=is_int8)
            return replace(built, files=(file_ref(self.folder, graph),))
        stem = Path(ONNX_FILE if is_deployed else INT8_FILE).stem
        placed = []
        for ref in built.files:
            path = self.folder / f"{stem}{Path(ref.path).suffix}"
            shutil.copyfile(candidate.folder / ref.path, path)
            placed.append(file_ref(self.folder, path))
        return replace(built, files=tuple(placed))

    def _place_graph(self, candidate: PrecisionCandidate, *, is_int8: bool) -> Path:
        """Copy a candidate's graph to the folder, unless it is the deployed model's, and return its path."""
        deployed = self.folder / ONNX_FILE
        if sha256_file(candidate.onnx) == sha256_file(deployed):
            return deployed
        path = self.folder / (INT8_FILE if is_int8 else FLOAT_FILE)
        shutil.copyfile(candidate.onnx, path)
        return path
