"""A model that a bench measures: how it is opened, with its guard, as the network alone, and in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import weckd_edge
from weckd_edge.artifacts import InputSpec, Int8Count, OperatingPoint
from weckd_edge.core.errors import ModelError
from weckd_edge.core.serialization import to_json
from weckd_edge.devices.runtime.backends.base import ModelSource, NetworkRunner
from weckd_edge.devices.runtime.backends.int8_layers import count_if_int8
from weckd_edge.devices.runtime.backends.table import BACKENDS, open_network
from weckd_edge.devices.runtime.decision import FramePredictor
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner
from weckd_edge.devices.runtime.input_guard import OpenGuard

_COLD_TIMEOUT_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ColdStart:
    """Cost of the first prediction of a fresh process.

    Attributes:
        first_prediction_ns: Time from opening the model to its first prediction, nanoseconds; loading the library itself is
            not counted.
        peak_rss_bytes: Largest resident memory of the process; None where Linux does not tell.
    """

    first_prediction_ns: int
    peak_rss_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchedModel:
    """A model that is measured.

    Attributes:
        backend: Name in the backend table.
        model: The file to open, or the proved bytes of a bundle.
        input: The camera frame, and the network's input.
        precision: Precision of the model, for the record.
        labels: Class names, in the order of the network's outputs.
        network_input_name: Tensor at which the graph is cut to time the network alone.
        onnx: The graph the model was built from; it is cut where the built model has lost that tensor.
        guard: Input guard that looks at each frame. Its time counts, and every frame is predicted, whatever it says. None:
            the model has no guard.
        operating_point: How probabilities become a decision.
        half: Whether it computes in float16 wherever a layer is not int8.
        by_device: Whether ``finalize`` chose it on this device.
        note: Why a choice that lies in the bundle's folder was not followed; empty where there is nothing to say.
    """

    backend: str
    model: ModelSource
    input: InputSpec
    precision: str
    labels: tuple[str, ...]
    network_input_name: str
    onnx: ModelSource | None = None
    guard: OpenGuard | None = None
    operating_point: OperatingPoint = field(default_factory=OperatingPoint)
    half: bool = False
    by_device: bool = False
    note: str = ""

    def open(self, threads: int) -> FrameRunner:
        """Open the whole model, with its guard.

        Raises:
            WeckdError: The model cannot be opened here.
        """
        return open_frame_runner(self.backend, self.model, self.input, guard=self.guard, threads=threads, half=self.half)

    def predictor(self, runner: FrameRunner) -> FramePredictor:
        """Return what is timed end to end: from a frame to a decision, as ``predict`` does it."""
        return FramePredictor(runner=runner, labels=self.labels, operating_point=self.operating_point)

    def open_network(self, threads: int) -> tuple[NetworkRunner, str]:
        """Open the network without its preprocessing; return it and a note, empty where the built model itself was cut.

        Raises:
            ModelError: The network cannot be cut out here; its text says why.
        """
        if not BACKENDS[self.backend].network_only:
            raise ModelError(f"{self.backend} cannot cut a graph", code="E_MODEL_BACKEND_MODE")
        try:
            return self._cut(self.model, threads), ""
        except ModelError:
            if self.onnx is None or self.onnx == self.model:
                raise
        note = (
            f"the network alone was timed on {self.onnx.name}: in {self.model.name} it cannot be told from the preprocessing"
        )
        return self._cut(self.onnx, threads), note

    def _cut(self, model: ModelSource, threads: int) -> NetworkRunner:
        return open_network(self.backend, model, self.network_input_name, threads=threads, half=self.half)

    def count_int8(self) -> Int8Count | None:
        """Count the layers that run in int8 on this processor; None for other precisions, and where nobody can tell."""
        return count_if_int8(self.backend, self.precision, self.model, self.network_input_name)

    def cold_start(self, frames: NDArray[np.uint8], threads: int) -> ColdStart:
        """Open the model in a fresh process and run it once.

        Raises:
            ModelError: The process failed, or took too long.
        """
        return measure_cold_start(self, frames, threads)


def measure_cold_start(
    benched: BenchedModel,
    frames: NDArray[np.uint8],
    threads: int,
    *,
    python: str = sys.executable,
    timeout_s: float = _COLD_TIMEOUT_S,
) -> ColdStart:
    """Open a model in a fresh process, so that nothing this process has loaded counts, and run it once.

    Args:
        benched: The model.
        frames: One frame, uint8 ``[1, H, W, 3]``.
        threads: Processor threads that the query may use.
        python: Interpreter of the process.
        timeout_s: Longest time that the process may take, seconds.

    Raises:
        ModelError: The process failed, or took too long.
    """
    model = benched.model
    package = Path(weckd_edge.__file__).parent.parent
    code = (  # ours first, as another version may be installed; behind everything else for whatever is imported next
        f"import sys; sys.path.insert(0, {str(package)!r}); import weckd_edge; sys.path.append(sys.path.pop(0)); "
        "from weckd_edge.devices.bench.cold_start import main; main()"
    )
    with tempfile.TemporaryDirectory(prefix="weckd-bench-") as folder:
        path = Path(folder) / "frame.npy"
        np.save(path, frames)
        file = model.resolve() if isinstance(model, Path) else model.write(Path(folder))
        command = [python, "-c", code, benched.backend, str(file), to_json(benched.input), str(path), str(threads)]
        command.append("f16" if benched.half else "f32")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as err:
            raise ModelError(
                f"{model.name}: expected a first prediction of a fresh process within {timeout_s:g} s, got none",
                code="E_MODEL_COLD_START",
            ) from err
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"{model.name}: a fresh process could not predict one frame ({last})", code="E_MODEL_COLD_START")
    record = json.loads(done.stdout.splitlines()[-1])
    rss = record["peak_rss_bytes"]
    return ColdStart(first_prediction_ns=int(record["cold_start_ns"]), peak_rss_bytes=None if rss is None else int(rss))
