"""Fold a padding with minus infinity before a max pool into the max pool's own padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.compile.graph import consumers
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto

LOWEST = -65504.0
"""Lowest value of float16: exporters pad with it, with float32's lowest or with minus infinity, below every pixel."""


def fold_padding(model: ModelProto) -> int:
    """Move paddings with minus infinity into the pools behind them, where these can hold them.

    Args:
        model: Network in opset 17, constants folded; changed in place.

    Returns:
        Number of paddings that were moved.
    """
    onnx = require("onnx", "import a network")
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = consumers(graph)
    final = {entry.name for entry in graph.output}
    moved = 0
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in pad.attribute}
        read = [constants.get(name) for name in pad.input[1:3]]
        behind = readers.get(pad.output[0], [])
        if attributes.get("mode", b"constant") != b"constant" or len(read) < 2 or None in read or pad.output[0] in final:
            continue
        pads, value = (onnx.numpy_helper.to_array(tensor).reshape(-1) for tensor in read)
        if value.size != 1 or value[0] > LOWEST or not behind or any(node.op_type != "MaxPool" for node in behind):
            continue
        sides = pads.reshape(2, -1)
        if sides.shape[1] < 3 or sides[:, :2].any() or (sides < 0).any():
            continue
        found = [_padded(node, sides[:, 2:]) for node in behind]
        if any(padding is None for padding in found):
            continue
        for node, padding in zip(behind, found, strict=True):
            kept = [a for a in node.attribute if a.name not in ("pads", "auto_pad")]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("pads", padding)])
            node.input[0] = pad.input[0]
        graph.node.remove(pad)
        moved += 1
    return moved


def _padded(pool: object, sides: object) -> list[int] | None:
    """Return a pool's paddings together with others ``[2, axes]``; None where it cannot hold them."""
    onnx = require("onnx", "import a network")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in pool.attribute}  # type: ignore[attr-defined]
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or attributes.get("ceil_mode", 0):
        return None
    if len(pool.output) > 1:  # type: ignore[attr-defined]  # its second output counts places in the padded input
        return None
    kernel = np.array(attributes["kernel_shape"])
    own = np.array(attributes.get("pads", [0] * 2 * len(kernel))).reshape(2, -1)
    whole = own + np.asarray(sides)
    return [int(v) for v in whole.reshape(-1)] if (whole < kernel).all() else None
