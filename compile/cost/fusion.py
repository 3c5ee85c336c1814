"""Find what TensorRT can fuse of a quantized network and what stays in floating point, by NVIDIA's published rules.

A convolution writes int8 where a quantize layer follows it with nothing between but its activation and a residual sum
whose other branch is int8 too; else its output leaves in floating point, and the quantize layer is a kernel of its own.
Rules after the captions of TensorRT's developer guide, "Working with Quantized Types".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import NAMED_LAYERS, Int8Count
from weckd_edge.compile.graph import NETWORK_INPUT_NAME

_WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "FULLY_CONNECTED")
_PASSING = ("ACTIVATION", "SHUFFLE", "IDENTITY", "MAX_POOLING")
"""Kinds of layers that a quantize layer can be moved in front of: it commutes with them."""
_TAKES_INT8 = (*_WEIGHTED, "ELEMENTWISE", "POOLING", "MAX_POOLING", "CONCATENATION", "RESIZE")


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkLayer:
    """One layer of a parsed network, before anything is fused.

    Attributes:
        name: Name of the layer, as the parser takes it from the ONNX node.
        kind: TensorRT's layer type, such as ``CONVOLUTION``; ``MAX_POOLING`` for the pooling that takes the largest.
        reads: Names of its input tensors.
        writes: Names of its output tensors.
        types: Type of each output.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    types: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """A remark on one layer.

    Attributes:
        layer: Name of the layer.
        why: Reason, in a few words.
    """

    layer: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fusion:
    """Convolutions and matrix products of a quantized network, by the type they read and write.

    Attributes:
        kinds: Number of layers of each kind that were parsed.
        weighted: Names of convolutions and matrix products behind the preprocessing.
        float_in: Names of those that do not read int8.
        float_out: Remarks on those that read int8 and write floating point.
        lone_quantize: Quantize layers that no layer before them can take in.
        lone_dequantize: Dequantize layers that no layer behind them can take in.
    """

    kinds: dict[str, int]
    weighted: tuple[str, ...]
    float_in: tuple[str, ...]
    float_out: tuple[Remark, ...]
    lone_quantize: tuple[Remark, ...]
    lone_dequantize: tuple[Remark, ...]

    @property
    def count(self) -> Int8Count:
        """Number of convolutions and matrix products that read int8, out of all behind the preprocessing."""
        inside = len(self.weighted) - len(self.float_in)
        return Int8Count(int8_layers=inside, layers=len(self.weighted), float_layers=self.float_in)

    def sentences(self) -> tuple[str, ...]:
        """Describe the fusions in words, naming the first layers that stand out; the table of layers has all."""
        inside = self.count.int8_layers
        sentences = [f"{inside - len(self.float_out)} of {inside} of them hand on int8 by TensorRT's fusion rules"]
        for what, remarks in (
            ("in floating point leave", self.float_out),
            ("quantize layers that stand alone", self.lone_quantize),
            ("dequantize layers that stand alone", self.lone_dequantize),
        ):
            if remarks:
                sentences.append(f"{what}: " + _first([f"{remark.layer} ({remark.why})" for remark in remarks]))
        if self.float_in:
            sentences.append(f"in floating point read: {_first(self.float_in)}")
        return tuple(sentences)


def _first(names: Sequence[str]) -> str:
    more = [f"and {len(names) - NAMED_LAYERS} more"] if len(names) > NAMED_LAYERS else []
    return "; ".join([*names[:NAMED_LAYERS], *more])


def find_fusions(layers: Sequence[NetworkLayer]) -> Fusion:
    """Find the fusions of a network, from the output of each convolution and matrix product to its next quantize layer."""
    network = _Network(layers)
    before = network.makers(NETWORK_INPUT_NAME)
    weighted = [layer for layer in layers if layer.kind in _WEIGHTED and layer.name not in before]
    inside = [layer for layer in weighted if network.reads_int8(layer)]
    reasons = {layer.name: network.why_float(layer.writes[0], layer) for layer in inside}
    taken_in = {name for layer in inside if reasons[layer.name] is None for name in network.quantizers(layer.writes[0])}
    taken_in |= {name for layer in layers if network.writes_int8(layer) for name in network.behind(layer)}
    lone = [q for q in layers if q.kind == "QUANTIZE" and q.reads[0] not in network.constant]
    lone = [q for q in lone if q.name not in taken_in]
    return Fusion(
        kinds=dict(Counter(layer.kind for layer in layers)),
        weighted=tuple(layer.name for layer in weighted),
        float_in=tuple(layer.name for layer in weighted if layer not in inside),
        float_out=tuple(Remark(layer=name, why=why) for name, why in reasons.items() if why is not None),
        lone_quantize=tuple(Remark(layer=q.name, why=network.origin(q)) for q in lone),
        lone_dequantize=tuple(
            Remark(layer=dq.name, why=why)
            for dq in layers
            if dq.kind == "DEQUANTIZE" and (why := network.why_lone(dq)) is not None
        ),
    )


