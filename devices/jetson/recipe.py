"""Recipe by which a Jetson builds its engine: written on the host, read by ``weckd-edge finalize`` on the device.

An engine is only valid on the module, TensorRT and L4T that built it, so a host ships the ONNX graph and this recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef, Precision
from weckd_edge.core.errors import ConfigError, DeviceError
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import file_ref, write_atomic
from weckd_edge.devices.profiles.profile import DeviceProfile

RECIPE_FILE = "recipe.json"
"""Name of a recipe's file."""

Form = Literal["float32", "float32-frame", "float16", "dla"]
"""Form of the quantized graph.

``float32`` takes the uint8 frame, with Q/DQ scales and all else in FP32; ``float32-frame`` is the same with a float frame;
``float16`` has FP16 scales and an FP16 body; ``dla`` has no Q/DQ nodes, which a DLA does not read: the recipe holds the
ranges.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionRule:
    """Graph and flags for a range of TensorRT versions.

    Attributes:
        since: First version, such as ``8.6``.
        below: First version that the rule no longer holds for.
        form: Form of the graph that these versions read.
        network_flags: Names of ``NetworkDefinitionCreationFlag``.
        builder_flags: Names of ``BuilderFlag`` for an int8 graph; an fp16 one takes ``FP16`` alone, an fp32 one none.
        progress_monitor: Whether the builder reports its progress (``IProgressMonitor``, from 10.0).
        dla: Whether these versions build for a DLA by tensor ranges, where the module has one.
    """

    since: str
    below: str
    form: Form
    network_flags: tuple[str, ...] = ()
    builder_flags: tuple[str, ...] = ()
    progress_monitor: bool = True
    dla: bool = False


_WEAK = ("INT8", "FP16")
_STRONG = ("STRONGLY_TYPED",)
_BATCH = ("EXPLICIT_BATCH",)

RULES = (
    VersionRule(
        since="8.5",
        below="8.6",
        form="float32-frame",
        network_flags=_BATCH,
        builder_flags=_WEAK,
        progress_monitor=False,
        dla=True,
    ),
    VersionRule(
        since="8.6",
        below="9.0",
        form="float32",
        network_flags=_BATCH,
        builder_flags=_WEAK,
        progress_monitor=False,
        dla=True,
    ),
    VersionRule(since="10.0", below="10.8", form="float32", builder_flags=_WEAK, dla=True),
    VersionRule(since="10.8", below="10.12", form="float32", builder_flags=_WEAK),
    VersionRule(since="10.12", below="11.0", form="float16", network_flags=_STRONG),
    VersionRule(since="11.0", below="12.0", form="float16"),
)
"""Rules of all TensorRT versions, the oldest first.

Up to 10.11 the network is weakly typed: Q/DQ nodes fix int8, the rest may run in FP16. From 10.12 on it is strongly typed on
request, and in 11 always: every tensor has the type that the graph says, so that the graph itself must say FP16. TensorRT 9
was never part of a JetPack. 10.7 was the last 10.x with a DLA; 11.4.1 has it again on AGX Orin, in FP16 and strongly typed,
which is not offered here. The sources are NVIDIA's migration pages 10.x to 11.x, "Working with DLA", and sampleOptions.cpp
of the release branches.
"""

KEY_INGREDIENTS = (
    "onnx_sha256",
    "graph_sha256",
    "tensorrt_version",
    "module",
    "compute_capability",
    "l4t",
    "power_mode",
    "flags",
)
"""Fields of ``EngineIdentity`` that the key of an engine is digested from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphFile:
    """One form of the quantized graph.

    Attributes:
        form: Form of the graph.
        name: Name of the file; the bundle's manifest gives its folder.
        sha256: Digest of the file.
        opset: Operator set of the graph; None where it is not known.
    """

    form: Form
    name: str
    sha256: str
    opset: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivedForms:
    """Forms of the quantized graph beside the graph itself.

    Attributes:
        graphs: The forms that were made; each holds the same scales.
        left_out: Why a form was not made, by its name.
        ranges: Largest absolute value by tensor, for the form ``dla``.
    """

    graphs: tuple[GraphFile, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, float] = field(default_factory=dict)


