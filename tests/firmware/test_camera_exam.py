"""The example with a camera and a button: a press begins, and one decision ends, whatever becomes of the camera."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from weckd_edge.bundle.signing import sign

RED = bytes([150]) * (640 * 480) + bytes([110, 240]) * (320 * 240)
"""An NV12 frame of which the stand-in for a model says the first label."""

BLACK = bytes([16]) * (640 * 480) + bytes([128, 128]) * (320 * 240)
"""An NV12 frame of which it gives no number."""


class Camera:
    """A pipe in place of a camera, into which a thread writes frames."""

    def __init__(self, path: Path) -> None:
        self.path, self.frame, self.written = path, RED, 0
        self._is_over = threading.Event()
        os.mkfifo(path)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        with self.path.open("wb") as pipe:
            try:
                while not self._is_over.is_set():
                    pipe.write(self.frame)
                    self.written += 1
            except BrokenPipeError:
                pass

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def unplug(self) -> None:
        self._is_over.set()


@pytest.fixture
def start(
    library: Any, make: Callable[..., Path], key_pair: tuple[Path, Path], tmp_path: Path
) -> Iterator[Callable[..., tuple[Camera, Any]]]:
    """Start the program with such a camera, and lines of standard input for a button."""
    started: list[tuple[Camera, Any]] = []

    def run(bundle: Path | None = None, *more: object, lowest: int = 1, **env: object) -> tuple[Camera, Any]:
        camera = Camera(tmp_path / "camera")
        program = library.folder / "examples/camera_exam"
        words = [program, bundle or make(3), camera.path, key_pair[1], lowest, "-", *more]
        process = subprocess.Popen(
            list(map(str, words)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **{name: str(value) for name, value in env.items()}},
        )
        started.append((camera, process))
        return started[-1]

    yield run
    for camera, process in started:
        camera.unplug()
        process.kill()
        process.communicate()


def press(process: Any) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for_frames(camera: Camera, count: int) -> None:
    until = camera.written + count
    while camera.written < until:
        assert camera.is_alive
        time.sleep(0.005)


def test_a_press_begins_another_ends_and_the_next_examination_is_a_new_one(start: Any) -> None:
    camera, process = start()
    press(process)
    assert process.stdout.readline() == "begun\n"
    wait_for_frames(camera, 5)
    press(process)
    decided = process.stdout.readline()
    assert decided.startswith("effusion 0.")
    assert " 0 repeat another, 0 were refused" in decided
    camera.frame = BLACK
    wait_for_frames(camera, 8)
    press(process)
    assert process.stdout.readline() == "begun\n"
    wait_for_frames(camera, 5)
    press(process)
    assert process.stdout.readline().startswith("unable to analyze: too few frames count; of ")
    assert process.stdout.readline().endswith(", a probability is not a number\n")


def test_a_camera_that_is_pulled_out_in_mid_examination_ends_it_with_what_was_seen(start: Any) -> None:
    camera, process = start()
    press(process)
    assert process.stdout.readline() == "begun\n"
    wait_for_frames(camera, 5)
    camera.unplug()
    out, _ = process.communicate(timeout=60)
    assert out.startswith("effusion 0.")
    assert process.returncode == 1  # so that the service is started again


def test_a_camera_that_is_pulled_out_between_two_examinations_ends_the_program(start: Any) -> None:
    camera, process = start()
    wait_for_frames(camera, 5)
    camera.unplug()
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 1)


def test_the_model_that_runs_is_logged_and_opened_from_what_the_check_at_boot_compiled(
    start: Any, tool: Any, toy: ModuleType, key_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    openvino = tool.built.openvino
    if openvino is None:
        pytest.skip("OpenVINO's wheel is not installed")
    bundle = toy.write_bundle(tmp_path / "bundle", backends=["openvino"], onnx_precision="fp32").folder
    sign(bundle, key_pair[0])
    cache = tool.run / "cache"
    tool.done("install", bundle, "--backend", "openvino", "--library", openvino)
    assert not cache.exists()
    tool.done("boot", "--backend", "openvino", "--library", openvino, "--cache-dir", cache)
    (compiled,) = cache.iterdir()
    own = tmp_path / "own"
    own.mkdir()
    _, process = start(tool.run / "current", own, lowest=0, LD_LIBRARY_PATH=openvino.parent)
    logged = process.stderr.readline()
    assert logged.startswith("runs openvino 2")
    assert logged.endswith(" in fp32, the first of the bundle that runs here\n")
    assert [path.name for path in own.iterdir()] == [compiled.name]  # it looks for the very same


def matrix_of(library: Any, *, colorspace: int = 0, encoding: int = 0, quantization: int = 0) -> int:
    """Return the matrix of a V4L2 format (``struct v4l2_pix_format``: twelve numbers of 32 bits)."""
    import ctypes

    numbers = (ctypes.c_uint32 * 12)()
    numbers[6], numbers[9], numbers[10] = colorspace, encoding, quantization
    return int(library.camera_matrix_of(numbers))


def test_the_matrix_and_the_range_are_those_that_the_driver_names(firmware: ModuleType, tmp_path: Path) -> None:
    import ctypes

    built = ["-o", tmp_path / "camera.so", f"-I{firmware.SOURCE}/include", firmware.SOURCE / "examples/camera_v4l2.c"]
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", *map(str, built)], check=True)
    camera = ctypes.CDLL(str(tmp_path / "camera.so"))
    bt601_limited, bt601_full, bt709_limited, bt709_full = range(4)
    smpte170m, rec709, srgb, jpeg, bt2020 = 1, 3, 8, 7, 10
    full, limited = 1, 2
    assert matrix_of(camera) == bt601_limited
    assert matrix_of(camera, colorspace=srgb) == bt601_limited  # a webcam's
    assert matrix_of(camera, colorspace=smpte170m) == bt601_limited
    assert matrix_of(camera, colorspace=jpeg) == bt601_full
    assert matrix_of(camera, colorspace=jpeg, quantization=limited) == bt601_limited
    assert matrix_of(camera, colorspace=rec709) == bt709_limited
    assert matrix_of(camera, colorspace=rec709, quantization=full) == bt709_full
    assert matrix_of(camera, colorspace=srgb, encoding=2, quantization=full) == bt709_full
    assert matrix_of(camera, colorspace=rec709, encoding=1) == bt601_limited
    assert matrix_of(camera, colorspace=bt2020) == bt709_limited


def test_a_button_that_is_not_there_is_reported(library: Any, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("key")
    words = [library.folder / "examples/camera_exam", bundle, "/dev/null", tmp_path / "key.pem", "1", tmp_path / "button"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "button" in done.stderr
