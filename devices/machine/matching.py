"""Match of a machine with the device profiles, by the identity that it shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from weckd_edge.devices.machine.identity import MachineIdentity, name_core
from weckd_edge.devices.profiles.profile import DeviceProfile


def match_reason(profile: DeviceProfile, identity: MachineIdentity) -> str | None:
    """Return why a machine is the device of a profile, in words; None where it is not.

    A product's name that the profile asks for must be there; then the module, the board or the processor decides, the most
    exact first. A device tree that names the board of a profile while the cores are of another kind is not believed, and an
    emulated processor is no device.
    """
    if identity.architecture not in (None, profile.architecture) or identity.emulated_on is not None:
        return None
    product = identity.product if identity.product in profile.dmi_products else None
    if profile.dmi_products and product is None:
        return None
    reason = _named(profile, identity)
    if product is not None:
        named = profile.part_numbers or profile.compatible or profile.cpu_models
        reason = f"its firmware names the product '{product}'" if reason or not named else None
    return None if reason is None or contradiction(profile, identity) else reason


def contradiction(profile: DeviceProfile, identity: MachineIdentity) -> str | None:
    """Return why a machine that bears a profile's name is another device, in words; None where nothing says so.

    The reason is another module of the same family in the device tree, as overlays for several leave it, or kinds of core
    that the profile does not name.
    """
    named = {part for part in profile.part_numbers if part in identity.modules}
    families = {part.partition("-")[0] for part in named}
    others = [part for part in identity.modules if part.partition("-")[0] in families and part not in profile.part_numbers]
    if others:
        several = ", ".join(part for part in identity.modules if part.partition("-")[0] in families)
        return (
            f"the device tree names several modules ({several}): which one is there is not clear; flash the board's own tree"
        )
    shown = set(identity.cpu_parts)
    if not profile.cpu_parts or not shown or shown <= set(profile.cpu_parts):
        return None
    expected = " and ".join(name_core(part) for part in profile.cpu_parts)
    return (
        f"the device tree fits {profile.id}, which has {expected} cores, and this machine shows {identity.cores_in_words}: "
        "the tree is of another board"
    )


def match_profile(
    profiles: Sequence[DeviceProfile], identity: MachineIdentity
) -> tuple[DeviceProfile | None, tuple[str, ...]]:
    """Find the profile that fits a machine, and say why.

    Returns:
        Profile and reasons, the most important first. The profile is a generic one where the machine is not recognised, and
        None where not even its architecture fits.
    """
    claims = [(profile, reason) for profile in profiles if (reason := match_reason(profile, identity)) is not None]
    exact = [(profile, reason) for profile, reason in claims if profile.dmi_products] or claims
    if exact:
        found, reason = min(exact, key=lambda pair: _rank(pair[0], identity))
        return found, (reason, *identity.remarks)
    reasons = [*_why_not(profiles, identity), *identity.remarks]
    for profile in profiles:
        if profile.is_generic and profile.architecture == identity.architecture:
            return profile, (
                *reasons,
                f"no profile names this board or processor; its architecture is {identity.architecture}",
            )
    return None, (*reasons, "no profile fits; the architecture is neither x86-64 nor 64-bit Arm")


def module_of(identity: MachineIdentity, profile: DeviceProfile | None) -> str | None:
    """Return the module among carrier and module: the one a profile names, else the last (``carrier+module``)."""
    if not identity.is_tegra:
        return None
    named = [part for part in identity.modules if profile is not None and part in profile.part_numbers]
    candidates = named or list(identity.modules)
    return candidates[-1] if candidates else None


def _named(profile: DeviceProfile, identity: MachineIdentity) -> str | None:
    for part in profile.part_numbers:
        if part in identity.modules:
            return f"the device tree names the module {part}"
    for name in identity.compatible:
        if name in profile.compatible:
            return f"the device tree says it is compatible with {name}"
    words = re.split(r"[^A-Za-z0-9.-]+", identity.cpu_model)
    for word in profile.cpu_models:
        if word in words:
            return f"the processor calls itself '{identity.cpu_model}'"
    return None


def _rank(profile: DeviceProfile, identity: MachineIdentity) -> int:
    """Return the rank of a profile's name for a machine: the lowest for the most exact."""
    if any(part in identity.modules for part in profile.part_numbers):
        return -1
    return min(
        (n for n, name in enumerate(identity.compatible) if name in profile.compatible), default=len(identity.compatible)
    )


def _why_not(profiles: Sequence[DeviceProfile], identity: MachineIdentity) -> list[str]:
    """Return reasons why no profile fits: contradictions, what is missing, and similar profiles."""
    if identity.emulated_on is not None:
        return [
            f"an emulated machine: programs run as {identity.architecture} on {identity.emulated_on} hardware; predictions "
            "can be checked here, times and energy say nothing about a device"
        ]
    fits = [p for p in profiles if identity.architecture in (None, p.architecture) and _named(p, identity)]
    reasons = list(dict.fromkeys(wrong for p in fits if (wrong := contradiction(p, identity))))
    near = [profile.id for profile in profiles if profile.soc in identity.socs and profile.soc is not None]
    if identity.is_tegra and not reasons:
        reasons.append(
            f"a Jetson whose module {', '.join(identity.modules) or '(not named)'} has no profile; write one with extends = "
            f'"{near[0] if near else "jetson-orin-nano-8gb"}"' + (f" (of the same chip: {', '.join(near)})" if near else "")
        )
    elif near and not reasons:
        reasons.append(
            f"the chip is that of {', '.join(near)}, the board another; write a profile with extends and 'compatible'"
        )
    if identity.cores_in_words:
        reasons.append(f"its cores are {identity.cores_in_words}" + _alike(profiles, identity))
    if identity.l4t and not identity.compatible:
        reasons.append("/etc/nv_tegra_release is there and no device tree: in a container, mount /sys/firmware")
    if identity.vendor or identity.product:
        reasons.append(f"its firmware calls it {' '.join(filter(None, (identity.vendor, identity.product)))}")
    return reasons


def _alike(profiles: Sequence[DeviceProfile], identity: MachineIdentity) -> str:
    alike = [p.id for p in profiles if p.cpu_parts and set(p.cpu_parts) == set(identity.cpu_parts)]
    return f", as those of {', '.join(alike)}" if alike else ""
