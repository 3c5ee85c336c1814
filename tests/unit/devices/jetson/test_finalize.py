"""The whole of finalize against a recorded Jetson: a folder for its files, a stand-in for TensorRT and for CUDA."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from support.errors import raises
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.cli.finalize import command
from weckd_edge.core.errors import BundleError, DeviceError, MissingDependency, ModelError, StoreError, WeckdError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace, file_ref, sha256_file
from weckd_edge.devices.jetson.board import EngineIdentity
from weckd_edge.devices.jetson.engines import EngineRecord, stored_engine
from weckd_edge.devices.jetson.finalize import finalize, roll_back
from weckd_edge.devices.runtime.backends.tensorrt_backend import DLA
from weckd_edge.devices.runtime.device_choice import DeviceChoice, Finalized, find_choice, named_choice
from weckd_edge.devices.runtime.model_choice import choose_model
from weckd_edge.devices.runtime.predict import open_bundle_model
from weckd_edge.devices.runtime.verify_bundle import verify_bundle

TESTS = Path(__file__).parents[3]


EACH_INPUT = pytest.mark.parametrize("jetson", ["bilinear", "area"], indirect=True, ids=["frame", "pixels"])
"""Runs a test with a graph that takes the frame, and with one that takes its pixels."""


@dataclass(frozen=True, kw_only=True)
class Jetson:
    """A bundle on a recorded Jetson."""

    root: Path
    bundle: Bundle
    trt: ModuleType
    cuda: ModuleType
    machines: ModuleType

    def finalize(self) -> Finalized:
        # The clock is the engines' own, so that an engine of the whole frame is chosen where a test says so.
        return finalize(open_bundle(self.bundle.folder), root=self.root, clock=lambda: self.trt.elapsed_ns)

    @property
    def builds(self) -> int:
        """How many engines were built so far."""
        return len(self.trt.told("build_serialized_network"))

    def power_mode(self, number: int) -> None:
        self.machines.set_power_mode(self.root, number)

    def tensorrt(self, version: str, package: str) -> None:
        self.trt.become(version)
        self.machines.set_tensorrt(self.root, package)

    @property
    def choice(self) -> DeviceChoice | None:
        """The choice in use, where it holds here."""
        return find_choice(open_bundle(self.bundle.folder), self.root).choice

    @property
    def engine(self) -> Path:
        """The engine that is named, whole or not."""
        named = named_choice(self.bundle.folder)
        assert named is not None
        return self.bundle.folder / named.files[0].path

    def built(self, choice: DeviceChoice) -> EngineRecord:
        """The record of a choice's engine."""
        record = stored_engine(self.bundle.folder, choice.key)
        assert record is not None
        return record

    def engines(self) -> set[str]:
        """Folders of engines that lie in the bundle, anything half made too."""
        return {path.name for path in (self.bundle.folder / "device/engines").iterdir()}


