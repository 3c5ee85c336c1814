"""Install the package on an emulated 64-bit Arm processor and use it there: ``make arm64-test``.

Debian's arm64 packages are unpacked into a folder, the wheels of this checkout, OpenVINO and ONNX Runtime beside them, and
``qemu-user`` runs them; the system is left as it is. It proves that the package installs there and predicts rightly, and
that the C library does, which is built across (``arm64_firmware.py``). Times under an emulator say nothing about a device;
what is checked of ``bench`` is that it says so.

Where there is no apt, or it has no arm64 packages, it says why it is skipped; ``--required`` makes that a failure.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import re
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import arm64_firmware
from dist_check import ROOT, Check, ensure, run
from support.programs.check_steps import CheckFailed, Skipped, run_steps

EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
DEFAULT_CPU = "cortex-a76"
"""A core that devices have. qemu's own ``max`` has SME, which qemu 7.2 computes wrongly: see docs/how-to/devices.md."""

PACKAGES = ("python3", "libstdc++6", "zlib1g", *arm64_firmware.PACKAGES)
CORE = """\
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""
"""A core of a Raspberry Pi 5 in ``/proc/cpuinfo``: a Cortex-A76."""

FAST = '[quantize]\nprecision = "int8"\nmethod = "minmax"\nnncf = false\n[gates]\nbetter_than_chance = false\n'
NOISE = re.compile(r".*xbyak_aarch64.*Can't open MIDR_EL1.*\n?")
"""What OpenVINO's code generator says on stderr where /sys shows no Arm core."""

WHERE_AM_I = """
import json, platform, sys
import numpy
from weckd_edge.core.optional_imports import require
openvino = require("openvino", "see its devices")
core = openvino.Core()
print(json.dumps({"machine": platform.machine(), "python": platform.python_version(), "numpy": numpy.__version__,
    "openvino": openvino.__version__, "devices": core.available_devices}))
"""
COUNT = """
import json, sys
from pathlib import Path
from weckd_edge.core.serialization import to_data
from weckd_edge.devices.runtime.backends.int8_layers import count_int8_layers
print(json.dumps(to_data(count_int8_layers("onnxruntime", Path(sys.argv[1]), "network_input"))))
"""