NO_FORMS = DerivedForms()
"""No form beside the graph itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRTRecipe:
    """Everything that a device needs beside the graphs to build an engine.

    Attributes:
        onnx_sha256: Digest of the quantized graph that every form was derived from.
        graphs: Forms of the graph; each was derived from it and holds the same scales.
        precision: Precision of the graph.
        device: Id of the profile that the recipe was written for.
        part_numbers: Part numbers of the profile's modules; finalize warns where it runs on another module.
        left_out: Why a form is missing, by its name.
        ranges: Largest absolute value by tensor, for the form ``dla``: the scale of its Q/DQ pair times 127.
        workspace_mib: Largest scratch memory that a layer may use, MiB.
        rules: Graph and flags by TensorRT version.
        timing_cache: Name of a file below the bundle's ``device`` folder that keeps kernel timings between builds of one
            TensorRT version on one module in one power mode.
        key_ingredients: Fields that the engine's key is digested from, in this order.
        schema_version: Version of this record's fields.
    """

    onnx_sha256: str
    graphs: tuple[GraphFile, ...]
    precision: Precision
    device: str
    part_numbers: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, float] = field(default_factory=dict)
    workspace_mib: int = 512
    rules: tuple[VersionRule, ...] = RULES
    timing_cache: str = "timing.cache"
    key_ingredients: tuple[str, ...] = KEY_INGREDIENTS
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.workspace_mib < 16:
            raise ConfigError(f"workspace_mib = {self.workspace_mib}: expected at least 16", code="E_CONFIG_RANGE")
        if "/" in self.timing_cache or self.timing_cache in ("", ".", ".."):
            raise ConfigError(f"timing_cache = '{self.timing_cache}': expected a plain file name", code="E_CONFIG_VALUE")
        forms = [graph.form for graph in self.graphs]
        if len(set(forms)) != len(forms) or "float32" not in forms:
            raise ConfigError(f"graphs = {forms}: expected 'float32' and each form once", code="E_CONFIG_VALUE")

    def find(self, form: Form) -> GraphFile | None:
        """Return a form of the graph; None where there is none."""
        return next((graph for graph in self.graphs if graph.form == form), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildPlan:
    """Graph and flags for one TensorRT version.

    Attributes:
        rule: Rule of the version.
        graph: Form of the graph that it reads.
        network: Names of creation flags.
        builder: Names of builder flags.
    """

    rule: VersionRule
    graph: GraphFile
    network: tuple[str, ...]
    builder: tuple[str, ...]

    def names(self) -> tuple[str, ...]:
        """Return all flags, as the engine's key takes them."""
        return (*self.network, *self.builder)


