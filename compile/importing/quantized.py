"""Whether a network that is brought is quantized already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weckd_edge.compile.qdq_rules import find_violations
from weckd_edge.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto

_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
_QUANTIZED_OPERATORS = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")


def refuse_quantized(name: str, model: ModelProto) -> None:
    """Refuse a quantized network.

    Raises:
        ModelError: It is one.
    """
    nodes = list(model.graph.node)
    integer = [n for n in nodes if n.op_type in _QUANTIZED_OPERATORS]
    pairs = [n for n in nodes if n.op_type in _QUANTIZED]
    advice = "bring the float network it was made from: int8 is calibrated and compared with it here"
    if integer:
        raise ModelError(
            f"{name}: is quantized already, with integer operators ('{integer[0].name}' is {integer[0].op_type}) that "
            f"TensorRT does not read; {advice}"
        )
    if not pairs:
        return
    broken = find_violations(model)
    why = "its Q/DQ nodes keep the rules of both targets, but there is no float network to compare them with"
    if broken:
        why = f"{len(broken)} Q/DQ nodes break the rules of both targets ({broken[0].node}: {broken[0].rule})"
    raise ModelError(f"{name}: is quantized already; {why}; {advice}")
