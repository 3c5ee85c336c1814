"""Install the lowest versions that ``pyproject.toml`` names and use the package with them: ``make lowest-test``.

Everything goes into an environment of its own, of the oldest Python that is promised, and away again. ``--device`` takes
what a device needs (a quarter of a gigabyte): it opens, verifies and measures a bundle. Without it, everything is installed
(about 7 GB, as PyPI's torch brings the CUDA libraries): every module is imported, then tests of training, export,
quantization, verification, signing, reports and the search are run.

Where that Python is not here or the package index cannot be reached, it says why it is skipped; ``--required`` makes that a
failure.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dist_check import IMPORT_EVERYTHING, ROOT, _toy, ensure, run
from resolve_check import PROJECT, PYTHONS, UNREACHABLE, uv, wheels_alone
from support.programs.check_steps import CheckFailed, Skipped, run_steps, skip

OLDEST = PYTHONS[0]
DEVICE = ("cpu",)
EVERYTHING = ("all",)
TOOLS = ("pytest", "pytest-xdist", "hypothesis")
TESTS = (
    "tests/unit/train/networks/test_models.py",
    "tests/unit/train/networks/test_pruning.py",
    "tests/unit/weckd_edge/core/test_network_options.py",
    "tests/unit/train/networks/test_checkpoint.py",
    "tests/unit/train/distill/loop/test_engine.py",
    "tests/unit/train/tuning/test_tune.py",
    "tests/unit/train/quantize_aware/test_quantize_aware.py",
    "tests/unit/compile/export/test_onnx_export.py",
    "tests/unit/compile/quantize/test_fp16_form.py",
    "tests/unit/compile/quantize/test_quantize.py",
    "tests/unit/compile/test_backends.py",
    "tests/unit/compile/verify/test_parity.py",
    "tests/unit/weckd_edge/bundle/test_bundle.py",
    "tests/unit/weckd_edge/bundle/test_signing.py",
    "tests/unit/weckd_edge/report/test_documents.py",
    "tests/unit/devices/bench/test_bench.py",
    "tests/unit/devices/remote",
    "tests/unit/devices/demo/test_demo.py",
    "tests/unit/devices/images/test_dicom.py",
    "tests/unit/weckd_edge/pipeline/test_compile_model.py::test_an_onnx_file_becomes_a_bundle_that_verifies_itself",
    "tests/e2e/test_build.py::test_verify_passes_and_every_backend_here_predicts_the_golden_frames",
)
"""One test at least of everything that an extra is for."""

NEAR = 1e-3
"""How far a probability may be from what this environment answers, with newer libraries."""


class LowestCheck:
    """The checks, in order; each uses what those before it made."""

    def __init__(self, work: Path, python: Path, extras: tuple[str, ...]) -> None:
        self.work, self.extras = work, extras
        self.base = python
        self.python = work / "environment/bin/python"
        self.outside = work / "outside"
        self.outside.mkdir()
        self.named: list[str] = []

    def choose_the_lowest_versions(self) -> str:
        command = ["pip", "compile", str(PROJECT), *(part for extra in self.extras for part in ("--extra", extra))]
        command += [
            *wheels_alone(),
            "--python",
            str(self.base),
            "--resolution",
            "lowest-direct",
            "--no-header",
            "--no-annotate",
        ]
        self.named = self._uv(command).split()
        (self.work / "lowest.txt").write_text("\n".join(self.named) + "\n")
        return f"{len(self.named)} packages"

    def install_them(self) -> str:
        self._uv(["venv", "--python", str(self.base), str(self.work / "environment")])
        install = ["pip", "install", "--python", str(self.python), *wheels_alone()]
        self._uv([*install, "--no-deps", "--requirement", str(self.work / "lowest.txt")])
        if self.extras == EVERYTHING:
            self._uv([*install, "--constraint", str(self.work / "lowest.txt"), *TOOLS])
        return ", ".join(self.named)

    def _uv(self, arguments: list[str]) -> str:
        done = uv(arguments)
        if done.returncode:
            if any(word in done.stderr for word in UNREACHABLE):
                raise Skipped(f"the package index cannot be reached ({done.stderr.strip()[:200]})")
            raise CheckFailed(f"uv {arguments[0]} {arguments[1]}: {done.stderr[-3000:]}")
        return done.stdout

    def _weckd(self, *arguments: str | Path) -> str:
        start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from weckd_edge.cli.main import main; main()"
        return run([self.python, "-c", start, *arguments], cwd=self.outside).stdout

    def use_it_as_a_device_does(self) -> str:
        self._weckd("--help")
        self._weckd("devices", "list")
        states = {row["module"]: row["state"] for row in json.loads(self._weckd("doctor", "--json"))["libraries"]}
        ensure(states["openvino"] == "works" and states["torch"] == "absent", f"doctor says {states}")
        self._weckd("data", "synth", "--out", "set", "--images", "20", "--size", "32x32", "-q")
        self._weckd("data", "check", "set", "-q")
        return "--help, devices list, doctor, data synth, data check"

    def open_a_bundle(self) -> str:
        bundle = self.outside / "toy"
        _toy().write_bundle(bundle)
        (row,) = [row for row in self._json("verify", bundle)["selftest"] if row["backend"] == "openvino"]
        ensure(row["passed"], f"the self-test says {row}")
        image = next((self.outside / "set").rglob("*.jpg"))
        there = self._json("predict", bundle, image)["images"]
        told = run([sys.executable, "-m", "weckd_edge", "predict", bundle, image, "--json"], cwd=ROOT).stdout
        here = json.loads(told)["images"]
        worst = max(
            abs(a["probabilities"][label] - b["probabilities"][label])
            for a, b in zip(there, here, strict=True)
            for label in b["probabilities"]
        )
        ensure(len(there) == 1 and worst <= NEAR, f"answers {worst:.2g} apart from newer libraries")
        return f"self-test of {row['frames']} frames passed; answers {worst:.2g} apart from newer libraries"

    def measure_it(self) -> str:
        found = self._json("bench", self.outside / "toy", "--rules", "quick", "--queries", "64", "--warmup", "0", "--quiet")
        ensure(found["end_to_end"]["samples"] == 64, f"bench says {found}")
        return f"{found['end_to_end']['samples']} queries"

    def _json(self, *arguments: str | Path) -> Any:
        return json.loads(self._weckd(*arguments, "--json"))

    def import_every_module(self) -> str:
        done = run(
            [self.python, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{IMPORT_EVERYTHING}"], cwd=self.outside
        )
        return f"{len(json.loads(done.stdout)['names'])} modules"

    def run_tests(self) -> str:
        """Deprecations of libraries this old are no errors."""
        options = [
            "-m",
            "pytest",
            "-q",
            "-W",
            "default",
            "-p",
            "no:cacheprovider",
            "-n",
            "2",
            f"--basetemp={self.work / 'tests'}",
        ]
        done = subprocess.run([str(self.python), *options, *TESTS], cwd=ROOT, text=True, capture_output=True, check=False)
        ensure(done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:])
        return done.stdout.splitlines()[-1].strip("= ")


def find_python(version: str) -> Path:
    """Return an interpreter of that version: on the path, or one of pyenv's.

    Raises:
        Skipped: There is none.
    """
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for place in (shutil.which(f"python{version}"), *sorted(kept.glob(f"{version}.*/bin/python"))):
        if place is None:
            continue
        asked = subprocess.run(
            [place, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True
        )
        if asked.stdout.strip() == version:
            return Path(place)
    raise Skipped(f"there is no Python {version} here; name one: --python PATH")


def main() -> int:
    asked = argparse.ArgumentParser(description="Use the package with the lowest versions it names.")
    asked.add_argument("--device", action="store_true", help="only what a device needs")
    asked.add_argument("--python", type=Path, help=f"the interpreter; otherwise a Python {OLDEST} is looked for")
    asked.add_argument("--required", action="store_true", help="fail where it cannot be tried")
    given = asked.parse_args()
    start_ns = time.monotonic_ns()
    with tempfile.TemporaryDirectory(prefix="weckd-lowest-") as folder:
        try:
            python = given.python or find_python(OLDEST)
        except Skipped as err:
            return skip("use the lowest versions", err, required=given.required)
        check = LowestCheck(Path(folder).resolve(), python, DEVICE if given.device else EVERYTHING)
        steps: list[Callable[[], str]] = [check.choose_the_lowest_versions, check.install_them]
        if given.device:
            steps += [check.use_it_as_a_device_does, check.open_a_bundle, check.measure_it]
        else:
            steps += [check.import_every_module, check.run_tests]
        ended = run_steps(steps, required=given.required)
        if ended is not None:
            return ended
    sys.stdout.write(f"all checks passed in {(time.monotonic_ns() - start_ns) / 1e9:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
