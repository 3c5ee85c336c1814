"""Small classifiers of timm and torchvision, compiled, in FP16 and in int8: one line a network.

``python benchmarks/bench_architectures.py`` goes on where an earlier run was stopped, appends to results/architectures.jsonl
and writes docs/results/architectures.md; ``--table`` only writes the page, ``--again NAME ...`` measures some again.

A network has random weights, its batch norms know the images, and its last layer is fitted to synthetic images by ridge
regression. So the predictions depend on the image, but rounding is amplified as in no trained network: how far int8 is from
FP32 is for comparing forms of one network, not networks.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import platform
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import timm
import torch
import torchvision
from architectures_page import write_page
from phantom_set import draw_set
from record import HERE, git, processor
from torch import nn

from weckd_edge.artifacts import DatasetIndex, ExportedModel, FrameSpec, InputSpec, NetworkInput
from weckd_edge.compile.backends import tensorrt_rtx_backend
from weckd_edge.compile.export.onnx_export import export_onnx
from weckd_edge.compile.graph import load_graph
from weckd_edge.compile.quantize.calibration_images import CalibrationImages
from weckd_edge.compile.quantize.candidates.base import Deployment, FloatNetwork
from weckd_edge.compile.quantize.candidates.evaluate import Evaluation
from weckd_edge.compile.quantize.fp16_form import make_half
from weckd_edge.compile.quantize.select_precision import Selector
from weckd_edge.compile.verify.implementations import predict_frames
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.errors import ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.images.split_frames import decode_split
from weckd_edge.devices.machine.detect import detect, needs_half_range
from weckd_edge.devices.profiles.profile import load_profile

RESULTS = HERE / "results" / "architectures.jsonl"
PAGE = HERE.parent / "docs" / "results" / "architectures.md"
IMAGES = 160
RIDGE, SHARPNESS = 0.3, 4.0
SETTINGS = QuantizeConfig(
    method="mse",
    images=16,
    nncf=False,
    qat="never",
    max_float_layers=0,
    # No accuracy is told, so that none can be lost: every form that runs is timed, and int8 is built for a Jetson.
    max_accuracy_drop=1.0,
    min_relative_accuracy=0.0,
    max_recall_drop=1.0,
)


@dataclass(frozen=True)
class Network:
    """One row: timm's name, or torchvision's behind ``torchvision/``, and the side of its input in pixels."""

    family: str
    name: str
    side: int = 96


NETWORKS = (
    Network("MobileNetV1", "mobilenetv1_100"),
    Network("MobileNetV2", "mobilenetv2_050"),
    Network("MobileNetV2", "torchvision/mobilenet_v2"),
    Network("MobileNetV3", "mobilenetv3_small_100"),
    Network("MobileNetV4", "mobilenetv4_conv_small"),
    Network("MobileNetV4 hybrid", "mobilenetv4_hybrid_medium"),
    Network("LCNet", "lcnet_050"),
    Network("MNASNet", "torchvision/mnasnet0_5"),
    Network("EfficientNet", "efficientnet_b0"),
    Network("EfficientNet-Lite", "efficientnet_lite0"),
    Network("RegNetX", "regnetx_002"),
    Network("RegNetY", "regnety_002"),
    Network("ResNet", "resnet18"),
    Network("ResNet", "torchvision/resnet18"),
    Network("DenseNet", "torchvision/densenet121", 64),
    Network("SqueezeNet", "torchvision/squeezenet1_1"),
    Network("ShuffleNetV2", "torchvision/shufflenet_v2_x0_5"),
    Network("GhostNet", "ghostnet_050"),
    Network("RepVGG", "repvgg_a0"),
    Network("MobileOne", "mobileone_s0"),
    Network("ConvNeXt", "convnext_atto"),
    Network("EdgeNeXt", "edgenext_xx_small"),
    Network("FastViT", "fastvit_t8"),
    Network("MobileViT", "mobilevit_xxs"),
    Network("MobileViTV2", "mobilevitv2_050"),
    Network("EfficientFormer", "efficientformer_l1", 224),
    Network("EfficientFormerV2", "efficientformerv2_s0", 224),
    Network("LeViT", "levit_128s", 224),
    Network("TinyViT", "tiny_vit_5m_224"),
    Network("PoolFormer", "poolformer_s12"),
    Network("ViT", "vit_tiny_patch16_224"),
    Network("Swin", "swin_tiny_patch4_window7_224", 64),
)


class Headed(nn.Module):
    """A backbone that gives features, and one linear layer behind it."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, classes]``."""
        logits: torch.Tensor = self.head(torch.flatten(self.backbone(images), 1))
        return logits


