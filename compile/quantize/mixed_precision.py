"""Leave layers of an int8 graph in floating point."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from weckd_edge.compile.graph import check_graph, consumers, producers
from weckd_edge.compile.quantize.qdq_nodes import PAIR, drop_unused
from weckd_edge.compile.quantize.qdq_placement import reads_float

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


def leave_float(model: ModelProto, nodes: Collection[str], fp32: ModelProto) -> ModelProto:
    """Return a copy of an int8 graph in which the named operators read and write floating point again, as in FP32.

    They have the biases that they had, and read behind an activation that a quantizer had absorbed.

    Args:
        model: Int8 graph, its weights in floating point behind a pair of their own.
        nodes: Names of the operators.
        fp32: Graph that it was made from.
    """
    mixed = type(model)()
    mixed.CopyFrom(model)
    graph = mixed.graph
    before = {tensor.name: tensor for tensor in fp32.graph.initializer}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    plain = {node.name: node for node in fp32.graph.node}
    left = [node for node in graph.node if node.name in nodes]
    for node in left:
        for name in node.input[2:3]:
            if name in before and name in constants:
                constants[name].CopyFrom(before[name])
    for node in [*left, *_float_readers_behind(graph, left, set(reads_float(fp32.graph)))]:
        _read_as_before(graph, node, plain[node.name], fp32.graph)
    _drop_dead_pairs(graph)
    check_graph(mixed)
    return mixed


def _float_readers_behind(graph: GraphProto, nodes: Sequence[NodeProto], in_float: Collection[str]) -> list[NodeProto]:
    """Return the operators of floating point that read what these write behind a pair, which int8 alone needs."""
    read_by = consumers(graph)
    quantizers = [q for node in nodes for q in read_by.get(node.output[0], []) if q.op_type == PAIR[0]]
    dequantizers = [dq for q in quantizers for dq in read_by.get(q.output[0], [])]
    return [reader for dq in dequantizers for reader in read_by.get(dq.output[0], []) if reader.name in in_float]


def _read_as_before(graph: GraphProto, node: NodeProto, plain: NodeProto, fp32: GraphProto) -> None:
    """Let a node read what it read in FP32 where it reads a pair; an activation that was absorbed is put back."""
    made_by, before = producers(graph), producers(fp32)
    for place, name in enumerate(node.input):
        if name not in made_by or made_by[name].op_type != PAIR[1]:
            continue
        node.input[place] = tensor = plain.input[place]
        if tensor in before and tensor not in made_by:
            graph.node.insert(list(graph.node).index(node), before[tensor])
            there = {constant.name for constant in graph.initializer}
            wanted = set(before[tensor].input) - there
            graph.initializer.extend(constant for constant in fp32.initializer if constant.name in wanted)
            made_by = producers(graph)


def _drop_dead_pairs(graph: GraphProto) -> None:
    """Remove Q and DQ nodes that nothing reads any more, and nodes that only they read."""
    while True:
        used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        dead = [n for n in graph.node if n.op_type in PAIR and n.output[0] not in used]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    drop_unused(graph)
