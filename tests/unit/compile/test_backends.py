"""What turns the int8 graph into the form a device runs: OpenVINO's IR, TensorRT's recipe and two proofs ahead."""

from __future__ import annotations

import json
import re
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.artifacts import ExecutedLayer, Int8Count
from weckd_edge.compile.backends import (
    nncf_backend,
    openvino_backend,
    tensorrt_backend,
    tensorrt_rtx_backend,
    torch_tensorrt_backend,
)
from weckd_edge.compile.backends.tensorrt_forms import take_float_frame
from weckd_edge.compile.graph import HALF_OPSET, IR_VERSIONS, OPSET
from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT
from weckd_edge.compile.quantize.fp16_form import make_half
from weckd_edge.compile.quantize.qdq_rules import find_violations
from weckd_edge.core.errors import DeviceError, ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import check_ref, file_ref, sha256_file
from weckd_edge.devices.jetson.recipe import read_recipe
from weckd_edge.devices.jetson.version_rules import RULES
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.devices.runtime.backends import table
from weckd_edge.devices.runtime.backends.int8_saturation import LARGEST_SAFE_WEIGHT
from weckd_edge.devices.runtime.backends.openvino_layers import count_layers
from weckd_edge.devices.runtime.backends.table import open_runner

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def graphs(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The FP32 graph, and the int8 graphs for either target."""
    place = tmp_path_factory.mktemp("graphs")
    index = networks.write_images(place / "images")
    exported = networks.export(networks.inverted(), place / "fp32")
    for name, form in (("cpu", PROCESSOR), ("jetson", TENSORRT)):
        networks.quantized(exported, place / "fp32", index, place / "images", place / name, form=form)
    return {name: place / name / "model.onnx" for name in ("fp32", "cpu", "jetson")}


def write_transposed_frame(path: Path) -> Path:
    """A graph that transposes the uint8 frame before it casts it, which no TensorRT reads."""
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            node("Transpose", ["frame"], ["planes"], name="turn_the_frame", perm=[0, 3, 1, 2]),
            node("Cast", ["planes"], ["float"], name="cast", to=onnx.TensorProto.FLOAT),
            node("ReduceMean", ["float"], ["probabilities"], name="mean", axes=[2, 3], keepdims=0),
        ],
        "toy",
        [value("frame", onnx.TensorProto.UINT8, [1, 8, 8, 3])],
        [value("probabilities", onnx.TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


class TestOpenVINO:
    @pytest.fixture(autouse=True)
    def _needs(self) -> None:
        pytest.importorskip("openvino")

    def test_the_ir_is_two_files_with_their_digests(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        import openvino

        built = openvino_backend.build_ir(graphs["cpu"], "int8", tmp_path)
        assert [ref.path for ref in built.files] == ["model.xml", "model.bin"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
        for ref in built.files:
            check_ref(tmp_path, ref)
        assert (built.backend, built.kind, built.precision) == ("openvino", "model", "int8")
        assert openvino.__version__.startswith(built.backend_version + "-")
        assert built.source_sha256 == sha256_file(graphs["cpu"])

    @pytest.mark.parametrize("name", ["fp32", "cpu"])
    def test_the_ir_predicts_as_the_graph_does(
        self, networks: ModuleType, graphs: dict[str, Path], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(table, "would_saturate", lambda model: False)  # both as int8 is computed on this processor
        openvino_backend.build_ir(graphs[name], "int8", tmp_path)
        runners = [open_runner("openvino", path) for path in (graphs[name], tmp_path / "model.xml")]
        for frame in networks.frames(8, networks.contract()):
            a, b = (runner.run(np.ascontiguousarray(frame[None])) for runner in runners)
            assert np.abs(a - b).max() < 1e-6

    def test_weights_keep_their_precision(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        openvino_backend.build_ir(graphs["fp32"], "fp32", tmp_path)
        text = (tmp_path / "model.xml").read_text()
        assert 'element_type="f32"' in text
        assert 'element_type="f16"' not in text
        constants = [onnx.numpy_helper.to_array(t) for t in onnx.load(graphs["fp32"]).graph.initializer]
        stored = (tmp_path / "model.bin").read_bytes()
        weights = [c.tobytes() for c in constants if c.ndim == 4 and c.size > 100]
        assert weights
        assert all(w in stored for w in weights)

    def test_the_model_says_how_many_layers_run_in_int8(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        counts = []
        for name in ("cpu", "fp32"):
            (tmp_path / name).mkdir()
            built = openvino_backend.build_ir(graphs[name], "int8", tmp_path / name)
            counts.append((built.int8_layers, built.layers, built.detail))
        assert counts == [(9, 9, ()), (0, 9, ())]

    def test_the_layers_that_really_run_are_named_with_precision_and_kernel(
        self, graphs: dict[str, Path], tmp_path: Path
    ) -> None:
        built = openvino_backend.build_ir(graphs["cpu"], "int8", tmp_path)
        layers = openvino_backend.executed_layers(tmp_path / "model.xml")
        convolutions = [layer for layer in layers if layer.kind == "Convolution"]
        assert len(convolutions) == 8
        assert {layer.precision for layer in convolutions} <= {"i8", "u8"}
        assert all(layer.kernel and layer.name for layer in layers)
        assert {layer.kind for layer in layers}.isdisjoint({"Const", "Input", "Output"})
        assert built.settings == {"INFERENCE_PRECISION_HINT": "f32"}
        floats = openvino_backend.executed_layers(graphs["fp32"])
        assert {layer.precision for layer in floats if layer.kind == "Convolution"} == {"f32"}, "never bfloat16"
        written = openvino_backend.executed_layers(graphs["cpu"], reference=True)
        assert {layer.precision for layer in written if layer.kind == "Convolution"} == {"f32"}, "no int8 kernel"

    @pytest.mark.parametrize("reduce_range", [False, True])
    def test_weights_of_nncf_keep_to_seven_bits_where_that_is_asked(
        self, networks: ModuleType, graphs: dict[str, Path], tmp_path: Path, reduce_range: bool
    ) -> None:
        pytest.importorskip("nncf")
        import openvino

        frames = [np.ascontiguousarray(frame[None]) for frame in networks.frames(4, networks.contract())]
        half: Any = {"reduce_range": True} if reduce_range else {}
        nncf_backend.build_int8_ir(graphs["fp32"], frames, len(frames), "network_input", tmp_path, **half)
        model = openvino.Core().read_model(tmp_path / "model.xml")
        codes = [op.data for op in model.get_ordered_ops() if op.get_type_name() == "Constant" and op.data.dtype == np.int8]
        largest = [int(np.abs(values.astype(np.int16)).max()) for values in codes if values.ndim > 1]
        assert (max(largest) <= LARGEST_SAFE_WEIGHT) is reduce_range
        if reduce_range:
            runners = [open_runner("openvino", tmp_path / "model.xml", reference=written) for written in (False, True)]
            for frame in frames:
                fused, as_written = (runner.run(frame) for runner in runners)
                assert np.abs(fused - as_written).max() < 0.02, "no sum overflows, with VNNI or without"

    def test_the_same_graph_gives_the_same_bytes_wherever_it_lies(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        built = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            copy = tmp_path / name / f"{name}.onnx"
            copy.write_bytes(graphs["cpu"].read_bytes())
            built.append(openvino_backend.build_ir(copy, "int8", tmp_path / name))
        assert built[0] == built[1]
        assert str(tmp_path).encode() not in (tmp_path / "a/model.xml").read_bytes()

    def test_bytes_that_are_no_graph_are_one_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "broken.onnx").write_bytes(b"\xff" * 64)
        with raises(ModelError, "E_MODEL_BACKEND_LOAD", says="broken.onnx") as caught:
            openvino_backend.build_ir(tmp_path / "broken.onnx", "int8", tmp_path)
        assert "\n" not in str(caught.value)

    def test_an_operator_that_openvino_lacks_is_one_clear_error(self, tmp_path: Path) -> None:
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Unheard", ["frame"], ["probabilities"], domain="somewhere")],
            "toy",
            [value("frame", onnx.TensorProto.FLOAT, [1, 3])],
            [value("probabilities", onnx.TensorProto.FLOAT, [1, 3])],
        )
        opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("somewhere", 1)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "odd.onnx")
        with raises(ModelError, "E_MODEL_BACKEND_LOAD", says="odd.onnx") as caught:
            openvino_backend.build_ir(tmp_path / "odd.onnx", "int8", tmp_path)
        assert "\n" not in str(caught.value)

    def test_signed_and_unsigned_are_int8_and_other_kinds_and_the_preprocessing_are_not_counted(self) -> None:
        kinds = ("Convolution", "FullyConnected", "MatMul", "MatMul", "Reorder")
        layers = [
            ExecutedLayer(name=f"{kind}_{place}", kind=kind, precision=precision, kernel="k")
            for place, (kind, precision) in enumerate(zip(kinds, ("u8", "i8", "f32", "f32", "u8"), strict=True))
        ]
        count = Int8Count(int8_layers=2, layers=3, float_layers=("MatMul_2",))
        assert count_layers(layers, before=["MatMul_3"]) == count


class TestTensorRTRTX:
    @pytest.fixture(autouse=True)
    def _needs(self) -> None:
        pytest.importorskip("tensorrt_rtx")

    def test_the_graph_for_the_jetson_is_accepted_and_only_the_table_of_layers_is_kept(
        self, graphs: dict[str, Path], tmp_path: Path
    ) -> None:
        import tensorrt_rtx

        before = sorted(graphs["jetson"].parent.iterdir())
        built = tensorrt_rtx_backend.preflight(graphs["jetson"], tmp_path)
        assert (built.backend, built.kind) == ("tensorrt-rtx", "preflight")
        assert built.backend_version == tensorrt_rtx.__version__
        assert built.source_sha256 == sha256_file(graphs["jetson"])
        pairs = sum(node.op_type == "QuantizeLinear" for node in onnx.load(graphs["jetson"]).graph.node)
        assert built.detail[0] == (
            f"9 of 9 convolutions and matrix products read int8; {pairs} quantize and {pairs} dequantize layers "
            "were accepted"
        )
        assert built.detail[1].startswith("built ahead of time without a GPU (")
        assert built.detail[1].endswith(", 9 of 9 weighted ones in int8")
        assert sorted(graphs["jetson"].parent.iterdir()) == before
        (ref,) = built.files
        table = json.loads(check_ref(tmp_path, ref).read_text())
        assert (ref.path, table["graph"]) == ("layers-model.json", "model.onnx")
        convolutions = [layer for layer in table["built"] if layer["kind"] == "correlation"]
        assert [layer["reads"] for layer in convolutions] == [["int8"]] * 8
        assert sum(layer["kind"] == "CONVOLUTION" for layer in table["parsed"]) == 8
        assert table["parsed"][0] == {
            "name": "/preprocess/Cast",
            "kind": "CAST",
            "reads": ["frame"],
            "writes": ["/preprocess/Cast_output_0"],
            "types": ["float"],
        }

    def test_what_tensorrt_cannot_fuse_is_named(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        detail = tensorrt_rtx_backend.preflight(graphs["jetson"], tmp_path).detail
        assert detail[2] == "7 of 9 of them hand on int8 by TensorRT's fusion rules"
        # Hardswish is a product with the convolution's own output; the head's answer goes to the softmax.
        assert "/network/neck/neck.0/Conv (the other branch of" in detail[3]
        assert "/network/head/Gemm (/Softmax (SOFTMAX) reads it)" in detail[3]
        assert "network_input_QuantizeLinear (behind /preprocess/Sub (ELEMENTWISE))" in detail[4]

    def test_convolutions_in_float_are_counted_as_such(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        built = tensorrt_rtx_backend.preflight(graphs["fp32"], tmp_path, precision="fp16")
        assert built.precision == "fp16"
        detail = built.detail
        assert (
            detail[0]
            == "0 of 9 convolutions and matrix products read int8; 0 quantize and 0 dequantize layers were accepted"
        )
        assert re.search(r", 0 of \d weighted ones in int8$", detail[1])
        assert detail[-1].startswith("in floating point read: ")
        assert detail[-1].count("/Conv") == 4
        assert detail[-1].endswith("and 5 more"), "the table of layers names all"

    @pytest.mark.parametrize("form", ["half", "float-frame"])
    def test_every_form_is_accepted_with_all_convolutions_in_int8(
        self, graphs: dict[str, Path], tmp_path: Path, form: str
    ) -> None:
        make = {"half": make_half, "float-frame": take_float_frame}[form]
        onnx.save(make(onnx.load(graphs["jetson"])), tmp_path / "form.onnx")
        detail = tensorrt_rtx_backend.preflight(tmp_path / "form.onnx", tmp_path).detail
        assert detail[0].startswith("9 of 9 convolutions and matrix products read int8")
        assert detail[1].endswith(", 9 of 9 weighted ones in int8")

    def test_a_refused_node_is_named(self, tmp_path: Path) -> None:
        path = write_transposed_frame(tmp_path / "refused.onnx")
        with raises(ModelError, "E_MODEL_BACKEND_LOAD", says=("refused.onnx", "turn_the_frame (Transpose)")):
            tensorrt_rtx_backend.preflight(path, tmp_path)

    def test_a_file_that_is_no_graph_is_one_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "broken.onnx").write_bytes(b"\xff" * 64)
        with raises(ModelError, "E_MODEL_BACKEND_LOAD", says="broken.onnx") as caught:
            tensorrt_rtx_backend.preflight(tmp_path / "broken.onnx", tmp_path)
        assert "\n" not in str(caught.value)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with raises(ModelError, "E_MODEL_FILE_MISSING", says="none.onnx"):
            tensorrt_rtx_backend.preflight(tmp_path / "none.onnx", tmp_path)


class TestTensorRT:
    def recipe(self, graph: Path, folder: Path, device: str = "jetson-orin-nano-8gb", frames: Any = None) -> Any:
        folder.mkdir(exist_ok=True)
        shown = self.frames if frames is None else frames
        return tensorrt_backend.prepare_recipe(
            file_ref(graph.parent, graph), graph, load_profile(device), folder, shown, self.spec
        )

    @pytest.fixture(autouse=True)
    def _frames(self, networks: ModuleType) -> None:
        self.spec = networks.contract()
        self.frames = [frame[None] for frame in networks.frames(6, self.spec)]

    def test_the_recipe_names_every_form_of_the_graph_and_the_device(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        built = self.recipe(graphs["jetson"], tmp_path)
        recipe = read_recipe(check_ref(tmp_path, built.files[0]))
        assert recipe.onnx_sha256 == built.source_sha256 == sha256_file(graphs["jetson"])
        assert (recipe.precision, recipe.device, recipe.left_out) == ("int8", "jetson-orin-nano-8gb", {})
        assert [(g.form, g.opset) for g in recipe.graphs] == [
            *[("float32", 17), ("float16", 19), ("float32-frame", 17), ("plain", 17)]
        ]
        assert {g.name: g.sha256 for g in recipe.graphs[1:]} == {
            path.name: sha256_file(path) for path in tmp_path.glob("*.onnx")
        }
        assert [ref.path for ref in built.files] == [
            *("recipe.json", "trtexec.txt", "model-float16.onnx", "model-float32-frame.onnx", "model-plain.onnx")
        ]
        assert (built.backend, built.kind, built.precision, built.backend_version) == ("tensorrt", "recipe", "int8", "")
        assert tensorrt_backend.graphs_to_prove(graphs["jetson"], built, tmp_path) == {
            "float32": graphs["jetson"],
            "float16": tmp_path / "model-float16.onnx",
        }

    @pytest.mark.parametrize("device", ["jetson-orin-nano-8gb", "jetson-agx-orin-64gb"])
    def test_every_form_is_of_versions_that_the_oldest_parser_for_it_reads(
        self, graphs: dict[str, Path], tmp_path: Path, device: str
    ) -> None:
        built = self.recipe(graphs["jetson"], tmp_path, device)
        paths = [graphs["jetson"], *(tmp_path / ref.path for ref in built.files if ref.path.endswith(".onnx"))]
        assert len(paths) >= 3
        for path in paths:
            model = onnx.load(path)
            written = [(entry.domain, entry.version) for entry in model.opset_import]
            opset = HALF_OPSET if "float16" in path.name else OPSET
            assert (written, model.ir_version) == ([("", opset)], IR_VERSIONS[opset]), path.name

    def test_every_version_is_given_graphs_whose_frame_it_reads(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        self.recipe(graphs["jetson"], tmp_path, "jetson-agx-orin-64gb")
        recipe = read_recipe(tmp_path / "recipe.json")
        tried: dict[str, set[str]] = {}
        for rule in RULES:
            asked = {attempt.form for attempt in rule.attempts} | ({"plain"} if rule.dla else set())
            for form in asked:
                file = recipe.find(form)  # type: ignore[arg-type]  # mypy reads texts
                assert file is not None
                path = graphs["jetson"] if form == "float32" else tmp_path / file.name
                broken = find_violations(onnx.load(path), tensorrt=f"{rule.since}.0")
                assert not [found.rule for found in broken if "uint8" in found.rule], (rule.since, form)
                tried.setdefault(form, set()).add(rule.since)
        assert tried["float32-frame"] == {"8.5"}
        assert tried.keys() == {graph.form for graph in recipe.graphs}

    def test_a_module_with_a_dla_gets_a_graph_for_it_with_its_ranges(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        built = self.recipe(graphs["jetson"], tmp_path, "jetson-agx-orin-64gb")
        recipe = read_recipe(tmp_path / "recipe.json")
        plain = onnx.load(tmp_path / "model-plain.onnx")
        assert recipe.find("plain") is not None
        assert "model-plain.onnx" in [ref.path for ref in built.files]
        assert recipe.ranges
        assert set(recipe.ranges) <= {name for node in plain.graph.node for name in node.output}

    def test_a_form_that_does_not_predict_alike_is_left_out_and_the_reason_kept(
        self, graphs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("weckd_edge.compile.quantize.fp16_check.HALF_TOLERANCE", 0.0)
        built = self.recipe(graphs["jetson"], tmp_path)
        recipe = read_recipe(tmp_path / "recipe.json")
        assert recipe.find("float16") is None
        assert "the FP16 form differs" in recipe.left_out["float16"]
        assert not (tmp_path / "model-float16.onnx").exists()
        assert any(line.startswith("form float16 is left out: the FP16 form differs") for line in built.detail)
        by_hand = (tmp_path / "trtexec.txt").read_text()
        assert "TensorRT 10.12 up to (not including) 11.0:\n    trtexec --onnx=model.onnx " in by_hand

    def test_the_recipe_says_why_no_engine_is_built_here_and_for_which_versions(
        self, graphs: dict[str, Path], tmp_path: Path
    ) -> None:
        why, releases, half, *advice = self.recipe(graphs["jetson"], tmp_path).detail
        assert "weckd-edge finalize builds it on the Jetson" in why
        for release in load_profile("jetson-orin-nano-8gb").tensorrt:
            assert f"{release.tensorrt} (JetPack {release.jetpack})" in releases
        assert "FP16 form, for TensorRT 10.12 and newer: probabilities differ by" in half
        assert advice
        assert all(line.startswith("advice: ") for line in advice)

    def test_the_same_recipe_has_the_same_bytes(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        assert self.recipe(graphs["jetson"], tmp_path / "a") == self.recipe(graphs["jetson"], tmp_path / "b")

    def test_a_device_that_is_no_jetson_gets_no_recipe(self, graphs: dict[str, Path], tmp_path: Path) -> None:
        with raises(DeviceError, "E_DEVICE_PROFILE", says="generic-x86"):
            self.recipe(graphs["jetson"], tmp_path, "generic-x86")
        assert list(tmp_path.iterdir()) == []

    def test_with_tensorrt_and_a_gpu_it_can_be_built_here(self, tensorrt: ModuleType) -> None:
        assert tensorrt_backend.can_build_here() is True
        assert tensorrt_backend.tensorrt_version() == "10.3.0"

    def test_without_tensorrt_it_cannot(self, cuda: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)  # as if it were not installed
        assert tensorrt_backend.can_build_here() is False
        assert cuda.calls == []

    def test_without_the_cuda_runtime_it_cannot(
        self, tensorrt: ModuleType, cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cuda, "present", False)
        assert tensorrt_backend.can_build_here() is False

    def test_without_a_gpu_it_cannot(self, tensorrt: ModuleType, cuda: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(cuda.failing, "cudaDeviceGetAttribute", 100)
        assert tensorrt_backend.can_build_here() is False

    def test_a_trial_follows_the_recipe_and_keeps_no_engine(
        self, tensorrt: ModuleType, graphs: dict[str, Path], tmp_path: Path
    ) -> None:
        self.recipe(graphs["jetson"], tmp_path)
        before = sorted(tmp_path.iterdir())
        built = tensorrt_backend.preflight(graphs["jetson"], tmp_path, SilentProgress())
        assert tensorrt.told("build_serialized_network") == [["INT8", "FP16"]]
        assert built.detail[1] == "2 of 2 convolutions and matrix products run in int8"
        assert tensorrt.told("set_memory_pool_limit") == [("WORKSPACE", 512 << 20)]
        assert (built.backend, built.kind, built.files, built.backend_version) == ("tensorrt", "preflight", (), "10.3.0")
        assert built.source_sha256 == sha256_file(graphs["jetson"])
        assert "built for this host's own GPU" in built.detail[0]
        assert sorted(tmp_path.iterdir()) == before

    def test_a_refused_node_is_named(
        self, tensorrt: ModuleType, graphs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.recipe(graphs["jetson"], tmp_path)
        monkeypatch.setattr(tensorrt, "parser_error", (3, "turn_the_frame", "Transpose", "no uint8 here"))
        with raises(ModelError, "E_MODEL_BACKEND_LOAD", says=("turn_the_frame (Transpose)", "no uint8 here")):
            tensorrt_backend.preflight(graphs["jetson"], tmp_path, SilentProgress())

    @pytest.mark.parametrize(
        ("version", "form"), [("8.5.2", "-float32-frame"), ("10.13.3", "-float16"), ("11.4.1", "-float16")]
    )
    def test_a_trial_takes_the_form_of_its_version(
        self, tensorrt: ModuleType, graphs: dict[str, Path], tmp_path: Path, version: str, form: str
    ) -> None:
        self.recipe(graphs["jetson"], tmp_path)
        tensorrt.become(version)
        built = tensorrt_backend.preflight(graphs["jetson"], tmp_path, SilentProgress())
        assert built.source_sha256 == sha256_file(tmp_path / f"model{form}.onnx")

    def test_a_version_off_the_table_is_refused(self, tensorrt: ModuleType, graphs: dict[str, Path], tmp_path: Path) -> None:
        self.recipe(graphs["jetson"], tmp_path)
        tensorrt.become("8.2.1")
        with raises(DeviceError, "E_DEVICE_TENSORRT", says=("8.2.1", "8.5")):
            tensorrt_backend.preflight(graphs["jetson"], tmp_path, SilentProgress())

    def test_a_recipe_of_another_kind_of_file_is_refused(
        self, tensorrt: ModuleType, graphs: dict[str, Path], tmp_path: Path
    ) -> None:
        (tmp_path / "recipe.json").write_text(json.dumps({"precision": "int8"}))
        with raises(DeviceError, "E_RECORD_KEY_MISSING", says=("recipe.json", "'onnx_sha256'")):
            tensorrt_backend.preflight(graphs["jetson"], tmp_path, SilentProgress())


class TestTorchTensorRT:
    """By a stand-in for the library; torch is the real one, without its GPU."""

    @pytest.fixture
    def library(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        import torch

        seen: dict[str, Any] = {}

        def convert(program: Any, *, arg_inputs: Any, workspace_size: int) -> bytes:
            seen.update(probabilities=program.module()(*arg_inputs), frame=arg_inputs[0], workspace=workspace_size)
            if seen.get("fails"):
                raise RuntimeError("no converter for aten.x\nmore")
            return b"engine"

        dynamo = SimpleNamespace(convert_exported_program_to_serialized_trt_engine=convert)
        stand_in = SimpleNamespace(dynamo=dynamo, __version__="2.14.0")
        monkeypatch.setitem(sys.modules, "torch_tensorrt", stand_in)  # type: ignore[arg-type]  # all of it that is used
        monkeypatch.setattr(torch.nn.Module, "cuda", lambda self: self)
        zeros = torch.zeros
        monkeypatch.setattr(torch, "zeros", lambda *shape, device="cpu", **kw: zeros(*shape, **kw))
        return seen

    def test_the_whole_network_from_frame_to_probabilities_is_converted(
        self, networks: ModuleType, library: dict[str, Any]
    ) -> None:
        contract = networks.contract()
        assert (
            torch_tensorrt_backend.build_torch_tensorrt_engine(networks.inverted(), contract, workspace_mib=64) == b"engine"
        )
        assert (tuple(library["frame"].shape), str(library["frame"].dtype)) == ((1, 24, 32, 3), "torch.uint8")
        assert library["workspace"] == 64 << 20
        assert float(library["probabilities"].detach().sum()) == pytest.approx(1)

    def test_a_network_it_cannot_convert_is_one_clear_error(self, networks: ModuleType, library: dict[str, Any]) -> None:
        library["fails"] = True
        with raises(ModelError, "E_MODEL_BACKEND_BUILD", says="no converter for aten.x"):
            torch_tensorrt_backend.build_torch_tensorrt_engine(networks.inverted(), networks.contract())

    def test_a_build_keeps_how_it_went_and_goes_on(self, networks: ModuleType, library: dict[str, Any]) -> None:
        built = torch_tensorrt_backend.preflight(networks.inverted(), networks.contract(), "0" * 64)
        assert (built.kind, built.files, built.backend_version) == ("preflight", (), "2.14.0")
        assert built.detail == ("built for this host's own GPU from the torch network (0.0 MiB, not kept)",)
        library["fails"] = True
        refused = torch_tensorrt_backend.preflight(networks.inverted(), networks.contract(), "0" * 64)
        assert refused.detail == ("torch-tensorrt cannot convert this network (no converter for aten.x)",)

    def test_it_builds_only_where_library_and_gpu_are_there(self, cuda: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch_tensorrt", None)  # as if it were not installed
        assert torch_tensorrt_backend.can_build_here() is False
        stand_in = ModuleType("torch_tensorrt")
        stand_in.__spec__ = ModuleSpec("torch_tensorrt", None)
        monkeypatch.setitem(sys.modules, "torch_tensorrt", stand_in)
        assert torch_tensorrt_backend.can_build_here() is True
        monkeypatch.setitem(cuda.failing, "cudaDeviceGetAttribute", 100)
        assert torch_tensorrt_backend.can_build_here() is False
