"""Search for the camera that is meant: by its number, its path, or the name that the system knows it by."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.core.errors import DeviceError

SYSTEM = Path("/sys/class/video4linux")
"""Folder in which Linux names its cameras."""

DEVICES = Path("/dev")


def find_camera(named: str, *, system: Path = SYSTEM, devices: Path = DEVICES) -> Path:
    """Return the device of a camera.

    Args:
        named: Number of the camera, as in ``/dev/video0``; path of its device; or its name.
        system: Folder in which Linux names its cameras.
        devices: Folder of the devices.

    Raises:
        DeviceError: There is no such camera, or several have that name.
    """
    if named.isdecimal() or "/" in named:
        path = devices / f"video{int(named)}" if named.isdecimal() else Path(named)
        if path.exists():
            return path
        raise DeviceError(f"{path}: expected a camera, found nothing; {_known(system, devices)}", code="E_DEVICE_CAMERA")
    found = [path for path, name in camera_names(system, devices).items() if name.casefold() == named.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        text = f"{len(found)} cameras have that name; name one by its path: {', '.join(map(str, found))}"
        raise DeviceError(f"camera {named!r}: {text}", code="E_DEVICE_CAMERA")
    raise DeviceError(f"camera {named!r}: no camera has that name; {_known(system, devices)}", code="E_DEVICE_CAMERA")


def camera_names(system: Path = SYSTEM, devices: Path = DEVICES) -> dict[Path, str]:
    """Return the name of each camera here by its device, in the order of their numbers.

    A camera may have several devices, of which the first gives pictures and others say something about them.
    """
    names = {}
    for folder in sorted(system.glob("video*"), key=lambda one: (len(one.name), one.name)):
        if _first_line(folder / "index") in ("", "0"):
            names[devices / folder.name] = _first_line(folder / "name") or folder.name
    return names


def _known(system: Path, devices: Path) -> str:
    names = camera_names(system, devices)
    if not names:
        return "no camera is connected"
    return "connected are " + ", ".join(f"{path} ({name})" for path, name in names.items())


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
