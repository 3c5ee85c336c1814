"""How well latency is predicted on this processor: ``chrt --rr 10 taskset -c 1 python benchmarks/bench_predict.py WORK``.

Every network is exported with random weights (times do not depend on them), quantized with random pixels, compiled by
OpenVINO and timed on one thread, in rounds that are minutes apart: the whole graph from its pixels to the probabilities
(``frame`` stands in its name; in older lines it took a 640x480 frame) and the network alone. So is the ladder of small
networks that ``weckd-edge estimate --calibrate`` times. WORK keeps exports and times, so that a run that was stopped goes
on; it may be deleted afterwards. Measurements are appended to results/predict_networks.jsonl, the figures (see
predict_figures.py) as one line to results/predict.jsonl. A network that cannot be exported is named in that line.

``LATER`` was chosen, and timed, after the ladder and the model had been settled on the others.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from predict_figures import FRAME, KEPT, figures, kept_measurements, reference_prices
from record import append

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput
from weckd_edge.compile.backends import openvino_backend
from weckd_edge.compile.cost.calibration_networks import RECIPES, build_network
from weckd_edge.compile.cost.onnx_costs import count_onnx
from weckd_edge.compile.export.onnx_export import export_onnx
from weckd_edge.compile.graph import NETWORK_INPUT_NAME, load_graph
from weckd_edge.compile.quantize.quantize import quantize_for_timing
from weckd_edge.core.errors import WeckdError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.bench.interleaved import summarize_rounds, time_in_rounds
from weckd_edge.devices.latency_model.measurements import NOISY, TimedNetwork, append_measurements
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.runtime.backends.table import open_network, open_runner

ROUNDS = 6
HEIGHT, WIDTH = 480, 640

FIRST = (
    "mobilenetv2_035@128",
    "mobilenetv3_small_100@160",
    "lcnet_050@128",
    "mobilenetv4_conv_small@160",
    "efficientnet_lite0@128",
    "resnet18@128",
    "repvgg_a0@128",
    "ghostnet_050@128",
    "regnetx_002@160",
    "mnasnet_050@128",
    "mobilenetv1_100@160",
    "tinynet_e@128",
    "hardcorenas_a@128",
    "fbnetc_100@160",
    "efficientnet_b0@128",
    "mobilenetv2_050@224",
    "mobilenetv3_small_050@224",
    "lcnet_100@224",
    "mobilenetv4_conv_small_050@224",
    "resnet10t@160",
    "repghostnet_050@160",
    "regnety_002@224",
    "mnasnet_100@160",
    "mobilenetv3_large_100@128",
    "semnasnet_075@128",
    "spnasnet_100@128",
    "tinynet_c@160",
    "mobileone_s0@128",
    "hardcorenas_f@160",
    "efficientnet_b0@224",
    "mobilenetv2_100@160",
    "mobilenetv3_rw@224",
    "lcnet_150@160",
    "mobilenetv4_conv_medium@128",
    "resnet18@224",
    "resnet26t@128",
    "repvgg_a1@160",
    "ghostnet_100@224",
    "repghostnet_100@128",
    "regnetx_004@128",
    "regnety_004@160",
    "mobilenet_edgetpu_v2_xs@128",
    "mobilenet_edgetpu_100@160",
    "rexnetr_100@128",
    "rexnet_100@160",
    "dla46_c@160",
    "dla34@128",
    "selecsls42b@128",
    "gernet_s@160",
    "vovnet39a@128",
    "ese_vovnet19b_slim_dw@160",
    "ese_vovnet19b_slim@128",
    "hgnetv2_b0@160",
    "hgnetv2_b1@128",
    "starnet_s050@128",
    "starnet_s1@160",
    "fasternet_t0@224",
    "mobilenetv2_140@128",
    "mobilenetv2_075@160",
    "lcnet_075@160",
    "mnasnet_075@224",
    "semnasnet_100@224",
    "tinynet_a@128",
    "tinynet_d@224",
    "mobilenetv4_conv_small_035@160",
    "mobilenetv3_small_075@128",
    "mobilenetv3_large_075@160",
    "hardcorenas_c@224",
    "mobileone_s1@160",
    "efficientnet_lite1@160",
    "tf_efficientnetv2_b0@160",
    "resnet34@128",
    "resnet50@128",
    "repvgg_b0@128",
    "darknet17@128",
    "cspnext_tiny@160",
    "skresnet18@128",
    "seresnet18@128",
    "densenet121@128",
    "convnext_atto@128",
    "mobilenetv2_110d@160",
    "cs3darknet_focus_s@160",
    "cs3darknet_s@128",
    "ghostnetv2_100@160",
    "resnet50@224",
    "mobilenetv2_100@224",
    "regnetx_008@160",
    "regnety_008@128",
    "repvit_m0_9@128",
    "inception_next_atto@128",
    "mixnet_s@128",
    "resnest14d@128",
    "vgg11_bn@128",
    "edgenext_xx_small@160",
    "xception41@128",
)
LATER = (
    "resnet14t@160",
    "mobileone_s2@128",
    "lcnetv2_small@160",
    "regnetz_005@160",
    "repvit_m1@160",
    "ese_vovnet39b@128",
    "darknet21@128",
    "efficientnet_es@160",
    "dpn68@128",
    "cspresnet50@128",
    "hrnet_w18_small@128",
    "selecsls60@128",
    "res2net50_14w_8s@128",
    "seresnext26t_32x4d@128",
    "ecaresnet26t@128",
    "dla60@128",
    "nf_regnet_b0@128",
    "efficientvit_b0@224",
    "gernet_m@128",
    "regnety_016@128",
    "mambaout_femto@128",
    "convnextv2_atto@128",
    "poolformer_s12@224",
    "mobilevit_xxs@128",
    "shvit_s1@224",
    "xception65p@128",
    "resnext50_32x4d@128",
    "skresnet34@128",
    "regnetx_016@128",
    "resnet26d@160",
    "mobilenetv3_large_150d@128",
    "tf_efficientnet_lite2@160",
    "efficientnet_b1@128",
    "hgnetv2_b2@128",
    "mobilenetv1_125@128",
    "fasternet_t1@128",
    "starnet_s2@128",
    "legacy_seresnet18@160",
    "swiftformer_xs@224",
    "lowformer_b0@224",
)


def main() -> None:
    work = Path(sys.argv[1])
    torch.set_num_threads(1)
    failed = {}
    for name in (*FIRST, *LATER):
        try:
            export(name, work / name)
        except (WeckdError, RuntimeError) as err:
            failed[name] = first_line(err)
    ladder(work)
    turns = time_all(work)
    store(work, turns, failed)


def make_network(name: str) -> tuple[torch.nn.Module, InputSpec]:
    """Return a network of random weights and its input, of ``timm name@pixels``."""
    import timm

    model, _, side = name.partition("@")
    torch.manual_seed(0)
    network = timm.create_model(model, pretrained=False, num_classes=10).eval()
    grey = (128 / 255,) * 3
    spec = InputSpec(
        frame=FrameSpec(height=HEIGHT, width=WIDTH, crop="center", resize="area"),
        network=NetworkInput(height=int(side), width=int(side), mean=grey, std=grey),
    )
    return network, spec


def export(name: str, folder: Path) -> None:
    """Write float32 and int8 graphs and IRs of one network, ``timm name@pixels``."""
    if (folder / "done").exists():
        return
    network, spec = make_network(name)
    plain, small = folder / "fp32", folder / "int8"
    plain.mkdir(parents=True, exist_ok=True)
    small.mkdir(exist_ok=True)
    export_onnx(network, spec, tuple(map(str, range(10))), "", plain)
    random = np.random.default_rng(0)
    pixels = [random.integers(0, 256, spec.graph_shape, dtype=np.uint8) for _ in range(2)]
    quantized = quantize_for_timing(load_graph(plain / "model.onnx"), pixels)
    (small / "model.onnx").write_bytes(quantized.SerializeToString())
    for place, precision in ((plain, "fp32"), (small, "int8")):
        openvino_backend.build_ir(place / "model.onnx", precision, place)
    (folder / "done").touch()


def ladder(work: Path) -> None:
    random = np.random.default_rng(0)
    for recipe in RECIPES:
        folder = work / recipe.name
        if (folder / "done").exists():
            continue
        plain = build_network(recipe)
        frame = random.integers(0, 256, (1, *recipe.frame, 3), dtype=np.uint8) if recipe.frame else None
        image = random.standard_normal((1, 3, recipe.side, recipe.side)).astype(np.float32) if frame is None else frame
        for precision, graph in (("fp32", plain), ("int8", quantize_for_timing(plain, [image]))):
            (folder / precision).mkdir(parents=True, exist_ok=True)
            (folder / precision / "model.onnx").write_bytes(graph.SerializeToString())
        (folder / "done").touch()


def time_all(work: Path) -> dict[str, list[int]]:
    """Return the medians of every turn, by ``name/precision`` and, from the pixels on, ``name frame/precision``."""
    kept = work / "turns.jsonl"
    turns: dict[str, list[int]] = {}
    for line in kept.read_text().splitlines() if kept.exists() else ():
        key, median_ns = json.loads(line)
        turns.setdefault(key, []).append(median_ns)
    todo: list[tuple[str, tuple[Callable[[], Any], np.ndarray[Any, Any]]]] = []
    for folder in sorted(path.parent for path in work.glob("*/done")):
        for precision in ("fp32", "int8"):
            place = folder / precision
            random = np.random.default_rng(0)
            frame = random.integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)
            if "@" in folder.name and (place / "model.xml").exists():
                side = int(folder.name.partition("@")[2])
                pixels = random.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
                image = random.standard_normal((1, 3, side, side)).astype(np.float32)
                whole = functools.partial(open_runner, "openvino", place / "model.xml")
                alone = functools.partial(open_network, "openvino", place / "model.onnx", NETWORK_INPUT_NAME)
                todo.append((f"{folder.name}{FRAME}/{precision}", (whole, pixels)))
                todo.append((f"{folder.name}/{precision}", (alone, image)))
            else:
                recipe = next(recipe for recipe in RECIPES if recipe.name == folder.name)
                image = random.standard_normal((1, 3, recipe.side, recipe.side)).astype(np.float32)
                opener = functools.partial(open_runner, "openvino", place / "model.onnx")
                todo.append((f"{folder.name}/{precision}", (opener, frame if recipe.frame else image)))
    left = [item for item in todo if len(turns.get(item[0], ())) < ROUNDS]
    with kept.open("a") as file:
        for at, median_ns in time_in_rounds([network for _, network in left], rounds=ROUNDS) if left else ():
            turns.setdefault(left[at][0], []).append(median_ns)
            file.write(json.dumps([left[at][0], median_ns]) + "\n")
            file.flush()
    return turns


def store(work: Path, turns: dict[str, list[int]], failed: dict[str, str]) -> None:
    """Append the measurements and the figures to the results."""
    openvino = require("openvino", "tell its version")
    found, recipes = detect(), {recipe.name: recipe for recipe in RECIPES}
    measured = []
    for key, medians in sorted(turns.items()):
        network, _, precision = key.rpartition("/")
        name = network.removesuffix(FRAME)
        graph = load_graph(work / name / precision / "model.onnx")
        alone = name not in recipes and not network.endswith(FRAME)
        latency_ns, noise = summarize_rounds(medians)
        measured.append(
            TimedNetwork(
                device=found.profile,
                host=found.host,
                backend="openvino",
                backend_version=str(openvino.__version__).partition("-")[0],
                threads=1,
                precision={"fp32": "float32", "int8": "int8"}[precision],
                network=network,
                family=recipes[name].block if name in recipes else family_of(name),
                latency_ns=latency_ns,
                noise=round(noise, 4),
                counts=count_onnx(graph, behind=NETWORK_INPUT_NAME if alone else None),
            )
        )
    append_measurements(KEPT, measured)
    kept = kept_measurements()
    append(
        "predict",
        "one core, OpenVINO, random weights; medians of turns; network alone unless 'frame' is in the name",
        turns,
        ["openvino", "onnxruntime", "timm", "torch"],
        figures=figures(kept, frozenset(LATER)),
        reference_prices_ns=reference_prices(kept),
        not_exported=failed,
        noisy=sorted(f"{t.network}/{t.precision}" for t in measured if t.noise > NOISY),
        later=sorted(LATER),
    )


def family_of(name: str) -> str:
    """Return the family of a timm network: its name up to the first figure or underscore behind the letters."""
    name = re.sub(r"^(tf_|legacy_|ese_|nf_)", "", name)
    if found := re.match(r"(efficientnet_lite|mobilenet_edgetpu|mobilenetv\d)", name):
        return found.group(1)
    letters = re.match(r"[a-z]+(?:\d+(?=net))?[a-z]*", name)
    return letters.group() if letters else name


if __name__ == "__main__":
    main()
