"""What every backend keeps, whatever library is behind it; one class a backend."""

import importlib
import inspect
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.cli.main import COMMANDS
from weckd_edge.core.errors import ConfigError, DeviceError, MissingDependency, ModelError, WeckdError
from weckd_edge.core.store import file_ref
from weckd_edge.devices.jetson.recipe import TensorRTRecipe, plans_for, read_recipe, write_recipe
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.devices.runtime.backends.base import ModelBytes, Runner
from weckd_edge.devices.runtime.backends.table import BACKENDS, open_network, open_runner


def recipe_for(graph: Path) -> TensorRTRecipe:
    ref = write_recipe(graph.parent, file_ref(graph.parent, graph), load_profile("jetson-orin-nano-8gb"))
    return read_recipe(graph.parent / ref.path)


class RunnerContract(ABC):
    """The tests that every backend's runner must pass."""

    backend: str
    suffix: str
    accuracy = 1e-5
    refusal: type[WeckdError] = ModelError

    @pytest.fixture
    def graph(self, toy: ModuleType, tmp_path: Path) -> Path:
        """The toy graph as ONNX."""
        found: Path = toy.write_graph(tmp_path / "model.onnx")
        return found

    @abstractmethod
    def make(self, graph: Path) -> Path:
        """Make of a graph what the backend opens."""

    @pytest.fixture
    def library(self) -> None:
        """Skip where the backend's library is not here."""
        pytest.importorskip(BACKENDS[self.backend].library)

    @pytest.fixture
    def model(self, library: None, graph: Path) -> Path:
        """A model file for this backend."""
        return self.make(graph)

    @pytest.fixture
    def runner(self, model: Path) -> Iterator[Runner]:
        """The model, open."""
        found = open_runner(self.backend, model)
        yield found
        found.close()

    def test_it_says_what_it_is(self, runner: Runner, toy: ModuleType) -> None:
        assert runner.name == self.backend
        assert runner.version[0].isdigit()
        assert runner.input_shape == (1, toy.SIDE, toy.SIDE, 3)
        assert all(type(side) is int for side in runner.input_shape)

    def test_it_predicts_as_the_graph_says(self, runner: Runner, graph: Path, toy: ModuleType) -> None:
        frames = toy.frames()
        found = np.stack([runner.run(frame[None]) for frame in frames])
        assert found.dtype == np.float32
        assert found.shape == (len(frames), len(toy.LABELS))
        np.testing.assert_allclose(found, toy.answers(graph, frames), atol=self.accuracy)
        assert np.ptp(found, axis=0).max() > 0.01  # frames that differ are answered differently

    def test_probabilities_sum_to_one(self, runner: Runner, toy: ModuleType) -> None:
        assert runner.run(toy.frames(1)).sum() == pytest.approx(1.0, abs=1e-5)

    def test_the_same_frame_has_the_same_prediction_whatever_was_between(self, runner: Runner, toy: ModuleType) -> None:
        first, second = toy.frames(2)[:, None]
        before = runner.run(first)
        runner.run(second)
        np.testing.assert_array_equal(runner.run(first), before)

    def test_a_prediction_belongs_to_the_caller(self, runner: Runner, toy: ModuleType) -> None:
        first, second = toy.frames(2)[:, None]
        answer = runner.run(first)
        kept = answer.copy()
        runner.run(second)
        np.testing.assert_array_equal(answer, kept)
        answer[:] = -1
        np.testing.assert_array_equal(runner.run(first), kept)

    def test_another_frame_in_the_same_array_is_predicted_anew(self, runner: Runner, toy: ModuleType) -> None:
        first, second = toy.frames(2)[:, None]
        expected, array = [runner.run(first), runner.run(second)], first.copy()
        assert not np.array_equal(*expected)
        for frame, prediction in zip((first, second, first), (*expected, expected[0]), strict=True):
            array[:] = frame
            np.testing.assert_array_equal(runner.run(array), prediction)

    def test_the_callers_frame_is_left_as_it_is_and_may_be_read_only(self, runner: Runner, toy: ModuleType) -> None:
        frame = toy.frames(1)
        kept = frame.copy()
        frame.flags.writeable = False
        runner.run(frame)
        np.testing.assert_array_equal(frame, kept)

    @pytest.mark.parametrize("shape", [(8, 8, 3), (1, 8, 8), (1, 8, 8, 1), (1, 3, 8, 8), (2, 8, 8, 3), (1, 8, 9, 3), ()])
    def test_another_shape_is_refused(self, runner: Runner, shape: tuple[int, ...]) -> None:
        with raises(ModelError, "E_MODEL_FRAME", says=("uint8", "[1, 8, 8, 3]")):
            runner.run(np.zeros(shape, np.uint8))

    @pytest.mark.parametrize("dtype", [np.int8, np.float32, np.uint16, np.bool_])
    def test_another_type_is_refused(self, runner: Runner, dtype: type[np.generic]) -> None:
        with raises(ModelError, "E_MODEL_FRAME", says="uint8"):
            runner.run(np.zeros((1, 8, 8, 3), dtype))  # type: ignore[arg-type]

    def test_a_view_that_is_not_contiguous_is_refused(self, runner: Runner, toy: ModuleType) -> None:
        wide = np.zeros((1, 8, 16, 3), np.uint8)
        for view in (wide[:, :, ::2], toy.frames(1)[:, :, ::-1], toy.frames(1).transpose(0, 2, 1, 3)):
            with raises(ModelError, "E_MODEL_FRAME", says="numpy.ascontiguousarray"):
                runner.run(view)

    def test_after_a_refusal_it_still_predicts(self, runner: Runner, toy: ModuleType) -> None:
        with pytest.raises(ModelError):
            runner.run(np.zeros((1, 4, 4, 3), np.uint8))
        assert runner.run(toy.frames(1)).shape == (3,)

    def test_two_runners_of_one_model_do_not_disturb_each_other(self, model: Path, graph: Path, toy: ModuleType) -> None:
        frames = toy.frames(2)
        one, other = open_runner(self.backend, model), open_runner(self.backend, model)
        first = one.run(frames[:1])
        second = other.run(frames[1:])
        other.close()
        np.testing.assert_array_equal(one.run(frames[:1]), first)
        one.close()
        np.testing.assert_allclose([first, second], toy.answers(graph, frames), atol=self.accuracy)

    def test_a_reference_run_predicts_as_the_graph_is_written(self, model: Path, graph: Path, toy: ModuleType) -> None:
        runner = open_runner(self.backend, model, reference=True)
        np.testing.assert_allclose(runner.run(toy.frames(1)), toy.answers(graph, toy.frames(1))[0], atol=1e-5)
        runner.close()

    def test_a_missing_file_is_named(self, library: None, tmp_path: Path) -> None:
        with raises(ModelError, "E_MODEL_FILE_MISSING", says=f"none{self.suffix}"):
            open_runner(self.backend, tmp_path / f"none{self.suffix}")

    def test_a_folder_is_no_model(self, library: None, tmp_path: Path) -> None:
        (tmp_path / f"folder{self.suffix}").mkdir()
        with raises(ModelError, "E_MODEL_FILE_MISSING"):
            open_runner(self.backend, tmp_path / f"folder{self.suffix}")

    @pytest.mark.parametrize("name", ["model.pt", "model", "model.onnx.zip"])
    def test_another_kind_of_file_is_refused_with_the_kinds_there_are(
        self, library: None, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ModelError) as caught:
            open_runner(self.backend, tmp_path / name)
        assert f"{self.backend} reads" in str(caught.value)
        for suffix in BACKENDS[self.backend].suffixes:
            assert suffix in str(caught.value)

    def test_a_model_of_noughts_is_refused_in_one_line(self, library: None, tmp_path: Path) -> None:
        path = tmp_path / f"noughts{self.suffix}"
        path.write_bytes(bytes(64))
        with pytest.raises(self.refusal) as caught:
            open_runner(self.backend, path)
        assert "noughts" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_no_threads_at_all_are_refused(self, model: Path) -> None:
        with raises(ConfigError, "E_CONFIG_RANGE", says=("0", "1")):
            open_runner(self.backend, model, threads=0)

    def test_more_threads_give_the_same_prediction(self, model: Path, runner: Runner, toy: ModuleType) -> None:
        two = open_runner(self.backend, model, threads=2)
        np.testing.assert_allclose(two.run(toy.frames(1)), runner.run(toy.frames(1)), atol=1e-6)
        two.close()


