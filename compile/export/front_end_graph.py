"""Write the front end (crop, and resize by area) as a graph of matrix products, equal to its definition bit for bit.

``devices/images/area_resize.py`` has the definition. On a Jetson the whole frame can go to the GPU, with this graph before
the one that takes pixels (``devices/jetson/front_end.py``); everywhere else the front end in whole numbers is faster.

Weights are whole numbers of at most 128. Sums over the rows have 15 bits, which TF32 would round, so that they are taken
apart before the columns are summed: whole 128ths, and the rest. Every factor then has at most 8 bits, and every sum less
than 24.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import InputSpec, crop_box
from weckd_edge.compile.graph import OPSET, check_graph, stamp_versions
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.images.area_resize import SHIFT, TOTAL, area_weights, resize_area

if TYPE_CHECKING:
    from onnx import ModelProto

MAX_WEIGHTS = 1 << 14
"""Most weights of an axis: lengths without a common divisor need one for each pair of an old and a new pixel."""

_CHECKED_FRAMES = 3
"""Number of frames of noise that the graph is compared on with the definition."""


def make_front_end(spec: InputSpec) -> ModelProto:
    """Return the graph from the uint8 frame to the pixels as whole grey levels in float32.

    Its names all start with ``front_end/``, but for ``frame`` and ``pixels``.

    Args:
        spec: The frame, and the network's input; it is resized by area.

    Raises:
        ModelError: The lengths of an axis have too small a common divisor.
    """
    onnx = require("onnx", "write the front end as a graph")
    writer = _Writer(onnx)
    (_, height, width, _), (new_height, new_width) = spec.frame_shape, spec.network.size
    top, left, rows, columns = crop_box(spec.frame)
    x = writer.add("Cast", "frame", to=onnx.TensorProto.FLOAT)
    if (rows, columns) != (height, width):
        ends = writer.whole(top + rows, left + columns)
        x = writer.add("Slice", x, writer.whole(top, left), ends, writer.whole(1, 2))
    down, across = _band("rows", rows, new_height), _band("columns", columns, new_width)
    bands = rows // down.shape[1]
    x = writer.add("Reshape", x, writer.whole(bands, down.shape[1], columns * 3))
    x = writer.add("MatMul", writer.number(down[None]), x)
    kron = np.kron(across, np.eye(3, dtype=np.float32)).T
    x = writer.add("Reshape", x, writer.whole(-1, kron.shape[0]))
    upper = writer.add("Floor", writer.add("Mul", x, writer.number(1 / TOTAL)))
    lower = writer.add("Sub", x, writer.add("Mul", upper, writer.number(TOTAL)))
    matrix = writer.number(kron)
    upper = writer.add("Mul", writer.add("MatMul", upper, matrix), writer.number(TOTAL))
    sums = writer.add("Add", upper, writer.add("MatMul", lower, matrix))
    levels = writer.add("Floor", writer.add("Add", writer.add("Mul", sums, writer.number(2.0**-SHIFT)), writer.number(0.5)))
    writer.add("Reshape", levels, writer.whole(1, new_height, new_width, 3), name="pixels")
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        writer.nodes,
        "front_end",
        [info("frame", onnx.TensorProto.UINT8, [1, height, width, 3])],
        [info("pixels", onnx.TensorProto.FLOAT, [1, new_height, new_width, 3])],
        writer.constants,
    )
    made: ModelProto = onnx.helper.make_model(graph)
    stamp_versions(made, OPSET)
    check_graph(made)
    return made


def check_front_end(data: bytes, spec: InputSpec) -> None:
    """Compare the graph with the definition on frames of noise.

    Raises:
        ModelError: A pixel differs.
    """
    ort = require("onnxruntime", "run the front end as a graph")
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    top, left, rows, columns = crop_box(spec.frame)
    random = np.random.default_rng(0)
    for _ in range(_CHECKED_FRAMES):
        frame = random.integers(0, 256, spec.frame_shape, dtype=np.uint8)
        wanted = resize_area(frame[0, top : top + rows, left : left + columns], *spec.network.size)
        (found,) = session.run(None, {"frame": frame})
        if not np.array_equal(found[0], wanted):
            raise ModelError(
                f"the front end as a graph differs from its definition by {np.abs(found[0] - wanted).max():g} grey levels",
                code="E_MODEL_GRAPH",
            )


def _band(axis: str, old: int, new: int) -> NDArray[np.float32]:
    """Return the weights of an axis, which repeat from band to band where both lengths have a common divisor."""
    bands = math.gcd(old, new)
    if (old // bands) * (new // bands) > MAX_WEIGHTS:
        raise ModelError(
            f"{old} {axis} become {new}, and have no large common divisor; as matrix products that takes too many weights",
            code="E_MODEL_GRAPH",
        )
    matrix = area_weights(old, new).matrix(old)[: new // bands, : old // bands]
    return matrix.astype(np.float32)


class _Writer:
    """Collects nodes and constants, each with a name of its own."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        found = name or f"front_end/{kind}_{len(self.nodes)}_output"
        node = self.onnx.helper.make_node(kind, list(inputs), [found], f"front_end/{kind}_{len(self.nodes)}", **attributes)
        self.nodes.append(node)
        return found

    def whole(self, *values: int) -> str:
        """Add a constant of whole numbers."""
        return self._keep(np.array(values, np.int64))

    def number(self, values: float | NDArray[np.float32]) -> str:
        """Add a constant of floating point."""
        return self._keep(np.asarray(values, np.float32))

    def _keep(self, values: NDArray[Any]) -> str:
        name = f"front_end/constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(values, name))
        return name
