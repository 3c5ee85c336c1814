"""Count a graph's layers, fused as runtimes fuse them, for the latency model.

Fused are an activation, a product or sum with a constant, and a quantize pair into the layer before; a residual sum
into the convolution whose output nothing else reads; ``x * Sigmoid(x)`` is one activation. Renaming axes costs
nothing. Seen on OpenVINO's executed graphs of MobileNetV2 and EfficientNet-B0 in int8.

onnx-tool and fvcore count operators; a latency model needs layers as a runtime fuses them, of OpenVINO IR too. A test holds
the MACs to those that PyTorch counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from weckd_edge.core.errors import ModelError
from weckd_edge.devices.latency_model.counts import Kind, LayerCount, NetworkCounts, Precision, merge_alike

Role = Literal["weighted", "product", "pool", "binary", "plain", "curved", "normalise", "copy", "gather", "other"]

_TAKES_IN: tuple[Kind, ...] = (
    "stem",
    "dense",
    "pointwise",
    "grouped",
    "depthwise",
    "fully_connected",
    "elementwise",
)
"""Kinds of layers that following operators are fused into."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """One operator of a graph, whatever file it came from; quantize pairs and operators that only rename axes are left out.

    Attributes:
        role: Part that it plays in the fusion.
        reads: Tensors that it reads, constants left out; a tensor that was renamed or quantized on the way has its first
            name.
        writes: Name of its output.
        in_shape: Shape of the first tensor it reads.
        out_shape: Shape of its output.
        precision: Precision of the first tensor it reads.
        read_bytes: Size of each tensor it reads, bytes.
        written_bytes: Size of its output, bytes: one an element where every reader quantizes it.
        macs: Number of MACs; of elements touched, where it multiplies nothing.
        window: Number of pixels in a kernel.
        groups: Groups of a convolution.
        channels: Channels in and out, of a convolution or matrix product.
        weight_bytes: Size of the constants it reads, bytes.
        joins: Whether it reads a tensor that was concatenated or sliced from others.
        adds: Whether a ``binary`` step is a sum of two tensors of one shape.
    """

    role: Role
    reads: tuple[str, ...]
    writes: str
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    precision: Precision
    read_bytes: tuple[int, ...]
    written_bytes: int
    macs: int
    window: int = 1
    groups: int = 1
    channels: tuple[int, int] = (0, 0)
    weight_bytes: int = 0
    joins: bool = False
    adds: bool = False


def fuse_operators(steps: list[Operator]) -> NetworkCounts:
    """Fuse operators, in graph order, into layers.

    Raises:
        ModelError: There is no operator.
    """
    readers: dict[str, int] = {}
    for step in steps:
        for name in dict.fromkeys(step.reads):
            readers[name] = readers.get(name, 0) + 1
    layers: list[LayerCount] = []
    made_by: dict[str, int] = {}
    for step in steps:
        host = _host(step, layers, made_by, readers)
        if host is None:
            layers.append(_layer(step))
            made_by[step.writes] = len(layers) - 1
            continue
        before = layers[host]
        elements = _size(step.out_shape)
        named = zip(step.reads, step.read_bytes, strict=True)
        further = sum(count for name, count in named if made_by.get(name) != host)
        layers[host] = replace(
            before,
            fused=before.fused + 1,
            curved=before.curved + (elements if step.role == "curved" else 0),
            read_bytes=before.read_bytes + further,
            weight_bytes=before.weight_bytes + step.weight_bytes,
            written_bytes=step.written_bytes,
        )
        made_by[step.writes] = host
    if not layers:
        raise ModelError("expected a graph with operators, got one without; nothing can be counted", code="E_MODEL_GRAPH")
    return NetworkCounts(layers=merge_alike(layers))


def _host(step: Operator, layers: list[LayerCount], made_by: dict[str, int], readers: dict[str, int]) -> int | None:
    """Return the layer that an operator is fused into, or None; of two, the larger one, whatever order they stand in."""
    if step.role not in ("plain", "curved", "binary") or (step.role == "binary" and len(step.reads) > 1 and not step.adds):
        return None
    hosts = [made_by[name] for name in step.reads if name in made_by and readers[name] == 1]
    hosts = [host for host in hosts if layers[host].kind in _TAKES_IN]
    return max(hosts, key=lambda host: (layers[host].macs, host), default=None)


def _layer(step: Operator) -> LayerCount:
    channels = step.channels if step.role == "weighted" else (_channels(step.in_shape), _channels(step.out_shape))
    return LayerCount(
        kind=_kind(step),
        precision=step.precision,
        macs=step.macs,
        in_channels=channels[0],
        out_channels=channels[1],
        window=step.window,
        out_pixels=_pixels(step.out_shape),
        read_bytes=sum(step.read_bytes),
        weight_bytes=step.weight_bytes,
        written_bytes=step.written_bytes,
        curved=_size(step.out_shape) if step.role in ("curved", "normalise") else 0,
        joined=step.macs if step.joins and step.role == "weighted" else 0,
    )


def _kind(step: Operator) -> Kind:
    if step.role == "plain" or step.role == "curved" or step.role == "binary":
        return "elementwise"
    if step.role != "weighted":
        return step.role
    inputs, _ = step.channels
    if step.groups > 1:
        return "depthwise" if step.groups == inputs else "grouped"
    if step.weight_bytes and _size(step.out_shape) == step.channels[1]:
        return "fully_connected"
    if step.window == 1:
        return "pointwise"
    return "stem" if inputs <= 4 else "dense"


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _channels(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) > 1 else 0


def _pixels(shape: tuple[int, ...]) -> int:
    return max(1, _size(shape) // max(1, shape[0] * shape[1])) if len(shape) > 2 else 1