class TestOpenVINO(RunnerContract):
    """From an OpenVINO model file."""

    backend, suffix = "openvino", ".xml"

    def make(self, graph: Path) -> Path:
        import openvino as ov

        ov.save_model(ov.Core().read_model(graph), graph.with_suffix(".xml"), compress_to_fp16=False)
        return graph.with_suffix(".xml")

    def test_a_model_without_its_weights_is_refused(self, model: Path) -> None:
        model.with_suffix(".bin").unlink()
        with raises(ModelError, "E_MODEL_BACKEND_LOAD"):
            open_runner("openvino", model)

    def test_a_cache_is_filled_and_gives_the_same_prediction(self, model: Path, tmp_path: Path, toy: ModuleType) -> None:
        answers = []
        for _ in range(2):
            runner = open_runner("openvino", model, cache_dir=tmp_path / "cache")
            answers.append(runner.run(toy.frames(1)))
            runner.close()
        assert any((tmp_path / "cache").iterdir())
        np.testing.assert_array_equal(answers[0], answers[1])

    @pytest.mark.parametrize("harm", ["another precision", "damaged", "cut short"])
    def test_a_cache_that_is_not_its_own_changes_no_prediction(
        self, model: Path, tmp_path: Path, toy: ModuleType, harm: str
    ) -> None:
        import openvino as ov

        folder = tmp_path / "cache"
        if harm == "another precision":  # the default of this processor: bfloat16 where it has it
            ov.Core().compile_model(ov.Core().read_model(model), "CPU", {"CACHE_DIR": str(folder)})
        else:
            open_runner("openvino", model, cache_dir=folder).close()
            for blob in folder.glob("*.blob"):
                data = bytearray(blob.read_bytes())
                data[len(data) // 2] ^= 0xFF
                blob.write_bytes(data if harm == "damaged" else data[:200])
        assert any(folder.glob("*.blob"))
        runners = [open_runner("openvino", model, cache_dir=at) for at in (None, folder)]
        answers = [runner.run(toy.frames(1)) for runner in runners]
        np.testing.assert_array_equal(answers[0], answers[1])

    @pytest.mark.parametrize("from_onnx", [False, True])
    def test_the_network_behind_a_tensor_predicts_as_the_whole(
        self, model: Path, graph: Path, toy: ModuleType, from_onnx: bool
    ) -> None:
        frame = toy.frames(1)
        network = open_network("openvino", graph if from_onnx else model, "image")
        assert (network.input_shape, network.dtype) == ((1, 3, toy.SIDE, toy.SIDE), np.dtype("float32"))
        image = np.ascontiguousarray(frame.transpose(0, 3, 1, 2)).astype(np.float32) * np.float32(1 / 255)
        np.testing.assert_allclose(network.run(image), toy.answers(graph, frame)[0], atol=1e-5)
        with raises(ModelError, "E_MODEL_FRAME", says="float32"):
            network.run(frame)
        network.close()

    def test_a_tensor_that_is_not_there_gives_the_nearest(self, model: Path) -> None:
        with raises(ModelError, "E_MODEL_GRAPH", says=("'imag'", "'image'")):
            open_network("openvino", model, "imag")


class TestOpenVINOFromONNX(RunnerContract):
    """From the ONNX graph itself."""

    backend, suffix = "openvino", ".onnx"

    def make(self, graph: Path) -> Path:
        return graph

    def test_an_open_shape_is_refused(self, library: None, toy: ModuleType, tmp_path: Path) -> None:
        with raises(ModelError, "E_MODEL_INPUT"):
            open_runner("openvino", toy.write_graph(tmp_path / "d.onnx", dynamic=True))


class TestONNXRuntime(RunnerContract):
    """ONNX Runtime, the reference."""

    backend, suffix, accuracy = "onnxruntime", ".onnx", 0.0

    def make(self, graph: Path) -> Path:
        return graph

    def test_an_open_shape_is_refused(self, library: None, toy: ModuleType, tmp_path: Path) -> None:
        with raises(ModelError, "E_MODEL_INPUT"):
            open_runner("onnxruntime", toy.write_graph(tmp_path / "d.onnx", dynamic=True))

    def test_a_frame_of_another_type_than_a_cameras_is_refused(self, library: None, toy: ModuleType, tmp_path: Path) -> None:
        with raises(ModelError, "E_MODEL_INPUT", says=("uint8", "int32")):
            open_runner("onnxruntime", toy.write_graph(tmp_path / "i.onnx", kind="int32"))

    def test_it_does_not_time_the_network_alone_and_says_who_does(self, model: Path) -> None:
        with raises(ModelError, "E_MODEL_BACKEND_MODE"):
            open_network("onnxruntime", model, "image")


class TestLiteRT(RunnerContract):
    """LiteRT, from the .tflite form of the graph."""

    backend, suffix = "litert", ".tflite"

    def make(self, graph: Path) -> Path:
        from weckd_edge.compile.backends.litert_backend import build_tflite

        (ref,) = build_tflite(graph, "fp32", graph.parent).files
        return graph.parent / ref.path

    def test_it_writes_no_note_to_the_standard_error(self, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
        open_runner("litert", model).close()
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("keep", [16, 200, 0.5])
    def test_a_model_cut_short_is_refused_in_one_line(self, model: Path, keep: float) -> None:
        data = model.read_bytes()
        model.write_bytes(data[: int(keep if keep > 1 else len(data) * keep)])
        with pytest.raises(ModelError) as caught:
            open_runner("litert", model)
        assert "\n" not in str(caught.value)

    def test_proved_bytes_are_opened_without_their_file(self, model: Path, graph: Path, toy: ModuleType) -> None:
        data = model.read_bytes()
        model.unlink()
        runner = open_runner("litert", ModelBytes(path=str(model), graph=data))
        np.testing.assert_allclose(runner.run(toy.frames(1)), toy.answers(graph, toy.frames(1))[0], atol=1e-5)

    def test_it_does_not_time_the_network_alone_and_says_who_does(self, model: Path) -> None:
        with raises(ModelError, "E_MODEL_BACKEND_MODE"):
            open_network("litert", model, "image")


class TestTensorRT(RunnerContract):
    """TensorRT, by a stand-in for its binding and for CUDA."""

    backend, suffix, refusal = "tensorrt", ".engine", DeviceError

    @pytest.fixture
    def library(self, tensorrt: ModuleType) -> None:
        """The stand-in takes the place of the library."""

    def make(self, graph: Path) -> Path:
        from weckd_edge.devices.runtime.backends.tensorrt_backend import build_engine

        recipe = recipe_for(graph)
        (plan, *_) = plans_for(recipe, "10.3.0")
        graph.with_suffix(".engine").write_bytes(build_engine(graph, recipe, plan).data)
        return graph.with_suffix(".engine")

    def test_a_reference_run_predicts_as_the_graph_is_written(self, model: Path, graph: Path, toy: ModuleType) -> None:
        with raises(ModelError, "E_MODEL_BACKEND_MODE"):
            open_runner("tensorrt", model, reference=True)

    def test_closing_frees_the_devices_memory_in_the_order_tensorrt_asks_for(
        self, model: Path, toy: ModuleType, tensorrt: ModuleType, cuda: ModuleType
    ) -> None:
        runner = open_runner("tensorrt", model)
        runner.run(toy.frames(1))
        assert (len(cuda.blocks), len(cuda.streams)) == (2, 1)
        assert tensorrt.told("freed") == ["engine", "runtime"]  # from looking at the new engine's layers
        tensorrt.calls.clear()
        runner.close()
        assert (cuda.blocks, cuda.streams) == ({}, set())
        assert tensorrt.told("freed") == ["context", "engine", "runtime"]

    def test_a_prediction_waits_for_the_stream(self, runner: Runner, toy: ModuleType, cuda: ModuleType) -> None:
        cuda.calls.clear()
        runner.run(toy.frames(1))
        assert cuda.calls == ["cudaMemcpyAsync", "cudaMemcpyAsync", "cudaStreamSynchronize"]

    def test_an_engine_of_another_version_is_reported_what_to_do(self, model: Path, tensorrt: ModuleType) -> None:
        tensorrt.become("10.16.2")
        with raises(DeviceError, "E_DEVICE_ENGINE", says=("10.3.0", "weckd-edge finalize")):
            open_runner("tensorrt", model)

    def test_an_engine_of_another_type_than_a_cameras_is_refused(
        self, library: None, toy: ModuleType, tmp_path: Path
    ) -> None:
        engine = self.make(toy.write_graph(tmp_path / "i.onnx", kind="int32"))
        with raises(ModelError, "E_MODEL_INPUT", says=("uint8", "float32", "'frame'", "INT32")):
            open_runner("tensorrt", engine)

    def test_no_memory_for_an_engine_is_reported(self, model: Path, tensorrt: ModuleType, cuda: ModuleType) -> None:
        tensorrt.out_of_memory = True
        with raises(DeviceError, "E_DEVICE_MEMORY"):
            open_runner("tensorrt", model)
        assert cuda.blocks == {}

    def test_a_failed_start_and_a_failed_copy_are_reported(
        self, runner: Runner, toy: ModuleType, tensorrt: ModuleType, cuda: ModuleType
    ) -> None:
        tensorrt.launch_fails = True
        with raises(DeviceError, "E_DEVICE_ENGINE"):
            runner.run(toy.frames(1))
        cuda.failing["cudaMemcpyAsync"] = 700
        with raises(DeviceError, "E_DEVICE_CUDA", says="700"):
            runner.run(toy.frames(1))

    def test_without_the_cuda_runtime_it_says_how_to_get_it(self, model: Path, cuda: ModuleType) -> None:
        cuda.present = False
        with raises(MissingDependency, "E_MISSING_LIBRARY", says=("libcudart", "apt install nvidia-jetpack")):
            open_runner("tensorrt", model)

    def test_without_the_binding_it_names_the_extra(
        self, toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import sys

        monkeypatch.setitem(sys.modules, "tensorrt", None)
        shutil.copy(toy.write_graph(tmp_path / "m.onnx"), tmp_path / "m.engine")
        with raises(MissingDependency, "E_MISSING_LIBRARY", says="'weckd-edge[tensorrt]'"):
            open_runner("tensorrt", tmp_path / "m.engine")


def test_the_stand_in_offers_nothing_that_the_real_binding_lacks(tensorrt: ModuleType) -> None:
    """TensorRT-RTX shares the binding's API; flags of precision are TensorRT's own."""
    real = pytest.importorskip("tensorrt_rtx")
    for name, stand_in in vars(tensorrt).items():
        if not inspect.isclass(stand_in) or stand_in.__module__ != "tensorrt" or name.endswith("Flag"):
            continue
        if name.startswith("_"):
            continue
        for member in vars(stand_in):
            assert member.startswith("_") or hasattr(getattr(real, name), member) or name == "INetworkDefinition", member
        assert hasattr(real, name), name
    for name in ("log", "Severity"):
        assert hasattr(real.ILogger, name)


def test_every_entry_of_the_backend_table_imports_and_opens_models() -> None:
    for name, row in BACKENDS.items():
        module = importlib.import_module(row.module)
        assert name == module.NAME
        assert set(inspect.signature(module.open_model).parameters) == {"model", "threads", "cache_dir", "reference"}
        assert hasattr(module, "open_network") is row.network_only
        assert row.suffixes
        assert name in row.runs


def test_every_command_of_the_command_line_imports_and_is_named_as_in_the_table() -> None:
    for name, entry in COMMANDS.items():
        command = importlib.import_module(entry.module).command
        assert command.name == name
        assert entry.help.endswith(".")


def test_an_unknown_backend_gives_the_nearest(tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("'tensort'", "'tensorrt'")):
        open_runner("tensort", tmp_path / "m.engine")