class ArmCheck:
    """The checks, in order; each uses what those before it made."""

    def __init__(self, work: Path, cpu: str, bundle: Path | None) -> None:
        self.work, self.cpu, self.bundle = work, cpu, bundle
        self.root, self.site = work / "root", work / "site"
        self.dist = Check(work)
        self.outside = self.dist.outside
        self.python = self.root / "usr/bin/weckd-python"
        self.emulator = self.version = self.glibc = ""
        self.tolerance = 0.0
        self.counted: Any = None
        self.pip: list[Any] = []
        self.chosen: list[str] = []
        self.firmware = arm64_firmware.FirmwareCheck(work, self.root, self.site, self._emulate, self._the_bundle)

    def fetch_the_arm_system(self) -> str:
        if platform.machine() in ("aarch64", "arm64"):
            raise Skipped("this machine is Arm itself: make test tries the package there without an emulator")
        missing = [name for name in ("apt-get", "dpkg", "dpkg-deb") if shutil.which(name) is None]
        if missing:
            raise Skipped(f"{', '.join(missing)} is not here: Debian's arm64 packages cannot be fetched")
        found = next((path for name in EMULATORS if (path := shutil.which(name))), None)
        apt = self._private_apt()
        self._apt([*apt, "update"])
        self._apt([*apt, "install", "--download-only", "--yes", "--no-install-recommends", *PACKAGES])
        packages = sorted((self.work / "apt/cache/archives").glob("*.deb"))
        for package in packages:
            run(["dpkg-deb", "-x", package, self.root], cwd=self.work)
        if not (self.root / "lib").exists():
            (self.root / "lib").symlink_to("usr/lib")
        (libc,) = (self.work / "apt/cache/archives").glob("libc6_*.deb")
        self.glibc = libc.name.split("_")[1].split("-")[0]
        self.emulator = found or self._fetch_the_emulator(apt)
        told = run([self.emulator, "--version"], cwd=self.work).stdout.splitlines()[0]
        try:
            run(
                [self.emulator, "-cpu", self.cpu, "-L", self.root, self.root / "usr/bin/python3", "--version"], cwd=self.work
            )
        except CheckFailed as err:
            if "CPU model" not in str(err):
                raise
            raise Skipped(f"{told} does not emulate a {self.cpu}; ask it: {Path(self.emulator).name} -cpu help") from err
        return f"{len(packages)} packages, glibc {self.glibc}; {told}"

    def _private_apt(self) -> list[str | Path]:
        """Return an apt-get that reads the system's sources, for both architectures, and keeps all else to itself."""
        state, cache = self.work / "apt/state", self.work / "apt/cache"
        (state / "lists/partial").mkdir(parents=True)
        (cache / "archives/partial").mkdir(parents=True)
        (state / "status").touch()
        native = run(["dpkg", "--print-architecture"], cwd=self.work).stdout.strip()
        settings = {
            "APT::Architecture": "arm64",
            "APT::Architectures::": ("arm64", native),
            "APT::Sandbox::User": "",
            "Dir::State": state,
            "Dir::State::status": state / "status",
            "Dir::Cache": cache,
            "Acquire::Retries": "2",
        }
        lines = [
            f'{name} "{value}";'
            for name, values in settings.items()
            for value in (values if isinstance(values, tuple) else (values,))
        ]
        (self.work / "apt.conf").write_text("\n".join(lines) + "\n")
        return ["apt-get", "-c", self.work / "apt.conf", "--quiet"]

    def _apt(self, command: Sequence[str | Path], cwd: Path | None = None) -> None:
        try:
            run(command, cwd=cwd or self.work)
        except CheckFailed as err:
            told = [line for line in str(err).splitlines() if line.startswith("E: ")]
            raise Skipped(f"apt-get has no arm64 packages here: {(told or [str(err)[:200]])[0]}") from err

    def _fetch_the_emulator(self, apt: Sequence[str | Path]) -> str:
        folder = self.work / "emulator"
        folder.mkdir()
        native = run(["dpkg", "--print-architecture"], cwd=self.work).stdout.strip()
        self._apt([*apt, "download", f"qemu-user-static:{native}"], folder)
        for package in folder.glob("*.deb"):
            run(["dpkg-deb", "-x", package, folder], cwd=self.work)
        found = folder / "usr/bin" / EMULATORS[0]
        if not found.exists():
            raise Skipped("no qemu-aarch64-static here, nor in the package qemu-user-static: apt install qemu-user-static")
        return str(found)

    def install_the_wheel_for_arm(self) -> str:
        self.dist.copy_the_sources()
        compiler = shutil.which(f"{arm64_firmware.TOOLS}gcc")
        self.dist.compiles = compiler is not None
        self.dist.build(CC=compiler or "/nonexistent/cc", _PYTHON_HOST_PLATFORM="linux-aarch64")
        (found,) = {path.name for path in (self.root / "usr/bin").glob("python3.*") if path.name[8:].isdigit()}
        self.version = found.removeprefix("python")
        newest = int(self.glibc.split(".")[1])
        tags = [f"manylinux_2_{minor}_aarch64" for minor in range(newest, 16, -1)] + [
            "manylinux2014_aarch64",
            "linux_aarch64",
        ]
        platforms = [option for tag in tags for option in ("--platform", tag)]
        self.pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        self.chosen = ["--only-binary=:all:", "--implementation", "cp", "--python-version", self.version, *platforms]
        run([*self.pip, "--target", self.site, *self.chosen, f"{self.dist.wheel}[cpu]"], cwd=self.outside)
        # Programs that Python starts are started by the host's kernel: they need a name that it can run.
        words = [self.emulator, "-cpu", self.cpu, "-L", str(self.root), "-E", f"PYTHONPATH={self.site}", "-0"]
        command = f'{shlex.join(words)} "$0" {shlex.quote(str(self.root / "usr/bin" / found))} "$@"'
        self.python.write_text(f"#!/bin/sh\nexec {command}\n")
        self.python.chmod(0o755)
        names = sorted(path.name.rsplit("-", 1)[0].removesuffix(".dist") for path in self.site.glob("*.dist-info"))
        return ", ".join(name.removesuffix(".dist-info") for name in names)

    def start_python_and_openvino(self) -> str:
        found = self._json([self.python, "-c", WHERE_AM_I])
        ensure(found["machine"] == "aarch64", f"expected aarch64, got {found}")
        ensure(found["devices"] == ["CPU"], f"OpenVINO sees {found['devices']}")
        return (
            f"Python {found['python']}, numpy {found['numpy']}, OpenVINO {found['openvino'].partition('-')[0]} as {self.cpu}"
        )

    def make_a_bundle_for_arm(self) -> str:
        if self.bundle is not None:
            return f"{self.bundle}, which was brought"
        import torch

        networks = _networks()
        network, data = self.outside / "toy.onnx", self.outside / "set"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch has another exporter by now
            torch.onnx.export(networks.every_sum(), (torch.zeros(1, 3, 24, 24),), network, opset_version=17, dynamo=False)
        networks.write_images(data, train=60, val=30, test=30)
        (self.outside / "fast.toml").write_text(FAST)
        self.bundle = self.outside / "bundle"
        where = ["--target", "cpu", "--device", "generic-arm64", "--data", data, "--out", self.bundle]
        settings = ["--config", self.outside / "fast.toml", "--mean", "0.5", "--std", "0.5"]
        command = [sys.executable, "-W", "ignore", "-m", "weckd_edge", "compile", network]
        # The copied sources, and not what this environment has installed, lie first where a module is run from.
        done = run([*command, *where, *settings, "--quiet", "--json"], cwd=self.dist.source)
        return f"{json.loads(done.stdout)['deployed']['precision']}, {sum(1 for _ in self.bundle.rglob('*'))} files"

    def show_the_help(self) -> str:
        shown = run(self._weckd("--help"), cwd=self.outside).stdout
        ensure("Usage: weckd-edge" in shown, "--help shows no usage")
        return "weckd-edge --help"

    def detect_the_machine(self) -> str:
        found = self._json(self._weckd("devices", "detect", "--json"))
        ensure(found["architecture"] == "aarch64" and found["profile"] == "generic-arm64", f"detected {found}")
        ensure(not found["recognised"], "an emulated machine was taken for a device")
        ensure(found["identity"]["emulated_on"] == "x86_64", f"the emulator was not seen: {found['identity']}")
        return f"{found['profile']}: {found['reasons'][0]}"

    def ask_the_doctor(self) -> str:
        found = self._json(self._weckd("doctor", "--json"))
        states = {library["module"]: library["state"] for library in found["libraries"]}
        wrong = {name: states[name] for name in ("click", "numpy", "PIL", "rich", "openvino") if states[name] != "works"}
        ensure(not wrong and states["torch"] == "absent", f"doctor says {states}")
        ensure(any(target["target"] == "cpu" and target["runs"] for target in found["targets"]), f"runs no bundle: {found}")
        compiled = found["pixels"].startswith("compiled library")
        ensure(compiled == self.dist.compiles, f"frames are computed by {found['pixels']}")
        return f"base libraries and openvino work, bundles for a processor run; frames: {found['pixels']}"

    def verify_the_bundle(self) -> str:
        found = self._json(self._weckd("verify", self.bundle, "--json"))
        (row,) = [r for r in found["selftest"] if (r["backend"], r["precision"]) == ("openvino", "int8")]
        ensure(row["passed"] and row["frames"] > 0, f"the self-test says {row}")
        self.tolerance, self.counted = float(row["tolerance"]), row["int8"]
        ensure(row["max_abs"] <= self.tolerance, f"differs by {row['max_abs']}, allowed is {self.tolerance}")
        told = f"at most {row['max_abs']:.2g} apart, allowed {self.tolerance:g}, {row['flips']} flips"
        return f"{row['frames']} golden frames, {told}"

    def predict_as_this_machine_does(self) -> str:
        import numpy as np
        from PIL import Image

        images = [self.outside / f"golden-{number}.png" for number in range(2)]
        for image, frame in zip(images, np.load(self._the_bundle() / "selftest/frames.npy"), strict=False):
            Image.fromarray(frame).save(image)
        arguments = ["predict", self._the_bundle(), *(image for image in images if image.exists()), "--json"]
        there = self._json(self._weckd(*arguments))["images"]
        done = run([sys.executable, "-m", "weckd_edge", *arguments], cwd=self.dist.source)
        here = json.loads(done.stdout)["images"]
        worst = max(
            abs(a["probabilities"][label] - b["probabilities"][label])
            for a, b in zip(there, here, strict=True)
            for label in b["probabilities"]
        )
        ensure(worst <= self.tolerance, f"predict differs from this machine by {worst}, allowed is {self.tolerance}")
        ensure([row["label"] for row in there] == [row["label"] for row in here], f"other labels: {there} and {here}")
        return f"predict, {len(there)} images, at most {worst:.2g} apart"

    def see_what_openvino_runs_in_int8(self) -> str:
        count = self.counted
        ensure(count is not None and count["int8_layers"] > 0, f"OpenVINO runs no layer in int8: {count}")
        return f"{count['int8_layers']} of {count['layers']} convolutions and matrix products, the others in floating point"

    def see_what_onnx_runtime_runs_in_int8(self) -> str:
        """Count its layers, on a system that shows an Arm processor: its import crashes where /proc shows another."""
        more = self.work / "onnxruntime"
        run(
            [*self.pip, "--target", more, "--no-deps", *self.chosen, "onnxruntime", "flatbuffers", "protobuf"],
            cwd=self.outside,
        )
        python = self.python.with_name("weckd-python-onnxruntime")
        words = self.python.read_text().replace(f"={self.site} ", f"={self.site}:{more} ")
        python.write_text(words.replace(f"-L {self.root} ", f"-L {self._board()} "))
        python.chmod(0o755)
        models = json.loads((self._the_bundle() / "manifest.json").read_text())["models"]
        entry = next((m for m in models if (m["backend"], m["precision"]) == ("onnxruntime", "int8")), None)
        if entry is None:
            return "not counted: the bundle lists no int8 model for it"
        found = self._json([python, "-c", COUNT, self._the_bundle() / entry["files"][0]["path"]])
        here = (entry["int8_layers"], entry["layers"])
        ensure(found["int8_layers"] > 0, f"ONNX Runtime runs no layer in int8: {found}")
        return f"{found['int8_layers']} of {found['layers']} convolutions and matrix products; on this machine {here}"

    def see_a_bench_refused(self) -> str:
        options = ["--rules", "quick", "--queries", "64", "--warmup", "2", "--quiet", "--json"]
        found = self._json(self._weckd("bench", self.bundle, *options))
        ensure(found["device"] == "generic-arm64" and found["backend"] == "openvino", f"benched {found}")
        ensure(found["end_to_end"]["samples"] == 64 and found["cold_start_ns"] > 0, f"benched {found}")
        ensure(found["verdict"] == "INVALID" and "an emulator ran it" in found["reason"], f"the verdict is {found}")
        return f"{found['verdict']}: {found['reason'].partition(';')[0]}, {len(found['warnings'])} warnings"

    def _board(self) -> Path:
        """Return the system with an Arm board's /proc and /sys, which the emulator reads in place of this machine's."""
        board = self.work / "board"
        if not board.exists():
            cores = board / "sys/devices/system/cpu"
            cores.mkdir(parents=True)
            (board / "proc").mkdir()
            for entry in self.root.iterdir():
                if entry.name not in ("proc", "sys"):
                    (board / entry.name).symlink_to(entry)
            (board / "proc/cpuinfo").write_text("".join(f"processor\t: {core}\n{CORE}\n" for core in range(2)))
            for name in ("possible", "present"):
                (cores / name).write_text("0-1\n")
        return board

    def _emulate(self, *, as_board: bool = False) -> list[Any]:
        root = self._board() if as_board else self.root
        return [self.emulator, "-cpu", self.cpu, "-L", root, "-E", f"LD_LIBRARY_PATH={self.site}/openvino/libs"]

    def _the_bundle(self) -> Path:
        ensure(self.bundle is not None, "there is no bundle")
        return self.bundle  # type: ignore[return-value]  # it was made

    def _weckd(self, *arguments: Any) -> list[Any]:
        return [self.python, self.site / "bin/weckd-edge", *arguments]

    def _json(self, command: Sequence[Any]) -> Any:
        done = run(command, cwd=self.outside)
        try:
            return json.loads(done.stdout)
        except ValueError as err:
            told = NOISE.sub("", done.stderr)
            raise CheckFailed(f"expected JSON on stdout, got {done.stdout[:200]!r}; stderr: {told[-500:]}") from err


