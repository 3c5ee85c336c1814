"""What int8 and the preprocessing cost in a finished bundle: ``python benchmarks/bench_inference.py BUNDLE WORK``.

The deployed int8 model, the same link in FP32, and the int8 network without its preprocessing run in turns, a frame each.
WORK is the build's own folder (BUNDLE.work), which holds the FP32 graph. Appends one line to results/inference.jsonl.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import append

from weckd_edge.bundle.reader import open_bundle
from weckd_edge.devices.runtime.backends.base import AnyRunner
from weckd_edge.devices.runtime.backends.table import open_network
from weckd_edge.devices.runtime.frame_runner import open_frame_runner
from weckd_edge.devices.runtime.golden_arrays import load_golden_frames

ROUNDS, WARMUP = 1000, 50


def main() -> None:
    bundle, work = open_bundle(Path(sys.argv[1])), Path(sys.argv[2])
    frames = load_golden_frames(bundle)
    manifest = bundle.manifest
    onnx = bundle.folder / manifest.onnx.path
    fp32 = sorted(work.glob("export-M*"))[-1] / "model.onnx"
    network = open_network("openvino", onnx, manifest.network_input_name)
    single = [np.ascontiguousarray(frame[None]) for frame in frames]
    runs: dict[str, tuple[AnyRunner, list[NDArray[Any]]]] = {
        "frame_to_answer_int8": (open_frame_runner("openvino", onnx, manifest.input), single),
        "frame_to_answer_fp32": (open_frame_runner("openvino", fp32, manifest.input), single),
        "network_alone_int8": (network, [np.zeros(network.input_shape, network.dtype)]),
    }
    times: dict[str, list[int]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + WARMUP):
        for name, (runner, inputs) in runs.items():
            frame = inputs[round_ % len(inputs)]
            start_ns = time.monotonic_ns()
            runner.run(frame)
            if round_ >= WARMUP:
                times[name].append(time.monotonic_ns() - start_ns)
    medians = {name: statistics.median(samples) for name, samples in times.items()}
    spec = manifest.input
    append(
        "inference",
        f"{spec.frame.width}x{spec.frame.height} frames to {spec.network.size_text} px, OpenVINO, one thread",
        times,
        ["openvino"],
        ratio_fp32_over_int8=round(medians["frame_to_answer_fp32"] / medians["frame_to_answer_int8"], 3),
        ratio_frame_over_network=round(medians["frame_to_answer_int8"] / medians["network_alone_int8"], 3),
    )


if __name__ == "__main__":
    main()
