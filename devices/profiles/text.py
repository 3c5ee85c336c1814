"""Tables of a device profile for people: every value with how far it can be trusted and where it was read."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from weckd_edge.devices.profiles.profile import PLAIN, DeviceProfile, MemoryBandwidth, is_stated
from weckd_edge.devices.profiles.records import Int8Runtime

_NAMES = {"id": "profile"}
_OWN_TABLE = frozenset(
    {"name", "summary", "power_modes", "tensorrt", "int8", "published", "unknown", "sources", "schema_version"}
)
_UNITS = {
    "_mhz": "MHz",
    "_mhz_max": "MHz",
    "_gib": "GiB",
    "_gbps": "GB/s",
    "_w": "W",
    "_c": "C",
    "_ms": "ms",
    "_mib": "MiB",
    "_bits": "bit",
    "_gflops": "GFLOPS",
    "_tflops": "TFLOPS",
    "_tflops_sparse": "TFLOPS",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileTable:
    """One table of a profile.

    Attributes:
        title: Title; empty for the first table, and for one that explains the table before it.
        columns: Heads of the columns; an empty column is left out.
        rows: Cells, row by row.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def describe_profile(profile: DeviceProfile) -> tuple[ProfileTable, ...]:
    """Return the tables of a profile, the plain values first, their sources last.

    ``sure`` is the weakest confidence of a value's sources, and ``from`` numbers them as the last table does. Remarks on
    single rows are letters that the next table explains, so that rows stay short.
    """
    tables = [_values(profile)]
    tables += _power_modes(profile)
    tables += _releases(profile)
    tables += _int8(profile)
    tables += _published(profile)
    if profile.unknown:
        gaps = tuple((gap.of, gap.reason) for gap in profile.unknown)
        tables.append(ProfileTable(title="Not known", columns=("of", "what"), rows=gaps))
    rows = tuple((str(n), s.text, s.date, s.confidence) for n, s in enumerate(profile.sources, start=1))
    tables.append(ProfileTable(title="Sources", columns=("no", "source", "read on", "sure"), rows=rows))
    return tuple(tables)


def summarize_profile(profile: DeviceProfile) -> tuple[str, ...]:
    """Return a row that helps to choose a profile.

    Its cells: id, target, processor, int8 arithmetic, layers in int8 by runtime, GiB of memory, published latencies.
    """
    if profile.ram_gib is not None:
        memory = f"{profile.ram_gib:g}"
    else:
        memory = " to ".join(f"{size:g}" for size in profile.ram_gib_sold) or "-"
    figures = [row for row in profile.published if row.measured_on is None]
    published = str(len(figures)) if figures else f"{len(profile.published)} of its kind" if profile.published else "-"
    arithmetic, runtimes = profile.int8_arithmetic or "-", int8_in_words(profile.int8)
    return (profile.id, profile.target, _processor(profile), arithmetic, runtimes, memory, published)


def int8_in_words(runtimes: Sequence[Int8Runtime]) -> str:
    """Say how many layers of an int8 graph each runtime runs in int8; a dash where nothing is known."""
    return ", ".join(f"{row.runtime} {row.runs}" for row in runtimes) or "-"


def _processor(profile: DeviceProfile) -> str:
    if profile.target == "jetson" and profile.gpu is not None and profile.gpu.sms is not None:
        return f"GPU, {profile.gpu.sms} SM"
    if profile.target == "jetson" and profile.gpu is not None and profile.gpu.cuda_cores is not None:
        return f"GPU, {profile.gpu.cuda_cores} cores"
    if profile.target == "jetson":
        return f"GPU, CC {profile.compute_capability}"
    return (profile.cpu or profile.architecture).partition(",")[0]


def _values(profile: DeviceProfile) -> ProfileTable:
    rows = []
    for field in fields(profile):
        value = getattr(profile, field.name)
        if field.name in _OWN_TABLE or not is_stated(value):
            continue
        for name, text in _lines(field.name, value):
            rows.append((_NAMES.get(name, name), text, profile.confidence(field.name) or "", _numbers(profile, field.name)))
    return ProfileTable(title="", columns=("what", "value", "sure", "from"), rows=tuple(rows))


def _lines(name: str, value: Any) -> list[tuple[str, str]]:
    """Return a field as lines: one for each of its values."""
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return [(name, _in_words(item)) for item in value]
    if is_dataclass(value):
        return [
            (f"{name}.{field.name}", _with_unit(field.name, item))
            for field in fields(value)
            if (item := getattr(value, field.name)) is not None
        ]
    return [(name, _with_unit(name, value))]


def _in_words(record: Any) -> str:
    if isinstance(record, MemoryBandwidth):
        clock = f" ({record.memory_mhz:g} MHz)" if record.memory_mhz is not None else ""
        return f"{record.gbps:g} GB/s: {record.memory}{clock}"
    pairs = [(field.name, getattr(record, field.name)) for field in fields(record)]
    return ", ".join(f"{name.partition('_')[0]} {_with_unit(name, item)}" for name, item in pairs if is_stated(item))


