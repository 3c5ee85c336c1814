"""Time between a camera frame and its decision: ``python benchmarks/bench_frame.py [--rounds N] [NAME=IR:SIDE]...``.

One uint8 frame of 640x480 or of 1920x1080, one core, OpenVINO, int8, random weights (they do not matter to time). In one
process, in turns of a few frames each, of which the first does not count:

- ``network``: the network alone, from a tensor that is ready;
- ``area``: what a bundle runs: input guard and front end, which resizes by area, graph, decision;
- ``guard``, ``front_end``, ``graph``, ``decision``: the parts of ``area``, each alone; guard and front end share one pass in
  the whole where the compiled library is there;
- ``opencv``: the usual way: crop and resize by area by OpenCV, mean and layout by NumPy, then the same network, without
  guard and decision. Left out, with a word, where OpenCV is not installed;
- ``NAME``: any other tool's classifier, for which IR is an OpenVINO file that takes float32 ``[1, 3, SIDE, SIDE]`` in 0..1:
  fed by OpenCV, divided by 255. It is timed beside every network.

On a machine that others use too, ``chrt --rr 10 python ...`` keeps them off the core while it runs (the line says so).
Appends one line for each network, size and frame to results/frame.jsonl.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from phantom_set import draw_set
from record import append

from weckd_edge.artifacts import (
    DatasetIndex,
    FrameGuard,
    FrameSpec,
    InputSpec,
    NetworkInput,
    OperatingPoint,
    QualityLimits,
)
from weckd_edge.compile.backends import openvino_backend
from weckd_edge.compile.export.onnx_export import export_onnx
from weckd_edge.compile.quantize.forms import PROCESSOR
from weckd_edge.compile.quantize.quantize import calibrate, quantize, write_quantized
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.native.library import describe_library
from weckd_edge.devices.runtime.backends.table import open_network
from weckd_edge.devices.runtime.decision import FramePredictor
from weckd_edge.devices.runtime.frame_runner import open_frame_runner
from weckd_edge.devices.runtime.input_guard import FEATURES, OpenGuard
from weckd_edge.train.networks.preprocess import MIDDLE_GREY

MODELS = ("mobilenetv2_035", "mobilenetv4_conv_small_050")
SIDES = (96, 128, 224)
FRAMES = ((480, 640), (1080, 1920))
ROUNDS, REPEATS, WARMUP = 100, 4, 10
Query = Callable[[], Any]

GUARD = FrameGuard(
    limits=QualityLimits(min_contrast=0.0, max_dark_fraction=1.0),
    mean=(0.0,) * FEATURES,
    whitening=tuple((0.01,) * (row + 1) for row in range(FEATURES)),
    max_ood_score=1e30,
)
"""A guard that measures all that a fitted one does, and refuses nothing."""


def input_of(side: int, size: tuple[int, int]) -> InputSpec:
    grey = (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY)
    return InputSpec(
        frame=FrameSpec(height=size[0], width=size[1], crop="center", resize="area"),
        network=NetworkInput(height=side, width=side, mean=grey, std=(0.25,) * 3),
    )


def build(model: str, spec: InputSpec, data: tuple[Path, DatasetIndex], folder: Path) -> Path:
    """Write the int8 graph and its IR; return the folder."""
    torch.manual_seed(0)
    network = timm.create_model(model, num_classes=len(data[1].labels)).eval()
    folder.mkdir(parents=True)
    exported = export_onnx(network, spec, data[1].labels, "0" * 64, folder)
    silent = SilentProgress()
    out = folder / "int8"
    out.mkdir()
    seen = calibrate(exported, folder, data[1], data[0], QuantizeConfig(images=8), seed=0, progress=silent)
    int8 = quantize(seen, "minmax", PROCESSOR, progress=silent)
    write_quantized(seen, int8, "minmax", small=True, folder=out)
    openvino_backend.build_ir(out / "model.onnx", "int8", out)
    return out


def open_predictor(folder: Path, spec: InputSpec, labels: tuple[str, ...]) -> FramePredictor:
    """Open what a bundle runs: front end with guard, graph, decision."""
    runner = open_frame_runner("openvino", folder / "model.xml", spec, guard=OpenGuard(GUARD, spec.frame))
    return FramePredictor(runner=runner, labels=labels, operating_point=OperatingPoint())


def opencv_crop(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import cv2

    height, width = frame.shape[1:3]
    left = (width - height) // 2
    resized: NDArray[np.uint8] = cv2.resize(frame[0, :, left : left + height], (side, side), interpolation=cv2.INTER_AREA)
    return resized


def variants(
    model: str,
    side: int,
    size: tuple[int, int],
    data: tuple[Path, DatasetIndex],
    others: dict[str, tuple[Path, int]],
) -> dict[str, Query]:
    frame = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    place, labels = data[0].parent / f"{model}-{side}-{size[0]}", data[1].labels
    spec = input_of(side, size)
    built = build(model, spec, data, place)
    area = open_predictor(built, spec, labels)
    network = open_network("openvino", built / "model.onnx", "network_input")
    ready = np.random.default_rng(0).integers(-128, 128, network.input_shape).astype(np.float32)
    front_end, graph = area.runner.front_end, area.runner.graph
    pixels = front_end.pixels(frame)
    probabilities = graph.run(pixels)
    runs: dict[str, Query] = {
        "network": lambda: network.run(ready),
        "area": lambda: area.run(frame),
        "guard": lambda: front_end.check(frame),
        "front_end": lambda: front_end.pixels(frame),
        "graph": lambda: graph.run(pixels),
        "decision": lambda: area.decide(probabilities),
    }
    if importlib.util.find_spec("cv2") is None:
        print("opencv: not installed, so the usual way is not measured (pip install opencv-python-headless)")
        return runs
    import cv2

    cv2.setNumThreads(1)

    def usual() -> Any:
        pixels = opencv_crop(frame, side).transpose(2, 0, 1)[None]
        return network.run(np.ascontiguousarray(pixels.astype(np.float32) - np.float32(128)))

    runs["opencv"] = usual
    for name, (path, other_side) in others.items():
        other = open_network_of(path)

        def foreign(other: Any = other, other_side: int = other_side) -> Any:
            pixels = opencv_crop(frame, other_side).transpose(2, 0, 1)[None]
            return other.run(np.ascontiguousarray(pixels.astype(np.float32) / np.float32(255)))

        runs[name] = foreign
    return runs


def open_network_of(path: Path) -> Any:
    """Open a file whose input is no frame."""
    ov = require("openvino", "compare with the graph as it is written")
    model = ov.Core().read_model(str(path))
    return open_network("openvino", path, next(iter(model.input(0).get_names())))


def measure(runs: dict[str, Query], rounds: int) -> dict[str, list[int]]:
    times: dict[str, list[int]] = {name: [] for name in runs}
    order, random = list(runs), Random(0)
    for round_ in range(rounds + WARMUP):
        random.shuffle(order)
        for name in order:
            run = runs[name]
            run()  # not counted: it finds another one's data in the processor's caches
            for _ in range(REPEATS):
                start_ns = time.monotonic_ns()
                run()
                if round_ >= WARMUP:
                    times[name].append(time.monotonic_ns() - start_ns)
    return times


def ratio(above: list[int], below: list[int]) -> float:
    """Return the median of the ratios within each round: what disturbs a round disturbs both."""
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 3)


def main() -> None:
    arguments, rounds, others = sys.argv[1:], ROUNDS, {}
    if arguments[:1] == ["--rounds"]:
        rounds, arguments = int(arguments[1]), arguments[2:]
    for argument in arguments:
        name, _, rest = argument.partition("=")
        path, _, pixels = rest.rpartition(":")
        others[name] = (Path(path), int(pixels))
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "phantoms"
        index = draw_set(root, images=160)
        for model, side, size in ((m, s, f) for m in MODELS for s in SIDES for f in FRAMES):
            runs = variants(model, side, size, (root, index), others)
            times = measure(runs, rounds)
            height, width = size
            print(f"\n{model}, {side} px, {width}x{height}")
            append(
                "frame",
                f"one {width}x{height} frame to {model} at {side} px, int8, OpenVINO, one core",
                times,
                ["openvino", "numpy", "timm", *(["opencv-python-headless"] if "opencv" in runs else [])],
                realtime_priority=os.sched_getparam(0).sched_priority,
                compiled_library=describe_library(),
                **{f"ratio_{name}_over_network": ratio(times[name], times["network"]) for name in runs if name != "network"},
                **{f"ratio_{name}_over_area": ratio(times[name], times["area"]) for name in others if name in runs},
            )


if __name__ == "__main__":
    main()
