"""Recipe by which a Jetson builds its engine: written on the host, read by ``weckd-edge finalize`` on the device.

An engine is only valid on the module, TensorRT and L4T that built it, so a host ships the ONNX graph and this recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef, Precision
from weckd_edge.core.errors import ConfigError, DeviceError
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import file_ref, write_atomic
from weckd_edge.devices.jetson.version_rules import NEEDS, RULES, Attempt, Form, VersionRule, rule_for
from weckd_edge.devices.profiles.profile import DeviceProfile

RECIPE_FILE = "recipe.json"
"""Name of a recipe's file."""

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
        ranges: Largest absolute value by tensor, for a DLA, which takes them with the form ``plain``.
        front_end: Graph of crop and resize; None where the graph holds them, or none was made.
    """

    graphs: tuple[GraphFile, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, float] = field(default_factory=dict)
    front_end: FileRef | None = None


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
        ranges: Largest absolute value by tensor, for a DLA, which takes them with the form ``plain``: the scale of its Q/DQ
            pair times 127.
        front_end: Graph of crop and resize, by its file's name, which the device may put before any other form but
            ``float32-frame``; None where the graph holds them, or none was made.
        workspace_mib: Largest scratch memory that a layer may use, MiB.
        rules: Graphs and flags by TensorRT version, in the order in which they are tried.
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
    front_end: FileRef | None = None
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
    """Graph and flags of one way to build an engine with one TensorRT version.

    Attributes:
        rule: Rule of the version.
        attempt: Form of the graph, flags, and the precision of the engine.
        graph: File of that form.
        front_end: Graph of crop and resize that is put before it, so that the engine takes the whole frame; None: the
            engine takes what the graph takes.
    """

    rule: VersionRule
    attempt: Attempt
    graph: GraphFile
    front_end: FileRef | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        """All flags, as the engine's key takes them."""
        return (*self.attempt.network_flags, *self.attempt.builder_flags)

    @property
    def name(self) -> str:
        """Name of the way to build, for people, such as ``int8 float32``."""
        words = f"{self.attempt.precision} {self.attempt.form}"
        return words if self.front_end is None else f"{words} of the whole frame"


def plans_for(recipe: TensorRTRecipe, tensorrt_version: str) -> tuple[BuildPlan, ...]:
    """Return the ways to build an engine with a TensorRT version, in the order in which they are tried.

    Forms that the build could not make are left out; ``recipe.left_out`` says why.

    Raises:
        DeviceError: The version is not in the recipe's table, or the recipe has no graph that it reads.
    """
    rule = rule_for(recipe.rules, tensorrt_version)
    attempts = [attempt for attempt in (attempt.at(recipe.precision) for attempt in rule.attempts) if attempt is not None]
    found = [(attempt, recipe.find(attempt.form)) for attempt in attempts]
    plans = tuple(BuildPlan(rule=rule, attempt=attempt, graph=graph) for attempt, graph in found if graph is not None)
    if not plans:
        form = attempts[0].form
        reason = recipe.left_out.get(form, "the build did not make one")
        raise DeviceError(
            f"TensorRT {tensorrt_version} {NEEDS[form]}, and this bundle has none ({reason})", code="E_DEVICE_RECIPE"
        )
    return plans


def of_whole_frames(recipe: TensorRTRecipe, plan: BuildPlan) -> BuildPlan | None:
    """Return the same way to build an engine that takes the whole frame; None where the recipe has no front end for it."""
    if recipe.front_end is None or plan.attempt.form == "float32-frame":
        return None
    return replace(plan, front_end=recipe.front_end)


def dla_plan(recipe: TensorRTRecipe, tensorrt_version: str) -> BuildPlan:
    """Return the way to build an engine for a DLA with a TensorRT version.

    Raises:
        DeviceError: The version is not in the recipe's table or does not build for a DLA, or the recipe has no graph for it.
    """
    rule, graph = rule_for(recipe.rules, tensorrt_version), recipe.find("plain")
    if not rule.dla:
        raise DeviceError(
            f"TensorRT {tensorrt_version} builds no int8 engine of a bundle for a DLA (8.6 to 10.7 do); use the GPU",
            code="E_DEVICE_DLA",
        )
    if graph is None or not recipe.ranges:
        raise DeviceError(
            "this bundle has no graph for a DLA; build it again for a profile with DLA cores", code="E_DEVICE_DLA"
        )
    weak = rule.attempts[0]
    return BuildPlan(rule=rule, attempt=replace(weak, form="plain"), graph=graph)


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
        front_end=forms.front_end,
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
