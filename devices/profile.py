"""What is known about a device: frozen profiles read from TOML, each number with its source, date and confidence."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from weckd_edge.artifacts import SCHEMA_VERSION, Target
from weckd_edge.config import GateConfig
from weckd_edge.errors import ConfigError, DeviceError, did_you_mean
from weckd_edge.schema import from_data

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Architecture = Literal["x86_64", "aarch64"]
NO_BARS = GateConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where some of a profile's values come from.

    Attributes:
        of: Names of the profile's fields.
        text: The source in words, or its address.
        date: When it was read, ``YYYY-MM-DD``.
        confidence: ``V`` read in a primary source, or derived from one as the text says; ``S`` a secondary source;
            ``U`` not confirmed; ``choice``: decided by this project, nothing to confirm.
    """

    of: tuple[str, ...]
    text: str
    date: str
    confidence: Literal["V", "S", "U", "choice"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerMode:
    """One setting of the board's power; modes are matched by name, as their numbers differ between boards and releases.

    Attributes:
        name: As ``nvpmodel -q`` prints it.
        gpu_mhz: Highest clock of the GPU.
        gpu_sms: Streaming multiprocessors left on.
        int8_tops_dense: Arithmetic peak of the GPU, without sparsity.
        cpu_cores: Processor cores left on.
        cpu_mhz: Their highest clock.
        memory_mhz: Clock of the memory.
    """

    name: str
    gpu_mhz: float | None = None
    gpu_sms: int | None = None
    int8_tops_dense: float | None = None
    cpu_cores: int | None = None
    cpu_mhz: float | None = None
    memory_mhz: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JetPackRelease:
    """Which TensorRT a release of JetPack brings."""

    jetpack: str
    l4t: str
    tensorrt: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfile:
    """One device, or one class of devices. None and empty mean unknown, never zero.

    Attributes:
        id: Name on the command line.
        name: Name for people.
        target: What is built for it.
        architecture: Instruction set of the processor.
        summary: What it is, in one line.
        part_numbers: NVIDIA module part numbers.
        compatible: Strings of the device tree's ``compatible`` that name exactly this board.
        cpu_models: Words of ``model name`` in ``/proc/cpuinfo`` that name exactly this processor.
        compute_capability: Of the GPU.
        instruction_sets: Extensions that matter for inference, such as ``avx2``, ``avx_vnni``, ``neon``, ``dotprod``.
        cores: Processor cores.
        ram_gib: Memory of the board.
        memory_bandwidth_gbps: Peak, gigabyte a second.
        tdp_w: Thermal design power.
        power_modes: By name.
        tensorrt: By release of JetPack.
        dla_cores: Deep learning accelerators.
        int8: ``native``: 8-bit dot products or tensor cores; ``emulated``: wider arithmetic; ``none``: no int8 path.
        overflow_fix_needed: Whether 8-bit sums can saturate (x86 without VNNI), so that weights need 7 bits.
        bars: What a build must clear where its config says nothing else.
        sources: Of everything above.
        schema_version: Of this record.
    """

    id: str
    name: str
    target: Target
    architecture: Architecture
    summary: str = ""
    part_numbers: tuple[str, ...] = ()
    compatible: tuple[str, ...] = ()
    cpu_models: tuple[str, ...] = ()
    compute_capability: str | None = None
    instruction_sets: tuple[str, ...] = ()
    cores: int | None = None
    ram_gib: float | None = None
    memory_bandwidth_gbps: float | None = None
    tdp_w: float | None = None
    power_modes: tuple[PowerMode, ...] = ()
    tensorrt: tuple[JetPackRelease, ...] = ()
    dla_cores: int | None = None
    int8: Literal["native", "emulated", "none"] | None = None
    overflow_fix_needed: bool | None = None
    bars: GateConfig = NO_BARS
    sources: tuple[Source, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.target == "jetson" and self.architecture != "aarch64":
            raise DeviceError(f"target = jetson: expected architecture aarch64, got {self.architecture}")
        if self.schema_version != SCHEMA_VERSION:
            raise DeviceError(f"schema_version = {self.schema_version}: this version reads {SCHEMA_VERSION}")
        known = {field.name for field in fields(self)}
        for source in self.sources:
            for name in source.of:
                if name not in known:
                    raise DeviceError(f"a source speaks of '{name}'{did_you_mean(name, known)}")
        names = [mode.name for mode in self.power_modes]
        if len(set(names)) != len(names):
            raise DeviceError(f"power_modes: a name appears twice in {names}")

    @property
    def is_generic(self) -> bool:
        """Whether it stands for any machine of its architecture rather than for one board."""
        return not (self.part_numbers or self.compatible or self.cpu_models)

    def unsourced(self) -> tuple[str, ...]:
        """Return the fields that say something and name no source."""
        named = {name for source in self.sources for name in source.of}
        plain = {"id", "name", "target", "architecture", "summary", "sources", "schema_version"}
        return tuple(
            field.name
            for field in fields(self)
            if field.name not in plain | named and getattr(self, field.name) not in (None, (), NO_BARS)
        )


def profile_names() -> tuple[str, ...]:
    """Return the ids of the profiles that come with the package, sorted."""
    folder = resources.files("weckd_edge.devices.profiles")
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")))


def list_profiles() -> tuple[DeviceProfile, ...]:
    """Return every profile that comes with the package, sorted by id."""
    return tuple(load_profile(name) for name in profile_names())


def load_profile(name_or_path: str | Path) -> DeviceProfile:
    """Return a profile by its id, or from a file of the user's own.

    A file may say ``extends = "jetson-orin-nano-8gb"`` (an id, or another file beside it) and then gives only what
    differs; tables are merged key by key, lists are replaced. What it changes loses the sources of the profile it
    extends.

    Raises:
        ConfigError: No profile is called so.
        DeviceError: The file is missing, no TOML, or holds an unknown or wrong key.
    """
    data = _read(name_or_path, seen=())
    return from_data(DeviceProfile, data, where=str(name_or_path), error=DeviceError)


def _read(name_or_path: str | Path, seen: tuple[str, ...]) -> dict[str, Any]:
    where = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or where.endswith(".toml") or "/" in where
    place = str(Path(where).resolve()) if is_path else where
    if place in seen:
        raise DeviceError(f"{where}: profiles extend each other in a circle ({' -> '.join((*seen, place))})")
    data = _parse(_text(where, is_path), where)
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise DeviceError(f"{where}: extends: expected a text, got {base!r}")
    if data.get("id") in (None, base):
        raise DeviceError(f"{where}: a profile that extends '{base}' needs an 'id' of its own")
    if is_path and base.endswith(".toml"):
        base = str(Path(where).parent / base)
    inherited = _read(base, (*seen, place))
    for name, table in ((base, inherited), (where, data)):
        from_data(tuple[Source, ...], table.get("sources", []), where=f"{name}.sources", error=DeviceError)
    return _merge(inherited, data)


def _text(where: str, is_path: bool) -> str:
    if is_path:
        try:
            return Path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            raise DeviceError(f"{where}: expected a device profile, cannot read it ({err})") from err
    if where not in profile_names():
        raise ConfigError(f"unknown device '{where}'{did_you_mean(where, profile_names())}")
    return (resources.files("weckd_edge.devices.profiles") / f"{where}.toml").read_text(encoding="utf-8")


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise DeviceError(f"{where}: expected TOML ({err})") from err
    return data


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        inherited = merged.get(key)
        merged[key] = {**inherited, **value} if isinstance(inherited, dict) and isinstance(value, dict) else value
    kept = [{**source, "of": [name for name in source["of"] if name not in own]} for source in base.get("sources", [])]
    merged["sources"] = [source for source in kept if source["of"]] + list(own.get("sources", []))
    return merged


def describe(profile: DeviceProfile) -> tuple[tuple[str, str, str, str], ...]:
    """Return a profile as rows for people: field, value, source, confidence."""
    rows = []
    for field in fields(profile):
        value = getattr(profile, field.name)
        if field.name in ("sources", "schema_version") or value in (None, (), NO_BARS):
            continue
        given = [source for source in profile.sources if field.name in source.of]
        text = "; ".join(f"{source.text} ({source.date})" for source in given)
        rows.append((field.name, _words(value), text, ", ".join(source.confidence for source in given)))
    return tuple(rows)


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return "\n".join(_words(item) for item in value) if is_dataclass(value[0]) else ", ".join(map(str, value))
    if is_dataclass(value):
        pairs = [(field.name, getattr(value, field.name)) for field in fields(value)]
        return ", ".join(f"{name} {item}" for name, item in pairs if item is not None)
    return str(value)
