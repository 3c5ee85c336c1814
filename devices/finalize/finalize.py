"""Last step of a bundle, on the device: a Jetson builds its engine, a processor races what the bundle lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import Progress
from weckd_edge.devices.finalize.processor import finalize_processor, roll_back_processor
from weckd_edge.devices.finalize.race import RaceRules
from weckd_edge.devices.jetson import finalize as jetson
from weckd_edge.devices.runtime.backends.tensorrt_backend import DLA
from weckd_edge.devices.runtime.device_choice import DeviceChoice, Finalized


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalizeOptions:
    """What a user asks of a device's choice.

    Attributes:
        dla: Whether a Jetson builds for the DLA too, and uses it where it is faster than the GPU.
        gpu_fallback: Whether layers that the DLA cannot run may go to the GPU.
        threads: Number of threads that one query may use on a processor; None: 1.
        again: Whether everything is tested again, whatever was measured or refused before.
    """

    dla: bool = False
    gpu_fallback: bool = False
    threads: int | None = None
    again: bool = False


def finalize(
    bundle: Bundle,
    *,
    root: Path = Path("/"),
    progress: Progress | None = None,
    options: FinalizeOptions | None = None,
) -> Finalized:
    """Let this device choose what it runs of a bundle: on a Jetson an engine, on a processor one of the listed models.

    Args:
        bundle: An opened (and so verified) bundle.
        root: Folder that holds ``proc``, ``sys``, ``etc`` and ``var``.
        progress: Shows the steps; None shows nothing.
        options: What is asked for beside the usual; None: nothing.

    Raises:
        ConfigError: An option does not apply to this bundle.
        WeckdError: Nothing could be put in use, as ``finalize_processor`` and the Jetson's ``finalize`` say.
    """
    asked = options or FinalizeOptions()
    if bundle.manifest.target == "jetson":
        if asked.threads is not None:
            raise _unused("--threads is for a bundle of a processor", bundle)
        dla = DLA(gpu_fallback=asked.gpu_fallback) if asked.dla else None
        return jetson.finalize(bundle, root=root, progress=progress, dla=dla, again=asked.again)
    if asked.dla or asked.gpu_fallback:
        raise _unused("--dla and --gpu-fallback are for a bundle of a Jetson", bundle)
    rules = RaceRules(threads=asked.threads or 1)
    return finalize_processor(bundle, root=root, progress=progress, rules=rules, again=asked.again)


def roll_back(bundle: Bundle, *, root: Path = Path("/")) -> DeviceChoice:
    """Put the choice before the present one in use again, after its self-test.

    Raises:
        DeviceError: There is none, or it does not pass its self-test here; the present one stays in use.
    """
    if bundle.manifest.target == "jetson":
        return jetson.roll_back(bundle, root=root)
    return roll_back_processor(bundle, root=root)


def _unused(text: str, bundle: Bundle) -> ConfigError:
    return ConfigError(f"{text}; {bundle.folder} is built for {bundle.manifest.target}", code="E_CONFIG_OPTION_UNUSED")