def version_tuple(version: str) -> tuple[int, ...]:
    """Turn ``10.3.0.30`` into ``(10, 3, 0, 30)``; anything behind the digits is left out.

    Raises:
        DeviceError: The text does not start with two numbers.
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
        raise DeviceError(f"TensorRT version '{version}': expected numbers such as 10.3.0.30", code="E_DEVICE_TENSORRT")
    return tuple(numbers)


def plan_for(recipe: TensorRTRecipe, tensorrt_version: str) -> BuildPlan:
    """Return the graph and the flags for a TensorRT version.

    Raises:
        DeviceError: The version is not in the recipe's table, or the recipe has no graph that it reads.
    """
    rule = _rule(recipe.rules, tensorrt_version)
    form: Form = rule.form if recipe.precision != "fp32" or rule.form != "float16" else "float32"
    graph = recipe.find(form)
    if graph is None:
        reason = recipe.left_out.get(form, "the build did not make one")
        raise DeviceError(
            f"TensorRT {tensorrt_version} {_NEEDS[form]}, and this bundle has none ({reason})", code="E_DEVICE_RECIPE"
        )
    kept = {"int8": rule.builder_flags, "fp16": tuple(f for f in rule.builder_flags if f != "INT8"), "fp32": ()}
    return BuildPlan(rule=rule, graph=graph, network=rule.network_flags, builder=kept[recipe.precision])


_NEEDS: dict[Form, str] = {
    "float32": "reads the graph with FP32 scales",
    "float32-frame": "cannot cast a uint8 frame in the graph (8.6, in JetPack 6.0, can) and needs one with a float frame",
    "float16": "types every tensor as the graph says and needs one with an FP16 body",
}


def _row(rules: tuple[VersionRule, ...], version: str) -> VersionRule | None:
    found = version_tuple(version)
    return next((rule for rule in rules if version_tuple(rule.since) <= found < version_tuple(rule.below)), None)


def _rule(rules: tuple[VersionRule, ...], version: str) -> VersionRule:
    found = version_tuple(version)
    rule = _row(rules, version)
    if rule is not None:
        return rule
    if rules and found < version_tuple(rules[0].since):
        raise DeviceError(
            f"TensorRT {version} is older than {rules[0].since}, the oldest in the recipe's table; install a newer JetPack "
            "(5.1 has 8.5, 6.0 has 8.6, 6.1 has 10.3)",
            code="E_DEVICE_TENSORRT",
        )
    known = ", ".join(f"{rule.since} up to {rule.below}" for rule in rules)
    raise DeviceError(
        f"TensorRT {version} is not in the recipe's table ({known}); use the TensorRT of a JetPack, or update weckd-edge "
        "and build the bundle again",
        code="E_DEVICE_TENSORRT",
    )


def check_tensorrt(profile: DeviceProfile) -> None:
    """Refuse a Jetson whose TensorRT versions are all outside the table of rules.

    Raises:
        DeviceError: All its versions are older than the table, or newer.
    """
    releases = profile.tensorrt
    if not releases or any(_row(RULES, release.tensorrt) for release in releases):
        return
    found = ", ".join(release.tensorrt for release in releases)
    raise DeviceError(
        f"{profile.id}: TensorRT {found} is off the table, which starts at {RULES[0].since}; take a device with a newer "
        "JetPack (devices list), or name the version of one in a profile of your own",
        code="E_DEVICE_TENSORRT",
    )


def write_recipe(
    folder: Path,
    onnx: FileRef,
    profile: DeviceProfile,
    *,
    forms: DerivedForms = NO_FORMS,
    precision: Precision = "int8",
    opset: int | None = None,
    workspace_mib: int = 512,
) -> FileRef:
    """Write ``recipe.json`` into a folder.

    Args:
        folder: Folder to write into; it must exist.
        onnx: The quantized graph, which is the form ``float32``.
        profile: The device that the recipe is meant for; its target must be ``jetson``.
        forms: The other forms of the graph.
        precision: Precision of the graph.
        opset: Operator set of the graph; None where it is not known.
        workspace_mib: Largest scratch memory that a layer may use, MiB.

    Returns:
        The file, relative to ``folder``.

    Raises:
        DeviceError: The profile is no Jetson.
    """
    if profile.target != "jetson":
        raise DeviceError(
            f"{profile.id}: a TensorRT recipe expects a jetson profile, this one's target is {profile.target}",
            code="E_DEVICE_PROFILE",
        )
    plain = GraphFile(form="float32", name=Path(onnx.path).name, sha256=onnx.sha256, opset=opset)
    recipe = TensorRTRecipe(
        onnx_sha256=onnx.sha256,
        graphs=(plain, *forms.graphs),
        precision=precision,
        device=profile.id,
        part_numbers=profile.part_numbers,
        left_out=dict(forms.left_out),
        ranges=dict(forms.ranges),
        workspace_mib=workspace_mib,
    )
    path = folder / RECIPE_FILE
    write_atomic(path, to_json(recipe))
    return file_ref(folder, path)


def read_recipe(path: Path) -> TensorRTRecipe:
    """Read a recipe's file.

    Raises:
        DeviceError: The file is missing, is of another schema, or contradicts itself.
    """
    try:
        text = path.read_bytes()
    except OSError as err:
        raise DeviceError(
            f"{path}: expected a TensorRT recipe, cannot read it ({err.strerror})", code="E_DEVICE_RECIPE"
        ) from err
    return parse_recipe(text, path.name)


def parse_recipe(text: bytes, where: str) -> TensorRTRecipe:
    """Read a recipe from the bytes of its file.

    Args:
        text: Bytes of the file.
        where: Name of the file for messages.

    Raises:
        DeviceError: The recipe is of another schema, or contradicts itself.
    """
    recipe = from_json(TensorRTRecipe, text, where=where, error=DeviceError)
    if recipe.schema_version != SCHEMA_VERSION:
        raise DeviceError(
            f"{where}: schema {recipe.schema_version}, this version reads {SCHEMA_VERSION}; update weckd-edge",
            code="E_DEVICE_RECIPE",
        )
    return recipe
