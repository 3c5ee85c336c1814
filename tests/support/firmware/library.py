"""Builds the C library and its test programs, once a session, and runs them."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "devices/firmware"


@dataclass(frozen=True)
class Built:
    """A build of the library.

    Attributes:
        folder: Where it lies.
        openvino: OpenVINO's C library; None where the wheel is not installed.
    """

    folder: Path
    openvino: Path | None

    def run(self, program: str, *args: object, expect: int | None = 0, env: dict[str, str] | None = None) -> str:
        """Run a test program and return what it printed."""
        done = subprocess.run(
            [str(self.folder / "tests" / program), *map(str, args)],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, **(env or {})},
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout


def openvino_folder() -> Path | None:
    """Return the folder of the installed wheel that holds C headers and library, or None."""
    spec = find_spec("openvino")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder if (folder / "include/openvino/c/openvino.h").is_file() else None


def missing() -> str | None:
    """Say what is missing for a build, or None."""
    for tool in ("cmake", "pkg-config"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if shutil.which("cc") is None or shutil.which("c++") is None:
        return "no C and C++ compiler is installed"
    if subprocess.run(["pkg-config", "--exists", "jansson"], check=False).returncode:
        return "libjansson-dev is not installed"
    probe = ["cc", "-E", "-include", "mbedtls/pk.h", "-x", "c", os.devnull, "-o", os.devnull]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        return "libmbedtls-dev is not installed"
    return None


def build(folder: Path, *options: str, compiler: tuple[str, str] = ("cc", "c++")) -> Built:
    """Configure and build into a folder; the tests and the stand-in for a model are always built."""
    wheel = openvino_folder()
    configure = [
        "cmake",
        "-S",
        str(SOURCE),
        "-B",
        str(folder),
        "-DWECKD_TESTS=ON",
        "-DWECKD_ECHO=ON",
        "-DWECKD_EXAMPLES=ON",
        "-DWECKD_WERROR=ON",
        f"-DCMAKE_C_COMPILER={compiler[0]}",
        f"-DCMAKE_CXX_COMPILER={compiler[1]}",
        f"-DWECKD_OPENVINO={'ON' if wheel else 'OFF'}",
        *([f"-DOpenVINO_DIR={wheel / 'cmake'}"] if wheel else []),
        *options,
    ]
    for command in (configure, ["cmake", "--build", str(folder), "--parallel", "2"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    libraries = sorted((wheel / "libs").glob("libopenvino_c.so*")) if wheel else []
    return Built(folder=folder, openvino=libraries[0] if libraries else None)


def read_predictions(output: str) -> list[tuple[int, int, int, list[float]]]:
    """Take the lines of ``runner ... frames`` apart: decision, prediction, reason, probabilities."""
    found = []
    for line in output.splitlines():
        parts = line.split()
        found.append((int(parts[0]), int(parts[1]), int(parts[2]), [float.fromhex(part) for part in parts[3:]]))
    return found
