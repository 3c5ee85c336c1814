"""The whole of finalize against a recorded Jetson: a folder for its files, a stand-in for TensorRT and for CUDA."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from support.errors import raises
from support.machines.finalized import EACH_INPUT, Jetson
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.cli.finalize import command
from weckd_edge.core.errors import DeviceError, ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import file_ref, sha256_file
from weckd_edge.devices.jetson.board import EngineIdentity
from weckd_edge.devices.jetson.finalize import finalize
from weckd_edge.devices.runtime.model_choice import choose_model
from weckd_edge.devices.runtime.predict import open_bundle_model
from weckd_edge.devices.runtime.verify_bundle import verify_bundle


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


def test_an_engine_that_no_longer_loads_gives_way_to_a_model_of_the_bundle(
    jetson: Jetson, caplog: pytest.LogCaptureFixture
) -> None:
    jetson.finalize()
    jetson.tensorrt("10.16.2", "10.16.2.10")
    model = open_bundle_model(jetson.bundle.folder)
    model.close()
    assert (model.choice.backend == "tensorrt", model.choice.running.by_device) == (False, False)
    assert "cannot load this engine" in str(model.choice.running.note)
    assert "the first model of the bundle that runs here is used: weckd-edge finalize" in caplog.text
    with pytest.raises(DeviceError, match="cannot load this engine"):
        open_bundle_model(jetson.bundle.folder, backend="tensorrt")


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


def test_a_bundle_copied_from_another_device_does_not_use_its_engine(jetson: Jetson) -> None:
    foreign = jetson.finalize().choice
    jetson.machines.jetson(jetson.root, module="p3701-0005", carrier="p3737-0000")
    done = jetson.finalize()
    assert (done.reused, done.choice.previous) == (False, None)
    assert any("was built on module p3767-0005 and is not used" in warning for warning in done.warnings)
    assert foreign.key[:16] not in jetson.engines()


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
