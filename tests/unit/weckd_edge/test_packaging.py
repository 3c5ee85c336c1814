"""What installs, and who may import what: the rules of CONTRIBUTING.md that no tool holds by itself."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from weckd_edge.core.optional_imports import DISTRIBUTION_OF, EXTRA_OF

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
FOLDERS = ("weckd_edge", "train", "compile", "devices")
LINKED = FOLDERS[1:]
FIRMWARE = ROOT / "devices/firmware"
STANDS_APART = {"tensorrt", "torch-tensorrt", "heic", "video", "tensorboard", "mlflow", "postgres"}
"""Extras that are not for everyone: the vendor's index, JetPack, GPL encoders, and tools that a user has or has not."""

TRAINING = ("torch", "torchvision", "timm", "lightning_fabric")
MODULE_OF = {"litert": "ai_edge_litert", "loadgen": "mlperf_loadgen", "nvml": "pynvml", "pyav": "av"}
"""Libraries whose module is not called as their backend's file."""
RUNTIME_ALLOWED = {
    "devices/jetson/finalize.py": {"tensorrt"},  # asks the binding for its version: part of the engine's identity
}
STDOUT_ALLOWED = (  # are processes of their own; their lines are what bench reads
    "devices/bench/cold_start.py",
    "devices/remote/agent.py",
    "devices/remote/on_device.py",
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def sources() -> list[str]:
    found = []
    for folder in FOLDERS:
        for parent, _, names in os.walk(ROOT / folder):  # does not follow the links
            if FIRMWARE in Path(parent).parents:
                continue  # the C library: its one Python file is an example that stands alone
            found += [(Path(parent) / name).relative_to(ROOT).as_posix() for name in names if name.endswith(".py")]
    return sorted(found)


SOURCES = sources()


def library_of(path: str) -> str | None:
    """Return the module of the library that a file is the backend of."""
    name = Path(path).name
    if not name.endswith("_backend.py"):
        return None
    library = name.removesuffix("_backend.py")
    return MODULE_OF.get(library, library)


RUNTIMES = {library for path in SOURCES if (library := library_of(path)) is not None}
COMPILER = "onnxruntime"
"""Not to run bundles: its quantizer (onnxruntime.quantization) and its graph optimiser are tools of the compiler."""


def committed() -> list[str]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def package_of(folder: str) -> str:
    dotted = folder.replace("/", ".")
    return dotted if folder.startswith("weckd_edge") else f"weckd_edge.{dotted}"


def test_the_packages_list_is_what_lies_on_disk(project: dict[str, Any]) -> None:
    on_disk = {package_of(Path(path).parent.as_posix()) for path in SOURCES}
    listed = project["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(on_disk)
    assert len(listed) == len(set(listed))


def test_every_folder_with_sources_is_a_package() -> None:
    folders = {Path(path).parent for path in SOURCES}
    assert [folder.as_posix() for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("name", LINKED)
def test_the_link_for_type_checkers_is_relative_and_mapped(name: str, project: dict[str, Any]) -> None:
    link = ROOT / "weckd_edge" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert link.resolve() == (ROOT / name).resolve()
    assert project["tool"]["setuptools"]["package-dir"][f"weckd_edge.{name}"] == name


def test_every_extra_that_an_error_names_exists_and_brings_the_library(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    assert set(EXTRA_OF.values()) <= set(extras)
    for module, extra in EXTRA_OF.items():
        names = {re.split(r"[<>=!~; \[]", line)[0] for line in extras[extra]}
        assert DISTRIBUTION_OF.get(module, module.replace("_", "-")) in names, f"{module} is not in [{extra}]"


def test_every_requirement_names_a_floor_and_no_ceiling(project: dict[str, Any]) -> None:
    listed = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    for text in (line for lines in listed for line in lines):
        needed = Requirement(text)
        if needed.name != project["project"]["name"]:
            assert [one.operator for one in needed.specifier] == [">="], text


def test_the_pythons_that_are_promised_are_those_that_are_resolved(project: dict[str, Any]) -> None:
    line = re.search(r"^PYTHONS = \((.*)\)$", (ROOT / "tests/resolve_check.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    resolved = re.findall(r'"(3\.\d+)"', line[1])
    named = [text.rpartition(" ")[2] for text in project["project"]["classifiers"] if ":: Python :: 3." in text]
    assert named == resolved
    assert project["project"]["requires-python"] == f">={resolved[0]}"


def test_all_holds_every_extra_but_those_that_stand_apart(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    (line,) = extras["all"]
    inside = re.fullmatch(r"weckd-edge\[([a-z,-]+)\]", line)
    assert inside is not None
    assert set(inside[1].split(",")) == set(extras) - STANDS_APART - {"all", "dev", "docs"}


def test_nothing_is_called_plain_compile() -> None:
    assert [path for path in SOURCES if Path(path).name == "compile.py"] == []


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what can run: everything but the blocks that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_type_checking(child):
            for other in child.orelse:
                yield from (other, *walk(other))
            continue
        yield child
        yield from walk(child)


def imported(source: str) -> set[str]:
    """Return the top-level modules that a source imports, plainly, through ``require`` or through importlib."""
    found: set[str] = set()
    for node in walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("require", "import_module", "__import__") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value.partition(".")[0])
    return found


FRONT_DOOR_NAMES = {"print", "input", "exit", "quit", "SystemExit"}
FRONT_DOOR_ATTRIBUTES = {"sys.exit", "sys.stdout", "sys.stderr", "os._exit", "os.environ", "os.environb", "os.getenv"}


def front_door_uses(source: str) -> set[str]:
    """Return what a source does that only the command line may: print, read the environment, exit."""
    found: set[str] = set()
    for node in walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in FRONT_DOOR_NAMES:
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in FRONT_DOOR_ATTRIBUTES:
            found.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & FRONT_DOOR_ATTRIBUTES
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import torch.nn.functional as F",
        "from torch import nn",
        "from torch.nn import functional",
        "def f():\n    import torch",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import torch",
        "require('torch.onnx', 'export')",
        "optional.require('torch', 'export')",
        "importlib.import_module('torch')",
        "try:\n    import torch\nexcept ImportError:\n    pass",
    ],
)
def test_no_way_to_import_escapes_the_check(source: str) -> None:
    assert "torch" in imported(source)
    assert "torch" not in imported("if TYPE_CHECKING:\n    import torch\n'import torch'")


@pytest.mark.parametrize(
    "source",
    [
        "print(1)",
        "import os\nos.environ['A']",
        "import os\nhome = os.environ.get('HOME')",
        "import os\nos.getenv('A')",
        "from os import environ",
        "import sys\nsys.exit(1)",
        "from sys import exit",
        "raise SystemExit(2)",
        "import sys\nsys.stderr.write('x')",
    ],
)
def test_no_way_through_the_front_door_escapes_the_check(source: str) -> None:
    assert front_door_uses(source)
    assert not front_door_uses("import os\ninput: int = 3\nos.path.join('print', 'x')\nlogger.info('sys.exit')")


USES_TORCH = (
    "compile/export/filter_form.py",
    "compile/export/onnx_export.py",
    "compile/backends/torch_tensorrt_backend.py",
)


@pytest.mark.parametrize("path", [p for p in SOURCES if not p.startswith("train/") and p not in USES_TORCH])
def test_only_train_and_export_import_a_training_framework(path: str) -> None:
    assert imported((ROOT / path).read_text()) & set(TRAINING) == set()


LAUNCHED = "train/distill/loop/distributed.py"
"""Launchers tell a process its place in variables of its environment, and in nothing else."""
TELEMETRY = "weckd_edge/core/telemetry.py"
"""Libraries ask variables of the environment whether they may report to their makers, and nothing else."""


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if not p.startswith("weckd_edge/cli/") and p not in (LAUNCHED, TELEMETRY)]
)
def test_only_the_command_line_prints_reads_the_environment_or_exits(path: str) -> None:
    allowed = {"sys.stdout"} if path in STDOUT_ALLOWED else set()
    assert front_door_uses((ROOT / path).read_text()) <= allowed


@pytest.mark.parametrize("path", SOURCES)
def test_a_runtime_is_imported_by_its_own_backend_alone(path: str) -> None:
    allowed = set(RUNTIME_ALLOWED.get(path, ()))
    allowed.add(str(library_of(path.replace("_layers.py", "_backend.py"))))  # a backend's layers are asked of its library
    if path.startswith("compile/"):
        allowed.add(COMPILER)
    assert imported((ROOT / path).read_text()) & RUNTIMES <= allowed


def test_every_backend_imports_its_library() -> None:
    assert {
        "asyncssh",
        "mlperf_loadgen",
        "nncf",
        "onnxruntime",
        "openvino",
        "pynvml",
        "tensorrt",
        "tensorrt_rtx",
    } <= RUNTIMES
    for path in SOURCES:
        library = library_of(path)
        assert library is None or library in imported((ROOT / path).read_text()), path


def test_the_rules_look_at_every_package(project: dict[str, Any]) -> None:
    looked_at = {package_of(Path(path).parent.as_posix()) for path in SOURCES}
    assert looked_at == set(project["tool"]["setuptools"]["packages"])


def test_every_exception_to_the_rules_is_still_needed() -> None:
    for path, libraries in RUNTIME_ALLOWED.items():
        assert libraries <= imported((ROOT / path).read_text())
    for path in STDOUT_ALLOWED:
        assert front_door_uses((ROOT / path).read_text()) == {"sys.stdout"}
    for path in USES_TORCH:
        assert imported((ROOT / path).read_text()) & set(TRAINING), path
    for path in (LAUNCHED, TELEMETRY):
        assert front_door_uses((ROOT / path).read_text()) == {"os.environ"}, path
    using = [
        p
        for p in SOURCES
        if p.startswith("compile/") and library_of(p) is None and COMPILER in imported((ROOT / p).read_text())
    ]
    assert using


# Names are written in two halves, so that this file does not hold what it looks for.
_REGISTRIES = (
    "(?:test[.])?py" + "pi",
    "python" + "hosted",
    "download[.]py" + "torch",
    "deb[.]" + "debian",
    "np" + "mjs",
    "cra" + "tes",
    "ana" + "conda",
    "doc" + "ker",
    "gh" + "cr",
    "qu" + "ay",
)
REGISTRY = re.compile(rf"\b(?:{'|'.join(_REGISTRIES)})[.](?:org|com|io|python[.]org|nvidia[.]com|ngc[.]nvidia[.]com)\b")
MACHINE = re.compile(r"(?<![\w.>}*)])/(?:root|work|home|Users|mnt|workspace)/\w")


def test_the_patterns_find_a_registry_and_a_path_of_some_machine() -> None:
    hosts = ["py" + "pi.org", "files.python" + "hosted.org", "py" + "pi.nvidia.com", "download.py" + "torch.org"]
    assert all(REGISTRY.search(f"https://{host}/simple") for host in hosts)
    paths = [f"/{top}/me/x" for top in ("root", "home", "work")]
    assert all(MACHINE.search(text) for path in paths for text in (path, f'"{path}"', f"cd {path}", f"a={path}"))
    assert not any(MACHINE.search(text) for text in ("OUT.work/x", "train/work/x", "/etc/passwd", "/proc/self", "a/home/b"))


def test_no_committed_file_names_a_registry_or_a_path_of_some_machine() -> None:
    found = []
    for name in committed():
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8", errors="ignore").splitlines(), start=1):
            if REGISTRY.search(line) or MACHINE.search(line):
                found.append(f"{name}:{number}: {line.strip()[:80]}")
    assert found == []
