"""What engines say of themselves, read as TensorRT of several versions and TensorRT-RTX write it."""

import json

import pytest

from support.errors import raises
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.jetson.engine_layers import (
    EngineLayer,
    in_floating_point,
    layers_on_gpu,
    read_engine_information,
    read_listing,
)

OLD = {
    "Name": "conv1 + relu1",
    "LayerType": "CaskConvolution",
    "Inputs": [
        {
            "Name": "x",
            "Dimensions": [1, 3, 8, 8],
            "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format",
        }
    ],
    "Outputs": [{"Name": "y", "Dimensions": [1, 8, 8, 8], "Format/Datatype": "Row major linear FP16 format"}],
}
NEW = {
    "Name": "conv2_myl0_3",
    "LayerType": "correlation",
    "Inputs": [{"Name": "y", "Datatype": "Half", "Format": "(NHWC) Channel major format"}],
    "Outputs": [{"Name": "z", "Datatype": "Float", "Format": "(Linear) Row major linear format"}],
    "Metadata": "[ONNX Layer: /stem/Conv]\u001e[ONNX Layer: /stem/Relu]",
}
DLA = {"Name": "{ForeignNode[a...b]}", "LayerType": "DLA", "Inputs": [], "Outputs": []}


def test_both_ways_of_writing_a_type_are_read() -> None:
    old, new, dla = read_engine_information(json.dumps({"Layers": [OLD, NEW, DLA], "Bindings": ["x"]}))
    assert (old.reads, old.writes, old.weighted, old.processor) == (("int8",), ("fp16",), True, "GPU")
    assert (new.reads, new.writes, new.nodes) == (("fp16",), ("fp32",), ("/stem/Conv", "/stem/Relu"))
    assert (dla.processor, dla.weighted) == ("DLA", False)
    assert in_floating_point((old, new, dla)) == ("conv2_myl0_3",)
    assert layers_on_gpu((old, new, dla)) == ("conv1 + relu1", "conv2_myl0_3")


def test_names_alone_say_nothing_of_types() -> None:
    layers = read_engine_information(json.dumps({"Layers": ["Conv_1"]}))
    assert layers == (EngineLayer(name="Conv_1", kind="", reads=(), writes=()),)
    assert in_floating_point(layers) == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Layers": [{"LayerType": "x"}]}', '{"Layers": 3}'])
def test_what_is_no_layer_table_is_one_clear_error(text: str) -> None:
    with raises(ModelError, "E_MODEL_BACKEND_RUN"):
        read_engine_information(text)


def test_a_listing_gives_one_layer_a_line_and_leaves_out_weights() -> None:
    text = """Layers:
Name: a_0, LayerType: correlation, Inputs: [ { Name: x, Dimensions: [1,4], Datatype: Int8, Format: f }], Constants: [ \
{ Name: w, Datatype: Half, Format: f }], Outputs: [ { Name: y, Datatype: Float, Format: f }], TacticName: t, \
StreamId: 0, Metadata: [ONNX Layer: /a]
Name: b_1, LayerType: kgen, Inputs: [ { Name: y, Datatype: Float, Format: f }, { Name: z, Datatype: Int8, Format: f }], \
Outputs: [ { Name: o, Datatype: Int8, Format: f }], TacticName: t

I/O Tensors:
 Name: frame, IOMode: Input"""
    assert read_listing(text) == (
        EngineLayer(name="a_0", kind="correlation", reads=("int8",), writes=("fp32",), nodes=("/a",)),
        EngineLayer(name="b_1", kind="kgen", reads=("fp32", "int8"), writes=("int8",)),
    )
