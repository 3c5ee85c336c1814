"""Compare the forms of the int8 graph: ``python benchmarks/int8_forms.py [--rounds N] [--accuracy DATA WEIGHTS]``.

Speed: three networks at 128 px, random weights (they do not matter to time), one thread, from the pixels that the front end
makes, in turns in one process: FP32, the symmetric int8 graph with closed sums, and the processor's form, each by ONNX
Runtime and by OpenVINO. Ratios are medians of the ratios within a turn. Convolutions are counted in the graph that ONNX
Runtime makes of each (``optimized_model_filepath``).

Accuracy, with ``--accuracy``: DATA is a folder with groups.csv, WEIGHTS one with the trunks ``mobilenetv2_035_tf`` and
``tf_efficientnet_lite0``, whose features a linear layer reads that is fitted to the training images here. Each form, by
each kind of range, is compared with FP32 on the test images.

Appends to results/int8_forms.jsonl.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from record import append

from weckd_edge.artifacts import DatasetIndex, FrameSpec, ImageRecord, InputSpec, NetworkInput
from weckd_edge.compile.export.onnx_export import export_onnx
from weckd_edge.compile.quantize.calibration_images import calibration_inputs
from weckd_edge.compile.quantize.forms import PROCESSOR, Form
from weckd_edge.compile.quantize.qdq_nodes import store_int8_weights
from weckd_edge.compile.quantize.quantize import calibrate, quantize
from weckd_edge.compile.quantize.ranges import METHODS
from weckd_edge.config import DataConfig, QuantizeConfig
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.bench.interleaved import time_turns
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.synth.phantoms import write_phantoms
from weckd_edge.train.networks.preprocess import MIDDLE_GREY

MODELS = ("mobilenetv2_035", "resnet10t", "mobilenetv4_conv_small_050")
OTHERS = ("mobilenetv3_small_050",)
TRUNKS = {
    "mobilenetv2_035_tf": ("mobilenetv2_035", {"pad_type": "same"}),
    "tf_efficientnet_lite0": ("tf_efficientnet_lite0", {}),
}
FORMS = {"symmetric": Form(name="tensorrt", open_sums=False), "processor": PROCESSOR}
BACKENDS = ("onnxruntime", "openvino")
SIDE, ROUNDS, QUERIES, WARMUP = 128, 150, 4, 10
LIBRARIES = ("onnxruntime", "openvino", "numpy", "timm")
SILENT = SilentProgress()


def input_of(height: int, width: int) -> InputSpec:
    grey = (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY)
    return InputSpec(
        frame=FrameSpec(height=height, width=width, crop="center", resize="area"),
        network=NetworkInput(height=SIDE, width=SIDE, mean=grey, std=(0.5,) * 3),
    )


def read_data(root: Path, **settings: Any) -> DatasetIndex:
    config = DataConfig(**settings)
    return build_index(root / "groups.csv", config, labelled_subsets=1, seed=0, skip_bad=False, progress=SILENT)


def write_graphs(
    network: torch.nn.Module, spec: InputSpec, data: tuple[Path, DatasetIndex], methods: Sequence[str], folder: Path
) -> dict[str, Path]:
    """Write the FP32 graph and each form by each kind of range; return their paths by name."""
    plain = folder / "fp32"
    plain.mkdir(parents=True)
    exported = export_onnx(network, spec, data[1].labels, "0" * 64, plain)
    images = 8 if len(methods) == 1 else 200
    seen = calibrate(exported, plain, data[1], data[0], QuantizeConfig(images=images), seed=0, progress=SILENT)
    found = {"fp32": plain / "model.onnx"}
    for name, form in FORMS.items():
        for method in methods:
            model = quantize(seen, method, form, progress=SILENT)  # type: ignore[arg-type]  # one of METHODS
            store_int8_weights(model)
            path = folder / f"{name}-{method}.onnx"
            path.write_bytes(model.SerializeToString())
            found[f"{name} {method}" if len(methods) > 1 else name] = path
    return found


def count_fused(path: Path) -> dict[str, int]:
    """Return how many convolutions of a graph ONNX Runtime runs in int8 and in floating point, by its operators."""
    onnx, ort = require("onnx", "count convolutions"), require("onnxruntime", "count convolutions")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    return {kind: kinds[kind] for kind in ("QLinearConv", "Conv", "FusedConv") if kinds[kind]}


def ratio(above: list[int], below: list[int]) -> float:
    """Return the median of the ratios within each turn: what disturbs a turn disturbs both."""
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 3)


def compare_speed(rounds: int, folder: Path) -> None:
    root = folder / "phantoms"
    write_phantoms(root, SILENT, images=60)
    index, spec = read_data(root, labelled_fraction=0.3), input_of(480, 640)
    pixels = np.random.default_rng(0).integers(0, 256, spec.graph_shape, np.uint8)
    for model in (*MODELS, *OTHERS):
        torch.manual_seed(0)
        network = timm.create_model(model, num_classes=len(index.labels)).eval()
        graphs = write_graphs(network, spec, (root, index), ("minmax",), folder / model)
        runners = {f"{b} {name}": open_runner(b, path) for b in BACKENDS for name, path in graphs.items()}
        turns = time_turns(list(runners.values()), [pixels], rounds=rounds, queries=QUERIES, warmup=WARMUP)
        times = {name: [row[place] for row in turns] for place, name in enumerate(runners)}
        ratios = {
            f"{backend}_processor_over_{other}": ratio(times[f"{backend} processor"], times[f"{backend} {other}"])
            for backend in BACKENDS
            for other in ("symmetric", "fp32")
        }
        fused = {name: count_fused(path) for name, path in graphs.items()}
        print(f"\n{model}")
        append("int8_forms", f"{model}, {SIDE} px, one thread", times, LIBRARIES, convolutions=fused, **ratios)


def trained(trunk: str, spec: InputSpec, data: tuple[Path, DatasetIndex], weights: Path) -> torch.nn.Module:
    """Return a trunk with a linear layer that is fitted to its features of the training images."""
    from safetensors.torch import load_file

    name, options = TRUNKS[trunk]
    root, index = data
    network = timm.create_model(name, num_classes=len(index.labels), **options)
    missing = network.load_state_dict(
        {key: value for key, value in load_file(weights / f"{trunk}.safetensors").items() if "classifier" not in key},
        strict=False,
    )
    assert not missing.unexpected_keys, missing
    if "bn_eps" not in options and name == "mobilenetv2_035":
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = 1e-3
    network.eval()
    images = [record for record in index.images if record.split == "train" and record.label is not None]
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (spec.network.mean, spec.network.std))
    with torch.no_grad():
        features = torch.cat(
            [
                network.forward_head(
                    network.forward_features((torch.from_numpy(x).permute(0, 3, 1, 2) / 255 - mean) / std), pre_logits=True
                )
                for x in calibration_inputs(root, images, spec)
            ]
        )
    labels = torch.tensor([record.label for record in images])
    head = network.get_classifier()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(features), labels) + 1e-3 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return network


def predictions(backend: str, path: Path, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    runner = open_runner(backend, path)
    return np.stack([runner.run(x) for x in inputs])


def compare_accuracy(root: Path, weights: Path, folder: Path) -> None:
    index, spec = read_data(root), input_of(380, 420)
    tested: list[ImageRecord] = [record for record in index.images if record.split == "test"]
    truth = np.array([record.label for record in tested])
    inputs = list(calibration_inputs(root, tested, spec))
    for trunk in TRUNKS:
        network = trained(trunk, spec, (root, index), weights)
        graphs = write_graphs(network, spec, (root, index), METHODS, folder / f"{trunk}-trained")
        fp32 = predictions("onnxruntime", graphs["fp32"], inputs)
        for name, path in graphs.items():
            for backend in BACKENDS:
                found = predictions(backend, path, inputs)
                figures = {
                    "images": len(truth),
                    "correct": int((found.argmax(axis=1) == truth).sum()),
                    "flips": int((found.argmax(axis=1) != fp32.argmax(axis=1)).sum()),
                    "mean_abs": round(float(np.abs(found - fp32).mean()), 5),
                    "max_abs": round(float(np.abs(found - fp32).max()), 4),
                }
                print(f"{trunk:24s} {name:22s} {backend:12s} {figures}")
                append(
                    "int8_forms", f"{trunk}, {root.name}: {name} by {backend}, compared with FP32", {}, LIBRARIES, **figures
                )


def paths_behind(option: str, arguments: list[str]) -> Iterator[Path]:
    at = arguments.index(option)
    yield from (Path(value) for value in arguments[at + 1 : at + 3])


def main() -> None:
    arguments = sys.argv[1:]
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        if "--accuracy" in arguments:
            data, weights = paths_behind("--accuracy", arguments)
            compare_accuracy(data, weights, Path(name))
            return
        rounds = int(arguments[arguments.index("--rounds") + 1]) if "--rounds" in arguments else ROUNDS
        compare_speed(rounds, Path(name))


if __name__ == "__main__":
    main()
