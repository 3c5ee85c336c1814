import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from weckd_edge.artifacts import FileRef
from weckd_edge.core.errors import ConfigError, DeviceError
from weckd_edge.devices.jetson.recipe import (
    KEY_INGREDIENTS,
    BuildPlan,
    GraphFile,
    TensorRTRecipe,
    dla_plan,
    of_whole_frames,
    plans_for,
    read_recipe,
    write_recipe,
)
from weckd_edge.devices.jetson.version_rules import RULES, Form, check_tensorrt, forms_for, version_tuple
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.pipeline.context import choose_profile

ONNX = FileRef(path="model/model.onnx", sha256="ab" * 32, bytes=1)


FORMS: tuple[Form, ...] = ("float32", "float32-frame", "float16", "plain")


def graph(form: Form) -> GraphFile:
    sha256 = ONNX.sha256 if form == "float32" else form
    return GraphFile(form=form, name=f"model-{form}.onnx", sha256=sha256, opset=17)


def recipe(*, forms: tuple[Form, ...] = FORMS, **changes: Any) -> TensorRTRecipe:
    graphs = tuple(graph(form) for form in forms)
    plain = TensorRTRecipe(onnx_sha256=ONNX.sha256, graphs=graphs, precision="int8", device="d", part_numbers=())
    return dataclasses.replace(plain, **changes)


WEAK, BATCH, STRONG = ("INT8", "FP16"), ("EXPLICIT_BATCH",), ("STRONGLY_TYPED",)


def described(plans: tuple[BuildPlan, ...]) -> list[tuple[str, ...]]:
    return [(plan.graph.form, plan.attempt.precision, *plan.flags) for plan in plans]


@pytest.mark.parametrize(
    ("versions", "plans"),
    [
        (("8.5.2.2",), [("float32-frame", "int8", *BATCH, *WEAK)]),
        (("8.6.1", "8.6.2.3"), [("float32", "int8", *BATCH, *WEAK), ("plain", "fp16", *BATCH, "FP16")]),
        (
            ("10.0.0b6", "10.3.0.30", "10.7.0.23", "10.11.0"),
            [("float32", "int8", *WEAK), ("float16", "int8", *STRONG), ("plain", "fp16", "FP16")],
        ),
        (
            ("10.12.0", "10.13.3.9", "10.16.2.10"),
            [("float16", "int8", *STRONG), ("float32", "int8", *WEAK), ("plain", "fp16", "FP16")],
        ),
        (("11.0.0", "11.4.1"), [("float16", "int8"), ("float32", "int8")]),
    ],
)
def test_each_version_tries_the_graphs_it_reads_with_the_flags_it_knows_in_this_order(
    versions: tuple[str, ...], plans: list[tuple[str, ...]]
) -> None:
    for version in versions:
        assert described(plans_for(recipe(), version)) == plans, version


@pytest.mark.parametrize(
    ("version", "monitor", "dla"), [("8.5.2", False, False), ("8.6.2", False, True), ("10.3.0", True, True)]
)
def test_what_a_version_can_do_is_in_its_row(version: str, monitor: bool, dla: bool) -> None:
    rule = plans_for(recipe(), version)[0].rule
    assert (rule.progress_monitor, rule.dla) == (monitor, dla)
    assert plans_for(recipe(), "10.7.0")[0].rule.dla
    assert not plans_for(recipe(), "10.8.0")[0].rule.dla
    assert not plans_for(recipe(), "11.4.1")[0].rule.dla


@pytest.mark.parametrize("version", ["8.6.2", "10.3.0", "10.13.0", "11.4.1"])
def test_an_fp32_graph_gets_no_precision_flag_and_stays_as_it_is(version: str) -> None:
    for plan in plans_for(recipe(precision="fp32"), version):
        assert (plan.graph.form, plan.attempt.builder_flags) == ("float32", ())


@pytest.mark.parametrize(
    ("version", "plans"),
    [
        ("10.3.0", [("float32", "fp16", "FP16"), ("float16", "fp16", *STRONG)]),
        ("10.13.0", [("float16", "fp16", *STRONG), ("float32", "fp16", "FP16")]),
    ],
)
def test_an_fp16_graph_gets_the_flag_of_its_own_where_types_are_weak(version: str, plans: list[tuple[str, ...]]) -> None:
    assert described(plans_for(recipe(precision="fp16"), version)) == plans


