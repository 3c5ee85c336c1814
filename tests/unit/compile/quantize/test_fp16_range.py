"""Weights of 7 bits, for processors whose sums of 8-bit products saturate: the kernels without VNNI are run here by name."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT, Form
from weckd_edge.devices.runtime.backends.table import open_runner

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

RUN = """
import sys
from pathlib import Path
import numpy as np
from weckd_edge.devices.runtime.backends import table
table.would_saturate = lambda model: False  # int8 as it is computed here, whatever comes of it
runner = table.open_runner("openvino", Path(sys.argv[1]))
np.save(sys.argv[3], np.stack([runner.run(np.ascontiguousarray(f[None])) for f in np.load(sys.argv[2])]))
"""


@pytest.fixture(scope="module", params=[TENSORRT, PROCESSOR], ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param


@pytest.fixture(scope="module")
def graphs(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory, form: Form) -> dict[bool, Path]:
    """The int8 graph with the whole range of weights, and with half of it."""
    place = tmp_path_factory.mktemp("range")
    index = networks.write_images(place / "images")
    exported = networks.export(networks.every_sum(), place / "fp32")
    for half in (False, True):
        networks.quantized(
            exported, place / "fp32", index, place / "images", place / str(half), form=form, reduce_range=half
        )
    return {half: place / str(half) / "model.onnx" for half in (False, True)}


def steps(path: Path) -> list[int]:
    """Return the largest quantized weight of each convolution and matrix product, by absolute value."""
    graph = onnx.load(path).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in constants:
            weights, scales = constants[node.input[0]], constants[node.input[1]]
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if at == axis else 1 for at in range(weights.ndim)]
            found.append(int(np.abs(np.rint(weights / scales.reshape(shape))).max()))
    return found


def test_weights_keep_within_seven_bits_and_activations_do_not_change(graphs: dict[bool, Path]) -> None:
    whole, half = steps(graphs[False]), steps(graphs[True])
    assert len(whole) == len(half) > 8
    assert {127} <= set(whole)
    assert max(half) <= 64

    def activations(path: Path) -> list[Any]:
        graph = onnx.load(path).graph
        constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        return [
            float(constants[n.input[1]]) for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] not in constants
        ]

    assert activations(graphs[False]) == activations(graphs[True])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="saturation is a matter of x86 without VNNI")
def test_without_vnni_the_whole_range_saturates_and_half_of_it_does_not(
    graphs: dict[bool, Path], form: Form, networks: ModuleType, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    frames = networks.frames(16, networks.contract())
    np.save(tmp_path / "frames.npy", frames)
    apart = {}
    for half, path in graphs.items():
        runner = open_runner("onnxruntime", path, reference=True)
        written = np.stack([runner.run(np.ascontiguousarray(frame[None])) for frame in frames])
        out = tmp_path / f"{half}.npy"
        command = [sys.executable, "-c", RUN, str(path), str(tmp_path / "frames.npy"), str(out)]
        subprocess.run(command, check=True, timeout=120, env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"})
        apart[half] = float(np.quantile(np.abs(np.load(out) - written).max(axis=1), 0.95))
    assert apart[True] < 0.05
    if form is TENSORRT:  # codes around zero are shifted by 128 there, so that most of them are large
        assert apart[False] > 0.2
