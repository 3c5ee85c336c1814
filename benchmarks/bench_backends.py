"""Backends and forms of int8 on this processor: ``chrt --rr 10 taskset -c 1 python benchmarks/bench_backends.py``.

Each network has random weights, on which times do not depend. It is exported as a bundle's graph is, quantized in each
form, and run on one thread from a 640x480 frame by every backend, all in turn. How many layers run in int8 is asked of the
library. Appends one line a network to results/backends.jsonl and writes docs/results/backends.md from the newest line of
each; ``--table`` only writes the page.

With ``--bundle BUNDLE --images FOLDER`` it measures every model of a bundle that runs here instead: the times of all, in
turn, and how far their predictions of the pictures in FOLDER are from those in FP32 and, in int8, from the graph as it is
written. Appends one line to results/bundle_models.jsonl.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from backends_page import PAGE, read_results, write_page
from record import append

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.compile.backends.litert_backend import build_tflite
from weckd_edge.compile.graph import NETWORK_INPUT_NAME, load_graph
from weckd_edge.compile.quantize.forms import PROCESSOR, Form
from weckd_edge.compile.quantize.quantize import quantize_for_timing
from weckd_edge.devices.bench.interleaved import time_turns
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.runtime.backends.int8_layers import count_int8_layers
from weckd_edge.devices.runtime.backends.table import refusal
from weckd_edge.devices.runtime.device_choice import model_name
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner
from weckd_edge.devices.runtime.model_choice import backend_of, read_model_bytes
from weckd_edge.devices.runtime.predict import find_images

NETWORKS = ("mobilenetv2_035", "resnet10t", "mobilenetv4_conv_small_050")
BACKENDS = ("onnxruntime", "openvino", "litert")
FORMS = {"int8": PROCESSOR, "symmetric int8": Form(name="tensorrt", open_sums=False)}
"""Forms by their name in the results: that of a bundle for processors, and one with signed activations."""

SIDE = 128
ROUNDS, QUERIES, WARMUP = 120, 4, 8
LIBRARIES = ("ai-edge-litert", "onnxruntime", "openvino")
FLOAT, WRITTEN = "onnxruntime fp32", "as written"
"""Names of what the predictions of a bundle's models are compared with: FP32, and int8 as its graph is written."""


def main() -> None:
    """Measure the networks and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--table", action="store_true", help="write the page from the kept results alone")
    parser.add_argument("--bundle", type=Path, help="measure the models of this bundle instead; it holds FP32, too")
    parser.add_argument("--images", type=Path, help="folder of pictures that the bundle's models predict")
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="names of timm networks")
    asked = parser.parse_args()
    if asked.bundle is not None:
        if asked.images is None:
            parser.error("--bundle needs --images FOLDER")
        measure_bundle(asked.bundle, asked.images)
        return
    for name in () if asked.table else asked.networks:
        measure(name)
    PAGE.write_text(write_page(read_results()), encoding="utf-8")


def measure(name: str) -> None:
    """Time one network in every backend and form, and append the line."""
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (1, 480, 640, 3), dtype=np.uint8) for _ in range(4)]
    spec = InputSpec(
        frame=FrameSpec(height=480, width=640, crop="center", resize="area"),
        network=NetworkInput(height=SIDE, width=SIDE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    )
    with tempfile.TemporaryDirectory(prefix="weckd-backends-") as place:
        graphs = write_graphs(name, spec, frames, Path(place))
        counts, runners = {}, {}
        for form, graph in graphs.items():
            for backend in BACKENDS:
                model = graph if backend != "litert" else write_tflite(graph, form)
                count = count_int8_layers(backend, model, NETWORK_INPUT_NAME)
                counts[f"{backend} {form}"] = None if count is None else [count.int8_layers, count.layers]
                runners[f"{backend} {form}"] = open_frame_runner(backend, model, spec)
        turns = time_turns(list(runners.values()), frames, rounds=ROUNDS, queries=QUERIES, warmup=WARMUP)
        times = {name: [row[place] for row in turns] for place, name in enumerate(runners)}
    append(
        "backends",
        f"{name} at {SIDE} px from a 640x480 frame, one thread, random weights; fastest of {QUERIES} queries in each turn",
        times,
        [*LIBRARIES, "timm", "torch"],
        network=name,
        side=SIDE,
        int8_layers=counts,
        ratios=ratios_to_float(times),
    )


def write_graphs(name: str, spec: InputSpec, frames: list[np.ndarray[Any, Any]], folder: Path) -> dict[str, Path]:
    """Write the FP32 graph and one for each form; return them by name."""
    import timm
    import torch

    from weckd_edge.compile.export.onnx_export import export_onnx

    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=4).eval()
    export_onnx(network, spec, ("a", "b", "c", "d"), "", folder)
    graphs = {"fp32": folder / "model.onnx"}
    plain = load_graph(graphs["fp32"])
    shape = [dim.dim_value for dim in plain.graph.input[0].type.tensor_type.shape.dim]
    random = np.random.default_rng(1)
    inputs = frames[:2] if shape == [1, 480, 640, 3] else [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(2)]
    reduce_range = bool(detect().overflow_fix_needed)
    for form, rules in FORMS.items():
        graphs[form] = folder / f"{form.replace(' ', '-')}.onnx"
        made = quantize_for_timing(plain, inputs, rules, reduce_range=reduce_range)
        graphs[form].write_bytes(made.SerializeToString())
    return graphs


def write_tflite(graph: Path, form: str) -> Path:
    """Write LiteRT's file beside a graph; return its path."""
    folder = graph.with_suffix("")
    folder.mkdir()
    (file,) = build_tflite(graph, "fp32" if form == "fp32" else "int8", folder).files
    return folder / file.path