def test_a_dla_gets_the_graph_without_pairs_with_the_flags_of_int8() -> None:
    with_ranges = recipe(ranges={"x": 1.0})
    assert described((dla_plan(with_ranges, "10.7.0"),)) == [("plain", "int8", *WEAK)]
    for version in ("8.5.2", "10.8.0"):
        with raises(DeviceError, "E_DEVICE_DLA", says=(version, "8.6 to 10.7")):
            dla_plan(with_ranges, version)
    with raises(DeviceError, "E_DEVICE_DLA", says="DLA cores"):
        dla_plan(recipe(), "10.7.0")


def test_only_a_recipe_with_a_front_end_has_engines_of_the_whole_frame_and_none_where_the_frame_is_float() -> None:
    plan = plans_for(recipe(), "10.3.0")[0]
    front_end = FileRef(path="front-end.onnx", sha256="cd" * 32, bytes=1)
    assert of_whole_frames(recipe(), plan) is None
    whole = of_whole_frames(recipe(front_end=front_end), plan)
    assert whole is not None
    assert (whole.front_end, whole.name) == (front_end, "int8 float32 of the whole frame")
    old = plans_for(recipe(front_end=front_end), "8.5.2")[0]
    assert of_whole_frames(recipe(front_end=front_end), old) is None


def test_a_profile_says_which_forms_its_bundle_needs() -> None:
    assert forms_for(load_profile("jetson-orin-nano-8gb")) == {"float32", "float32-frame", "float16", "plain"}
    assert "float32-frame" not in forms_for(load_profile("jetson-thor-t5000"))
    assert forms_for(load_profile("jetson-xavier-nx")) == {"float32-frame"}, "its DLA cores have TensorRT 8.5 alone"
    assert "plain" in forms_for(load_profile("jetson-agx-orin-64gb"))


@pytest.mark.parametrize("version", ["8.4.1", "8.2.1", "7.1.3", "5.1"])
def test_a_version_older_than_the_table_is_refused_with_what_to_install(version: str) -> None:
    with raises(DeviceError, "E_DEVICE_TENSORRT", says=(f"{version}", "5.1", "8.5")):
        plans_for(recipe(), version)


@pytest.mark.parametrize("version", ["9.0.0", "9.3.0", "12.0.0", "13.1"])
def test_a_version_off_the_table_is_refused_with_the_table(version: str) -> None:
    with raises(DeviceError, "E_DEVICE_TENSORRT", says=(f"{version}", "8.5", "8.6", "12.0")):
        plans_for(recipe(), version)


def test_a_form_that_was_left_out_is_not_tried() -> None:
    left_out = {"float16": "FP16 would overflow: x"}
    found = plans_for(recipe(forms=("float32", "plain"), left_out=left_out), "10.13.3")
    assert [plan.graph.form for plan in found] == ["float32", "plain"]


def test_a_version_all_of_whose_graphs_were_left_out_is_refused_with_the_reason() -> None:
    with raises(DeviceError, "E_DEVICE_RECIPE", says=("8.5.2", "uint8", "JetPack 6.0")):
        plans_for(recipe(forms=("float32",)), "8.5.2")


def test_the_rules_follow_on_each_other_without_overlap_and_leave_out_9_alone() -> None:
    for one, other in itertools.pairwise(RULES):
        assert one.below == other.since or (one.below, other.since) == ("9.0", "10.0")


def test_a_recipe_without_the_graph_itself_or_with_a_form_twice_is_refused() -> None:
    for forms in (("float16",), ("float32", "float32")):
        with raises(ConfigError, "E_CONFIG_VALUE", says="'float32'"):
            recipe(forms=forms)  # type: ignore[arg-type]  # mypy reads the loop as of texts


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("10.3.0.30", (10, 3, 0, 30)),
        ("8.6.2+cuda12.2", (8, 6, 2)),
        ("10.0.0b6", (10, 0, 0)),
        ("10.1.dev3", (10, 1)),
        ("11.4", (11, 4)),
    ],
)
def test_a_version_is_read_as_far_as_its_numbers_go(text: str, numbers: tuple[int, ...]) -> None:
    assert version_tuple(text) == numbers