@pytest.fixture
def jetson(
    toy: ModuleType,
    machines: ModuleType,
    tensorrt: ModuleType,
    cuda: ModuleType,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Jetson:
    """An Orin Nano with JetPack 6.2 in its 25 W mode, and a bundle made for it, with the way to resize that a test names."""
    resize = getattr(request, "param", "bilinear")
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb", resize=resize)
    return Jetson(root=machines.jetson(tmp_path / "root"), bundle=bundle, trt=tensorrt, cuda=cuda, machines=machines)


def test_an_engine_is_built_tested_and_put_in_use(jetson: Jetson) -> None:
    done = jetson.finalize()
    choice, identity = done.choice, done.choice.identity
    assert isinstance(identity, EngineIdentity)
    assert (done.reused, done.warnings, choice.previous) == (False, (), None)
    assert (choice.frames, choice.flips, choice.max_abs) == (4, 0, 0.0)
    assert (choice.backend, choice.precision, choice.tolerance) == ("tensorrt", "int8", 0.02)
    assert identity.onnx_sha256 == jetson.bundle.manifest.onnx.sha256
    assert (identity.module, identity.l4t, identity.power_mode) == ("p3767-0005", "36.4.3", "25W")
    assert (identity.tensorrt_version, identity.compute_capability) == ("10.3.0.30", "8.7")
    assert choice.key == identity.key()
    assert choice.graph_sha256 == jetson.bundle.manifest.onnx.sha256
    assert choice.files == (file_ref(jetson.bundle.folder, jetson.engine),)
    assert jetson.engine == jetson.bundle.folder / "device/engines" / choice.key[:16] / "model.engine"
    assert jetson.choice == choice
    assert jetson.built(choice).engine == choice.files[0]


def test_what_was_sealed_is_still_whole_and_nothing_is_left_behind(jetson: Jetson) -> None:
    before = (jetson.bundle.folder / "manifest.json").read_bytes()
    jetson.finalize()
    assert open_bundle(jetson.bundle.folder).manifest == jetson.bundle.manifest
    assert (jetson.bundle.folder / "manifest.json").read_bytes() == before
    assert not [path for path in (jetson.bundle.folder / "device").rglob("*") if path.suffix in (".tmp", ".old")]
    assert (jetson.cuda.blocks, jetson.cuda.streams) == ({}, set())


@EACH_INPUT
@pytest.mark.parametrize(
    ("version", "package", "graph", "network", "builder"),
    [
        ("8.5.2", "8.5.2.2", "tensorrt/model-float32-frame", ["EXPLICIT_BATCH"], ["INT8", "FP16"]),
        ("8.6.2", "8.6.2.3", "model", ["EXPLICIT_BATCH"], ["INT8", "FP16"]),
        ("10.3.0", "10.3.0.30", "model", [], ["INT8", "FP16"]),
        ("10.16.2", "10.16.2.10", "tensorrt/model-float16", ["STRONGLY_TYPED"], []),
        ("11.4.1", "11.4.1.5", "tensorrt/model-float16", [], []),
    ],
)
def test_each_version_is_given_the_graph_and_the_flags_of_its_rule(
    jetson: Jetson, version: str, package: str, graph: str, network: list[str], builder: list[str]
) -> None:
    jetson.tensorrt(version, package)
    choice = jetson.finalize().choice
    identity = choice.identity
    path = jetson.bundle.folder / f"model/{graph}.onnx"
    assert identity.graph_sha256 == sha256_file(path)
    assert identity.onnx_sha256 == jetson.bundle.manifest.onnx.sha256
    assert jetson.engine.read_bytes().partition(b"\n")[2] == path.read_bytes()
    assert (choice.frames, choice.flips) == (4, 0)
    has_front_end = jetson.bundle.manifest.input.graph_takes_pixels and version != "8.5.2"
    builds = 2 if has_front_end else 1
    assert jetson.trt.told("create_network") == [network] * builds
    assert jetson.trt.told("build_serialized_network") == [builder] * builds
    assert jetson.trt.told("set_memory_pool_limit") == [("WORKSPACE", 512 << 20)] * builds
    assert identity.tensorrt_version == package
    assert identity.flags == (*network, *builder, "workspace=512MiB")


def test_a_second_call_uses_the_same_engine_and_tests_it_again(jetson: Jetson) -> None:
    first = jetson.finalize()
    runs = len(jetson.trt.told("execute_async_v3"))
    second = jetson.finalize()
    assert (second.reused, jetson.builds) == (True, 1)
    assert second.choice == first.choice
    assert len(jetson.trt.told("execute_async_v3")) == runs + 4


def test_another_power_mode_builds_anew_and_going_back_builds_nothing(jetson: Jetson) -> None:
    first = jetson.finalize()
    jetson.power_mode(2)
    second = jetson.finalize()
    assert (second.reused, second.choice.identity.power_mode, jetson.builds) == (False, "MAXN_SUPER", 2)
    assert second.choice.previous == first.choice.key
    jetson.power_mode(1)
    third = jetson.finalize()
    assert (third.reused, third.choice.key, jetson.builds) == (True, first.choice.key, 2)
    assert third.choice.previous == second.choice.key


def test_a_new_mode_is_timed_anew_and_not_from_the_timings_of_another(jetson: Jetson) -> None:
    jetson.finalize()
    jetson.power_mode(2)
    jetson.finalize()
    assert [saved for saved, _, _ in jetson.trt.told("set_timing_cache")] == [b"", b""]


def test_another_build_of_tensorrt_builds_anew(jetson: Jetson) -> None:
    first = jetson.finalize()
    jetson.machines.set_tensorrt(jetson.root, "10.3.0.31")
    second = jetson.finalize()
    assert (second.reused, second.choice.previous) == (False, first.choice.key)
    assert second.choice.identity.tensorrt_version == "10.3.0.31"


def test_a_newer_tensorrt_builds_anew_and_the_old_engine_is_not_used(jetson: Jetson) -> None:
    first = jetson.finalize()
    jetson.tensorrt("10.16.2", "10.16.2.10")
    second = jetson.finalize()
    assert (second.reused, jetson.builds) == (False, 2)
    assert second.choice.key != first.choice.key
    assert json.loads(jetson.engine.read_bytes().partition(b"\n")[0])["version"] == "10.16.2"


def test_only_the_engine_in_use_and_the_one_before_it_are_kept(jetson: Jetson) -> None:
    keys = []
    for mode in (0, 1, 2):
        jetson.power_mode(mode)
        keys.append(jetson.finalize().choice.key)
    assert jetson.engines() == {key[:16] for key in keys[1:]}


def test_an_engine_that_predicts_differently_is_not_used_and_the_old_one_stays(jetson: Jetson) -> None:
    first = jetson.finalize()
    before = (jetson.bundle.folder / "device/choice.json").read_bytes()
    jetson.power_mode(2)
    jetson.trt.answer_error = 0.5
    with raises(DeviceError, "E_DEVICE_SELFTEST"):
        jetson.finalize()
    assert (jetson.bundle.folder / "device/choice.json").read_bytes() == before
    assert jetson.engines() == {first.choice.key[:16]}
    assert jetson.choice == first.choice
    assert (jetson.cuda.blocks, jetson.cuda.streams) == ({}, set())


def test_an_engine_that_predicts_no_number_is_not_used(jetson: Jetson) -> None:
    jetson.trt.answer_error = float("nan")
    with raises(DeviceError, "E_DEVICE_SELFTEST"):
        jetson.finalize()
    assert jetson.choice is None


@pytest.mark.parametrize("error", [0.019, 0.021])
def test_the_tolerance_of_the_bundle_decides(jetson: Jetson, error: float) -> None:
    jetson.trt.answer_error = error
    if error <= 0.02:
        assert jetson.finalize().choice.max_abs == pytest.approx(error, rel=1e-3)
    else:
        with raises(DeviceError, "E_DEVICE_SELFTEST"):
            jetson.finalize()


def test_a_build_that_fails_leaves_the_engine_in_use(jetson: Jetson) -> None:
    first = jetson.finalize()
    jetson.power_mode(2)
    jetson.trt.build_error = "Could not find any implementation for node conv1"
    with pytest.raises(ModelError) as caught:
        jetson.finalize()
    told = "TensorRT 10.3.0 cannot build it (Could not find any implementation for node conv1)"
    tried = ("model.onnx", "model-float16.onnx", "model-plain.onnx")
    assert str(caught.value) == "; ".join(f"{name}: {told}" for name in tried)
    assert jetson.choice == first.choice


def test_a_graph_that_the_parser_refuses_names_the_node(jetson: Jetson) -> None:
    jetson.trt.parser_error = (7, "/head/Loop", "Loop", "unsupported")
    with raises(ModelError, "E_MODEL_BACKEND_LOAD", says="/head/Loop"):
        jetson.finalize()
    jetson.trt.parser_error = (7, "", "", "unsupported")
    with raises(ModelError, "E_MODEL_BACKEND_LOAD", says="7"):
        jetson.finalize()
    assert not (jetson.bundle.folder / "device/choice.json").exists()


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:-1] + b"\0", lambda data: b""])
def test_a_torn_or_changed_engine_is_built_again(jetson: Jetson, damage: Callable[[bytes], bytes]) -> None:
    first = jetson.finalize()
    engine = jetson.engine
    whole = engine.read_bytes()
    engine.write_bytes(damage(whole))
    assert jetson.choice is None
    second = jetson.finalize()
    assert (second.reused, second.choice.key, jetson.builds) == (False, first.choice.key, 2)
    assert jetson.choice == second.choice