def ratios_to_float(times: dict[str, list[int]]) -> dict[str, list[float]]:
    """Return each int8 variant's time over its backend's FP32 in the same round: quartiles and median."""
    found = {}
    for name, taken in times.items():
        backend, _, form = name.partition(" ")
        if form != "fp32":
            within = [own / other for own, other in zip(taken, times[f"{backend} fp32"], strict=True)]
            found[name] = [round(value, 3) for value in statistics.quantiles(within, n=4)]
    for backend in BACKENDS:
        within = [
            own / other for own, other in zip(times[f"{backend} symmetric int8"], times[f"{backend} int8"], strict=True)
        ]
        found[f"{backend} symmetric int8 over int8"] = [round(value, 3) for value in statistics.quantiles(within, n=4)]
    return found


def measure_bundle(folder: Path, images: Path) -> None:
    """Time every model of a bundle that runs here, compare what they predict, and append the line."""
    bundle = open_bundle(folder)
    spec = bundle.manifest.input
    frames = [frame_from_file(path, spec.frame) for path in find_images([images])]
    runners: dict[str, FrameRunner] = {}
    for model in bundle.manifest.models:
        backend = backend_of(model)
        if backend is None or refusal(backend, half=model.half) is not None:
            continue
        files, name = read_model_bytes(bundle, *model.files), model_name(backend, model.precision)
        runners[name] = open_frame_runner(backend, files, spec, half=model.half)
        if name == "onnxruntime int8":
            runners[WRITTEN] = open_frame_runner(backend, files, spec, reference=True)
    predictions = {name: np.stack([runner.run(frame) for frame in frames]) for name, runner in runners.items()}
    runners.pop(WRITTEN, None)
    turns = time_turns(list(runners.values()), frames, rounds=ROUNDS, queries=QUERIES, warmup=WARMUP)
    append(
        "bundle_models",
        f"{folder.name}: frame to probabilities, one thread; fastest of {QUERIES} queries in each turn",
        {name: [row[place] for row in turns] for place, name in enumerate(runners)},
        LIBRARIES,
        frames=len(frames),
        apart=differences(predictions),
    )


def differences(predictions: dict[str, np.ndarray[Any, Any]]) -> dict[str, dict[str, float]]:
    """Return how far predictions ``[N, classes]`` by name are from FP32's and, in int8, from the graph as it is written."""
    found = {}
    for name, own in predictions.items():
        for other in (FLOAT, WRITTEN) if "int8" in name else (FLOAT,):
            if other == name or other not in predictions:
                continue
            apart = np.abs(own - predictions[other]).max(axis=1)
            found[f"{name} from {other}"] = {
                "largest": round(float(apart.max()), 6),
                "median": round(float(np.median(apart)), 6),
                "over_0.02": int((apart > 0.02).sum()),
                "flips": int((own.argmax(axis=1) != predictions[other].argmax(axis=1)).sum()),
            }
    return found


if __name__ == "__main__":
    main()
