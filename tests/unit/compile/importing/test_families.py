"""Tiny members of the families that int8 is hardest for: their int8 graph keeps the rules, runs here and answers alike."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.compile.backends import openvino_backend
from weckd_edge.compile.quantize.calibration_images import calibration_frames, choose_images
from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT
from weckd_edge.compile.quantize.fp16_form import make_half
from weckd_edge.compile.quantize.qdq_nodes import PAIR, WEIGHTED, split_by_precision
from weckd_edge.compile.quantize.qdq_rules import find_violations
from weckd_edge.compile.quantize.quantize import calibrate, quantize, write_quantized
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.runtime.backends.table import open_runner

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

SIDE = 32


def vit() -> Any:
    return timm.models.VisionTransformer(
        img_size=SIDE, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3, mlp_ratio=2
    )


def swin() -> Any:
    return timm.models.SwinTransformer(
        img_size=SIDE, patch_size=2, embed_dim=16, depths=(2, 1), num_heads=(2, 2), window_size=4, num_classes=3
    )


def convnext() -> Any:
    return timm.models.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 16, 16, 32), num_classes=3)


def mobilevit() -> Any:
    from timm.models.mobilevit import MobileVitBlock

    nn = torch.nn
    block = MobileVitBlock(16, 16, transformer_dim=16, transformer_depth=1, patch_size=2, num_heads=2)
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=4, padding=1), nn.SiLU())
    return nn.Sequential(stem, block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))


def levit() -> Any:
    return timm.models.Levit(img_size=64, embed_dim=(16, 24), key_dim=8, depth=(1, 1), num_heads=(2, 2), num_classes=3)


FAMILIES = {"vit": vit, "swin": swin, "convnext": convnext, "mobilevit": mobilevit, "levit": levit}


@pytest.fixture(scope="module")
def data(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetIndex, Path]:
    root = tmp_path_factory.mktemp("families")
    return networks.write_images(root), root


@pytest.mark.parametrize("family", FAMILIES)
def test_int8_of_a_family_keeps_the_rules_and_predicts_as_fp32_does(
    networks: ModuleType, data: tuple[DatasetIndex, Path], tmp_path: Path, family: str
) -> None:
    index, root = data
    torch.manual_seed(0)
    contract = networks.contract(size=64 if family == "levit" else SIDE)
    exported = networks.export(FAMILIES[family](), tmp_path / "fp32", contract)
    progress = SilentProgress()
    calibration = calibrate(exported, tmp_path / "fp32", index, root, QuantizeConfig(images=8), seed=0, progress=progress)
    frames = list(calibration_frames(root, choose_images(index, 6, 0), contract.frame))

    def answer(backend: str, model: Path) -> Any:
        runner = open_runner(backend, model, reference=backend == "onnxruntime")
        try:
            return np.stack([runner.run(np.ascontiguousarray(frame)) for frame in frames])
        finally:
            runner.close()

    fp32 = answer("onnxruntime", tmp_path / "fp32/model.onnx")
    for target, form in (("jetson", TENSORRT), ("cpu", PROCESSOR)):
        half_range = networks.saturates() and target == "cpu"
        int8 = quantize(calibration, "mse", form, reduce_range=half_range, progress=progress)
        assert find_violations(int8, form) == ()
        quantized, left = split_by_precision(int8.graph)
        constants = {tensor.name for tensor in int8.graph.initializer}
        dequantized = {n.output[0] for n in int8.graph.node if n.op_type == "DequantizeLinear"}
        layers = [n for n in int8.graph.node if n.op_type in WEIGHTED and n.input[1] in constants | dequantized]
        assert {node.name for node in layers} <= set(quantized), "every layer with weights is int8"
        assert all(node.op_type == "MatMul" for node in int8.graph.node if node.name in left), "attention alone is not"
        if target == "jetson":
            half = make_half(int8)
            assert any(node.op_type in PAIR for node in half.graph.node)
            continue
        write_quantized(calibration, int8, "mse", small=True, folder=tmp_path)
        built = openvino_backend.build_ir(tmp_path / "model.onnx", "int8", tmp_path)
        assert built.int8_layers
        assert built.layers
        written, here = answer("onnxruntime", tmp_path / "model.onnx"), answer("openvino", tmp_path / "model.xml")
        assert np.abs(written - here).max() < 0.05
        assert np.abs(written - fp32).max() < 0.2
        assert not np.array_equal(written, fp32)
