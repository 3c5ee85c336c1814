"""Work of a network, layer by layer: the record that a latency is estimated from.

It is counted once from a graph (``weckd_edge.compile.cost``) and may travel with a bundle, so that nothing that reads ONNX
is needed where it is used.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from weckd_edge.artifacts import SCHEMA_VERSION
from weckd_edge.core.errors import ModelError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_data, to_json
from weckd_edge.core.store import digest_of, write_atomic

MAX_BYTES = 64 << 20
"""Largest counts file, bytes."""

Precision = Literal["float32", "int8"]
"""Precision that a layer computes in."""

Kind = Literal[
    "stem",
    "dense",
    "pointwise",
    "grouped",
    "depthwise",
    "fully_connected",
    "product",
    "pool",
    "elementwise",
    "normalise",
    "copy",
    "gather",
    "other",
]
"""Kind of work of a layer.

``stem`` is a convolution over at most four channels, ``dense`` one over all channels and several pixels, ``pointwise`` one
over a single pixel, ``grouped`` one in groups of several channels, ``depthwise`` one in groups of one. ``fully_connected``
uses each weight once. ``product`` multiplies two tensors neither of which is a constant. ``pool`` takes windows and means.
``normalise`` is a layer norm or a softmax. ``copy`` only moves values, and ``gather`` picks them one by one.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)
"""Every kind of work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCount:
    """Counts of one layer as it runs, with the operators that are fused into it, or of several equal layers.

    Attributes:
        kind: Kind of work.
        precision: Precision that it computes in: int8 where its input is quantized.
        macs: MACs; for pools and element-wise layers, elements that are touched.
        in_channels: Channels of the input; 0 where the word means nothing.
        out_channels: Channels of the output; 0 where the word means nothing.
        window: Pixels of the kernel; 1 where there is none.
        out_pixels: Height times width of the output.
        read_bytes: Activations read, bytes.
        weight_bytes: Constants read, bytes.
        written_bytes: Activations written, bytes.
        curved: Elements that pass an exponential (Sigmoid, SiLU, GELU, Tanh, Softmax).
        fused: Number of further operators that run inside it.
        joined: MACs of a layer that reads tensors which were joined or cut; some of those run in float32 although they are
            quantized (seen with OpenVINO).
        times: Number of equal layers.
    """

    kind: Kind
    precision: Precision
    macs: int
    in_channels: int
    out_channels: int
    window: int
    out_pixels: int
    read_bytes: int
    weight_bytes: int
    written_bytes: int
    curved: int = 0
    fused: int = 0
    joined: int = 0
    times: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < (1 if field.name == "times" else 0):
                raise ModelError(f"{field.name} = {value}: expected a count", code="E_MODEL_COUNTS")


COLUMNS = tuple(field.name for field in fields(LayerCount))
"""Columns of the table that is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCounts:
    """Counts of a network: its layers, equal ones as one, in the order in which they first appear in the graph.

    Attributes:
        layers: Counts of the layers, at least one.
        schema_version: Version of this record's fields.
    """

    layers: tuple[LayerCount, ...]
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not self.layers:
            raise ModelError("expected a network of at least one layer, got none", code="E_MODEL_COUNTS")
        if self.schema_version != SCHEMA_VERSION:
            raise ModelError(
                f"schema_version = {self.schema_version}: this version reads {SCHEMA_VERSION}", code="E_MODEL_COUNTS"
            )

    @property
    def macs(self) -> int:
        """MACs of all convolutions and matrix products."""
        return sum(layer.macs * layer.times for layer in self.layers if layer.kind in WEIGHTED_KINDS)

    @property
    def precision(self) -> Precision:
        """Precision of most of the MACs: ``int8`` or ``float32``."""
        small = sum(
            layer.macs * layer.times for layer in self.layers if layer.kind in WEIGHTED_KINDS and layer.precision == "int8"
        )
        return "int8" if small * 2 > self.macs else "float32"

    @property
    def sha256(self) -> str:
        """Digest of the counts."""
        return digest_of(self)