def backbone_of(network: Network) -> nn.Module:
    """Return the network without its last layer, with random weights that are always the same."""
    torch.manual_seed(0)
    if network.name.startswith("torchvision/"):
        made: nn.Module = torchvision.models.get_model(network.name.partition("/")[2], weights=None, num_classes=128)
        return made
    try:
        made = timm.create_model(network.name, pretrained=False, num_classes=0, img_size=network.side)
    except TypeError:  # most convolutional ones take any size
        made = timm.create_model(network.name, pretrained=False, num_classes=0)
    return made


def input_of(network: Network) -> InputSpec:
    """Return a frame of the network's own size and ImageNet's normalisation."""
    side = network.side
    return InputSpec(
        frame=FrameSpec(height=side, width=side, crop="center"),
        network=NetworkInput(height=side, width=side, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    )


def fitted(network: Network, index: DatasetIndex, root: Path) -> nn.Module:
    """Return a network with a last layer that is fitted to the training images."""
    backbone, spec = backbone_of(network), input_of(network)
    records = index.split("train")
    frames = np.stack([frame_from_file(root / record.path, spec.frame)[0] for record in records])
    pixels = (torch.from_numpy(frames).float() / 255 - torch.tensor(spec.network.mean)) / torch.tensor(spec.network.std)
    batches = pixels.permute(0, 3, 1, 2).contiguous().split(32)
    norms = [m for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    backbone.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for batch in batches:
            backbone(batch)
        backbone.eval()
        features = torch.cat([torch.flatten(backbone(batch), 1) for batch in batches]).double()
    wanted = nn.functional.one_hot(torch.tensor([record.label for record in records]), len(index.labels)).double()
    mean, spread = features.mean(0), features.std(0) + 1e-6
    scaled = (features - mean) / spread
    kernel = scaled @ scaled.T + RIDGE * len(scaled) * scaled.shape[1] / 100 * torch.eye(len(scaled)).double()
    weights = SHARPNESS * scaled.T @ torch.linalg.solve(kernel, wanted - wanted.mean(0)) / spread[:, None]
    head = nn.Linear(features.shape[1], len(index.labels))
    with torch.no_grad():
        head.weight.copy_(weights.T.float())
        head.bias.copy_((SHARPNESS * wanted.mean(0) - mean @ weights).float())
    return Headed(backbone, head).eval()


def kinds_left(graph: Any, names: tuple[str, ...]) -> dict[str, int]:
    """Count the layers with weights, and the products of two activations, that an int8 graph leaves in floating point."""
    constants = {tensor.name for tensor in graph.initializer}
    made = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    left = Counter[str]()
    for node in graph.node:
        if node.name in names:
            weighted = any(name in constants or name in made for name in node.input[1:2])
            left[node.op_type if weighted else "attention"] += 1
    return dict(left)


def on_cpu(exported: ExportedModel, folder: Path, index: DatasetIndex, root: Path) -> dict[str, Any]:
    """Try every form on this processor."""
    selector = selector_for("cpu", exported, folder, index, root)
    found = selector.run()
    forms: dict[str, Any] = {}
    for made in selector.candidates:
        trial = made.trial
        forms[trial.name] = {
            "precision": trial.precision,
            "note": trial.note,
            "median_ns": trial.median_ns,
            "relative": trial.relative_time,
            "divergence": trial.divergence,
            "flips": None if made.probabilities is None else flips(selector.candidates[0].probabilities, made.probabilities),
            "bytes": trial.bytes,
            "left": list(trial.float_nodes),
            "refused": list(trial.unsupported_nodes),
        }
        if made.quantized is not None and made.graph is not None:
            forms[trial.name]["quantized"] = len(made.quantized.quantized_nodes)
            forms[trial.name]["float"] = kinds_left(made.graph.graph, made.quantized.float_nodes)
    return {"chosen": found.chosen, "reason": found.reason, "images": found.images, "forms": forms}


def flips(one: Any, other: Any) -> int:
    """Count the images that two forms decide otherwise."""
    return int((one.argmax(axis=1) != other.argmax(axis=1)).sum())


def on_jetson(exported: ExportedModel, folder: Path, index: DatasetIndex, root: Path) -> dict[str, Any]:
    """Choose for a Jetson, and let TensorRT-RTX parse and build FP32, FP16 and the chosen form."""
    proofs = {"fp32": proof(folder / exported.onnx.path)}
    half = folder / "half.onnx"
    try:
        half.write_bytes(make_half(load_graph(folder / exported.onnx.path)).SerializeToString())
        proofs["fp16"] = proof(half)
    except ModelError as err:
        proofs["fp16"] = str(err)
    selector = selector_for("jetson", exported, folder, index, root)
    found = selector.run()
    forms = {
        made.trial.name: {
            "precision": made.trial.precision,
            "note": made.trial.note,
            "divergence": made.trial.divergence,
            "left": list(made.trial.float_nodes),
            "refused": list(made.trial.unsupported_nodes),
        }
        for made in selector.candidates
    }
    return {"chosen": found.chosen, "precision": found.precision, "proofs": proofs, "forms": forms}


def proof(graph: Path) -> str:
    """Return ``""`` where TensorRT-RTX builds a graph, or why it does not."""
    try:
        tensorrt_rtx_backend.preflight(graph, graph.parent)
    except ModelError as err:
        return str(err)
    return ""


def selector_for(target: Any, exported: ExportedModel, folder: Path, index: DatasetIndex, root: Path) -> Selector:
    """Return the search as ``compile`` runs it, with one kind of range."""
    out = folder / f"select-{target}"
    out.mkdir()
    profile = load_profile("generic-x86" if target == "cpu" else "jetson-orin-nano-8gb")
    return Selector(
        FloatNetwork(exported=exported, folder=folder),
        CalibrationImages(index=index, root=root, seed=0),
        Evaluation(
            images=decode_split(Workspace(folder / "work"), index, "val", root, exported.input.frame, SilentProgress()),
            labels=exported.labels,
            predict=predict_frames,
        ),
        SETTINGS,
        Deployment(
            target=target,
            host=detect().host,
            threads=1,
            reduce_range=target == "cpu" and needs_half_range(profile, detect()),
        ),
        out,
        SilentProgress(),
    )


def measure(network: Network, index: DatasetIndex, root: Path) -> dict[str, Any]:
    """Compile one network for both targets."""
    trained = fitted(network, index, root)
    line: dict[str, Any] = {
        "family": network.family,
        "network": network.name,
        "side": network.side,
        "parameters": sum(p.numel() for p in trained.parameters()),
    }
    for target, run in (("cpu", on_cpu), ("jetson", on_jetson)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            try:
                exported = export_onnx(
                    copy.deepcopy(trained),
                    input_of(network),
                    index.labels,
                    "0" * 64,
                    folder,
                    cast_first=target == "jetson",
                )
                line[target] = run(exported, folder, index, root)
            except ModelError as err:
                line[target] = {"error": str(err)}
    return {**line, **circumstances()}


def circumstances() -> dict[str, Any]:
    """Return when, of what commit and on what this was measured."""
    libraries = ("openvino", "onnxruntime", "tensorrt_rtx", "timm", "torch", "torchvision")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD"),
        "processor": processor(),
        "system": platform.system(),
        "load_average": round(os.getloadavg()[0], 1),
        "versions": {library: metadata.version(library) for library in libraries},
    }


def read_results() -> dict[str, dict[str, Any]]:
    """Return the newest line of each network, in the order of ``NETWORKS``."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []
    newest = {line["network"]: line for line in lines}
    return {network.name: newest[network.name] for network in NETWORKS if network.name in newest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", action="store_true", help="write the page alone")
    parser.add_argument("--again", nargs="*", default=[], help="networks to measure although they were")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    if not asked.table:
        done = read_results().keys() - set(asked.again)
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "phantoms"
            index = draw_set(root, images=IMAGES)
            for network in NETWORKS:
                if network.name in done:
                    continue
                line = measure(network, index, root)
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line, sort_keys=True) + "\n")
                print(network.name, {t: line[t].get("error") or line[t]["chosen"] for t in ("cpu", "jetson")}, flush=True)
    PAGE.write_text(write_page(read_results()), encoding="utf-8")


if __name__ == "__main__":
    main()