@pytest.mark.parametrize("text", ["", "{", "{}", '{"schema_version": 99}'])
def test_a_torn_record_is_written_again_without_a_build(jetson: Jetson, text: str) -> None:
    first = jetson.finalize()
    (jetson.bundle.folder / "device/choice.json").write_text(text)
    with raises(DeviceError, "E_DEVICE_NO_ENGINE"):
        choose_model(open_bundle(jetson.bundle.folder), "tensorrt")
    assert jetson.finalize().reused
    assert jetson.choice == first.choice


def test_a_torn_engine_does_not_cost_the_good_one_before_it(jetson: Jetson) -> None:
    good = jetson.finalize().choice
    jetson.power_mode(2)
    jetson.finalize()
    jetson.engine.write_bytes(b"torn")
    rebuilt = jetson.finalize()
    assert rebuilt.choice.previous == good.key
    assert stored_engine(jetson.bundle.folder, good.key) is not None
    jetson.power_mode(1)
    assert jetson.finalize().reused


def test_a_third_engine_keeps_the_last_good_one_where_the_second_is_torn(jetson: Jetson) -> None:
    good = jetson.finalize().choice
    jetson.power_mode(2)
    jetson.finalize()
    jetson.engine.write_bytes(b"torn")
    jetson.power_mode(0)
    third = jetson.finalize().choice
    assert third.previous == good.key
    assert jetson.engines() == {third.key[:16], good.key[:16]}


def test_a_record_of_another_key_in_the_place_of_an_engine_is_not_believed(jetson: Jetson) -> None:
    choice = jetson.finalize().choice
    folder = jetson.bundle.folder / "device/engines" / choice.key[:16]
    data = json.loads((folder / "engine.json").read_text())
    data["identity"]["tensorrt_version"] = "10.3.0.99"
    (folder / "engine.json").write_text(json.dumps(data))
    assert stored_engine(jetson.bundle.folder, choice.key) is None
    assert not jetson.finalize().reused


def test_a_kept_engine_that_no_longer_loads_is_built_again(jetson: Jetson) -> None:
    """The package manager may not tell the build number: the same key, and yet another TensorRT refuses the engine."""
    first = jetson.finalize()
    engine = jetson.engine
    stale = engine.read_bytes().replace(b'"10.3.0"', b'"10.2.9"')
    engine.write_bytes(stale)
    for path in (jetson.bundle.folder / "device").rglob("*.json"):
        path.write_text(path.read_text().replace(first.choice.files[0].sha256, sha256_file(engine)))
    assert jetson.choice is not None
    second = jetson.finalize()
    assert (second.reused, second.choice.key, jetson.builds) == (False, first.choice.key, 2)
    assert jetson.engine.read_bytes() != stale


