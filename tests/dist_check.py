"""Build the sdist and the wheel, look inside, install and try them outside the checkout: ``make dist-test``.

Everything happens in a temporary folder, on a copy of the sources, so that no earlier build leaks into this one and
nothing is left behind. One line for each check; the first that fails ends it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from support.programs.check_steps import CheckFailed, run_steps

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("weckd_edge", "train", "compile", "devices")
COMPILED = "weckd_edge/devices/native/pixels.lib.so"
"""The library that a wheel holds where there is a C compiler; one wheel serves every Python."""

IGNORED = shutil.ignore_patterns(".*", "build", "dist", "demo", "*.egg-info", "__pycache__")

IMPORT_EVERYTHING = """
import importlib.util, json, pkgutil, sys
import weckd_edge, weckd_edge.train, weckd_edge.compile, weckd_edge.devices
found = pkgutil.walk_packages(weckd_edge.__path__, "weckd_edge.")
names = [module.name for module in found if not module.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
places = [sys.modules[name].__file__ for name in ("weckd_edge", *names)]
top_level = [name for name in ("train", "compile", "devices") if importlib.util.find_spec(name)]
print(json.dumps({"names": names, "places": places, "top_level": top_level}))
"""


def ensure(holds: object, message: str) -> None:
    if not holds:
        raise CheckFailed(message)


def run(command: Sequence[str | Path], *, cwd: Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command away from the settings of this shell, but for ``variables``, and require its exit code."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "COV_"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    shown = " ".join(str(part) if len(str(part)) < 80 else "..." for part in command)
    ensure(
        done.returncode == code,
        f"{shown}: expected exit code {code}, got {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}",
    )
    return done


class Check:
    """The checks, in order; each uses what those before it made."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.outside = work / "outside"  # where commands run: neither the checkout nor the copy of it
        self.outside.mkdir()
        self.source = work / "source"
        with (ROOT / "pyproject.toml").open("rb") as file:
            self.project: dict[str, Any] = tomllib.load(file)
        self.wheel = self.sdist = self.thin = self.base = Path()
        self.compiles = shutil.which("cc") is not None

    def copy_the_sources(self) -> str:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        if listed.returncode:
            shutil.copytree(ROOT, self.source, symlinks=True, ignore=IGNORED)
            return "copied, without what a build makes"
        names = [name for name in os.fsdecode(listed.stdout).split("\0") if name and os.path.lexists(ROOT / name)]
        for name in names:
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.source / name, follow_symlinks=False)
        return f"{len(names)} files that git knows or would take"

    def build(self, **variables: str) -> str:
        dist = self.work / "dist"
        self._build(self.source, dist, "--sdist", "--wheel", **variables)
        (self.wheel,), (self.sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
        tags = self.wheel.stem.split("-", 2)[2]
        ensure(tags.startswith("py3-none-") and self.compiles == (tags != "py3-none-any"), f"the wheel is for {tags}")
        return f"{self.sdist.name}, {self.wheel.name}"

    def build_without_a_compiler(self) -> str:
        shutil.rmtree(self.source / "build", ignore_errors=True)
        self._build(self.source, self.work / "pure", "--wheel", CC="/nonexistent/cc")
        (wheel,) = (self.work / "pure").glob("*.whl")
        ensure(wheel.name.endswith("-py3-none-any.whl"), f"the wheel is {wheel.name}")
        names = {name for name in _contents(wheel) if ".dist-info/" not in name}
        ensure(names == {name for name in _contents(self.wheel) if ".dist-info/" not in name} - {COMPILED}, "other files")
        return wheel.name

    def _build(self, source: Path, dist: Path, *what: str, **variables: str) -> None:
        try:
            isolation = ["--no-isolation"] if int(metadata.version("setuptools").split(".")[0]) >= 77 else []
        except metadata.PackageNotFoundError:
            isolation = []
        run([sys.executable, "-m", "build", *what, *isolation, "--outdir", dist, source], cwd=self.outside, **variables)

    def look_into_the_wheel(self) -> str:
        found = set(zipfile.ZipFile(self.wheel).namelist())
        top = {name.split("/")[0] for name in found}
        info = next(name for name in top if name.endswith(".dist-info"))
        ensure(top == {"weckd_edge", info}, f"expected weckd_edge alone at the top, found {sorted(top)}")
        code = {name for name in found if not name.startswith(info)}
        expected = {self._in_wheel(path) for folder in FOLDERS for path in _files(self.source, folder)}
        if self.compiles:
            expected.add(COMPILED)
        ensure(code == expected, f"missing: {sorted(expected - code)}; too many: {sorted(code - expected)}")
        for kind in ("py.typed", ".toml", ".j2", ".py"):
            ensure(any(name.endswith(kind) for name in code), f"holds no {kind}")
        for package in self.project["tool"]["setuptools"]["packages"]:
            ensure(f"{package.replace('.', '/')}/__init__.py" in code, f"lacks the package {package}")
        ensure(f"{info}/licenses/LICENSE" in found, "lacks the licence")
        return f"{len(code)} files, just those of {', '.join(FOLDERS)}"

    @staticmethod
    def _in_wheel(path: str) -> str:
        return path if path.startswith("weckd_edge/") else f"weckd_edge/{path}"

    def look_into_the_sdist(self) -> str:
        with tarfile.open(self.sdist) as archive:
            found = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
        expected = {path for folder in FOLDERS for path in _files(self.source, folder)} | {"LICENSE", "pyproject.toml"}
        expected |= {"README.md"} if (self.source / "README.md").exists() else set()
        ensure(expected <= found, f"missing: {sorted(expected - found)}")
        return f"{len(found)} files, every source and the licence among them"

    def build_the_wheel_again_from_the_sdist(self) -> str:
        with tarfile.open(self.sdist) as archive:
            archive.extractall(self.work / "unpacked")
        (unpacked,) = (self.work / "unpacked").iterdir()
        self._build(unpacked, self.work / "again", "--wheel")
        (again,) = (self.work / "again").glob("*.whl")
        first, second = _contents(self.wheel), _contents(again)
        ensure(first.keys() == second.keys(), f"other files: {sorted(first.keys() ^ second.keys())}")
        other = [name for name in first if first[name] != second[name]]
        ensure(not other, f"other contents: {other}")
        return f"the same {len(first)} files, byte for byte"

    def install_beside_the_libraries(self) -> str:
        """Install the wheel alone into a new environment that sees the libraries of this one."""
        self.thin = self._environment("thin")
        self._install(self.thin, "--no-deps", "--no-index")
        # Only after the installation, or pip would take the editable package for an older one. A .pth line adds a folder
        # to the path without running the .pth files in it, so that the editable package itself stays out of sight.
        ours = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        (self._site(self.thin) / "libraries.pth").write_text("\n".join(ours) + "\n")
        return self.wheel.name

    def _environment(self, name: str) -> Path:
        folder = self.work / name
        venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
        return folder

    def _install(self, folder: Path, *options: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--disable-pip-version-check"]
        run([*pip, "install", "--quiet", *options, self.wheel], cwd=self.outside)

    @staticmethod
    def _site(folder: Path) -> Path:
        (site,) = folder.glob("lib/python*/site-packages")
        return site

    def import_every_module_of_the_wheel(self) -> str:
        found = self._import_everything(self.thin / "bin/python")
        site = str(self._site(self.thin).resolve() / "weckd_edge")
        elsewhere = [place for place in found["places"] if not str(Path(place).resolve()).startswith(site)]
        ensure(not elsewhere, f"not loaded from the installed wheel: {elsewhere[:3]}")
        ensure(not found["top_level"], f"these can be imported on their own: {found['top_level']}")
        return f"{len(found['names'])} modules, all from the wheel"

    def load_the_compiled_library_of_the_wheel(self) -> str:
        script = "from weckd_edge.devices.native.library import describe_library; print(describe_library())"
        told = run([self.thin / "bin/python", "-I", "-c", script], cwd=self.outside).stdout.strip()
        ensure(told.startswith("compiled library" if self.compiles else "NumPy"), told)
        return told

    def read_the_code_of_a_step_from_the_wheel(self) -> str:
        """Hold that a fingerprint of the code is the same installed and in the checkout."""
        module = "weckd_edge.train.distill.trainer"
        script = f"from weckd_edge.core.fingerprint import code_of; print(code_of('{module}'))"
        installed = run([self.thin / "bin/python", "-I", "-c", script], cwd=self.outside).stdout.strip()
        ours = run([sys.executable, "-c", script], cwd=ROOT).stdout.strip()
        ensure(installed == ours and len(ours) == 64, f"{module}: {installed} in the wheel, {ours} in the checkout")
        return f"{module}: {ours[:12]}"

    def _import_everything(self, python: Path | str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run([python, "-I", "-c", IMPORT_EVERYTHING], cwd=self.outside).stdout)
        packages = set(self.project["tool"]["setuptools"]["packages"]) - {"weckd_edge"}
        ensure(packages <= set(found["names"]), f"not found: {sorted(packages - set(found['names']))}")
        return found

    def run_the_installed_command(self) -> str:
        command = self.thin / "bin/weckd-edge"
        ensure("Usage: weckd-edge" in run([command, "--help"], cwd=self.outside).stdout, "--help shows no usage")
        return f"{self._list_devices(command)} device profiles"

    def _list_devices(self, command: Path) -> int:
        rows = json.loads(run([command, "devices", "list", "--json"], cwd=self.outside).stdout)
        profiles = {path.stem for path in (self.source / "devices/profiles/shipped").glob("*.toml")}
        ensure({row["id"] for row in rows} == profiles, f"lists other devices than {sorted(profiles)}")
        return len(profiles)

    def install_with_the_base_dependencies_alone(self) -> str:
        self.base = self._environment("base")
        self._install(self.base)
        found = {path.name.split("-")[0].lower() for path in self._site(self.base).glob("*.dist-info")}
        heavy = found & {"torch", "onnx", "onnxruntime", "openvino", "timm", "jinja2", "scikit_learn", "tensorrt_rtx"}
        ensure({"click", "numpy", "pillow", "rich", "weckd_edge"} <= found and not heavy, f"installed {sorted(found)}")
        return ", ".join(sorted(found))

    def run_what_the_base_can(self) -> str:
        command = self.base / "bin/weckd-edge"
        run([command, "--help"], cwd=self.outside)
        self._list_devices(command)
        doctor = json.loads(run([command, "doctor", "--json"], cwd=self.outside).stdout)
        states = {library["module"]: library["state"] for library in doctor["libraries"]}
        ensure(states["numpy"] == "works" and states["torch"] == "absent", f"doctor says {states}")
        run([command, "data", "synth", "--out", "set", "--images", "20", "--size", "32x32", "-q"], cwd=self.outside)
        run([command, "data", "check", "set", "-q"], cwd=self.outside)
        return "--help, devices list, doctor, data synth, data check"

    def say_which_extra_is_missing(self) -> str:
        command = self.base / "bin/weckd-edge"
        said = [self._refused(command, "build", "--data", "set", "--target", "cpu", "--out", "bundle")]
        ensure(not (self.outside / "bundle").exists(), "build left a folder behind")
        _toy().write_bundle(self.outside / "toy")
        image = next((self.outside / "set").rglob("*.jpg"))
        said.append(self._refused(command, "predict", "toy", str(image)))
        return " | ".join(line.partition(";")[2].strip() for line in said)

    def _refused(self, command: Path, *arguments: str) -> str:
        done = run([command, *arguments], cwd=self.outside, code=1)
        lines = done.stderr.splitlines()
        ensure(not done.stdout and len(lines) == 1, f"{arguments[0]}: expected one line on stderr, got {done.stderr}")
        ensure("pip install 'weckd-edge[" in lines[0], f"{arguments[0]} names no extra: {lines[0]}")
        return lines[0]

    def import_the_editable_installation(self) -> str:
        found = self._import_everything(sys.executable)
        elsewhere = [place for place in found["places"] if not Path(place).resolve().is_relative_to(ROOT)]
        ensure(not elsewhere, f"not loaded from the checkout: {elsewhere[:3]}")
        ensure(not found["top_level"], f"these can be imported on their own: {found['top_level']}")
        return f"{len(found['names'])} modules, all from the checkout"

    def run_in_the_checkout(self) -> str:
        shown = run([sys.executable, "-m", "weckd_edge", "--help"], cwd=ROOT).stdout
        ensure("Usage: weckd-edge" in shown, "python -m weckd_edge shows no usage")
        return "python -m weckd_edge --help"


def _files(source: Path, folder: str) -> list[str]:
    """Return every file below a folder, links not followed."""
    found = [Path(parent) / name for parent, _, names in os.walk(source / folder) for name in names]
    return [path.relative_to(source).as_posix() for path in found]


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _toy() -> Any:
    spec = importlib.util.spec_from_file_location("weckd_tests_toy", ROOT / "tests/support/bundles/toy.py")
    ensure(spec is not None and spec.loader is not None, "tests/support/bundles/toy.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def main() -> int:
    start_ns = time.monotonic_ns()
    with tempfile.TemporaryDirectory(prefix="weckd-dist-") as folder:
        check = Check(Path(folder).resolve())
        steps: list[Callable[[], str]] = [
            check.copy_the_sources,
            check.build,
            check.build_without_a_compiler,
            check.look_into_the_wheel,
            check.look_into_the_sdist,
            check.build_the_wheel_again_from_the_sdist,
            check.install_beside_the_libraries,
            check.import_every_module_of_the_wheel,
            check.load_the_compiled_library_of_the_wheel,
            check.read_the_code_of_a_step_from_the_wheel,
            check.run_the_installed_command,
            check.install_with_the_base_dependencies_alone,
            check.run_what_the_base_can,
            check.say_which_extra_is_missing,
            check.import_the_editable_installation,
            check.run_in_the_checkout,
        ]
        ended = run_steps(steps)
        if ended is not None:
            return ended
    sys.stdout.write(f"all checks passed in {(time.monotonic_ns() - start_ns) / 1e9:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
