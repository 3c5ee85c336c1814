"""Conversion of the Q/DQ pairs of an ONNX graph to OpenVINO's own rounding operator.

OpenVINO reads a pair as five operators and gathers them later. Where a concatenation comes before a pair, OpenVINO moves the
first operator in front of it and loses the scale: the next layer then reads values rounded to whole numbers (seen from
2025.2 to 2026.4.1). With the pairs gathered at once, as here, the graph computes as it is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def gather_pairs(ov: Any, model: Any) -> int:
    """Replace in an ``openvino.Model``, in place, each pair of one scale by one ``FakeQuantize``.

    Args:
        ov: The OpenVINO module.
        model: The model as OpenVINO read it from ONNX.

    Returns:
        Number of pairs that were replaced. Pairs on weights, which have a scale a channel, are left as they are.
    """
    count = 0
    for quantize in [op for op in model.get_ordered_ops() if op.get_type_name() == "FakeQuantize"]:
        for end, scale, zero in _ends(quantize):
            low, high = (_number(quantize.input_value(at)) for at in (3, 4))
            if low is None or high is None or _number(quantize.input_value(0)) is not None:
                continue
            edges = [ov.opset13.constant(np.float32((edge - zero) * scale)) for edge in (low, high)]
            rounded = ov.opset13.fake_quantize(quantize.input_value(0), *edges, *edges, quantize.get_attributes()["levels"])
            rounded.set_friendly_name(end.get_friendly_name())
            output, names = end.output(0), end.output(0).get_names()
            for reader in output.get_target_inputs():
                reader.replace_source_output(rounded.output(0))
            output.set_names(set())
            rounded.output(0).set_names(names)
            count += 1
    return count


def _ends(quantize: Any) -> list[tuple[Any, float, float]]:
    """Return the last of each pair (FakeQuantize, Convert, Convert, Subtract, Multiply) with its scale and zero point."""
    found = []
    for convert in _readers(quantize, "Convert"):
        for back in _readers(convert, "Convert"):
            shifted = [(s, zero) for s in _readers(back, "Subtract") if (zero := _number(s.input_value(1))) is not None]
            for op, zero in ((back, 0.0), *shifted):
                found += [(m, s, zero) for m in _readers(op, "Multiply") if (s := _number(m.input_value(1))) is not None]
    return found


def _readers(op: Any, kind: str) -> list[Any]:
    return [t.get_node() for t in op.output(0).get_target_inputs() if t.get_node().get_type_name() == kind]


def _number(value: Any) -> float | None:
    """Return the value of a tensor that is a constant number; None where it is another tensor."""
    op = value.get_node()
    while op.get_type_name() in ("Convert", "Reshape", "Unsqueeze", "Squeeze"):
        op = op.input_value(0).get_node()
    if op.get_type_name() != "Constant" or op.get_data().size != 1:
        return None
    return float(op.get_data().reshape(-1)[0])