WEIGHTED_KINDS: tuple[Kind, ...] = ("stem", "dense", "pointwise", "grouped", "depthwise", "fully_connected", "product")
"""Kinds of layers whose MACs count as the network's."""


def merge_alike(layers: list[LayerCount]) -> tuple[LayerCount, ...]:
    """Join equal layers to one, in the place of the first."""
    found: dict[LayerCount, int] = {}
    for layer in layers:
        one = replace(layer, times=1)
        found[one] = found.get(one, 0) + layer.times
    return tuple(replace(layer, times=times) for layer, times in found.items())


def as_int8(counts: NetworkCounts) -> NetworkCounts:
    """Return the counts of a float32 network as if every layer were in int8: a quarter of the bytes.

    They stand in for published figures of int8 networks whose graph is not at hand.
    """
    layers = [
        replace(
            layer,
            precision="int8",
            read_bytes=layer.read_bytes // 4,
            weight_bytes=layer.weight_bytes // 4,
            written_bytes=layer.written_bytes // 4,
        )
        for layer in counts.layers
    ]
    return NetworkCounts(layers=merge_alike(layers))


def counts_to_data(counts: NetworkCounts) -> dict[str, Any]:
    """Return counts as JSON data: one row a layer, in the order of ``COLUMNS``, so that a file of many stays small."""
    rows = [[getattr(layer, name) for name in COLUMNS] for layer in counts.layers]
    return {"columns": list(COLUMNS), "layers": rows, "schema_version": counts.schema_version}


def counts_from_data(data: object, *, where: str) -> NetworkCounts:
    """Build counts from the JSON data that ``counts_to_data`` returns.

    Args:
        data: JSON data.
        where: Name of the place for messages.

    Raises:
        ModelError: A column or a value is not what was expected.
    """
    if not isinstance(data, dict) or set(data) != {"columns", "layers", "schema_version"}:
        raise ModelError(
            f"{where}: expected the counts of a network (columns, layers, schema_version)", code="E_MODEL_COUNTS"
        )
    columns, rows = data["columns"], data["layers"]
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise ModelError(f"{where}: expected lists of columns and layers", code="E_MODEL_COUNTS")
    table = []
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise ModelError(
                f"{where}: layer {place}: expected {len(columns)} values; count the network again", code="E_MODEL_COUNTS"
            )
        table.append(dict(zip(map(str, columns), row, strict=True)))
    whole = {"layers": table, "schema_version": data["schema_version"]}
    return from_data(NetworkCounts, whole, where=where, error=ModelError)


def read_counts(path: Path) -> NetworkCounts:
    """Read a counts file.

    Raises:
        ModelError: The file is missing or is no counts file of this version.
    """
    try:
        data = json.loads(read_bounded(path, at_most=MAX_BYTES, where=str(path), error=ModelError))
    except (ValueError, RecursionError) as err:
        raise ModelError(
            f"{path}: expected the counts of a network, cannot read them ({err})", code="E_MODEL_COUNTS"
        ) from err
    return counts_from_data(data, where=str(path))


def write_counts(path: Path, counts: NetworkCounts) -> None:
    """Write a counts file.

    Raises:
        StoreError: The file cannot be written.
    """
    write_atomic(path, to_json(counts_to_data(counts)))


def totals_by_kind(counts: NetworkCounts) -> dict[str, dict[str, int]]:
    """Return layers, MACs, bytes moved and bytes of weights by kind and precision, for people."""
    found: dict[str, dict[str, int]] = {}
    for layer in counts.layers:
        row = found.setdefault(
            f"{layer.kind} {layer.precision}", {"layers": 0, "macs": 0, "moved_bytes": 0, "weight_bytes": 0}
        )
        one = asdict(layer)
        row["layers"] += layer.times
        row["macs"] += layer.macs * layer.times
        row["moved_bytes"] += (one["read_bytes"] + one["written_bytes"]) * layer.times
        row["weight_bytes"] += layer.weight_bytes * layer.times
    return found