@pytest.mark.parametrize("text", ["", "10", "x.1", "10.x", "ten.three"])
def test_a_version_without_two_numbers_is_refused(text: str) -> None:
    with raises(DeviceError, "E_DEVICE_TENSORRT"):
        version_tuple(text)


def test_versions_compare_as_numbers_not_as_text() -> None:
    assert version_tuple("10.16.0") > version_tuple("10.3.0") > version_tuple("8.6.2")


def test_a_written_recipe_reads_back_with_the_modules_of_its_profile(tmp_path: Path) -> None:
    profile = load_profile("jetson-orin-nano-8gb")
    ref = write_recipe(tmp_path, ONNX, profile, precision="fp32", opset=17, workspace_mib=256)
    found = read_recipe(tmp_path / ref.path)
    plain = GraphFile(form="float32", name="model.onnx", sha256=ONNX.sha256, opset=17)
    assert ref.path == "recipe.json"
    assert (found.onnx_sha256, found.device, found.part_numbers) == (ONNX.sha256, profile.id, profile.part_numbers)
    assert (found.precision, found.graphs, found.workspace_mib) == ("fp32", (plain,), 256)
    assert found.rules == RULES
    assert found.key_ingredients == KEY_INGREDIENTS


def test_the_same_recipe_is_the_same_bytes(tmp_path: Path) -> None:
    profile = load_profile("jetson-orin-nano-8gb")
    assert write_recipe(tmp_path, ONNX, profile) == write_recipe(tmp_path, ONNX, profile)


def test_a_profile_that_is_no_jetson_gets_no_recipe(tmp_path: Path) -> None:
    with raises(DeviceError, "E_DEVICE_PROFILE", says="generic-x86"):
        write_recipe(tmp_path, ONNX, load_profile("generic-x86"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"workspace_mib": 8}, "E_CONFIG_RANGE"),
        ({"timing_cache": "../cache"}, "E_CONFIG_VALUE"),
        ({"timing_cache": ""}, "E_CONFIG_VALUE"),
        ({"timing_cache": ".."}, "E_CONFIG_VALUE"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(changes: dict[str, Any], code: str) -> None:
    with raises(ConfigError, code, says=next(iter(changes))):
        recipe(**changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"novelty": 1}, "unknown key 'novelty'"),
        ({"precision": "int4"}, "unknown value 'int4'"),
        ({"schema_version": 2}, "schema 2, this version reads 1; update weckd-edge"),
        ({"timing_cache": "/etc/passwd"}, "expected a plain file name"),
        ({"onnx_sha256": None}, "expected a string"),
    ],
)
def test_a_recipe_file_that_is_wrong_is_reported_by_its_name(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    ref = write_recipe(tmp_path, ONNX, load_profile("jetson-orin-nano-8gb"))
    path = tmp_path / ref.path
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DeviceError) as caught:
        read_recipe(path)
    assert told in str(caught.value)
    assert "recipe.json" in str(caught.value)


def test_a_missing_recipe_and_one_that_is_no_json_are_reported(tmp_path: Path) -> None:
    with raises(DeviceError, "E_DEVICE_RECIPE"):
        read_recipe(tmp_path / "recipe.json")
    (tmp_path / "recipe.json").write_text("{")
    with raises(DeviceError, "E_JSON"):
        read_recipe(tmp_path / "recipe.json")


def test_a_jetson_whose_every_tensorrt_is_off_the_table_is_refused() -> None:
    check_tensorrt(load_profile("jetson-orin-nano-8gb"))
    check_tensorrt(load_profile("generic-x86"))
    with raises(DeviceError, "E_DEVICE_TENSORRT", says=("jetson-nano-4gb", "8.0.1", "8.2.1", "8.5")):
        check_tensorrt(load_profile("jetson-nano-4gb"))


def test_a_build_for_such_a_jetson_is_refused_before_it_starts() -> None:
    assert choose_profile("jetson", "jetson-thor-t5000").id == "jetson-thor-t5000"
    with raises(DeviceError, "E_DEVICE_TENSORRT"):
        choose_profile("jetson", "jetson-nano-4gb")
