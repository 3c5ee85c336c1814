"""The front end as a graph makes the same bytes as its definition, and TensorRT's parser and builder take it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from support.errors import raises
from weckd_edge.artifacts import Crop, InputSpec
from weckd_edge.compile.export.front_end_graph import check_front_end, make_front_end
from weckd_edge.core.errors import ModelError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def sized(toy: ModuleType, frame: tuple[int, int], network: tuple[int, int], crop: Crop = "center") -> InputSpec:
    spec: InputSpec = toy.input_spec("area")
    return replace(
        spec,
        frame=replace(spec.frame, height=frame[0], width=frame[1], crop=crop),
        network=replace(spec.network, height=network[0], width=network[1]),
    )


@pytest.mark.parametrize(
    ("frame", "network", "crop"),
    [
        ((480, 640), (128, 128), "center"),
        ((480, 640), (224, 224), "stretch"),
        ((72, 128), (24, 32), "center"),
        ((27, 35), (8, 8), "center"),
        ((9, 12), (16, 16), "center"),
        ((16, 16), (16, 16), "center"),
    ],
)
def test_it_makes_the_bytes_of_the_definition(
    toy: ModuleType, frame: tuple[int, int], network: tuple[int, int], crop: Crop
) -> None:
    spec = sized(toy, frame, network, crop)
    check_front_end(make_front_end(spec).SerializeToString(), spec)


def test_one_that_differs_is_refused(toy: ModuleType) -> None:
    wide = sized(toy, (480, 640), (128, 128), "stretch")
    centred = sized(toy, (480, 640), (128, 128))
    with raises(ModelError, "E_MODEL_GRAPH", says="grey levels"):
        check_front_end(make_front_end(wide).SerializeToString(), centred)


def test_lengths_without_a_common_divisor_are_refused_with_the_axis(toy: ModuleType) -> None:
    with raises(ModelError, "E_MODEL_GRAPH", says=("479 rows become 128")):
        make_front_end(sized(toy, (479, 640), (128, 128)))


def test_it_takes_few_bytes_and_every_factor_is_exact_in_the_types_of_a_gpu(toy: ModuleType) -> None:
    made = make_front_end(sized(toy, (480, 640), (128, 128)))
    assert len(made.SerializeToString()) < 10_000
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer]
    matrices = [values for values in weights if values.ndim >= 2]
    assert len(matrices) == 2
    for values in matrices:
        assert (values == values.round()).all()
        assert values.max() <= 128


def test_tensorrts_parser_and_builder_take_it(toy: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from weckd_edge.compile.backends.tensorrt_rtx_backend import preflight

    onnx.save(make_front_end(sized(toy, (480, 640), (128, 128))), tmp_path / "front-end.onnx")
    assert "built ahead of time without a GPU" in preflight(tmp_path / "front-end.onnx", tmp_path).detail[1]
