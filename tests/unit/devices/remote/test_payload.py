"""What is sent to a device that is measured over ssh: enough, and no more."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.compiled import compile_library
from support.programs.ssh_bench import SHORT
from weckd_edge.bundle.reader import Bundle
from weckd_edge.devices.bench.power.table import METERS
from weckd_edge.devices.native import sources
from weckd_edge.devices.remote.payload import code_files, make_payload
from weckd_edge.devices.runtime.backends.table import BACKENDS


def test_the_payload_holds_nothing_that_trains_compiles_or_talks(bundle: Bundle) -> None:
    names = [name for name, _ in code_files()]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.split("/")[1] in ("train", "compile", "cli", "pipeline", "report", "metrics")]
    rooms = {name.split("/")[2] for name in names if name.startswith("weckd_edge/devices/") and name.count("/") > 2}
    assert rooms & {"attribution", "demo", "doctor", "gates", "latency_model"} == set()
    images = {name.split("/")[3] for name in names if name.startswith("weckd_edge/devices/images/")}
    resized = {"__init__.py", "area_resize.py", "camera_frames.py", "fitting.py"}
    assert images == resized, "frames are resized there, and no file is decoded"
    assert "weckd_edge/devices/bench/cold_start.py" in names, "a process that the bench starts"
    assert "weckd_edge/devices/profiles/shipped/raspberry-pi-5.toml" in names
    payload = make_payload(bundle, SHORT)
    assert payload == make_payload(bundle, SHORT)
    with tarfile.open(fileobj=io.BytesIO(payload)) as archive:
        inside = archive.getnames()
    assert {f"bundle/{ref.path}" for ref in bundle.manifest.files} | {"bundle/manifest.json", "request.json"} <= set(inside)


def test_the_payload_holds_every_backend_and_power_source_of_the_tables() -> None:
    names = {name.removesuffix(".py").replace("/", ".") for name, _ in code_files()}
    assert {row.module for row in BACKENDS.values()} <= names
    assert {meter.__module__ for meter in METERS.values()} <= names  # type: ignore[attr-defined]  # classes


def test_every_module_of_the_payload_can_be_imported_without_the_rest_of_the_package(tmp_path: Path) -> None:
    for name, path in code_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    modules = [name[:-3].replace("/", ".").removesuffix(".__init__") for name, _ in code_files() if name.endswith(".py")]
    code = (
        f"import importlib, sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "class Closed:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('click', 'rich', 'asyncssh', 'torch', 'jinja2'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Closed())\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "assert all(m.__file__.startswith(sys.path[0]) for n, m in sys.modules.items() if n.startswith('weckd_edge'))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.mark.parametrize("installed", ["of these sources", "of others", "none"])
def test_a_device_of_another_kind_takes_the_compiled_library_that_is_installed_there(
    installed: str, tmp_path: Path, frames_by_compiled: None
) -> None:
    sent, site = tmp_path / "code", tmp_path / "site"
    for name, path in code_files():
        (sent / name).parent.mkdir(parents=True, exist_ok=True)
        (sent / name).write_bytes(b"\x7fELF of another processor" if path == sources.LIBRARY else path.read_bytes())
    place = site / "weckd_edge/devices/native" / sources.LIBRARY.name
    place.parent.mkdir(parents=True)
    if installed != "none":
        compile_library(place, digest="0" * 64 if installed == "of others" else None)
    code = (
        "import os, sys\n"  # without the installed package that this test itself runs from
        "sys.path[1:] = [folder for folder in sys.path[1:] if not os.path.isdir(os.path.join(folder, 'weckd_edge'))]\n"
        f"sys.path.append({str(site)!r})\n"
        "from weckd_edge.devices.native.library import describe_library, pixels_library\n"
        "from weckd_edge.devices.remote.on_device import use_installed_library\n"
        "use_installed_library(); print(describe_library(), pixels_library() is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=sent, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("compiled library" if installed == "of these sources" else "NumPy"), done.stdout
    assert done.stdout.split()[-1] == str(installed == "of these sources")


@pytest.mark.parametrize("by", ["compiled", "numpy"])
def test_a_device_of_this_kind_computes_on_frames_as_this_machine_does(
    by: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"frames_by_{by}")
    if by == "compiled":
        compile_library(tmp_path / "here.so")
        sent = {name: tmp_path / "here.so" if path == sources.LIBRARY else path for name, path in code_files()}
    else:
        sent = dict(code_files())
        assert not [name for name in sent if name.endswith((".so", ".c", ".h"))]
    for name, path in sent.items():
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).write_bytes(path.read_bytes())
    code = "from weckd_edge.devices.native.library import describe_library; print(describe_library())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "code", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("compiled library" if by == "compiled" else "NumPy")
