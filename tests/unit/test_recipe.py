import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from weckd_edge.artifacts import FileRef
from weckd_edge.devices.profile import load_profile
from weckd_edge.devices.recipe import (
    KEY_INGREDIENTS,
    RULES,
    TensorRTRecipe,
    VersionRule,
    flags_for,
    read_recipe,
    version_tuple,
    write_recipe,
)
from weckd_edge.errors import ConfigError, DeviceError

ONNX = FileRef(path="model/model.onnx", sha256="ab" * 32, bytes=1)


def recipe(**changes: Any) -> TensorRTRecipe:
    plain = TensorRTRecipe(onnx_sha256=ONNX.sha256, precision="int8", opset=17, device="d", part_numbers=())
    return dataclasses.replace(plain, **changes)


@pytest.mark.parametrize(
    ("version", "network", "builder"),
    [
        ("8.6.1", ("EXPLICIT_BATCH",), ("INT8", "FP16")),
        ("8.6.2.3", ("EXPLICIT_BATCH",), ("INT8", "FP16")),
        ("10.0.0b6", (), ("INT8", "FP16")),
        ("10.3.0", (), ("INT8", "FP16")),
        ("10.3.0.30", (), ("INT8", "FP16")),
        ("10.16.2.10", (), ("INT8", "FP16")),
        ("11.0.0", (), ()),
        ("11.4.1", (), ()),
    ],
)
def test_each_version_gets_the_flags_it_knows(version: str, network: tuple[str, ...], builder: tuple[str, ...]) -> None:
    flags = flags_for(recipe(), version)
    assert (flags.network, flags.builder) == (network, builder)
    assert flags.names() == (*network, *builder)


@pytest.mark.parametrize("version", ["8.6.2", "10.3.0", "11.4.1"])
def test_an_fp32_graph_gets_no_precision_flag(version: str) -> None:
    assert flags_for(recipe(precision="fp32"), version).builder == ()


@pytest.mark.parametrize("version", ["8.5.2.2", "8.5.9", "7.1.3", "5.1"])
def test_a_version_that_cannot_cast_the_frame_is_refused_with_what_to_install(version: str) -> None:
    with pytest.raises(DeviceError, match=rf"{version} is older than 8\.6.*install JetPack 6\.0"):
        flags_for(recipe(), version)


def test_a_minimum_with_a_build_number_takes_that_version_and_newer() -> None:
    strict = recipe(minimum_tensorrt="8.6.2")
    assert flags_for(strict, "8.6.2.3").network == ("EXPLICIT_BATCH",)
    assert flags_for(strict, "10.3.0").network == ()
    with pytest.raises(DeviceError, match=r"8\.6\.1 is older than 8\.6\.2"):
        flags_for(strict, "8.6.1")


def test_a_version_without_a_rule_is_refused() -> None:
    old = VersionRule(since="8.6", below="10.0", network_flags=(), builder_flags=(), trtexec=())
    with pytest.raises(DeviceError, match=r"no flags for TensorRT 10\.3\.0; build the bundle again"):
        flags_for(recipe(rules=(old,)), "10.3.0")


def test_the_rules_follow_on_each_other_without_gap_or_overlap() -> None:
    assert version_tuple(RULES[0].since) == version_tuple(recipe().minimum_tensorrt)
    assert [rule.below for rule in RULES] == [*(rule.since for rule in RULES[1:]), None]


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
    with pytest.raises(DeviceError, match="expected numbers such as"):
        version_tuple(text)


def test_versions_compare_as_numbers_not_as_text() -> None:
    assert version_tuple("10.16.0") > version_tuple("10.3.0") > version_tuple("8.6.2")


def test_a_written_recipe_reads_back_with_the_modules_of_its_profile(tmp_path: Path) -> None:
    profile = load_profile("jetson-orin-nano-8gb")
    ref = write_recipe(tmp_path, ONNX, profile, precision="fp32", opset=17, workspace_mib=256)
    found = read_recipe(tmp_path / ref.path)
    assert ref.path == "recipe.json"
    assert (found.onnx_sha256, found.device, found.part_numbers) == (ONNX.sha256, profile.id, profile.part_numbers)
    assert (found.precision, found.opset, found.workspace_mib) == ("fp32", 17, 256)
    assert found.rules == RULES
    assert found.key_ingredients == KEY_INGREDIENTS


def test_the_same_recipe_is_the_same_bytes(tmp_path: Path) -> None:
    profile = load_profile("jetson-orin-nano-8gb")
    assert write_recipe(tmp_path, ONNX, profile) == write_recipe(tmp_path, ONNX, profile)


def test_a_profile_that_is_no_jetson_gets_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"generic-x86: .* expects a jetson profile.* target is cpu"):
        write_recipe(tmp_path, ONNX, load_profile("generic-x86"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes", [{"workspace_mib": 8}, {"timing_cache": "../cache"}, {"timing_cache": ""}, {"timing_cache": ".."}]
)
def test_a_recipe_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        recipe(**changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"novelty": 1}, "unknown key 'novelty'"),
        ({"precision": "int4"}, "unknown value 'int4'"),
        ({"schema_version": 2}, "schema 2, this version reads 1; update weckd-edge"),
        ({"timing_cache": "/etc/passwd"}, "expected a plain file name"),
        ({"onnx_sha256": None}, "expected a text"),
    ],
)
def test_a_recipe_file_that_is_wrong_is_told_by_its_name(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    ref = write_recipe(tmp_path, ONNX, load_profile("jetson-orin-nano-8gb"))
    path = tmp_path / ref.path
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DeviceError) as caught:
        read_recipe(path)
    assert told in str(caught.value)
    assert "recipe.json" in str(caught.value)


def test_a_missing_recipe_and_one_that_is_no_json_are_told(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="expected a TensorRT recipe, cannot read it"):
        read_recipe(tmp_path / "recipe.json")
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(DeviceError, match="expected JSON"):
        read_recipe(tmp_path / "recipe.json")