def _networks() -> Any:
    spec = importlib.util.spec_from_file_location("weckd_tests_networks", ROOT / "tests/support/training/networks.py")
    ensure(spec is not None and spec.loader is not None, "tests/support/training/networks.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--required", action="store_true", help="fail where it cannot be tried, in place of skipping it")
    parser.add_argument("--cpu", default=DEFAULT_CPU, help="the core that qemu emulates; see qemu-aarch64 -cpu help")
    parser.add_argument("--bundle", type=Path, help="try this bundle in place of a toy one")
    asked = parser.parse_args()
    start_ns = time.monotonic_ns()
    with tempfile.TemporaryDirectory(prefix="weckd-arm64-") as folder:
        check = ArmCheck(Path(folder).resolve(), asked.cpu, asked.bundle and asked.bundle.resolve())
        steps: list[Callable[[], str]] = [
            check.fetch_the_arm_system,
            check.install_the_wheel_for_arm,
            check.start_python_and_openvino,
            check.make_a_bundle_for_arm,
            check.show_the_help,
            check.detect_the_machine,
            check.ask_the_doctor,
            check.verify_the_bundle,
            check.predict_as_this_machine_does,
            check.see_what_openvino_runs_in_int8,
            check.see_what_onnx_runtime_runs_in_int8,
            check.see_a_bench_refused,
        ]
        lacking = check.firmware.lacks()
        if lacking is None:
            steps += [
                check.firmware.build_the_c_library_across,
                check.firmware.try_what_needs_no_model_there,
                check.firmware.selftest_a_bundle_through_c_there,
                check.firmware.predict_through_c_as_python_does_here,
                check.firmware.selftest_onnx_runtime_through_c_there,
                check.firmware.size_stack_and_heap_there,
            ]
        ended = run_steps(steps, required=asked.required, plain=lambda text: NOISE.sub("", text))
        if ended is not None:
            return ended
    if lacking is not None:
        sys.stdout.write(f"skipped the C library on arm64: {lacking}\n")
        if asked.required:
            return 1
    sys.stdout.write(f"all checks on arm64 passed in {(time.monotonic_ns() - start_ns) / 1e9:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
