"""Limits that a bundle carries, judged by a bench on the device that it was built for."""

from __future__ import annotations

from weckd_edge.artifacts import Gate, Manifest, Measurement
from weckd_edge.config import GateConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.gates.gates import GateEvidence, evaluate_measured
from weckd_edge.devices.machine.detect import DetectedMachine, is_same_device
from weckd_edge.devices.profiles.profile import DeviceProfile, load_profile, profile_names

MEASURED = ("max_latency_p90_ms", "max_memory_mib", "max_energy_mj")
"""Limits that a bench judges; the others are settled by the build."""


def judge_bench(
    manifest: Manifest,
    measurement: Measurement,
    profile: DeviceProfile | None = None,
    machine: DetectedMachine | None = None,
) -> tuple[Gate, ...]:
    """Judge the latency, memory and energy of a bench by the limits of its bundle; empty where the bundle has none.

    Args:
        manifest: Manifest of the bundle that was measured.
        measurement: The bench.
        profile: Profile of the user's own that the bundle was built for; None: it came with the package.
        machine: The machine that was measured; None goes by the measurement's record, which is enough for every profile that
            came with the package.

    Raises:
        ConfigError: The bundle was built for another profile.
    """
    if profile is not None and profile.id != manifest.device:
        raise ConfigError(
            f"the bundle was built for the device profile {manifest.device}, not for {profile.id}", code="E_CONFIG_CHOICE"
        )
    stated = {gate.name: gate.limit for gate in manifest.gates if gate.name in MEASURED}
    if profile is None and manifest.device in profile_names():
        profile = load_profile(manifest.device)
    if profile is None:
        return _open(stated, f"{manifest.device} did not come with this package: weckd-edge bench --device FILE there")
    if manifest.target == "jetson" and measurement.backend != "tensorrt":
        return _open(stated, f"{measurement.backend} ran it; the limits hold for the engine that weckd-edge finalize builds")
    evidence = GateEvidence(
        measurement=measurement,
        verification=None,
        size_bytes=0,
        measured_on_device=_was_there(profile, measurement) if machine is None else is_same_device(profile, machine),
    )
    limits = GateConfig(
        max_latency_p90_ms=stated.get("max_latency_p90_ms"),
        max_memory_mib=stated.get("max_memory_mib"),
        max_energy_mj=stated.get("max_energy_mj"),
    )
    return evaluate_measured(limits, profile, evidence)


def _was_there(profile: DeviceProfile, measurement: Measurement) -> bool:
    """Tell from a record whether the machine that was measured is a profile's device."""
    if measurement.machine is not None and measurement.machine.emulated is not None:
        return False
    if not profile.is_generic:
        return measurement.device == profile.id
    known = measurement.device in profile_names()
    return known and load_profile(measurement.device).architecture == profile.architecture


def _open(stated: dict[str, float], reason: str) -> tuple[Gate, ...]:
    return tuple(Gate(name=n, limit=limit, value=None, verdict="INCONCLUSIVE", reason=reason) for n, limit in stated.items())
