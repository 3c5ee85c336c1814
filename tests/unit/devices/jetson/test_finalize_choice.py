"""Which of its engines a Jetson uses: the first form that passes, whole frames or pixels, GPU or DLA."""

from contextlib import closing
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from support.machines.finalized import Jetson
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.errors import DeviceError
from weckd_edge.core.store import sha256_file
from weckd_edge.devices.jetson.finalize import finalize
from weckd_edge.devices.runtime.backends.tensorrt_backend import DLA
from weckd_edge.devices.runtime.device_choice import Finalized
from weckd_edge.devices.runtime.model_choice import choose_model
from weckd_edge.devices.runtime.predict import open_bundle_model
from weckd_edge.devices.runtime.verify_bundle import verify_bundle


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


@pytest.mark.parametrize(("version", "package"), [("8.5.2", "8.5.2.2"), ("10.8.0", "10.8.0.43"), ("11.4.1", "11.4.1.5")])
def test_a_tensorrt_without_a_dla_says_so(dla: Jetson, version: str, package: str) -> None:
    dla.tensorrt(version, package)
    done = with_dla(dla)
    assert dla.built(done.choice).target == "GPU"
    assert f"TensorRT {package} builds no int8 engine of a bundle for a DLA (8.6 to 10.7 do)" in done.warnings[0]


def test_a_module_without_a_dla_says_so(jetson: Jetson) -> None:
    assert with_dla(jetson).warnings == ("the DLA is not used, the GPU is: this module has no DLA that TensorRT sees",)


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
def test_a_choice_that_says_otherwise_than_its_engine_takes_gives_way_to_a_model_of_the_bundle(
    jetson: Jetson, caplog: pytest.LogCaptureFixture
) -> None:
    jetson.finalize()
    path = jetson.bundle.folder / "device/choice.json"
    path.write_text(path.read_text().replace('"takes": "pixels"', '"takes": "frame"'))
    with closing(open_bundle_model(jetson.bundle.folder)) as model:
        assert model.choice.backend != "tensorrt"
    assert "the device's choice says that it takes frame, and it takes pixels" in caplog.text
    with raises(DeviceError, "E_DEVICE_ENGINE", says=("takes frame", "takes pixels", "finalize")):
        open_bundle_model(jetson.bundle.folder, backend="tensorrt")
