"""Which camera is meant, and what is said where none can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from support.videos import av, scene, write_video
from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.video import pyav_backend, pyav_source
from weckd_edge.devices.video.cameras import camera_names, find_camera
from weckd_edge.devices.video.pyav_backend import hide_password, open_camera, open_stream


class Machine:
    """A machine with cameras, as Linux shows them."""

    def __init__(self, root: Path) -> None:
        self.system, self.devices = root / "class", root / "dev"
        self.system.mkdir()
        self.devices.mkdir()

    def plug_in(self, number: int, name: str, *, index: int = 0) -> None:
        folder = self.system / f"video{number}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "index").write_text(f"{index}\n")
        (self.devices / folder.name).touch()

    def find(self, named: str) -> Path:
        return find_camera(named, system=self.system, devices=self.devices)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    found.plug_in(0, "Otoscope HD")
    found.plug_in(1, "Otoscope HD", index=1)  # what UVC cameras say of their pictures
    found.plug_in(10, "Webcam")
    return found


def test_a_camera_is_found_by_number_by_path_and_by_name(machine: Machine) -> None:
    first, last = machine.devices / "video0", machine.devices / "video10"
    assert machine.find("0") == machine.find(str(first)) == machine.find("otoscope hd") == first
    assert machine.find("10") == machine.find("Webcam") == last
    assert camera_names(machine.system, machine.devices) == {first: "Otoscope HD", last: "Webcam"}


@pytest.mark.parametrize("named", ["3", "/nowhere/video3", "Endoscope"])
def test_an_unknown_camera_is_refused_with_those_that_are_there(machine: Machine, named: str) -> None:
    with raises(DeviceError, "E_DEVICE_CAMERA", says=("video0", "Otoscope HD", "video10", "Webcam")):
        machine.find(named)


def test_two_cameras_of_one_name_are_named_by_their_paths(machine: Machine) -> None:
    machine.plug_in(4, "Webcam")
    paths = (str(machine.devices / "video4"), str(machine.devices / "video10"))
    with raises(DeviceError, "E_DEVICE_CAMERA", says=("Webcam", *paths)):
        machine.find("Webcam")


def test_a_machine_without_cameras_says_so(tmp_path: Path) -> None:
    with raises(DeviceError, "E_DEVICE_CAMERA", says="no camera is connected"):
        Machine(tmp_path).find("0")


def test_a_camera_is_opened_by_v4l2_at_the_size_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_video(tmp_path / "film.mkv", scene(48, 64, frames=4))
    asked: list[tuple[str, dict[str, Any]]] = []
    real = av.open

    def opened(address: str, **settings: Any) -> Any:
        asked.append((address, settings))
        return real(str(film))

    monkeypatch.setattr(av, "open", opened)
    source = open_camera(Path("/dev/video7"), width=640, height=480)
    assert source.is_live
    assert source.expected_frames is None
    assert len(list(source.frames())) == 4
    source.close()
    ((address, settings),) = asked
    assert address == "/dev/video7"
    assert settings["format"] == "video4linux2"
    assert settings["options"] == {"video_size": "640x480"}
    assert settings["timeout"] == (pyav_backend.OPEN_LIMIT_S, pyav_source.READ_LIMIT_S)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (lambda: av.error.PermissionError(13, "Permission denied"), "the group 'video'"),
        (lambda: av.error.OSError(16, "Device or resource busy"), "another program uses it"),
        (lambda: av.error.OSError(19, "No such device"), "No such device"),
    ],
    ids=["not allowed", "busy", "gone"],
)
def test_a_camera_that_cannot_be_opened_is_one_clear_error(error: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error()

    monkeypatch.setattr(av, "open", refuse)
    with raises(DeviceError, "E_DEVICE_CAMERA", says=("/dev/video0", says)):
        open_camera(Path("/dev/video0"), width=640, height=480)


def test_a_stream_that_cannot_be_reached_is_one_clear_error_without_its_password() -> None:
    with raises(DeviceError, "E_DEVICE_STREAM", says="rtsp://127.0.0.1:1/ear") as caught:
        open_stream("rtsp://nurse:secret@127.0.0.1:1/ear")
    assert "secret" not in str(caught.value)
    assert "nurse" not in str(caught.value)


def test_an_address_without_a_password_stays_as_it_is() -> None:
    assert hide_password("rtsp://camera/ear@left") == "rtsp://camera/ear@left"
    assert hide_password("rtsp://a:b@camera/ear") == "rtsp://camera/ear"