class _Network:
    def __init__(self, layers: Sequence[NetworkLayer]) -> None:
        self._made_by = {name: layer for layer in layers for name in layer.writes}
        self._read_by: dict[str, list[NetworkLayer]] = {}
        for layer in layers:
            for name in dict.fromkeys(layer.reads):
                self._read_by.setdefault(name, []).append(layer)
        self.constant: set[str] = set()
        for layer in layers:
            if layer.kind == "CONSTANT" or (layer.reads and self.constant.issuperset(layer.reads)):
                self.constant.update(layer.writes)

    def makers(self, tensor: str) -> set[str]:
        """Return the names of the layers that make a tensor; none where it has no maker."""
        waiting, found = [tensor], set[str]()
        while waiting:
            layer = self._made_by.get(waiting.pop())
            if layer is not None and layer.name not in found:
                found.add(layer.name)
                waiting.extend(layer.reads)
        return found

    def _moving(self, layer: NetworkLayer) -> list[str]:
        return [name for name in layer.reads if name not in self.constant]

    def _is_int8(self, name: str) -> bool:
        """Tell whether a tensor comes out of a dequantize layer, a reshape between them or not."""
        maker = self._made_by.get(name)
        if maker is not None and maker.kind == "SHUFFLE":
            return self._is_int8(maker.reads[0])
        return maker is not None and maker.kind == "DEQUANTIZE"

    def reads_int8(self, layer: NetworkLayer) -> bool:
        return bool(layer.reads) and self._is_int8(layer.reads[0])

    def writes_int8(self, layer: NetworkLayer) -> bool:
        """Tell whether a layer without weights takes the dequantize layers before it and the quantize layer behind it in."""
        moving = self._moving(layer)
        return layer.kind in ("POOLING", "ELEMENTWISE") and bool(moving) and all(self._is_int8(name) for name in moving)

    def behind(self, layer: NetworkLayer) -> list[str]:
        return [r.name for name in layer.writes for r in self._read_by.get(name, []) if r.kind == "QUANTIZE"]

    def why_float(self, name: str, origin: NetworkLayer) -> str | None:
        """Return why a tensor cannot be written in int8 by the layer it comes from; None where it can."""
        readers = self._read_by.get(name, [])
        if not readers:
            return "it is the network's output"
        for reader in readers:
            why = self._why_reader(reader, name, origin)
            if why is not None:
                return why
        return None

    def _why_reader(self, reader: NetworkLayer, name: str, origin: NetworkLayer) -> str | None:
        if reader.kind == "QUANTIZE":
            return None
        others = [other for other in self._moving(reader) if other != name]
        if reader.kind == "ELEMENTWISE":
            if not others and origin.kind != "MATRIX_MULTIPLY":
                return f"{reader.name} scales or shifts it"
            if any(not self._is_int8(other) for other in others):
                return f"the other branch of {reader.name} is in floating point"
        elif reader.kind not in _PASSING:
            return f"{reader.name} ({reader.kind}) reads it"
        return self.why_float(reader.writes[0], origin)

    def quantizers(self, name: str) -> list[str]:
        found = []
        for reader in self._read_by.get(name, []):
            found += [reader.name] if reader.kind == "QUANTIZE" else self.quantizers(reader.writes[0])
        return found

    def origin(self, layer: NetworkLayer) -> str:
        maker = self._made_by.get(layer.reads[0])
        return "at the network's input" if maker is None else f"behind {maker.name} ({maker.kind})"

    def why_lone(self, dq: NetworkLayer) -> str | None:
        if dq.reads[0] in self.constant:
            return None
        for reader in self._read_by.get(dq.writes[0], []):
            readers = self._read_by.get(reader.writes[0], []) if reader.kind == "SHUFFLE" else [reader]
            for last in readers:
                if last.kind not in _TAKES_INT8:
                    return f"{last.name} ({last.kind}) reads it"
        return None
