"""The version of TensorRT that counts is that of the library which Python has loaded."""

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from support.errors import raises
from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.jetson.tensorrt_library import imported_version


@pytest.mark.parametrize(("binding", "package"), [("10.3.0", "10.3.0.30"), ("8.6.2", "8.6.2.3"), ("10.16.2", "10.16.2.10")])
def test_the_package_manager_completes_the_version(machines: ModuleType, tmp_path: Path, binding: str, package: str) -> None:
    root = machines.jetson(tmp_path, tensorrt=package)
    assert imported_version(root, binding) == package


def test_a_local_suffix_of_the_binding_does_not_hide_the_package(machines: ModuleType, tmp_path: Path) -> None:
    assert imported_version(machines.jetson(tmp_path), "10.3.0+cuda12") == "10.3.0.30"


@pytest.mark.parametrize("binding", ["10.4.0", "10.30.0", "10.3.1", "10.3.0.3"])
def test_a_package_of_another_version_than_the_binding_is_not_believed(
    machines: ModuleType, tmp_path: Path, binding: str
) -> None:
    assert imported_version(machines.jetson(tmp_path), binding) == binding


def test_without_a_package_manager_the_bindings_version_stands(tmp_path: Path) -> None:
    assert imported_version(tmp_path, "10.3.0") == "10.3.0"


def test_the_version_of_the_next_package_is_not_taken(machines: ModuleType, tmp_path: Path) -> None:
    machines.write(tmp_path, "var/lib/dpkg/status", "Package: libnvinfer10\nStatus: x\n\nPackage: a\nVersion: 10.3.0.99-1\n")
    assert imported_version(tmp_path, "10.3.0") == "10.3.0"


def load(root: Path, version: str | None) -> Path:
    """Make a library that says a version, or none, and the list of libraries of a process that has loaded it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    names = ("Major", "Minor", "Patch", "Build") if version is not None else ()
    numbers = version.split(".") if version is not None else []
    folder = root / "lib"
    folder.mkdir(parents=True)
    source, library = folder / "version.c", folder / "libnvinfer.so.10"
    source.write_text(
        "int getInferLibVersion(void) { return 1; }\n"
        + "".join(f"int getInferLib{name}Version(void) {{ return {n}; }}\n" for name, n in zip(names, numbers, strict=True))
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    maps = root / "proc/self/maps"
    maps.parent.mkdir(parents=True, exist_ok=True)
    maps.write_text(
        "7f0000000000-7f0000001000 r-xp 00000000 08:01 1                          /usr/lib/libc.so.6\n"
        f"7f0000002000-7f0000003000 r-xp 00000000 08:01 2                          {library}\n"
    )
    return library


def test_the_loaded_librarys_word_counts_whatever_jetpacks_package_says(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.jetson(tmp_path, tensorrt="10.3.0.30")
    load(root, "10.7.0.23")
    assert imported_version(root, "10.7.0") == "10.7.0.23"


def test_a_library_of_another_version_than_the_binding_is_refused_with_both(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.jetson(tmp_path, tensorrt="10.3.0.30")
    library = load(root, "10.3.0.30")
    with raises(DeviceError, "E_DEVICE_TENSORRT", says=("10.7.0", "10.3.0.30", str(library))):
        imported_version(root, "10.7.0")


def test_a_library_that_does_not_say_its_version_in_parts_leaves_it_to_the_packages(
    machines: ModuleType, tmp_path: Path
) -> None:
    root = machines.jetson(tmp_path, tensorrt="8.6.2.3")
    load(root, None)
    assert imported_version(root, "8.6.2") == "8.6.2.3"
