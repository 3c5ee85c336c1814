"""Table of TensorRT's versions: the graphs that each builds, with flags, in the order in which they are tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from weckd_edge.artifacts import Precision
from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.profiles.profile import DeviceProfile

Form = Literal["float32", "float32-frame", "float16", "plain"]
"""Form of the quantized graph.

``float32`` takes uint8, with Q/DQ scales and all else in FP32; ``float32-frame`` is the same with a float input; ``float16``
has FP16 scales and an FP16 body; ``plain`` has no Q/DQ nodes: a DLA gets the recipe's ranges with it, a GPU runs it in FP16.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One way to build an engine.

    Attributes:
        form: Form of the graph.
        precision: Precision that the engine's layers with weights run in.
        network_flags: Names of ``NetworkDefinitionCreationFlag``.
        builder_flags: Names of ``BuilderFlag``.
    """

    form: Form
    precision: Precision = "int8"
    network_flags: tuple[str, ...] = ()
    builder_flags: tuple[str, ...] = ()

    def at(self, precision: Precision) -> Attempt | None:
        """Return the attempt for a graph of a precision; None where such a graph needs none like it.

        A graph without Q/DQ nodes has no further form without them, and a graph in FP32 is built as it is.
        """
        if precision == "int8":
            return self
        if self.form == "plain":
            return None
        flags = tuple(flag for flag in self.builder_flags if flag != "INT8")
        if precision == "fp16":
            return replace(self, precision=precision, builder_flags=flags)
        form: Form = "float32" if self.form == "float16" else self.form
        return replace(self, form=form, precision=precision, builder_flags=())


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionRule:
    """What a range of TensorRT versions builds.

    Attributes:
        since: First version, such as ``8.6``.
        below: First version that the rule no longer holds for.
        attempts: Ways to build an int8 graph, in the order in which they are tried.
        progress_monitor: Whether the builder reports its progress (``IProgressMonitor``, from 10.0).
        dla: Whether these versions build the form ``plain`` for a DLA by tensor ranges, where the module has one.
    """

    since: str
    below: str
    attempts: tuple[Attempt, ...]
    progress_monitor: bool = True
    dla: bool = False


_WEAK = ("INT8", "FP16")
_STRONG = ("STRONGLY_TYPED",)
_BATCH = ("EXPLICIT_BATCH",)
_BODY_IN_FP16 = Attempt(form="float16", network_flags=_STRONG)
_NO_INT8 = Attempt(form="plain", precision="fp16", builder_flags=("FP16",))

RULES = (
    VersionRule(
        since="8.5",
        below="8.6",
        attempts=(Attempt(form="float32-frame", network_flags=_BATCH, builder_flags=_WEAK),),
        progress_monitor=False,
    ),
    VersionRule(
        since="8.6",
        below="9.0",
        attempts=(
            Attempt(form="float32", network_flags=_BATCH, builder_flags=_WEAK),
            replace(_NO_INT8, network_flags=_BATCH),
        ),
        progress_monitor=False,
        dla=True,
    ),
    VersionRule(
        since="10.0",
        below="10.8",
        attempts=(Attempt(form="float32", builder_flags=_WEAK), _BODY_IN_FP16, _NO_INT8),
        dla=True,
    ),
    VersionRule(
        since="10.8", below="10.12", attempts=(Attempt(form="float32", builder_flags=_WEAK), _BODY_IN_FP16, _NO_INT8)
    ),
    VersionRule(
        since="10.12", below="11.0", attempts=(_BODY_IN_FP16, Attempt(form="float32", builder_flags=_WEAK), _NO_INT8)
    ),
    VersionRule(since="11.0", below="12.0", attempts=(Attempt(form="float16"), Attempt(form="float32"))),
)
"""Rules of all TensorRT versions, the oldest first.

8.5 cannot cast a uint8 frame, which all forms but ``float32-frame`` do: it has no second attempt, and no DLA. Up to 10.11
the network is weakly typed: Q/DQ nodes fix int8, the rest may run in FP16. From 10.12 on it is strongly typed on request,
and in 11 always: every tensor has the type that the graph says, so that the graph itself must say FP16. 10.0 to 10.11 know
that request too; it needs no flag INT8, and so it comes where a build with that flag fails. The last attempt runs no int8 at
all. TensorRT 9 was never part of a JetPack. 10.7 is what people put in the place of JetPack 6's 10.3, and was the last 10.x
with a DLA. 11.4.1 has it again on AGX Orin, in FP16 and strongly typed, which is not offered here. The sources are NVIDIA's
migration pages 10.x to 11.x, "Working with DLA", and sampleOptions.cpp of the release branches.
"""

NEEDS: dict[Form, str] = {
    "float32": "reads the graph with FP32 scales",
    "float32-frame": "cannot cast a uint8 frame in the graph (8.6, in JetPack 6.0, can) and needs one with a float frame",
    "float16": "types every tensor as the graph says and needs one with an FP16 body",
    "plain": "runs no int8 here and needs a graph without Q/DQ nodes",
}
"""Why a version needs a form, in words."""


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


def rule_for(rules: tuple[VersionRule, ...], version: str) -> VersionRule:
    """Return the rule of a TensorRT version.

    Raises:
        DeviceError: The version is in none of the rules.
    """
    rule = _row(rules, version)
    if rule is not None:
        return rule
    if rules and version_tuple(version) < version_tuple(rules[0].since):
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


def forms_for(profile: DeviceProfile) -> frozenset[Form]:
    """Return the forms that the TensorRT versions of a Jetson's profile may ask for, and its DLA."""
    if profile.target != "jetson":
        return frozenset()
    rules = [_row(RULES, release.tensorrt) for release in profile.tensorrt] or list(RULES)
    known = [rule for rule in rules if rule is not None]
    asked = {attempt.form for rule in known for attempt in rule.attempts}
    return frozenset(asked | ({"plain"} if profile.dla_cores and any(rule.dla for rule in known) else set()))


def _row(rules: tuple[VersionRule, ...], version: str) -> VersionRule | None:
    found = version_tuple(version)
    return next((rule for rule in rules if version_tuple(rule.since) <= found < version_tuple(rule.below)), None)
