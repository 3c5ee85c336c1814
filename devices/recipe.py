"""How a Jetson is to build its engine: written on the host, read by ``weckd-edge finalize`` on the device.

An engine is only valid on the module, TensorRT and L4T that built it, so a host ships the ONNX graph and this recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef
from weckd_edge.devices.profile import DeviceProfile
from weckd_edge.errors import ConfigError, DeviceError
from weckd_edge.schema import from_json, to_json
from weckd_edge.store import file_ref, write_atomic

RECIPE_FILE = "recipe.json"
MINIMUM_TENSORRT = "8.6"


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionRule:
    """What a range of TensorRT versions is told.

    Attributes:
        since: First version, such as ``8.6``.
        below: First version it no longer holds for; None: none is known.
        network_flags: Names of ``NetworkDefinitionCreationFlag``.
        builder_flags: Names of ``BuilderFlag`` for an int8 graph; an fp32 graph takes none.
        trtexec: The same, for building by hand with ``trtexec``.
    """

    since: str
    below: str | None
    network_flags: tuple[str, ...]
    builder_flags: tuple[str, ...]
    trtexec: tuple[str, ...]


RULES = (
    VersionRule(
        since="8.6",
        below="10.0",
        network_flags=("EXPLICIT_BATCH",),
        builder_flags=("INT8", "FP16"),
        trtexec=("--int8", "--fp16"),
    ),
    VersionRule(
        since="10.0",
        below="11.0",
        network_flags=(),
        builder_flags=("INT8", "FP16"),
        trtexec=("--int8", "--fp16"),
    ),
    VersionRule(since="11.0", below=None, network_flags=(), builder_flags=(), trtexec=()),
)
"""Up to 10.x the network is weakly typed: Q/DQ nodes fix int8, the rest may run in FP16. TensorRT 11 has dropped both
flags and types every tensor as the graph says, so that there the rest of an int8 graph stays in FP32."""

KEY_INGREDIENTS = (
    "onnx_sha256",
    "tensorrt_version",
    "module",
    "compute_capability",
    "l4t",
    "power_mode",
    "flags",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRTRecipe:
    """Everything the device needs beside the graph.

    Attributes:
        onnx_sha256: Digest of the graph.
        precision: Of the graph.
        opset: Of the graph; None where the host did not say.
        device: Id of the profile it was written for.
        part_numbers: Modules the profile names; finalize says so where it runs on another.
        minimum_tensorrt: Older ones cannot cast the uint8 frame inside the graph.
        workspace_mib: Largest scratch memory a layer may use.
        rules: Flags by TensorRT version.
        timing_cache: File name below the bundle's ``device`` folder, kept between builds of one TensorRT version on one
            module in one power mode.
        key_ingredients: What the engine's key is digested from, in this order.
        schema_version: Of this record.
    """

    onnx_sha256: str
    precision: Literal["int8", "fp32"]
    opset: int | None
    device: str
    part_numbers: tuple[str, ...]
    minimum_tensorrt: str = MINIMUM_TENSORRT
    workspace_mib: int = 512
    rules: tuple[VersionRule, ...] = RULES
    timing_cache: str = "timing.cache"
    key_ingredients: tuple[str, ...] = KEY_INGREDIENTS
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.workspace_mib < 16:
            raise ConfigError(f"workspace_mib = {self.workspace_mib}: expected at least 16")
        if "/" in self.timing_cache or self.timing_cache in ("", ".", ".."):
            raise ConfigError(f"timing_cache = '{self.timing_cache}': expected a plain file name")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildFlags:
    """The flags one TensorRT version is given, by name."""

    network: tuple[str, ...]
    builder: tuple[str, ...]

    def names(self) -> tuple[str, ...]:
        """Return all of them, as the engine's key takes them."""
        return (*self.network, *self.builder)


def version_tuple(version: str) -> tuple[int, ...]:
    """Turn ``10.3.0.30`` into ``(10, 3, 0, 30)``; anything behind the digits is left out.

    Raises:
        DeviceError: It does not start with two numbers.
    """
    numbers: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    if len(numbers) < 2:
        raise DeviceError(f"TensorRT version '{version}': expected numbers such as 10.3.0.30")
    return tuple(numbers)


def flags_for(recipe: TensorRTRecipe, tensorrt_version: str) -> BuildFlags:
    """Return the flags for a TensorRT version.

    Raises:
        DeviceError: It is older than the recipe asks for.
    """
    found = version_tuple(tensorrt_version)
    if found < version_tuple(recipe.minimum_tensorrt):
        raise DeviceError(
            f"TensorRT {tensorrt_version} is older than {recipe.minimum_tensorrt}, the first that casts a uint8 frame "
            "inside the graph; install JetPack 6.0 or newer"
        )
    for rule in recipe.rules:
        if version_tuple(rule.since) <= found and (rule.below is None or found < version_tuple(rule.below)):
            builder = rule.builder_flags if recipe.precision == "int8" else ()
            return BuildFlags(network=rule.network_flags, builder=builder)
    raise DeviceError(f"the recipe has no flags for TensorRT {tensorrt_version}; build the bundle again")


def write_recipe(
    folder: Path,
    onnx: FileRef,
    profile: DeviceProfile,
    *,
    precision: Literal["int8", "fp32"] = "int8",
    opset: int | None = None,
    workspace_mib: int = 512,
) -> FileRef:
    """Write ``recipe.json`` into a folder.

    Args:
        folder: Where to write; must exist.
        onnx: The graph.
        profile: The device it is meant for; its target must be ``jetson``.
        precision: Of the graph.
        opset: Of the graph.
        workspace_mib: Largest scratch memory a layer may use.

    Returns:
        The file, relative to ``folder``.

    Raises:
        DeviceError: The profile is no Jetson.
    """
    if profile.target != "jetson":
        raise DeviceError(f"{profile.id}: a TensorRT recipe expects a jetson profile, this one's target is {profile.target}")
    recipe = TensorRTRecipe(
        onnx_sha256=onnx.sha256,
        precision=precision,
        opset=opset,
        device=profile.id,
        part_numbers=profile.part_numbers,
        workspace_mib=workspace_mib,
    )
    path = folder / RECIPE_FILE
    write_atomic(path, to_json(recipe))
    return file_ref(folder, path)


def read_recipe(path: Path) -> TensorRTRecipe:
    """Read a recipe.

    Raises:
        DeviceError: It is missing, of another schema, or says something contradictory.
    """
    try:
        text = path.read_bytes()
    except OSError as err:
        raise DeviceError(f"{path}: expected a TensorRT recipe, cannot read it ({err.strerror})") from err
    recipe = from_json(TensorRTRecipe, text, where=path.name, error=DeviceError)
    if recipe.schema_version != SCHEMA_VERSION:
        raise DeviceError(
            f"{path.name}: schema {recipe.schema_version}, this version reads {SCHEMA_VERSION}; update weckd-edge"
        )
    return recipe