def test_a_kept_engine_that_predicts_differently_now_and_so_does_a_new_one_is_refused(jetson: Jetson) -> None:
    first = jetson.finalize()
    engine = jetson.engine
    engine.write_bytes(engine.read_bytes().replace(b'"error": 0.0', b'"error": 0.5'))
    for path in (jetson.bundle.folder / "device").rglob("*.json"):
        path.write_text(path.read_text().replace(first.choice.files[0].sha256, sha256_file(engine)))
    kept = jetson.choice
    assert kept is not None
    jetson.trt.answer_error = 0.5
    with raises(DeviceError, "E_DEVICE_SELFTEST"):
        jetson.finalize()
    assert jetson.choice == kept


def test_the_timings_of_a_build_are_used_for_the_next_of_the_same_kind(jetson: Jetson) -> None:
    jetson.finalize()
    jetson.engine.write_bytes(b"torn")
    jetson.finalize()
    assert jetson.trt.told("set_timing_cache") == [(b"", False, True), (b"timings of 10.3.0", False, True)]


def test_timings_of_another_version_are_thrown_away(jetson: Jetson) -> None:
    jetson.finalize()
    (cache,) = (jetson.bundle.folder / "device").glob("*timing.cache")
    cache.write_bytes(b"timings of 9.9")
    jetson.engine.write_bytes(b"torn")
    assert not jetson.finalize().reused
    assert jetson.trt.told("set_timing_cache")[1:] == [(b"timings of 9.9", False, False), (b"", False, True)]
    assert cache.read_bytes() == b"timings of 10.3.0"


_KILLED = """
    import ctypes, importlib.util, os, sys
    from pathlib import Path

    def load(name, path):
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    tests, bundle, root, where = sys.argv[1:]
    cuda = load("weckd_tests_cuda_runtime", f"{tests}/support/machines/stand_ins/cuda_runtime.py")
    real = ctypes.CDLL
    ctypes.CDLL = lambda name, *args, **kw: cuda.load(name) or real(name, *args, **kw)
    trt = load("tensorrt", f"{tests}/support/machines/stand_ins/tensorrt.py")
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.jetson import finalize

    die = lambda *args, **kw: os._exit(137)
    if where == "build":
        trt.Builder.build_serialized_network = die
    elif where == "self-test":
        trt.IExecutionContext.execute_async_v3 = die
    elif where == "swap":
        finalize.put_in_use = die
    finalize.finalize(open_bundle(Path(bundle)), root=Path(root))
"""


@pytest.mark.parametrize("where", ["build", "self-test", "swap"])
def test_a_process_killed_in_the_middle_leaves_the_old_engine_in_use(jetson: Jetson, where: str) -> None:
    first = jetson.finalize()
    jetson.power_mode(2)
    code = textwrap.dedent(_KILLED)
    arguments = [sys.executable, "-c", code, str(TESTS), str(jetson.bundle.folder), str(jetson.root), where]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=TESTS.parent, env=dict(os.environ))
    assert (killed.returncode, killed.stderr) == (137, "")
    assert jetson.choice == first.choice
    assert choose_model(open_bundle(jetson.bundle.folder)).model.path == str(jetson.engine)
    again = jetson.finalize()
    assert again.choice.previous == first.choice.key
    assert again.reused is (where == "swap")
    assert jetson.engines() == {first.choice.key[:16], again.choice.key[:16]}


def test_two_at_once_are_refused(jetson: Jetson) -> None:
    with Workspace(jetson.bundle.folder / "device").locked(), raises(StoreError, "E_STORE_LOCKED"):
        jetson.finalize()


def test_another_module_than_the_bundle_was_built_for_is_a_warning(jetson: Jetson) -> None:
    jetson.machines.jetson(jetson.root, module="p3701-0005", carrier="p3737-0000")
    done = jetson.finalize()
    assert done.choice.identity.module == "p3701-0005"
    (warning,) = done.warnings
    assert "built for jetson-orin-nano-8gb (p3767-0003, p3767-0005), this module is p3701-0005" in warning


@contextmanager
def one_line(error: type[Exception], *words: str) -> Any:
    with pytest.raises(error) as caught:
        yield
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


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


@EACH_INPUT
def test_a_finalized_bundle_runs_its_engine_and_verifies_with_it(jetson: Jetson, toy: ModuleType) -> None:
    jetson.finalize()
    model = open_bundle_model(jetson.bundle.folder)
    spec = jetson.bundle.manifest.input
    frame = toy.frames(1, size=spec.frame_shape[1:3])
    answer = model.runner.run(frame)
    model.runner.close()
    assert (model.choice.backend, model.choice.precision) == ("tensorrt", "int8")
    taken = toy.pixels(frame) if spec.graph_takes_pixels else frame
    np.testing.assert_allclose(answer, toy.answers(jetson.bundle.folder / "model/model.onnx", taken)[0], atol=1e-6)
    tests = {test.backend: test for test in verify_bundle(jetson.bundle.folder).selftest}
    assert (tests["tensorrt"].passed, tests["tensorrt"].frames) == (True, 4)


def test_verify_says_of_an_engine_that_no_longer_loads_that_it_failed(jetson: Jetson) -> None:
    jetson.finalize()
    jetson.tensorrt("10.16.2", "10.16.2.10")
    result = verify_bundle(jetson.bundle.folder)
    assert (result.passed, result.digests_ok) == (False, True)
    assert "cannot load this engine (The engine plan file is of version 10.3.0)" in str(result.problem)
    assert "run weckd-edge finalize" in str(result.problem)


