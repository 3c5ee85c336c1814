"""Device profiles, read from TOML: each value with its source, the date it was read, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from weckd_edge.artifacts import SCHEMA_VERSION, Target
from weckd_edge.config import GateConfig
from weckd_edge.core.bounds import MAX_NAME, PLAIN_NAME
from weckd_edge.core.errors import ConfigError, DeviceError, did_you_mean
from weckd_edge.core.serialization import from_data
from weckd_edge.core.toml_file import parse_toml, read_toml
from weckd_edge.devices.profiles.records import (
    Confidence,
    Gpu,
    Int8Runtime,
    JetPackRelease,
    MemoryBandwidth,
    PowerMode,
    PowerSensor,
    PublishedLatency,
    Source,
    Unknown,
)

__all__ = [
    "NO_LIMITS",
    "PLAIN",
    "Architecture",
    "Confidence",
    "DeviceProfile",
    "Gpu",
    "Int8Runtime",
    "JetPackRelease",
    "MemoryBandwidth",
    "PowerMode",
    "PowerSensor",
    "PublishedLatency",
    "Source",
    "Unknown",
    "is_stated",
    "list_profiles",
    "load_profile",
    "profile_names",
]

Architecture = Literal["x86_64", "aarch64"]
NO_LIMITS = GateConfig()
PLAIN = frozenset(
    {"id", "name", "target", "architecture", "summary", "int8", "published", "unknown", "sources", "schema_version"}
)
"""Fields that need no entry in ``sources``: they name the profile, or carry their own source."""

_SAME_DEVICE = frozenset({"id", "name", "summary", "dmi_products", "gates", "unknown", "sources", "schema_version"})
"""Fields that a profile may change of the one it extends and still be the same device, with its published figures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfile:
    """One device, or one class of devices. None and empty mean unknown, never zero.

    Attributes:
        id: Name on the command line.
        name: Name for people.
        target: Kind of bundle that is built for it.
        architecture: Instruction set of the processor.
        summary: Description in one line.
        soc: Name of the chip or of the processor's design.
        part_numbers: NVIDIA module part numbers.
        compatible: Strings of the device tree's ``compatible`` that name exactly this board, or exactly this chip.
        cpu_models: Words of ``model name`` in ``/proc/cpuinfo`` that name exactly this processor.
        dmi_products: Names in ``/sys/class/dmi/id/product_name``; a profile that has any takes only machines of such a name.
        cpu_parts: Kinds of core, as ``implementer:part`` of ``/proc/cpuinfo``; with others it is another device.
        cpu: Kinds of core, their number and clocks, in words.
        cores: Number of processor cores.
        cpu_mhz_max: Highest clock of the fastest core, MHz.
        instruction_sets: Extensions that matter for inference, such as ``avx2``, ``avx_vnni``, ``neon``, ``dotprod``.
        compute_capability: Compute capability of the GPU, such as ``8.7``.
        gpu: The GPU that inference runs on.
        dla_cores: Number of deep learning accelerators.
        npu: A neural processor beside the cores, in words; nothing here builds for one.
        int8_arithmetic: ``native``: 8-bit dot products or tensor cores; ``emulated``: wider arithmetic; ``none``: no int8
            path.
        int8: What is known of int8 in each runtime there; what a profile does not say itself is that of its architecture.
        fp16: Whether the part that inference runs on (a Jetson's GPU, else the cores) computes in FP16.
        fp8: Whether that part computes in FP8.
        overflow_fix_needed: Whether 8-bit sums can saturate (x86 without VNNI), so that weights need 7 bits.
        memory: Kind of memory, in words.
        ram_gib: Memory of the board, GiB.
        ram_gib_sold: Smallest and largest memory, GiB, where the board is sold with several sizes.
        memory_bus_bits: Width of the memory's bus, bits.
        memory_bandwidth_gbps: Peak bandwidth of the slowest memory that it is sold with, gigabytes (1e9) a second.
        memory_bandwidths: Peak bandwidths by clock or kind of memory.
        tdp_w: Thermal design power, watts.
        power: Power that it draws, in words.
        power_modes: Settings of the board's power.
        power_sensors: Sensors on the board that measure its power.
        throttle_c: Temperature at which the kernel starts to slow the chip down, degrees Celsius.
        shutdown_c: Temperature at which the chip is switched off, degrees Celsius.
        tensorrt: Releases of JetPack with the TensorRT that each brings.
        published: Latencies that others have published; each carries its own source.
        gates: Limits that a build is held to where its config says nothing else.
        unknown: Fields that no source confirms.
        sources: Sources of every other field.
        schema_version: Version of this record's fields.
    """

    id: str
    name: str
    target: Target
    architecture: Architecture
    summary: str = ""
    soc: str | None = None
    part_numbers: tuple[str, ...] = ()
    compatible: tuple[str, ...] = ()
    cpu_models: tuple[str, ...] = ()
    dmi_products: tuple[str, ...] = ()
    cpu_parts: tuple[str, ...] = ()
    cpu: str | None = None
    cores: int | None = None
    cpu_mhz_max: float | None = None
    instruction_sets: tuple[str, ...] = ()
    compute_capability: str | None = None
    gpu: Gpu | None = None
    dla_cores: int | None = None
    npu: str | None = None
    int8_arithmetic: Literal["native", "emulated", "none"] | None = None
    int8: tuple[Int8Runtime, ...] = ()
    fp16: bool | None = None
    fp8: bool | None = None
    overflow_fix_needed: bool | None = None
    memory: str | None = None
    ram_gib: float | None = None
    ram_gib_sold: tuple[float, ...] = ()
    memory_bus_bits: int | None = None
    memory_bandwidth_gbps: float | None = None
    memory_bandwidths: tuple[MemoryBandwidth, ...] = ()
    tdp_w: float | None = None
    power: str | None = None
    power_modes: tuple[PowerMode, ...] = ()
    power_sensors: tuple[PowerSensor, ...] = ()
    throttle_c: float | None = None
    shutdown_c: float | None = None
    tensorrt: tuple[JetPackRelease, ...] = ()
    published: tuple[PublishedLatency, ...] = ()
    gates: GateConfig = NO_LIMITS
    unknown: tuple[Unknown, ...] = ()
    sources: tuple[Source, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not PLAIN_NAME.fullmatch(self.id):
            raise DeviceError(
                f"id = '{self.id}': expected up to {MAX_NAME} letters, digits, '.', '_' and '-', which is what update "
                "systems take",
                code="E_DEVICE_PROFILE",
            )
        if self.target == "jetson" and self.architecture != "aarch64":
            raise DeviceError(
                f"target = jetson: expected architecture aarch64, got {self.architecture}", code="E_DEVICE_PROFILE"
            )
        if self.schema_version != SCHEMA_VERSION:
            raise DeviceError(
                f"schema_version = {self.schema_version}: this version reads {SCHEMA_VERSION}", code="E_DEVICE_PROFILE"
            )
        if self.ram_gib_sold and (len(self.ram_gib_sold) != 2 or self.ram_gib_sold[0] >= self.ram_gib_sold[1]):
            raise DeviceError(
                f"ram_gib_sold = {list(self.ram_gib_sold)}: expected smallest and largest; one size goes into ram_gib",
                code="E_DEVICE_PROFILE",
            )
        known = {field.name for field in fields(self)}
        for source in self.sources:
            for name in source.of:
                if name not in known:
                    raise DeviceError(f"a source speaks of '{name}'{did_you_mean(name, known)}", code="E_DEVICE_PROFILE")
        for gap in self.unknown:
            if gap.of not in known:
                raise DeviceError(f"unknown speaks of '{gap.of}'{did_you_mean(gap.of, known)}", code="E_DEVICE_PROFILE")
            value = getattr(self, gap.of)
            if is_stated(value) and not isinstance(value, (tuple, Gpu)):
                raise DeviceError(
                    f"unknown says that '{gap.of}' is not confirmed, yet it is {value!r}; take one of them out",
                    code="E_DEVICE_PROFILE",
                )
        for field, names in (
            ("power_modes", [mode.name for mode in self.power_modes]),
            ("int8", [row.runtime for row in self.int8]),
        ):
            if len(set(names)) != len(names):
                raise DeviceError(f"{field}: a name appears twice in {names}", code="E_DEVICE_PROFILE")

    @property
    def names_itself(self) -> bool:
        """Whether a machine can be recognised as this device."""
        return bool(self.part_numbers or self.compatible or self.cpu_models or self.dmi_products)

    @property
    def is_generic(self) -> bool:
        """Whether this profile stands for any machine of its architecture rather than for one board."""
        return not (self.names_itself or self.soc)

    def unsourced(self) -> tuple[str, ...]:
        """Return the fields that have a value and name no source."""
        named = PLAIN.union(*(source.of for source in self.sources))
        return tuple(f.name for f in fields(self) if f.name not in named and is_stated(getattr(self, f.name)))

    def confidence(self, field: str) -> Confidence | None:
        """Return the confidence in a field's value, that of its weakest source; None where it has no source."""
        given = {source.confidence for source in self.sources if field in source.of}
        order: tuple[Confidence, ...] = ("U", "S", "choice", "V")
        return next((level for level in order if level in given), None)


def is_stated(value: object) -> bool:
    """Tell whether a field has a value; 0 and False are values."""
    return value is not None and value not in ((), NO_LIMITS)


def profile_names() -> tuple[str, ...]:
    """Return the ids of the profiles that come with the package, sorted."""
    folder = resources.files("weckd_edge.devices.profiles") / "shipped"
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")))


@cache
def list_profiles() -> tuple[DeviceProfile, ...]:
    """Return every profile that comes with the package, sorted by id; they are read once a process."""
    return tuple(load_profile(name) for name in profile_names())


def load_profile(name_or_path: str | Path) -> DeviceProfile:
    """Return a profile by its id, or from a file of the user's own.

    A file may say ``extends = "jetson-orin-nano-8gb"`` (an id, or another file beside it) and then gives only what differs:
    its tables are joined key by key, its lists replace those of the other. A field that it changes loses the sources of the
    profile it extends, and its entry in ``unknown``. Published latencies are kept only where the device stays the same.

    Raises:
        ConfigError: No profile has that id.
        DeviceError: The file is missing, is no TOML, or holds an unknown or wrong key.
    """
    data = _read(name_or_path, seen=())
    profile = from_data(DeviceProfile, data, where=str(name_or_path), error=DeviceError)
    stated = {row.runtime for row in profile.int8}
    common = [row for row in _int8_of(profile.target, profile.architecture) if row.runtime not in stated]
    return replace(profile, int8=(*profile.int8, *common))


@cache
def _int8_of(target: Target, architecture: Architecture) -> tuple[Int8Runtime, ...]:
    """Return what is known of int8 in the runtimes of every device of a kind."""
    text = (resources.files("weckd_edge.devices.profiles") / "int8_runtimes.toml").read_text(encoding="utf-8")
    kinds = from_data(
        dict[str, tuple[Int8Runtime, ...]],
        parse_toml(text, where="int8_runtimes.toml", error=DeviceError),
        where="int8_runtimes.toml",
        error=DeviceError,
    )
    return kinds.get(f"{target}-{architecture}", ())


def _read(name_or_path: str | Path, seen: tuple[str, ...]) -> dict[str, Any]:
    where = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or where.endswith(".toml") or "/" in where
    place = str(Path(where).resolve()) if is_path else where
    if place in seen:
        raise DeviceError(
            f"{where}: profiles extend each other in a circle ({' -> '.join((*seen, place))})",
            code="E_DEVICE_PROFILE",
        )
    data = _table(where, is_path)
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise DeviceError(f"{where}: extends: expected a string, got {base!r}", code="E_DEVICE_PROFILE")
    if data.get("id") in (None, base):
        raise DeviceError(f"{where}: a profile that extends '{base}' needs an 'id' of its own", code="E_DEVICE_PROFILE")
    if is_path and base.endswith(".toml"):
        base = str(Path(where).parent / base)
    inherited = _read(base, (*seen, place))
    for name, table in ((base, inherited), (where, data)):
        for key, kind in (("sources", tuple[Source, ...]), ("unknown", tuple[Unknown, ...])):
            from_data(kind, table.get(key, []), where=f"{name}.{key}", error=DeviceError)
    return _merge(inherited, data)


def _table(where: str, is_path: bool) -> dict[str, Any]:
    if is_path:
        return read_toml(Path(where), error=DeviceError)
    if where not in profile_names():
        raise ConfigError(f"unknown device '{where}'{did_you_mean(where, profile_names())}", code="E_CONFIG_CHOICE")
    text = (resources.files("weckd_edge.devices.profiles") / "shipped" / f"{where}.toml").read_text(encoding="utf-8")
    return parse_toml(text, where=where, error=DeviceError)


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        inherited = merged.get(key)
        merged[key] = {**inherited, **value} if isinstance(inherited, dict) and isinstance(value, dict) else value
    replaced = set(own)
    if not set(own) <= _SAME_DEVICE and "published" not in own:
        merged.pop("published", None)
        replaced.add("published")
    kept = [{**source, "of": [name for name in source["of"] if name not in replaced]} for source in base.get("sources", [])]
    merged["sources"] = [source for source in kept if source["of"]] + list(own.get("sources", []))
    gaps = [gap for gap in base.get("unknown", []) if gap["of"] not in replaced]
    merged["unknown"] = gaps + list(own.get("unknown", []))
    return merged
