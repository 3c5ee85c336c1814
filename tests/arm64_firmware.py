"""The C library on an emulated 64-bit Arm processor: built across, run under qemu; steps of ``arm64_check.py``.

Debian's cross compiler builds it against the headers in the arm64 packages and in OpenVINO's wheel for aarch64.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dist_check import ROOT, ensure, run
from support.programs.check_steps import CheckFailed

PACKAGES = ("libjansson-dev", "libmbedtls-dev")
TOOLS = "aarch64-linux-gnu-"

PREDICTIONS = """
import json, pathlib, sys
import numpy as np
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.devices.runtime.frame_runner import open_frame_runner
from weckd_edge.devices.runtime.model_choice import choose_model
bundle = open_bundle(pathlib.Path(sys.argv[1]))
choice = choose_model(bundle, "openvino")
runner = open_frame_runner(choice.backend, choice.model, bundle.manifest.input)
frames = np.load(bundle.folder / "selftest/frames.npy")
frames.tofile(sys.argv[2])
print(json.dumps({"size": frames.shape[1:3], "predictions": [runner.run(frame[None]).tolist() for frame in frames]}))
"""


class FirmwareCheck:
    """The checks, in order; each uses what those before it made."""

    def __init__(
        self, work: Path, root: Path, site: Path, emulate: Callable[..., Sequence[object]], bundle: Callable[[], Path]
    ) -> None:
        """Take what is there already.

        Args:
            work: Where to build.
            root: The unpacked arm64 packages.
            site: Where the wheels for aarch64 are installed.
            emulate: Gives the command that runs an arm64 program, ``as_board`` on a system that shows an Arm processor.
            bundle: Gives a bundle for OpenVINO on arm64.
        """
        self.work, self.root, self.site = work, root, site
        self.emulate, self.bundle = emulate, bundle
        self.build = work / "firmware"
        self.frames = work / "frames.raw"

    def lacks(self) -> str | None:
        """Say which tool is missing for a build, or None."""
        missing = [name for name in ("cmake", "pkg-config", f"{TOOLS}gcc", f"{TOOLS}g++") if shutil.which(name) is None]
        return f"{', '.join(missing)} not here: apt install cmake pkg-config g++-aarch64-linux-gnu" if missing else None

    def build_the_c_library_across(self) -> str:
        openvino = self.site / "openvino"
        (self.soname,) = (path.name for path in (openvino / "libs").glob("libopenvino_c.so.*"))
        source = ROOT / "devices/firmware"
        configure = [
            *("cmake", "-S", source, "-B", self.build),
            *(f"-DCMAKE_TOOLCHAIN_FILE={source}/cmake/aarch64-linux-gnu.cmake", f"-DWECKD_ROOT={self.root}"),
            *(f"-DOpenVINO_DIR={openvino}/cmake", f"-DWECKD_OPENVINO_SONAME={self.soname}"),
            *("-DWECKD_WERROR=ON", "-DWECKD_TESTS=ON", "-DWECKD_ECHO=ON", "-DWECKD_EXAMPLES=ON", "-DWECKD_UPDATE=ON"),
        ]
        for command in (configure, ["cmake", "--build", self.build, "--parallel", "2"]):
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
            ensure(done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        told = run([f"{TOOLS}gcc", "-dumpfullversion"], cwd=self.work).stdout.strip()
        return f"gcc {told}, warnings as errors"

    def _run(self, program: str, *arguments: object, as_board: bool = False) -> str:
        command = [*self.emulate(as_board=as_board), self.build / "tests" / program, *arguments]
        return run([str(word) for word in command], cwd=self.work).stdout

    def try_what_needs_no_model_there(self) -> str:
        told = self._run("test_core")
        found = re.search(r"^(\d+) checks, 0 failed$", told, re.MULTILINE)
        ensure(found, f"test_core says {told}")
        return str(found and found[0])

    def _with_openvino(self, *arguments: object) -> str:
        library = self.site / "openvino/libs" / self.soname
        return self._run("runner", self.bundle(), "--backend", "openvino", "--library", library, *arguments)

    def _tested(self, told: str, backend: str) -> str:
        """Return what the self-test of a model says, which has passed."""
        form = rf"frames (\d+) flips (\d+) max_abs (\S+) tolerance (\S+) backend {backend} (\S+) (\w+)"
        found = re.match(form, told)
        ensure(found, f"the self-test says {told}")
        frames, flips, worst, tolerance, version, precision = found.groups()  # type: ignore[union-attr]  # ensured
        ensure(int(frames) > 0 and float.fromhex(worst) <= float(tolerance), told)
        self.tolerance = float(tolerance)
        apart = f"at most {float.fromhex(worst):.2g} apart, allowed {self.tolerance:g}, {flips} flips"
        return f"{frames} golden frames with {backend} {version} in {precision}, {apart}"

    def selftest_onnx_runtime_through_c_there(self) -> str:
        library, *_ = sorted((self.work / "onnxruntime/onnxruntime/capi").glob("libonnxruntime.so*"))
        models = json.loads((self.bundle() / "manifest.json").read_text())["models"]
        precisions = [model["precision"] for model in models if model["backend"] == "onnxruntime"]
        ensure("int8" in precisions, f"the bundle lists no int8 model of ONNX Runtime, but {precisions}")
        options = ("--backend", "onnxruntime", "--library", library)
        told = [
            self._run("runner", self.bundle(), *options, "--precision", name, "selftest", as_board=True)
            for name in precisions
        ]
        return "; ".join(self._tested(line, "onnxruntime") for line in told)

    def selftest_a_bundle_through_c_there(self) -> str:
        return self._tested(self._with_openvino("selftest"), "openvino")

    def predict_through_c_as_python_does_here(self) -> str:
        done = run([sys.executable, "-c", PREDICTIONS, self.bundle(), self.frames], cwd=ROOT)
        here: Any = json.loads(done.stdout)
        height, width = here["size"]
        lines = self._with_openvino("frames", self.frames, width, height, 0, 0).splitlines()
        there = [[float.fromhex(word) for word in line.split()[3:]] for line in lines]
        worst = max(abs(a - b) for x, y in zip(there, here["predictions"], strict=True) for a, b in zip(x, y, strict=True))
        ensure(worst <= self.tolerance, f"predictions differ from this machine's by {worst}, allowed is {self.tolerance}")
        return f"{len(there)} frames, at most {worst:.2g} from this machine's predictions"

    def measure_the_c_library(self) -> dict[str, int]:
        """Return size, stack and heap in bytes."""
        sys.path.insert(0, str(ROOT / "tests"))
        from support.bundles import toy
        from support.firmware import footprint

        toy_folder = self.work / "signed-toy"
        toy_folder.mkdir()
        signed = footprint.write_signed_toy(toy, toy_folder)
        return footprint.measure(self.build, signed, tools=TOOLS, emulator=self.emulate())

    def size_stack_and_heap_there(self) -> str:
        measured = self.measure_the_c_library()
        from support.firmware import footprint

        wrong = footprint.what_is_apart(measured, footprint.read_table()["arm64"])
        if wrong:
            raise CheckFailed("; ".join(wrong) + "; python benchmarks/firmware_size.py writes the table anew")
        return f"{measured['stripped']:,} bytes stripped, {measured['open_stack']:,} of stack to open"
