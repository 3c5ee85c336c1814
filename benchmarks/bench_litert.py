"""LiteRT beside ONNX Runtime and OpenVINO: ``chrt --rr 10 taskset -c 1 python benchmarks/bench_litert.py IMAGES GRAPH ...``.

Each GRAPH is an exported FP32 graph that takes pixels; IMAGES is a folder of pictures. The int8 graph is made once, with
ranges of 48 of the pictures, and each library runs it in its own form, one thread, a frame each in turn; the predictions are
compared on other pictures. Appends one line for each graph to results/litert.jsonl.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image
from record import append

from weckd_edge.compile.backends.litert_backend import build_tflite
from weckd_edge.compile.backends.openvino_backend import build_ir
from weckd_edge.compile.graph import load_graph
from weckd_edge.compile.quantize.quantize import quantize_for_timing
from weckd_edge.devices.runtime.backends.base import Runner
from weckd_edge.devices.runtime.backends.table import open_runner

ROUNDS, WARMUP, RANGES, COMPARED = 300, 30, 48, 200
LIBRARIES = ("ai-edge-litert", "onnxruntime", "openvino", "numpy", "onnx")


def pictures(folder: Path, side: int) -> list[NDArray[np.uint8]]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    random.Random(0).shuffle(paths)
    found = []
    for path in paths[: RANGES + COMPARED]:
        with Image.open(path) as image:
            width, height = image.size
            whole = min(width, height)
            left, top = (width - whole) // 2, (height - whole) // 2
            square = image.convert("RGB").crop((left, top, left + whole, top + whole))
            found.append(np.asarray(square.resize((side, side), Image.Resampling.BOX), np.uint8)[None])
    return found


def runners(graph: Path, frames: list[NDArray[np.uint8]], folder: Path) -> dict[str, Runner]:
    """Open a graph in FP32 and int8 in every library, and the int8 graph as it is written."""
    int8 = folder / "int8.onnx"
    onnx.save(quantize_for_timing(load_graph(graph), frames), int8)
    found: dict[str, Runner] = {}
    for precision, path in (("fp32", graph), ("int8", int8)):
        place = folder / precision
        place.mkdir()
        files = {
            "litert": build_tflite(path, precision, place).files[0],
            "openvino": build_ir(path, precision, place).files[0],
        }
        found.update({f"{name} {precision}": open_runner(name, place / ref.path) for name, ref in files.items()})
        found[f"onnxruntime {precision}"] = open_runner("onnxruntime", path)
    found["as written"] = open_runner("onnxruntime", int8, reference=True)
    return found


def differences(runs: dict[str, Runner], frames: list[NDArray[np.uint8]]) -> dict[str, dict[str, float]]:
    """Return how far the int8 predictions are from each other, from the graph as it is written, and from FP32's."""
    predictions = {name: np.stack([run.run(frame) for frame in frames]) for name, run in runs.items()}
    found = {}
    for name in ("litert int8", "onnxruntime int8", "openvino int8"):
        for other in ("onnxruntime int8", "as written", "onnxruntime fp32"):
            if name == other:
                continue
            apart = np.abs(predictions[name] - predictions[other]).max(axis=1)
            found[f"{name} from {other}"] = {
                "largest": round(float(apart.max()), 6),
                "median": round(float(np.median(apart)), 6),
                "over_0.02": int((apart > 0.02).sum()),
                "flips": int((predictions[name].argmax(axis=1) != predictions[other].argmax(axis=1)).sum()),
            }
    return found


def main() -> None:
    for path in map(Path, sys.argv[2:]):
        side = int(load_graph(path).graph.input[0].type.tensor_type.shape.dim[1].dim_value)
        frames = pictures(Path(sys.argv[1]), side)
        with tempfile.TemporaryDirectory() as folder:
            runs = runners(path, frames[:RANGES], Path(folder))
            apart = differences(runs, frames[RANGES:])
            del runs["as written"]
            times: dict[str, list[int]] = {name: [] for name in runs}
            for round_ in range(ROUNDS + WARMUP):
                for name, run in runs.items():
                    frame = frames[round_ % len(frames)]
                    start_ns = time.monotonic_ns()
                    run.run(frame)
                    if round_ >= WARMUP:
                        times[name].append(time.monotonic_ns() - start_ns)
        ratio = {name: round(float(np.median(times["litert int8"]) / np.median(times[name])), 3) for name in times}
        append(
            "litert",
            f"{path.name.partition('.')[0]}, {side} px pixels to probabilities, one thread",
            times,
            LIBRARIES,
            frames=len(frames) - RANGES,
            litert_int8_over=ratio,
            apart=apart,
        )


if __name__ == "__main__":
    main()
