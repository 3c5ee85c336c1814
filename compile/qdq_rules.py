"""What a Q/DQ graph must keep so that TensorRT, OpenVINO and ONNX Runtime all read the same int8 network from it.

Rules after NVIDIA's ``IQuantizeLayer`` (symmetric, int8, per-channel weights only) and what ONNX Runtime and OpenVINO's
arm64 kernels accept; the sources are in docs/architecture.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.compile.graph import consumers, producers
from weckd_edge.errors import ModelError
from weckd_edge.optional import require

if TYPE_CHECKING:
    from onnx import ModelProto

_PAIR = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One broken rule.

    Attributes:
        node: Name of the node.
        rule: What was expected and what is there.
    """

    node: str
    rule: str


def find_violations(model: ModelProto) -> tuple[Violation, ...]:
    """Name every Q/DQ node that breaks a rule, in graph order."""
    onnx = require("onnx", "check a graph")
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made_by, read_by = producers(graph), consumers(graph)
    found: list[Violation] = []

    def blame(node: str, rule: str) -> None:
        found.append(Violation(node=node, rule=rule))

    for node in graph.node:
        if node.op_type not in _PAIR:
            continue
        scale = constants.get(node.input[1])
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if scale is None:
            blame(node.name, f"its scale must be a constant, '{node.input[1]}' is none")
            continue
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            blame(node.name, "its scale must be finite and over 0")
        if zero is None:
            blame(node.name, "it must name a zero point: without one its type is uint8")
        elif zero.dtype != np.int8:
            blame(node.name, f"its zero point must be int8, not {zero.dtype}")
        elif zero.any():
            blame(node.name, "its zero point must be 0 (symmetric)")
        first = made_by.get(node.input[0])
        source = first.input[0] if node.op_type == "DequantizeLinear" and first is not None else node.input[0]
        if scale.size > 1 and source not in constants:
            blame(node.name, f"an activation takes one scale for the whole tensor, it has {scale.size}")
        if node.op_type == "QuantizeLinear":
            others = [r.op_type for r in read_by.get(node.output[0], []) if r.op_type != "DequantizeLinear"]
            if others:
                blame(node.name, f"only DequantizeLinear may read it, {others[0]} does")
        elif first is None or first.op_type != "QuantizeLinear":
            blame(node.name, "it must stand right behind a QuantizeLinear")
    return tuple(found)


def require_rules(model: ModelProto) -> None:
    """Refuse a graph that breaks a rule.

    Raises:
        ModelError: Naming the first three nodes.
    """
    broken = find_violations(model)
    if broken:
        shown = "; ".join(f"{v.node}: {v.rule}" for v in broken[:3])
        raise ModelError(
            f"{len(broken)} Q/DQ nodes break the rules that TensorRT and OpenVINO share ({shown}); quantize it again"
        )
