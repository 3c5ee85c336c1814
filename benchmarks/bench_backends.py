"""Backends and forms of int8 on this processor: ``chrt --rr 10 taskset -c 1 python benchmarks/bench_backends.py``.

Each network has random weights, on which times do not depend. It is exported as a bundle's graph is, quantized in each
form, and run on one thread from a 640x480 frame by every backend, all in turn. How many layers run in int8 is asked of the
library. Appends one line a network to results/backends.jsonl and writes docs/results/backends.md from the newest line of
each; ``--table`` only writes the page.
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
from weckd_edge.compile.backends.litert_backend import build_tflite
from weckd_edge.compile.graph import NETWORK_INPUT_NAME, load_graph
from weckd_edge.compile.quantize.forms import PROCESSOR, Form
from weckd_edge.compile.quantize.quantize import quantize_for_timing
from weckd_edge.devices.bench.interleaved import time_turns
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.runtime.backends.int8_layers import count_int8_layers
from weckd_edge.devices.runtime.frame_runner import open_frame_runner

NETWORKS = ("mobilenetv2_035", "resnet10t", "mobilenetv4_conv_small_050")
BACKENDS = ("onnxruntime", "openvino", "litert")
FORMS = {"int8": PROCESSOR, "symmetric int8": Form(name="tensorrt", open_sums=False)}
"""Forms by their name in the results: that of a bundle for processors, and one with signed activations."""

SIDE = 128
ROUNDS, QUERIES, WARMUP = 120, 4, 8


def main() -> None:
    """Measure the networks and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--table", action="store_true", help="write the page from the kept results alone")
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="names of timm networks")
    asked = parser.parse_args()
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
        ["ai-edge-litert", "onnxruntime", "openvino", "timm", "torch"],
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


if __name__ == "__main__":
    main()
