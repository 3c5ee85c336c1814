"""ONNX graphs of the toy network with a tensor's data in a file beside them, wherever a tensor may stand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

FILE = "outside.bin"


def outside(name: str = "extra", *, location: str = FILE, size: int = 4) -> TensorProto:
    """Return a float tensor whose data lie in a file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[size // 4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _constant(attribute: AttributeProto) -> onnx.NodeProto:
    node = helper.make_node("Constant", [], ["unused"])
    node.attribute.append(attribute)
    return node


def _graph(*tensors: TensorProto) -> onnx.GraphProto:
    return helper.make_graph([], "inner", [], [], list(tensors))


def _sparse(values: TensorProto) -> onnx.SparseTensorProto:
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[1])


def _function(model: ModelProto) -> None:
    made = helper.make_function("toy", "f", [], [], [_constant(_attribute(t=outside()))], [helper.make_opsetid("", 17)])
    model.functions.append(made)


def _attribute(**fields: object) -> AttributeProto:
    kinds = {"t": "TENSOR", "g": "GRAPH", "tensors": "TENSORS", "graphs": "GRAPHS", "sparse_tensor": "SPARSE_TENSOR"}
    kinds["sparse_tensors"] = "SPARSE_TENSORS"
    (name,) = fields
    return AttributeProto(name="value", type=getattr(AttributeProto, kinds[name]), **fields)


def _weights(model: ModelProto) -> None:
    """The network's own weights: the case that a runtime would answer with."""
    for tensor in model.graph.initializer:
        if tensor.name == "weights":
            tensor.CopyFrom(_moved(tensor))


def _moved(tensor: TensorProto) -> TensorProto:
    moved = outside(tensor.name, size=4 * int(np.prod(tensor.dims)))
    del moved.dims[:]
    moved.dims.extend(tensor.dims)
    return moved


PLACES: dict[str, Callable[[ModelProto], object]] = {
    "the network's weights": _weights,
    "an initializer": lambda model: model.graph.initializer.append(outside()),
    "a node's tensor": lambda model: model.graph.node.append(_constant(_attribute(t=outside()))),
    "a node's tensors": lambda model: model.graph.node.append(_constant(_attribute(tensors=[outside()]))),
    "a subgraph": lambda model: model.graph.node.append(_constant(_attribute(g=_graph(outside())))),
    "subgraphs": lambda model: model.graph.node.append(_constant(_attribute(graphs=[_graph(), _graph(outside())]))),
    "a subgraph's subgraph": lambda model: model.graph.node.append(
        _constant(
            _attribute(
                g=helper.make_graph([_constant(_attribute(g=_graph(outside())))], "inner", [], []),
            )
        )
    ),
    "a sparse initializer": lambda model: model.graph.sparse_initializer.append(_sparse(outside())),
    "a node's sparse tensor": lambda model: model.graph.node.append(_constant(_attribute(sparse_tensor=_sparse(outside())))),
    "a node's sparse tensors": lambda model: model.graph.node.append(
        _constant(_attribute(sparse_tensors=[_sparse(outside())]))
    ),
    "a function": _function,
    "a training's graph": lambda model: model.training_info.add(initialization=_graph(outside())),
    "a training's algorithm": lambda model: model.training_info.add(algorithm=_graph(outside())),
    "an address": lambda model: model.graph.initializer.append(outside(location="*/_ORT_MEM_ADDR_/*")),
}


def write(path: Path, place: str) -> None:
    """Put a tensor with its data outside into a graph that lies there, and its data into the same folder."""
    model = onnx.load(path)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    data = numpy_helper.to_array(weights).tobytes()
    PLACES[place](model)
    path.write_bytes(model.SerializeToString())
    (path.parent / FILE).write_bytes(data)
