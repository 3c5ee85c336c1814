"""Model of a bundle that predicts on this machine, and whether the machine has chosen it."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import DeviceError, MissingDependency
from weckd_edge.devices.runtime.model_choice import RunningModel, find_running


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleState:
    """What a machine runs of a bundle.

    Attributes:
        folder: Folder of the bundle.
        running: The model that predicts here; None where none does.
        reason: Why none predicts, or the device's choice is not followed, in words; None where there is nothing to say.
        hint: What to type; None where the device has chosen.
    """

    folder: str
    running: RunningModel | None
    reason: str | None
    hint: str | None


def read_bundle_state(bundle: Bundle) -> BundleState:
    """Return what this machine runs of a bundle; no model is opened.

    Args:
        bundle: The bundle, opened and so verified.
    """
    folder, hint = str(bundle.folder), f"weckd-edge finalize {bundle.folder}"
    try:
        running = find_running(bundle)
    except (DeviceError, MissingDependency) as err:
        return BundleState(folder=folder, running=None, reason=str(err), hint=hint)
    return BundleState(folder=folder, running=running, reason=running.note, hint=None if running.by_device else hint)
