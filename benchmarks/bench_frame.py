"""Time between a camera frame and its prediction: ``python benchmarks/bench_frame.py [NAME=IR:SIDE]...``.

One 640x480 uint8 frame, one core, OpenVINO, int8, random weights (they do not matter to time). In one process, in turns of a
few frames each, of which the first does not count:

- ``network``: the network alone, from a tensor that is ready;
- ``frame``: our graph, from the frame;
- ``bilinear``: the same with ``resize = "bilinear"``, for networks that were trained with it;
- ``opencv``: the usual way: centre crop and bilinear resize by OpenCV, mean and layout by NumPy, then the same network (less
  is done than usual: this network's scale is in its weights). Left out, with a word, where OpenCV is not installed;
- ``NAME``: any other tool's classifier, for which IR is an OpenVINO file that takes float32 ``[1, 3, SIDE, SIDE]`` in 0..1:
  fed by OpenCV, divided by 255. It is timed beside every network.

On a machine that others use too, ``chrt --rr 10 python ...`` keeps them off the core while it runs (the line says so).
Appends one line for each network and size to results/frame.jsonl.
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
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from record import append

from weckd_edge.artifacts import DatasetIndex, FrameSpec, InputSpec, NetworkInput
from weckd_edge.compile.backends import openvino_backend
from weckd_edge.compile.export.onnx_export import export_onnx
from weckd_edge.compile.quantize.quantize import calibrate, quantize, write_quantized
from weckd_edge.config import DataConfig, QuantizeConfig
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.runtime.backends.table import open_network, open_runner
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.synth.phantoms import write_phantoms
from weckd_edge.train.networks.preprocess import MIDDLE_GREY

MODELS = ("mobilenetv2_035", "mobilenetv4_conv_small_050")
SIDES = (96, 128, 224)
HEIGHT, WIDTH = 480, 640
ROUNDS, REPEATS, WARMUP = 100, 4, 10
Query = Callable[[], Any]


def build(
    model: str, side: int, resize: Literal["diagonal", "bilinear"], data: tuple[Path, DatasetIndex], folder: Path
) -> Path:
    """Write the int8 graph and its IR; return the folder."""
    torch.manual_seed(0)
    network = timm.create_model(model, num_classes=len(data[1].labels)).eval()
    grey = (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY)
    spec = InputSpec(
        frame=FrameSpec(height=HEIGHT, width=WIDTH, crop="center", resize=resize),
        network=NetworkInput(height=side, width=side, mean=grey, std=(0.25,) * 3),
    )
    folder.mkdir(parents=True)
    exported = export_onnx(network, spec, data[1].labels, "0" * 64, folder)
    silent = SilentProgress()
    out = folder / "int8"
    out.mkdir()
    seen = calibrate(exported, folder, data[1], data[0], QuantizeConfig(images=8), seed=0, progress=silent)
    int8 = quantize(seen, "minmax", open_sums=False, progress=silent)
    write_quantized(seen, int8, "minmax", small=True, folder=out)
    openvino_backend.build_ir(out / "model.onnx", "int8", out)
    return out


def opencv_crop(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import cv2

    left = (WIDTH - HEIGHT) // 2
    resized: NDArray[np.uint8] = cv2.resize(frame[0, :, left : left + HEIGHT], (side, side), interpolation=cv2.INTER_LINEAR)
    return resized


def variants(
    model: str, side: int, data: tuple[Path, DatasetIndex], others: dict[str, tuple[Path, int]]
) -> dict[str, Query]:
    frame = np.random.default_rng(0).integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    place = data[0].parent / f"{model}-{side}"
    ours = build(model, side, "diagonal", data, place / "ours")
    bilinear = build(model, side, "bilinear", data, place / "bilinear")
    network = open_network("openvino", ours / "model.onnx", "network_input")
    ready = np.random.default_rng(0).integers(-128, 128, network.input_shape).astype(np.float32)
    whole, older = (open_runner("openvino", folder / "model.xml") for folder in (ours, bilinear))
    runs: dict[str, Query] = {
        "network": lambda: network.run(ready),
        "frame": lambda: whole.run(frame),
        "bilinear": lambda: older.run(frame),
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


def measure(runs: dict[str, Query]) -> dict[str, list[int]]:
    times: dict[str, list[int]] = {name: [] for name in runs}
    order, random = list(runs), Random(0)
    for round_ in range(ROUNDS + WARMUP):
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
    others = {}
    for argument in sys.argv[1:]:
        name, _, rest = argument.partition("=")
        path, _, pixels = rest.rpartition(":")
        others[name] = (Path(path), int(pixels))
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "phantoms"
        write_phantoms(root, SilentProgress(), images=160)
        config = DataConfig(labelled_fraction=0.3)
        index = build_index(
            root / "groups.csv", config, labelled_subsets=1, seed=0, skip_bad=False, progress=SilentProgress()
        )
        prepared = {(m, s): variants(m, s, (root, index), others) for m in MODELS for s in SIDES}
        for (model, side), runs in prepared.items():
            times = measure(runs)
            print(f"\n{model}, {side} px")
            append(
                "frame",
                f"one {WIDTH}x{HEIGHT} frame to {model} at {side} px, int8, OpenVINO, one core",
                times,
                ["openvino", "numpy", "timm", *(["opencv-python-headless"] if "opencv" in runs else [])],
                realtime_priority=os.sched_getparam(0).sched_priority,
                **{f"ratio_{name}_over_network": ratio(times[name], times["network"]) for name in runs if name != "network"},
                **{f"ratio_{name}_over_frame": ratio(times[name], times["frame"]) for name in others if name in runs},
            )


if __name__ == "__main__":
    main()
