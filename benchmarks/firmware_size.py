"""Write size, stack and heap of the C library, here and on arm64, into docs/results/firmware.md.

``python benchmarks/firmware_size.py``, with a compiler for arm64 and apt for its packages.

The build is the one that tests use: Release, OpenVINO's and ONNX Runtime's backends and the stand-in for a model. Stacks are
painted before a call and looked at after it; the heap is counted by functions in front of the C library's. What is opened is
a signed toy bundle, whose block is small; for another bundle ask ``weckd_memory_bytes``. arm64 is built across and run
under qemu, as ``make arm64-test`` does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from arm64_check import DEFAULT_CPU, ArmCheck, Skipped
from support.bundles import toy
from support.firmware import footprint
from support.firmware.library import build, missing

HERE = Path(__file__).resolve().parent


def main() -> None:
    reason = missing()
    if reason is not None:
        sys.exit(f"the C library cannot be built here: {reason}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        (folder / "x86").mkdir()
        measured = {
            "x86-64": footprint.measure(build(folder / "build").folder, footprint.write_signed_toy(toy, folder / "x86"))
        }
        (folder / "arm").mkdir()
        arm = ArmCheck(folder / "arm", DEFAULT_CPU, None)
        try:
            for step in (arm.fetch_the_arm_system, arm.install_the_wheel_for_arm, arm.firmware.build_the_c_library_across):
                print(step())
            measured["arm64"] = arm.firmware.measure_the_c_library()
        except Skipped as err:
            sys.exit(f"arm64 cannot be measured here: {err}")
    compilers = {
        which: subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
        for which, name in (("x86-64", "cc"), ("arm64", "aarch64-linux-gnu-gcc"))
    }
    path = HERE / "results/firmware_size.json"
    path.write_text(json.dumps({"compilers": compilers, "bytes": measured}, indent=1) + "\n", encoding="utf-8")
    footprint.write_table(measured)
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