def _with_unit(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        joined = " to " if name == "ram_gib_sold" else ", "
        return joined.join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    if not isinstance(value, (int, float)):
        return str(value)
    unit = next((unit for suffix, unit in _UNITS.items() if f"_{name}".endswith(suffix)), "")
    return f"{value:g} {unit}".strip()


def _numbers(profile: DeviceProfile, field: str) -> str:
    if field in PLAIN:
        return ""
    return ", ".join(str(n) for n, source in enumerate(profile.sources, start=1) if field in source.of)


def _trust(profile: DeviceProfile, field: str) -> str:
    return f" ({profile.confidence(field) or 'no source'}, from {_numbers(profile, field) or 'nowhere'})"


def _power_modes(profile: DeviceProfile) -> list[ProfileTable]:
    columns = ("mode", "GPU MHz", "SM", "TOPS", "GFLOPS", "cores", "MHz", "RAM MHz", "note")
    rows, remarks = [], []
    for mode in profile.power_modes:
        sparse = [f"{mode.int8_tops_sparse:g} int8 TOPS with sparsity" if mode.int8_tops_sparse is not None else ""]
        sparse.append(f"DLA {mode.dla_int8_tops_sparse:g}" if mode.dla_int8_tops_sparse is not None else "")
        remarks.append("; ".join(text for text in (", ".join(filter(None, sparse)), mode.note or "") if text))
        gpu = (mode.gpu_mhz, mode.gpu_sms, mode.int8_tops_dense, mode.fp32_gflops)
        numbers = (*gpu, mode.cpu_cores, mode.cpu_mhz, mode.memory_mhz)
        rows.append((mode.name, *("" if number is None else f"{number:g}" for number in numbers)))
    title = f"Power modes; TOPS in int8, dense{_trust(profile, 'power_modes')}"
    return _tables(title, columns, rows, remarks)


def _releases(profile: DeviceProfile) -> list[ProfileTable]:
    columns = ("JetPack", "L4T", "TensorRT", "Python", "CUDA", "cuDNN", "note")
    rows = [(r.jetpack, r.l4t, r.tensorrt, r.python or "", r.cuda or "", r.cudnn or "") for r in profile.tensorrt]
    remarks = ["" if r.bundled else "not part of this JetPack: may be installed on it" for r in profile.tensorrt]
    return _tables(f"TensorRT{_trust(profile, 'tensorrt')}", columns, rows, remarks)


def _int8(profile: DeviceProfile) -> list[ProfileTable]:
    rows = [(row.runtime, row.runs, row.confidence) for row in profile.int8]
    remarks = [f"{row.which} ({row.source}, {row.date})" for row in profile.int8]
    return _tables("Layers that run in int8, by runtime", ("runtime", "runs", "sure", "note"), rows, remarks)


def _published(profile: DeviceProfile) -> list[ProfileTable]:
    columns = ["model", "px", "in", "runtime", "on", "ms", "is", "sure"]
    rows, remarks = [], []
    for row in profile.published:
        time = f"{row.latency_ms:g}" if row.latency_ms is not None else f"{row.low_ms:g} to {row.high_ms:g}"
        size = "" if row.input_size is None else f"{row.input_size}"
        where = row.processor if row.threads is None else f"{row.processor} x{row.threads}"
        what = "" if row.statistic == "unknown" else row.statistic
        rows.append([row.model, size, row.precision, row.runtime, where, time, what, row.confidence])
        batch = f"batch {row.batch}" if row.batch != 1 else ""
        stand_in = f"measured on {row.measured_on}" if row.measured_on else ""
        remarks.append("; ".join(text for text in (row.part, row.power_mode, batch, stand_in, row.note) if text))
    title = "Published latencies, measured by others"
    # What all rows have in common is said once, so that they fit a narrow terminal.
    for name in ("px", "runtime", "is", "sure"):
        n = columns.index(name)
        if len(rows) > 1 and rows[0][n] and len({row[n] for row in rows}) == 1:
            title += f"; {name} {rows[0][n]}"
            del columns[n]
            for cells in rows:
                del cells[n]
    return _tables(title, (*columns, "note"), [tuple(cells) for cells in rows], remarks)


def _letter(number: int) -> str:
    """Return the sign of a remark: a to z, then aa to zz."""
    alphabet = string.ascii_lowercase
    return alphabet[number % len(alphabet)] * (number // len(alphabet) + 1)


def _tables(
    title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], remarks: Sequence[str]
) -> list[ProfileTable]:
    """Return a table without its empty columns, and after it one that explains its remarks, if there are any."""
    if not rows:
        return []
    letters = {text: _letter(n) for n, text in enumerate(dict.fromkeys(filter(None, remarks)))}
    full = [(*row, letters.get(remark, "")) for row, remark in zip(rows, remarks, strict=True)]
    kept = [n for n in range(len(columns)) if any(row[n] for row in full)]
    short = tuple(tuple(row[n] for n in kept) for row in full)
    tables = [ProfileTable(title=title, columns=tuple(columns[n] for n in kept), rows=short)]
    if letters:
        notes = tuple((letter, text) for text, letter in letters.items())
        tables.append(ProfileTable(title="", columns=("note", "says"), rows=notes))
    return tables
