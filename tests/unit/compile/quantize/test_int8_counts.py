"""Every convolution of the int8 graph runs in int8 in each backend that can be asked; what loses one fails here."""

from __future__ import annotations

import platform
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from weckd_edge.compile.graph import NETWORK_INPUT_NAME, load_graph
from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT, Form
from weckd_edge.compile.quantize.quantize import quantize_for_timing
from weckd_edge.devices.runtime.backends.int8_layers import count_int8_layers

timm = pytest.importorskip("timm")

LAYERS = {"mobilenetv2_035": 53, "resnet10t": 15, "mobilenetv4_conv_small_050": 47}
"""Convolutions and matrix products of each network; the last one of each is the classifier."""


class Graphs:
    """Int8 graphs of networks with random weights at 64 pixels, each made once."""

    def __init__(self, networks: ModuleType, place: Path) -> None:
        self._networks, self._place = networks, place

    def make(self, name: str, form: Form) -> Path:
        path = self._place / name / f"{form.name}.onnx"
        if not path.exists():
            plain = load_graph(self._float(name))
            frames = list(self._networks.frames(2, self._networks.contract(size=64))[:, None])
            path.write_bytes(quantize_for_timing(plain, frames, form).SerializeToString())
        return path

    def _float(self, name: str) -> Path:
        path = self._place / name / "model.onnx"
        if not path.exists():
            import torch

            torch.manual_seed(0)
            network = timm.create_model(name, pretrained=False, num_classes=3).eval()
            self._networks.export(network, path.parent, self._networks.contract(size=64))
        return path


@pytest.fixture(scope="module")
def graphs(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    return Graphs(networks, tmp_path_factory.mktemp("counts"))


@pytest.mark.parametrize("name", LAYERS)
def test_onnx_runtime_runs_every_convolution_in_int8(graphs: Graphs, name: str) -> None:
    pytest.importorskip("onnxruntime")
    count = count_int8_layers("onnxruntime", graphs.make(name, PROCESSOR), NETWORK_INPUT_NAME)
    assert count is not None
    assert (count.int8_layers, count.layers) == (LAYERS[name] - 1, LAYERS[name]), count.float_layers
    assert all("Gemm" in layer for layer in count.float_layers), "the classifier's logits stay in floating point"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="OpenVINO runs fewer layers in int8 on other processors")
@pytest.mark.parametrize("form", [PROCESSOR, TENSORRT], ids=lambda form: form.name)
@pytest.mark.parametrize("name", LAYERS)
def test_openvino_runs_every_layer_in_int8(graphs: Graphs, name: str, form: Form) -> None:
    pytest.importorskip("openvino")
    count = count_int8_layers("openvino", graphs.make(name, form), NETWORK_INPUT_NAME)
    assert count is not None
    assert (count.int8_layers, count.layers) == (LAYERS[name], LAYERS[name]), count.float_layers


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_that_tensorrt_parses_reads_int8(graphs: Graphs, name: str) -> None:
    trt: Any = pytest.importorskip("tensorrt_rtx")
    from weckd_edge.compile.backends.tensorrt_rtx_backend import read_network
    from weckd_edge.compile.cost.fusion import find_fusions
    from weckd_edge.devices.runtime.backends.tensorrt_backend import make_log, parse_network

    log = make_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parse_network(trt, network, log, graphs.make(name, TENSORRT))
    count = find_fusions(read_network(trt, network)).count
    assert (count.int8_layers, count.layers) == (LAYERS[name], LAYERS[name]), count.float_layers
