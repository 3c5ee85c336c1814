"""Each version of trtexec is given options it knows, and options that make its times comparable."""

import pytest

from support.errors import raises
from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.jetson.recipe import GraphFile, TensorRTRecipe
from weckd_edge.devices.jetson.trtexec import describe_by_hand, trtexec_lines
from weckd_edge.devices.jetson.version_rules import RULES

# sampleOptions.cpp of the release branches: option, first version with it, first version without it.
KNOWN = {
    "--int8": ((8, 0), (11, 0)),
    "--fp16": ((8, 0), (11, 0)),
    "--stronglyTyped": ((10, 3), (99,)),
    "--buildOnly": ((8, 0), (10, 0)),
    "--skipInference": ((8, 6), (99,)),
    "--memPoolSize": ((8, 4), (99,)),
    "--timingCacheFile": ((8, 0), (99,)),
    "--profilingVerbosity": ((8, 2), (99,)),
    "--exportLayerInfo": ((8, 2), (99,)),
}
VERSIONS = ("8.5.2", "8.6.2", "10.3.0", "10.13.3", "10.16.2", "11.4.1")


def recipe(*, precision: str = "int8") -> TensorRTRecipe:
    graphs = tuple(
        GraphFile(form=form, name=f"{form}.onnx", sha256=form, opset=None)  # type: ignore[arg-type]  # mypy reads texts
        for form in ("float32", "float32-frame", "float16", "plain")
    )
    return TensorRTRecipe(onnx_sha256="x", graphs=graphs, precision=precision, device="d", part_numbers=())  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize("version", VERSIONS)
def test_every_option_is_one_that_the_version_knows(version: str) -> None:
    builds, _ = trtexec_lines(recipe(), version)
    number = tuple(int(part) for part in version.split("."))
    for option in [option for build in builds for option in build.split()[1:]]:
        name = option.partition("=")[0]
        if name in KNOWN:
            since, below = KNOWN[name]
            assert since <= number < below, option


def test_the_lines_say_the_form_the_types_and_the_workspace() -> None:
    build = {version: trtexec_lines(recipe(), version)[0][0] for version in VERSIONS}
    assert "--onnx=float32-frame.onnx" in build["8.5.2"]
    assert "--onnx=float32.onnx" in build["10.3.0"]
    assert "--int8 --fp16" in build["10.3.0"]
    assert "--onnx=float16.onnx" in build["10.13.3"]
    assert "--stronglyTyped" in build["10.13.3"]
    assert not {"--int8", "--fp16", "--stronglyTyped"} & set(build["11.4.1"].split())
    assert all("--memPoolSize=workspace:512" in line for line in build.values())
    assert all("--int8" not in line for line in trtexec_lines(recipe(precision="fp16"), "10.3.0")[0])
    second, third = trtexec_lines(recipe(), "10.3.0")[0][1:]
    assert "--onnx=float16.onnx" in second
    assert "--stronglyTyped" in second
    assert "--onnx=plain.onnx" in third
    assert "--int8" not in third


def test_times_are_taken_alike_whatever_the_version_counts_by_default() -> None:
    pinned = {"--useCudaGraph", "--useSpinWait", "--noDataTransfers"}
    for version in VERSIONS:
        options = set(trtexec_lines(recipe(), version)[1].split())
        assert (options >= pinned) is not version.startswith("11")
        assert bool(options & pinned) is not version.startswith("11")


def test_the_text_has_lines_for_every_range_and_says_where_there_are_none() -> None:
    text = describe_by_hand(recipe())
    assert text.count("trtexec --loadEngine=") == len(RULES) == 6
    assert text.count("trtexec --onnx=") == sum(len(rule.attempts) for rule in RULES)
    assert "JetPack 5 has Python 3.8" in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("    ")) <= 125


def test_a_version_off_the_table_has_no_lines() -> None:
    with raises(DeviceError, "E_DEVICE_TENSORRT"):
        trtexec_lines(recipe(), "9.1.0")
