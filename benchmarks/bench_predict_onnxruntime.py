"""How well ONNX Runtime's latency is predicted on this processor: a script to run as bench_predict.py.

The ladder of small networks that ``weckd-edge estimate --calibrate`` times, and some networks of timm with random weights,
which take no part in the fit that they judge, on one thread from a float tensor or from pixels. Measurements are
appended to results/predict_onnxruntime_networks.jsonl, the figures as one line to results/predict_onnxruntime.jsonl.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from bench_predict import FIRST, family_of, make_network
from numpy.typing import NDArray
from predict_figures import ONNXRUNTIME, kept_measurements, onnxruntime_figures, reference_prices
from record import append

from weckd_edge.compile.cost.onnx_costs import count_onnx
from weckd_edge.compile.export.onnx_export import export_onnx
from weckd_edge.compile.graph import load_graph
from weckd_edge.compile.quantize.quantize import quantize_for_timing
from weckd_edge.core.errors import WeckdError, first_line
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.bench.interleaved import summarize_rounds, time_in_rounds
from weckd_edge.devices.latency_model.measurements import TimedNetwork, append_measurements
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.runtime.backends.table import library_version, open_runner
from weckd_edge.pipeline.latency_calibration import time_calibration_networks

BACKEND = "onnxruntime"
ROUNDS = 4
JUDGES = 24
"""Number of timm's networks, the first ones of the list that OpenVINO's prediction was judged on."""


def main() -> None:
    """Time what is not kept yet, and append figures and prices."""
    failed: dict[str, str] = {}
    if "--figures" not in sys.argv:
        if not ONNXRUNTIME.exists():
            append_measurements(ONNXRUNTIME, time_calibration_networks(SilentProgress(), backend=BACKEND, rounds=ROUNDS))
        append_measurements(ONNXRUNTIME, time_networks(failed))
    kept = kept_measurements(ONNXRUNTIME)
    append(
        "predict_onnxruntime",
        "one core, ONNX Runtime, random weights; lowest of the turns' medians, kept in predict_onnxruntime_networks.jsonl",
        {},
        ["onnxruntime", "timm", "torch"],
        figures=onnxruntime_figures(kept),
        reference_prices_ns=reference_prices(kept, near_openvino=True),
        not_quantized=failed,
    )


def time_networks(failed: dict[str, str]) -> list[TimedNetwork]:
    """Export, quantize and time the networks from resized pixels to the probabilities."""
    with tempfile.TemporaryDirectory(prefix="weckd-predict-") as place:
        built = []
        for name in FIRST[:JUDGES]:
            try:
                built += [(name, *graph) for graph in write_graphs(name, Path(place) / name)]
            except (WeckdError, KeyError) as err:
                failed[name] = first_line(err)
        openers = [(functools.partial(open_runner, BACKEND, path), pixels) for *_, path, pixels in built]
        medians: list[list[int]] = [[] for _ in built]
        for at, median_ns in time_in_rounds(openers, rounds=ROUNDS):
            medians[at].append(median_ns)
        found, timed = detect(), []
        for (name, precision, path, _), turns in zip(built, medians, strict=True):
            latency_ns, noise = summarize_rounds(turns)
            timed.append(
                TimedNetwork(
                    device=found.profile,
                    host=found.host,
                    backend=BACKEND,
                    backend_version=library_version(BACKEND),
                    threads=1,
                    precision=precision,
                    network=name,
                    family=family_of(name.partition("@")[0]),
                    latency_ns=latency_ns,
                    noise=round(noise, 4),
                    counts=count_onnx(load_graph(path)),
                )
            )
    return timed


def write_graphs(name: str, folder: Path) -> list[tuple[str, Path, NDArray[np.uint8]]]:
    """Write the float32 and the int8 graph of ``timm name@pixels``; return their precisions, files and random pixels."""
    network, spec = make_network(name)
    pixels = np.random.default_rng(0).integers(0, 256, spec.graph_shape, dtype=np.uint8)
    folder.mkdir()
    export_onnx(network, spec, tuple(map(str, range(10))), "", folder)
    plain, small = folder / "model.onnx", folder / "int8.onnx"
    small.write_bytes(quantize_for_timing(load_graph(plain), [pixels]).SerializeToString())
    return [("float32", plain, pixels), ("int8", small, pixels)]


if __name__ == "__main__":
    main()