def test_verify_says_of_an_engine_that_cannot_start_that_it_failed(jetson: Jetson) -> None:
    jetson.finalize()
    jetson.trt.launch_fails = True
    result = verify_bundle(jetson.bundle.folder)
    assert not result.passed
    assert "could not start the engine" in str(result.problem)


def test_an_engine_of_another_graph_is_neither_run_nor_verified(jetson: Jetson, toy: ModuleType, tmp_path: Path) -> None:
    jetson.finalize()
    other = toy.write_bundle(tmp_path / "other", device="jetson-orin-nano-8gb", seed=9)
    (jetson.bundle.folder / "device").rename(other.folder / "device")
    assert choose_model(open_bundle(other.folder)).backend != "tensorrt"
    tests = {test.backend: test for test in verify_bundle(other.folder).selftest}
    assert (tests["tensorrt"].passed, tests["tensorrt"].frames) == (None, 0)
    assert "built of another graph" in str(tests["tensorrt"].reason)
    assert not jetson.bundle.folder.joinpath("device").exists()
    replaced = finalize(open_bundle(other.folder), root=jetson.root)
    assert not replaced.reused


def test_the_command_prints_the_engine_and_the_warnings(jetson: Jetson, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson.machines.jetson(jetson.root, module="p3701-0005")
    monkeypatch.setattr(
        "weckd_edge.devices.jetson.finalize.finalize",
        lambda bundle, **options: finalize(bundle, **{**options, "root": jetson.root}),
    )
    folder = str(jetson.bundle.folder)
    shown = CliRunner().invoke(command, [folder, "--quiet"])
    assert shown.exit_code == 0
    assert "p3701-0005" in shown.stdout
    assert "warning: the bundle was built for jetson-orin-nano-8gb" in shown.stderr
    data = json.loads(CliRunner().invoke(command, [folder, "--quiet", "--json"]).stdout)
    assert data.keys() == {"bundle", "reused", "warnings", "choice"}
    assert (data["reused"], data["choice"]["identity"]["power_mode"]) == (True, "25W")


def test_the_layers_of_an_engine_are_kept_beside_it(jetson: Jetson) -> None:
    choice = jetson.finalize().choice
    table = json.loads((jetson.engine.parent / "layers.json").read_text())
    assert [layer["name"] for layer in table["layers"]] == ["weights", "Conv_1", "Conv_2"]
    assert {layer["processor"] for layer in table["layers"]} == {"GPU"}
    engine = jetson.built(choice)
    assert (engine.target, engine.float_layers, engine.fallback_layers) == ("GPU", (), ())


def test_a_layer_that_runs_in_floating_point_is_named(jetson: Jetson) -> None:
    jetson.trt.float_layers = ("Conv_2",)
    done = jetson.finalize()
    assert jetson.built(done.choice).float_layers == ("Conv_2",)
    assert done.warnings == ("1 weighted layers run in floating point: Conv_2",)
    assert jetson.finalize().warnings == done.warnings


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


def test_a_bundle_copied_from_another_device_does_not_use_its_engine(jetson: Jetson) -> None:
    foreign = jetson.finalize().choice
    jetson.machines.jetson(jetson.root, module="p3701-0005", carrier="p3737-0000")
    done = jetson.finalize()
    assert (done.reused, done.choice.previous) == (False, None)
    assert any("was built on module p3767-0005 and is not used" in warning for warning in done.warnings)
    assert foreign.key[:16] not in jetson.engines()


def spoil(jetson: Jetson) -> None:
    """Make the engine in use one that loads and answers wrongly, with its digests in order."""
    engine = jetson.engine
    before = sha256_file(engine)
    engine.write_bytes(engine.read_bytes().replace(b'"error": 0.0', b'"error": 0.9'))
    for path in (jetson.bundle.folder / "device").rglob("*.json"):
        path.write_text(path.read_text().replace(before, sha256_file(engine)))


@pytest.mark.parametrize("failure", ["build", "self-test"])
def test_where_the_engine_in_use_fails_and_no_new_one_passes_the_last_good_one_comes_back(
    jetson: Jetson, failure: str
) -> None:
    good = jetson.finalize().choice
    jetson.power_mode(2)
    jetson.finalize()
    spoil(jetson)
    if failure == "build":
        jetson.trt.build_error = "no tactics"
    else:
        jetson.trt.answer_error = 0.9
    code = "E_MODEL_BACKEND_BUILD" if failure == "build" else "E_DEVICE_SELFTEST"
    with raises(WeckdError, code, says=("25W", "TensorRT 10.3.0.30")):
        jetson.finalize()
    choice = jetson.choice
    assert choice is not None
    assert (choice.key, choice.previous) == (good.key, None)
    assert jetson.engines() == {good.key[:16]}


def test_where_the_one_before_it_does_not_pass_either_nothing_is_changed(jetson: Jetson) -> None:
    jetson.finalize()
    spoil(jetson)
    jetson.power_mode(2)
    jetson.finalize()
    spoil(jetson)
    before = (jetson.bundle.folder / "device/choice.json").read_bytes()
    jetson.trt.answer_error = 0.9
    with one_line(DeviceError, "failed its self-test"):
        jetson.finalize()
    assert (jetson.bundle.folder / "device/choice.json").read_bytes() == before


def test_going_back_uses_the_engine_before_and_builds_nothing(jetson: Jetson) -> None:
    first = jetson.finalize().choice
    jetson.power_mode(2)
    second = jetson.finalize().choice
    choice = roll_back(open_bundle(jetson.bundle.folder), root=jetson.root)
    assert (choice.key, choice.previous, jetson.builds) == (first.key, second.key, 2)
    assert jetson.choice == choice
    assert roll_back(open_bundle(jetson.bundle.folder), root=jetson.root).key == second.key


def test_going_back_where_there_is_nothing_is_reported(jetson: Jetson) -> None:
    with one_line(DeviceError, "there is no engine before the one in use"):
        roll_back(jetson.bundle, root=jetson.root)
    jetson.finalize()
    with one_line(DeviceError, "there is no engine before the one in use"):
        roll_back(open_bundle(jetson.bundle.folder), root=jetson.root)


@pytest.fixture
def dla(jetson: Jetson) -> Jetson:
    """The same with two DLA cores, on which nothing takes time but what the engines say they take."""
    jetson.trt.num_dla_cores = 2
    return jetson


def with_dla(jetson: Jetson, **options: bool) -> Finalized:
    bundle = open_bundle(jetson.bundle.folder)
    return finalize(bundle, root=jetson.root, dla=DLA(**options), clock=lambda: jetson.trt.elapsed_ns)


def test_a_dla_that_is_faster_is_used(dla: Jetson) -> None:
    dla.trt.slow_ns = {"GPU": 3_000_000, "DLA": 1_000_000}
    done = with_dla(dla)
    choice = done.choice
    assert (dla.built(choice).target, choice.identity.flags[-1]) == ("DLA", "DLA0")
    assert choice.latency_ns["tensorrt int8 DLA"] < choice.latency_ns["tensorrt int8 float32"]
    assert choice.identity.graph_sha256 == sha256_file(dla.bundle.folder / "model/tensorrt/model-plain.onnx")
    assert dla.trt.told("ranges") == [{}, {"frame": (-255.0, 255.0), "out of Conv_1": (-3.5, 3.5)}]
    assert "tensorrt int8 DLA is used: a golden frame takes it" in done.warnings[0]
    again = with_dla(dla)
    assert (again.reused, dla.built(again.choice).target, dla.builds) == (True, "DLA", 2)
    plain = dla.finalize()
    assert (plain.reused, dla.built(plain.choice).target, dla.builds) == (True, "GPU", 2)


def test_a_dla_that_is_slower_is_not_used(dla: Jetson) -> None:
    dla.trt.slow_ns = {"GPU": 1_000_000, "DLA": 3_000_000}
    done = with_dla(dla)
    assert dla.built(done.choice).target == "GPU"
    assert done.choice.latency_ns["tensorrt int8 float32"] < done.choice.latency_ns["tensorrt int8 DLA"]
    assert "tensorrt int8 float32 is used: a golden frame takes it" in done.warnings[0]


def test_a_layer_that_the_dla_cannot_run_is_named_and_the_gpu_used(dla: Jetson) -> None:
    dla.trt.stays_on_gpu = ("Conv_2",)
    done = with_dla(dla)
    assert dla.built(done.choice).target == "GPU"
    assert done.warnings == (
        "the DLA is not used, the GPU is: model-plain.onnx: 1 layers (Conv_2) cannot run on the DLA; "
        "gpu_fallback would run them on the GPU",
    )
    assert dla.builds == 1


def test_with_leave_those_layers_run_on_the_gpu_and_are_named(dla: Jetson) -> None:
    dla.trt.stays_on_gpu = ("Conv_2",)
    dla.trt.slow_ns = {"GPU": 3_000_000, "DLA": 1_000_000}
    done = with_dla(dla, gpu_fallback=True)
    assert dla.built(done.choice).target == "DLA"
    assert "Conv_2" in dla.built(done.choice).fallback_layers
    assert "layers of the DLA's engine run on the GPU: Conv_2" in done.warnings[1]
    assert done.choice.identity.flags[-2:] == ("DLA0", "GPU_FALLBACK")
    assert dla.trt.told("build_serialized_network")[-1] == ["INT8", "FP16", "GPU_FALLBACK"]


def test_a_dla_whose_predictions_differ_is_not_used(dla: Jetson, monkeypatch: pytest.MonkeyPatch) -> None:
    dla.finalize()
    dla.trt.answer_error = 0.5
    done = with_dla(dla)
    assert (dla.built(done.choice).target, done.reused) == ("GPU", True)
    assert "the DLA is not used, the GPU is: the engine failed its self-test" in done.warnings[0]


@pytest.mark.parametrize(("version", "package"), [("10.8.0", "10.8.0.43"), ("11.4.1", "11.4.1.5")])
def test_a_tensorrt_without_a_dla_says_so(dla: Jetson, version: str, package: str) -> None:
    dla.tensorrt(version, package)
    done = with_dla(dla)
    assert dla.built(done.choice).target == "GPU"
    assert f"TensorRT {package} does not build int8 engines for a DLA (8.5 to 10.7 do)" in done.warnings[0]


def test_a_module_without_a_dla_says_so(jetson: Jetson) -> None:
    assert with_dla(jetson).warnings == ("the DLA is not used, the GPU is: this module has no DLA that TensorRT sees",)


def test_an_interrupt_stops_the_builder_and_leaves_the_engine_in_use(jetson: Jetson) -> None:
    first = jetson.finalize()
    jetson.power_mode(2)

    class Pressed(SilentProgress):
        @contextmanager
        def task(self, name: str, total: int, done: int = 0) -> Iterator[Any]:
            yield self

        def advance(self, steps: int = 1, **figures: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finalize(open_bundle(jetson.bundle.folder), root=jetson.root, progress=Pressed())
    assert jetson.choice == first.choice


@pytest.mark.parametrize(("version", "package", "steps"), [("8.6.2", "8.6.2.3", [100]), ("10.3.0", "10.3.0.30", [25] * 4)])
def test_the_builders_own_steps_are_shown_where_it_tells_them(
    jetson: Jetson, version: str, package: str, steps: list[int]
) -> None:
    seen: list[int] = []

    class Watched(SilentProgress):
        @contextmanager
        def task(self, name: str, total: int, done: int = 0) -> Iterator[Any]:
            assert (name, total) == (f"TensorRT {version} engine", 100)
            yield self

        def advance(self, steps: int = 1, **figures: float) -> None:
            seen.append(steps)

    jetson.tensorrt(version, package)
    finalize(open_bundle(jetson.bundle.folder), root=jetson.root, progress=Watched())
    assert seen == steps


def test_the_command_goes_back_and_refuses_contradictions(run: Callable[..., tuple[int, str, str]], jetson: Jetson) -> None:
    for arguments, told in (
        (("--rollback", "--dla"), "--rollback builds and measures nothing"),
        (("--gpu-fallback",), "--gpu-fallback is for --dla"),
    ):
        code, _, err = run("finalize", jetson.bundle.folder, *arguments)
        assert code == 2
        assert told in err


DEFECT = (
    "[checkSanity.cpp::checkLinks::218] Error Code 2: Internal Error (Assertion item.second != nullptr failed. region "
    "should have been removed from Graph::regions)"
)


def test_where_int8_of_10_3_fails_on_its_own_defect_the_next_form_is_used_and_the_reason_kept(jetson: Jetson) -> None:
    jetson.trt.int8_error = DEFECT
    done = jetson.finalize()
    assert (done.choice.precision, done.choice.identity.flags[0]) == ("int8", "STRONGLY_TYPED")
    assert done.choice.identity.graph_sha256 == sha256_file(jetson.bundle.folder / "model/tensorrt/model-float16.onnx")
    assert jetson.choice == done.choice
    reason = done.choice.left_out["tensorrt int8 float32"]
    for fact in ("TensorRT 10.3.0", "checkSanity", "install TensorRT 10.7"):
        assert fact in reason
    assert f"tensorrt int8 float32 is not used: {reason}" in done.warnings


def test_what_was_refused_here_is_not_built_again_unless_that_is_asked_for(jetson: Jetson) -> None:
    jetson.trt.int8_error = DEFECT
    first = jetson.finalize()
    builds = jetson.builds
    second = jetson.finalize()
    assert (second.reused, jetson.builds) == (True, builds)
    assert (second.choice.left_out, second.warnings) == (first.choice.left_out, first.warnings)
    jetson.trt.int8_error = None
    again = finalize(open_bundle(jetson.bundle.folder), root=jetson.root, again=True)
    assert (again.choice.left_out, again.choice.identity.flags[:2]) == ({}, ("INT8", "FP16"))
    jetson.trt.int8_error = DEFECT
    jetson.tensorrt("10.7.0", "10.7.0.23")
    assert list(jetson.finalize().choice.left_out) == ["tensorrt int8 float32"]


def test_with_tensorrt_10_7_in_the_place_of_10_3_the_first_form_is_tried_anew(jetson: Jetson) -> None:
    jetson.trt.int8_error = DEFECT
    jetson.finalize()
    jetson.trt.int8_error = None
    jetson.tensorrt("10.7.0", "10.7.0.23")
    third = jetson.finalize()
    assert (third.choice.left_out, third.warnings) == ({}, ())
    assert third.choice.identity.flags[:2] == ("INT8", "FP16")
    assert third.choice.identity.tensorrt_version == "10.7.0.23"


def test_where_no_form_builds_in_int8_the_graph_without_pairs_runs_in_fp16_and_the_record_says_so(jetson: Jetson) -> None:
    jetson.tensorrt("8.6.2", "8.6.2.3")
    jetson.trt.int8_error = DEFECT
    done = jetson.finalize()
    assert (done.choice.precision, done.choice.name) == ("fp16", "tensorrt fp16")
    assert done.choice.identity.graph_sha256 == sha256_file(jetson.bundle.folder / "model/tensorrt/model-plain.onnx")
    assert jetson.trt.told("build_serialized_network")[-1] == ["FP16"]
    assert list(done.choice.left_out) == ["tensorrt int8 float32"]
    assert choose_model(open_bundle(jetson.bundle.folder), root=jetson.root).name == "tensorrt fp16"
    result = verify_bundle(jetson.bundle.folder)
    assert [(test.name, test.passed) for test in result.selftest if test.runs] == [("tensorrt fp16", True)]
    assert str(result.running) == "tensorrt fp16, chosen on this device"


def test_an_engine_that_predicts_otherwise_is_refused_and_the_next_form_tried(
    jetson: Jetson, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = jetson.trt.Builder.build_serialized_network

    def build(self: Any, network: Any, config: Any) -> Any:
        jetson.trt.answer_error = 0.9 if jetson.trt.BuilderFlag.INT8 in config.enabled else 0.0
        return real(self, network, config)

    monkeypatch.setattr(jetson.trt.Builder, "build_serialized_network", build)
    done = jetson.finalize()
    assert done.choice.identity.flags[0] == "STRONGLY_TYPED"
    assert "failed its self-test" in done.choice.left_out["tensorrt int8 float32"]
    assert jetson.engines() == {done.choice.key[:16]}


PIXELS = pytest.mark.parametrize("jetson", ["area"], indirect=True)
WHOLE = "tensorrt int8 float32 of the whole frame"


@PIXELS
def test_an_engine_of_the_whole_frame_is_used_where_it_is_faster_and_predictions_stay(
    jetson: Jetson, toy: ModuleType
) -> None:
    jetson.trt.slow_ns, jetson.trt.slow_front_end_ns = {"GPU": 3_000_000, "DLA": 0}, -2_000_000
    done = jetson.finalize()
    choice = done.choice
    assert (choice.takes, choice.precision, jetson.builds) == ("frame", "int8", 2)
    assert choice.latency_ns == {"tensorrt int8 float32": 3_000_000.0, WHOLE: 1_000_000.0}
    assert choice.left_out == {"tensorrt int8 float32": "slower, 3.000 ms"}
    assert done.warnings == (f"{WHOLE} is used: a golden frame takes it 1.000 ms, tensorrt int8 float32 3.000 ms",)
    assert jetson.built(choice).takes == "frame"
    model = open_bundle_model(jetson.bundle.folder)
    frame = toy.frames(1, size=toy.WIDE)
    answer = model.runner.run(frame)
    assert (model.runner.front_end.takes, model.runner.graph.input_shape) == ("frame", (1, *toy.WIDE, 3))
    model.runner.close()
    wanted = toy.answers(jetson.bundle.folder / "model/model.onnx", toy.pixels(frame))[0]
    np.testing.assert_allclose(answer, wanted, atol=1e-6)
    tests = {test.backend: test for test in verify_bundle(jetson.bundle.folder).selftest}
    assert tests["tensorrt"].passed is True


@PIXELS
def test_the_slower_engine_is_kept_so_that_the_next_comparison_builds_nothing(jetson: Jetson) -> None:
    jetson.trt.slow_ns, jetson.trt.slow_front_end_ns = {"GPU": 1_000_000, "DLA": 0}, 1_000_000
    first = jetson.finalize()
    assert (first.choice.takes, len(jetson.engines())) == ("pixels", 2)
    assert first.choice.left_out == {WHOLE: "slower, 2.000 ms"}
    second = jetson.finalize()
    assert (second.reused, jetson.builds, second.choice.key) == (True, 2, first.choice.key)


@PIXELS
def test_an_engine_of_the_whole_frame_that_fails_leaves_the_other_in_use_and_says_why(
    jetson: Jetson, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = jetson.trt.Builder.build_serialized_network

    def build(self: Any, network: Any, config: Any) -> Any:
        jetson.trt.answer_error = 0.9 if b"front_end/" in network.graph else 0.0
        return real(self, network, config)

    monkeypatch.setattr(jetson.trt.Builder, "build_serialized_network", build)
    done = jetson.finalize()
    assert (done.choice.takes, done.choice.latency_ns) == ("pixels", {})
    assert "failed its self-test" in done.choice.left_out[WHOLE]
    assert any(warning.startswith(f"{WHOLE} is not used: ") for warning in done.warnings)
    builds = jetson.builds
    assert (jetson.finalize().reused, jetson.builds) == (True, builds)


def test_a_bundle_whose_graph_takes_the_frame_builds_one_engine(jetson: Jetson) -> None:
    assert (jetson.finalize().choice.takes, jetson.builds) == ("frame", 1)


@PIXELS
def test_a_choice_that_says_otherwise_than_its_engine_takes_is_refused(jetson: Jetson) -> None:
    jetson.finalize()
    path = jetson.bundle.folder / "device/choice.json"
    path.write_text(path.read_text().replace('"takes": "pixels"', '"takes": "frame"'))
    with raises(DeviceError, "E_DEVICE_ENGINE", says=("takes frame", "takes pixels", "finalize")):
        open_bundle_model(jetson.bundle.folder)
