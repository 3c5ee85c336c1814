"""A Jetson, a bundle or a library that cannot be: one line before anything is built."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from support.errors import raises
from support.machines.finalized import Jetson, one_line
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.core.errors import BundleError, DeviceError, MissingDependency, ModelError
from weckd_edge.core.store import file_ref
from weckd_edge.devices.jetson.finalize import finalize


def test_a_graph_that_the_parser_refuses_names_the_node(jetson: Jetson) -> None:
    jetson.trt.parser_error = (7, "/head/Loop", "Loop", "unsupported")
    with raises(ModelError, "E_MODEL_BACKEND_LOAD", says="/head/Loop"):
        jetson.finalize()
    jetson.trt.parser_error = (7, "", "", "unsupported")
    with raises(ModelError, "E_MODEL_BACKEND_LOAD", says="7"):
        jetson.finalize()
    assert not (jetson.bundle.folder / "device/choice.json").exists()


def test_another_module_than_the_bundle_was_built_for_is_a_warning(jetson: Jetson) -> None:
    jetson.machines.jetson(jetson.root, module="p3701-0005", carrier="p3737-0000")
    done = jetson.finalize()
    assert done.choice.identity.module == "p3701-0005"
    (warning,) = done.warnings
    assert "built for jetson-orin-nano-8gb (p3767-0003, p3767-0005), this module is p3701-0005" in warning


def test_a_machine_that_is_no_jetson_is_reported_in_one_line(jetson: Jetson, tmp_path: Path) -> None:
    with one_line(DeviceError, "this is no Jetson", "weckd-edge finalize on it"):
        finalize(jetson.bundle, root=jetson.machines.x86(tmp_path / "host"))
    assert not (jetson.bundle.folder / "device").exists()


def test_a_jetson_without_tensorrt_is_reported_in_one_line(jetson: Jetson, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # as if it were not installed
    with one_line(DeviceError, "TensorRT's Python binding", "apt install python3-libnvinfer", "--system-site-packages"):
        jetson.finalize()


def test_a_broken_binding_is_not_called_absent(jetson: Jetson, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "tensorrt")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with one_line(MissingDependency, "tensorrt is installed but broken (libnvinfer.so.10"):
        jetson.finalize()


@pytest.mark.parametrize(
    ("version", "package", "told"),
    [
        ("8.4.1", "8.4.1.5", "TensorRT 8.4.1.5 is older than 8.5"),
        ("9.2.0", "9.2.0.5", "TensorRT 9.2.0.5 is not in the recipe's table"),
        ("12.1.0", "12.1.0.3", "TensorRT 12.1.0.3 is not in the recipe's table"),
    ],
)
def test_a_tensorrt_off_the_table_is_reported_in_one_line(jetson: Jetson, version: str, package: str, told: str) -> None:
    jetson.tensorrt(version, package)
    with one_line(DeviceError, told, "JetPack"):
        jetson.finalize()
    assert not (jetson.bundle.folder / "device").exists()
    assert jetson.builds == 0


def test_a_jetson_without_the_cuda_runtime_is_reported_in_one_line(jetson: Jetson) -> None:
    jetson.cuda.present = False
    with one_line(MissingDependency, "libcudart", "sudo apt install nvidia-jetpack"):
        jetson.finalize()


def test_a_gpu_that_is_not_visible_is_reported_with_cudas_own_words(jetson: Jetson) -> None:
    jetson.cuda.failing["cudaDeviceGetAttribute"] = 100
    with one_line(DeviceError, "cudaDeviceGetAttribute failed: CUDA error 100 (no CUDA-capable device is detected)"):
        jetson.finalize()


def test_a_gpu_without_memory_leaves_the_engine_in_use(jetson: Jetson) -> None:
    first = jetson.finalize()
    jetson.power_mode(2)
    jetson.cuda.failing["cudaMalloc"] = 2
    with one_line(DeviceError, "cudaMalloc failed: CUDA error 2"):
        jetson.finalize()
    assert jetson.choice == first.choice


def test_an_unknown_power_mode_is_reported_before_anything_is_built(jetson: Jetson) -> None:
    jetson.power_mode(9)
    with one_line(DeviceError, "names no power mode 9"):
        jetson.finalize()
    assert jetson.builds == 0


def test_a_bundle_for_a_processor_is_not_finalized(jetson: Jetson, toy: ModuleType, tmp_path: Path) -> None:
    with one_line(BundleError, "holds no TensorRT recipe (target cpu)", "--target jetson"):
        finalize(toy.write_bundle(tmp_path / "cpu"), root=jetson.root)


def test_a_recipe_for_another_graph_is_refused(jetson: Jetson, toy: ModuleType, tmp_path: Path) -> None:
    toy.write_bundle(tmp_path / "x", device="jetson-orin-nano-8gb")
    toy.write_graph(tmp_path / "x/model/model.onnx", seed=9)
    old = (tmp_path / "x/model/tensorrt/recipe.json").read_text()
    folder = toy.write_bundle(tmp_path / "y", device="jetson-orin-nano-8gb", seed=9).folder
    manifest = open_bundle(folder).manifest
    (folder / "model/tensorrt/recipe.json").write_text(old)
    models = [replace(m, files=tuple(file_ref(folder, folder / ref.path) for ref in m.files)) for m in manifest.models]
    seal(folder, replace(manifest, models=tuple(models)))
    bundle = open_bundle(folder)
    with one_line(BundleError, "was written for another graph"):
        finalize(bundle, root=jetson.root)


def test_a_full_disk_is_reported_before_anything_is_built(jetson: Jetson, monkeypatch: pytest.MonkeyPatch) -> None:
    first = jetson.finalize()
    jetson.power_mode(2)
    usage = shutil.disk_usage(jetson.bundle.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=31 << 20))
    with one_line(DeviceError, "31 MiB are free on its disk, building an engine needs 32 MiB"):
        jetson.finalize()
    assert (jetson.builds, jetson.choice) == (1, first.choice)


@pytest.mark.parametrize(("available", "enough"), [(511, False), (513, True)])
def test_too_little_memory_is_reported_before_anything_is_built(jetson: Jetson, available: int, enough: bool) -> None:
    jetson.machines.set_memory(jetson.root, available)
    if enough:
        assert not jetson.finalize().reused
    else:
        with one_line(DeviceError, "511 MiB of memory are available, building an engine may take 512 MiB"):
            jetson.finalize()
        assert jetson.builds == 0


def test_a_machine_that_does_not_tell_its_memory_is_not_refused(jetson: Jetson) -> None:
    (jetson.root / "proc/meminfo").unlink()
    assert not jetson.finalize().reused
