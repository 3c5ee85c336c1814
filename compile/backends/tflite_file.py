"""Assemble a .tflite file: tensors, their quantization and operators, by the schema that LiteRT's wheel carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.optional_imports import require

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_TYPES = {"float32": "FLOAT32", "int8": "INT8", "uint8": "UINT8", "int32": "INT32"}
_VERSIONS = {
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "DEQUANTIZE": 2,
    "FULLY_CONNECTED": 4,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
    "MUL": 2,
    "PAD": 2,
    "QUANTIZE": 2,
    "RESHAPE": 1,
    "SUB": 2,
    "TRANSPOSE": 2,
}
"""Version of an operator that holds int8 values; 1 for all others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """How the codes of a tensor stand for numbers.

    Attributes:
        scales: Step of each channel, or one for the tensor.
        zero_points: Code of 0, as many as steps.
        axis: Axis of the channels.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


def per_tensor(scale: float, zero_point: int) -> Quantization:
    """Return the quantization of a tensor that has one step."""
    return Quantization(scales=(scale,), zero_points=(zero_point,))


class TfliteFile:
    """A file that is being written; equal calls give equal bytes.

    Args:
        schema: The module ``ai_edge_litert.schema_py_generated``.

    Attributes:
        schema: That module.
    """

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[str, int] = {}
        self._buffers: list[bytes] = [b""]
        self._ends: tuple[list[int], list[int]] = ([], [])

    @property
    def operators(self) -> list[str]:
        """Kind of each operator, in order."""
        kinds = list(self._codes)
        return [kinds[operator.opcodeIndex] for operator in self._operators]

    def add_tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        quantization: Quantization | None = None,
        data: NDArray[Any] | None = None,
    ) -> int:
        """Add a tensor, a constant where it has data; return its number.

        Args:
            name: Name, for people.
            shape: Shape.
            dtype: ``float32``, ``int8``, ``uint8`` or ``int32``.
            quantization: How codes stand for numbers; None for other tensors.
            data: Values of a constant.
        """
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape = name, [int(side) for side in shape]
        tensor.type = getattr(self.schema.TensorType, _TYPES[dtype])
        tensor.buffer = 0
        if data is not None:
            tensor.buffer = len(self._buffers)
            self._buffers.append(np.ascontiguousarray(data, dtype).tobytes())
        if quantization is not None:
            parameters = self.schema.QuantizationParametersT()
            parameters.scale = [float(scale) for scale in quantization.scales]
            parameters.zeroPoint = list(quantization.zero_points)
            parameters.quantizedDimension = quantization.axis
            tensor.quantization = parameters
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def add_operator(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], options: str = "", **settings: Any
    ) -> None:
        """Add an operator.

        Args:
            kind: Name of ``BuiltinOperator``, such as ``CONV_2D``.
            inputs: Numbers of the tensors that it reads.
            outputs: Numbers of the tensors that it makes.
            options: Name of its table of options, such as ``Conv2DOptions``; empty for none.
            **settings: Fields of that table.
        """
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(kind, len(self._codes))
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in settings.items():
                if not hasattr(operator.builtinOptions, name):
                    raise AttributeError(f"{options} has no field '{name}'")
                setattr(operator.builtinOptions, name, value)
        self._operators.append(operator)

    def name_ends(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Say which tensors a caller fills, and which it reads."""
        self._ends = (list(inputs), list(outputs))

    def to_bytes(self) -> bytes:
        """Return the file's bytes."""
        flatbuffers: Any = require("flatbuffers", "write a LiteRT model")
        schema = self.schema
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = "main", self._tensors, self._operators
        graph.inputs, graph.outputs = self._ends
        model = schema.ModelT()
        model.version, model.description = _SCHEMA_VERSION, "weckd_edge"
        model.subgraphs = [graph]
        model.buffers = [_AlignedBuffer(data) for data in self._buffers]
        model.operatorCodes = []
        for kind in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = _VERSIONS.get(kind, 1)
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())


class _AlignedBuffer:
    """Bytes of a constant, which stand at a multiple of 16 as the schema asks; its generated code aligns to 4."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def Pack(self, builder: Any) -> int:  # noqa: N802  (the name that the generated code calls)
        place = 0
        if self._data:
            builder.StartVector(1, len(self._data), 16)
            head = builder.head - len(self._data)
            builder.head = head
            builder.Bytes[head : head + len(self._data)] = self._data
            place = builder.EndVector()
        builder.StartObject(3)
        if self._data:
            builder.PrependUOffsetTRelativeSlot(0, place, 0)
        number: int = builder.EndObject()
        return number
