"""What is verified is what runs, in C: no setting, and no byte, gets to a runtime that the format does not name."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.core.store import file_ref

MODEL = -15


def runtime(library: Any, backend: str) -> Path:
    """Return the library of an installed runtime."""
    if backend == "openvino":
        if library.openvino is None:
            pytest.skip("OpenVINO's wheel is not installed")
        return Path(library.openvino)
    spec = find_spec("onnxruntime")
    found = sorted(Path(spec.origin).parent.glob("capi/libonnxruntime.so*")) if spec and spec.origin else []
    if not found:
        pytest.skip("the installed onnxruntime has no libonnxruntime.so of its own, or there is none")
    return found[0]


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def both(readers: ModuleType, library: Any, bundle: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The library with a runtime, started where a graph's data outside would be found."""
    monkeypatch.chdir(bundle.parent)
    with readers.both(library.folder / "tests/verdicts", bundle, library=runtime(library, backend)) as found:
        yield found


def test_a_graph_that_takes_data_from_elsewhere_is_not_loaded(
    both: Any, backend: str, bundle: Path, toy: ModuleType, outside: ModuleType
) -> None:
    """The trap is set: a whole graph is loaded, and the data lie in the working directory."""
    manifest = open_bundle(bundle).manifest
    graph = bundle / manifest.onnx.path
    good = graph.read_bytes()
    assert both.ask_c(f"load {backend}") == (0, "")
    for place in outside.PLACES:
        graph.write_bytes(good)
        outside.write(graph, place)
        (graph.parent / outside.FILE).rename(bundle.parent / outside.FILE)
        seal(bundle, toy.with_graph(manifest, file_ref(bundle, graph)))
        status, message = both.ask_c(f"load {backend}")
        assert (status, "data from outside its file" in message) == (MODEL, True), (place, message)


def test_a_graph_is_a_graph_whatever_it_is_called(
    readers: ModuleType, library: Any, bundle: Path, outside: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO goes by the content: an ONNX graph with data outside could be called an IR."""
    manifest = open_bundle(bundle).manifest
    outside.write(bundle / manifest.onnx.path, "the network's weights")
    (bundle / "model" / outside.FILE).rename(bundle.parent / outside.FILE)
    (bundle / manifest.onnx.path).rename(bundle / "model/model.xml")
    (bundle / "model/model.onnx").write_bytes(b"\x3a\x00")
    model = replace(manifest.models[0], files=(file_ref(bundle, bundle / "model/model.xml"),))
    seal(bundle, replace(manifest, models=(model,), onnx=file_ref(bundle, bundle / "model/model.onnx")))
    monkeypatch.chdir(bundle.parent)
    with readers.both(library.folder / "tests/verdicts", bundle, library=runtime(library, "openvino")) as found:
        assert found.ask_c("load openvino") == (MODEL, "model/model.xml: is no XML")


@pytest.mark.parametrize("data", [b"\x3b\x3c", b"\x3a\x7f", b"\x08\x0a", b"\xff" * 11, b"x", b"\x3a\x02\x2a\x05"])
def test_what_is_no_graph_is_not_loaded(both: Any, backend: str, bundle: Path, toy: ModuleType, data: bytes) -> None:
    manifest = open_bundle(bundle).manifest
    (bundle / manifest.onnx.path).write_bytes(data)
    seal(bundle, toy.with_graph(manifest, file_ref(bundle, bundle / manifest.onnx.path)))
    status, message = both.ask_c(f"load {backend}")
    assert (status, message.startswith("the graph is no ONNX")) == (MODEL, True), message


COUNTING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
static const char *last;
const char *ov_get_last_err_msg(void) {
    return last = ((const char *(*)(void))dlsym(RTLD_NEXT, "ov_get_last_err_msg"))();
}
void ov_free(const char *text) {
    if (text != NULL && text == last) { puts("freed"); last = NULL; }
    ((void (*)(const char *))dlsym(RTLD_NEXT, "ov_free"))(text);
}
"""


def test_the_reason_that_openvino_gives_is_released(library: Any, bundle: Path, tmp_path: Path) -> None:
    openvino = runtime(library, "openvino")
    manifest = open_bundle(bundle).manifest
    (bundle / "model/model.xml").write_text("<net")
    model = replace(manifest.models[0], backend="openvino", files=(file_ref(bundle, bundle / "model/model.xml"),))
    seal(bundle, replace(manifest, models=(model,)))
    (tmp_path / "counting.c").write_text(COUNTING)
    linked = ["-Wl,--no-as-needed", openvino, f"-Wl,-rpath,{openvino.parent}", "-ldl"]
    build = ["cc", "-shared", "-fPIC", "-o", tmp_path / "counting.so", tmp_path / "counting.c", *linked]
    subprocess.run([str(word) for word in build], check=True)
    out = library.run("runner", bundle, "--library", tmp_path / "counting.so", "selftest", expect=1)
    assert out.startswith("freed\nstatus -15: ")
    assert "OpenVINO: " in out


def test_a_library_that_is_there_and_does_not_load_is_what_is_reported(
    library: Any, toy: ModuleType, tmp_path: Path
) -> None:
    """It has more than one name, and the last one is not there."""
    runtime(library, "openvino")
    bundle = toy.write_bundle(tmp_path / "bundle", backends=["openvino"], onnx_precision="fp32").folder
    (tmp_path / "libopenvino_c.so").write_text("no library")
    out = library.run("runner", bundle, "selftest", expect=1, env={"LD_LIBRARY_PATH": str(tmp_path)})
    assert out.startswith("status -14:")
    assert f"{tmp_path}/libopenvino_c.so: " in out


def test_no_setting_of_a_manifest_makes_a_cache(readers: ModuleType, library: Any, bundle: Path, tmp_path: Path) -> None:
    """Until it is opened, nothing but its digests has been looked at; a folder that was made by then tells of it."""
    model = runtime(library, "openvino")
    cache = tmp_path / "cache"
    with readers.both(library.folder / "tests/verdicts", bundle, library=model) as found:
        assert found.ask_c("load openvino") == (0, "")
        import json

        data = json.loads((bundle / "manifest.json").read_bytes())
        data["models"][0]["settings"] = {"CACHE_DIR": str(cache)}
        (bundle / "manifest.json").write_bytes(readers.sealed(data))
        status, message = found.ask_c("load openvino")
        assert (status, "names the setting CACHE_DIR" in message) == (-3, True)
    assert not cache.exists()
