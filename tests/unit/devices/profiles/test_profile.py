import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from support.errors import raises
from weckd_edge.core.errors import ConfigError, DeviceError
from weckd_edge.devices.profiles.profile import (
    DeviceProfile,
    JetPackRelease,
    PublishedLatency,
    Source,
    load_profile,
    profile_names,
)

MINIMAL = 'id = "mine"\nname = "Mine"\ntarget = "cpu"\narchitecture = "x86_64"\n'
EXTENDS = 'extends = "jetson-orin-nano-8gb"\nid = "mine"\n'


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def refusal(path: Path, named: str | None = None) -> str:
    """Return the error of a profile that must be refused; it has to be one line that names the file at fault."""
    with pytest.raises((ConfigError, DeviceError)) as caught:
        load_profile(path)
    text = str(caught.value)
    assert "\n" not in text
    assert (path.name if named is None else named) in text
    return text


def test_an_unknown_name_gives_the_nearest_and_lists_all() -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile("jetson-orin-nano")
    assert "did you mean 'jetson-orin-nano-8gb'?" in str(caught.value)
    for name in profile_names():
        assert name in str(caught.value)


def test_a_profile_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, MINIMAL + "tdp_w = 6\n[gates]\nmax_memory_mib = 256\n"))
    assert (profile.id, profile.tdp_w, profile.gates.max_memory_mib) == ("mine", 6.0, 256.0)
    assert profile.unsourced() == ("tdp_w", "gates")


def test_a_path_as_text_is_a_file_and_not_a_name(tmp_path: Path) -> None:
    assert load_profile(str(write(tmp_path, MINIMAL))).id == "mine"
    with raises(DeviceError, "E_FILE_MISSING"):
        load_profile("./generic-x86")


def test_what_extends_a_profile_gives_only_what_differs(tmp_path: Path) -> None:
    base = load_profile("jetson-orin-nano-8gb")
    own = load_profile(
        write(tmp_path, EXTENDS + 'part_numbers = ["p3767-0000"]\ncores = 8\n[gates]\nmax_latency_p90_ms = 10\n')
    )
    assert (own.id, own.cores, own.part_numbers) == ("mine", 8, ("p3767-0000",))
    assert own.gates == dataclasses.replace(base.gates, max_latency_p90_ms=10.0)
    assert (own.tensorrt, own.power_modes, own.name) == (base.tensorrt, base.power_modes, base.name)


def test_what_is_changed_loses_the_sources_of_the_profile_it_extends(tmp_path: Path) -> None:
    source = '[[sources]]\nof = ["cores"]\ntext = "counted"\ndate = "2026-11-24"\nconfidence = "V"\n'
    own = load_profile(write(tmp_path, EXTENDS + "cores = 8\nram_gib = 16.0\n" + source))
    assert own.unsourced() == ("ram_gib",)
    assert [s.text for s in own.sources if "cores" in s.of] == ["counted"]
    assert any("memory_bandwidth_gbps" in s.of for s in own.sources)


def test_a_profile_may_extend_a_file_beside_it(tmp_path: Path) -> None:
    write(tmp_path, EXTENDS.replace("mine", "base") + "cores = 8\n", "base.toml")
    own = load_profile(write(tmp_path, 'extends = "base.toml"\nid = "mine"\nram_gib = 16.0\n'))
    assert (own.id, own.cores, own.ram_gib, own.target) == ("mine", 8, 16.0, "jetson")


@pytest.mark.parametrize("name", ["a.toml", "folder/../a.toml"])
def test_profiles_that_extend_each_other_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path, 'extends = "folder/b.toml"\nid = "a"\n', "a.toml")
    write(tmp_path, 'extends = "../a.toml"\nid = "b"\n', "folder/b.toml")
    assert "in a circle" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (MINIMAL + "tpd_w = 6\n", "unknown key 'tpd_w'; did you mean 'tdp_w'?"),
        (MINIMAL + "[gates]\nlatency = 6\n", "unknown key 'latency'; did you mean 'max_latency_p90_ms'?"),
        (MINIMAL + "cores = 4.5\n", "cores: expected an integer, got 4.5"),
        (MINIMAL + "cores = true\n", "cores: expected an integer, got True"),
        (MINIMAL + "[gates]\nmin_accuracy = 90\n", "min_accuracy = 90.0: expected 0 to 1"),
        (MINIMAL + 'int8_arithmetic = "fast"\n', "unknown value 'fast'"),
        (MINIMAL + "schema_version = 2\n", "schema_version = 2: this version reads 1"),
        (MINIMAL.replace("x86_64", "riscv64"), "unknown value 'riscv64'"),
        (MINIMAL.replace('"cpu"', '"jetson"'), "expected architecture aarch64, got x86_64"),
        (MINIMAL.replace('name = "Mine"\n', ""), "the key 'name' is missing"),
        (
            MINIMAL + '[[sources]]\nof = ["core"]\ntext = "x"\ndate = "2026-11-24"\nconfidence = "V"\n',
            "'core'; did you mean",
        ),
        (MINIMAL + '[[sources]]\nof = ["cores"]\ntext = "x"\ndate = "2026-11-24"\nconfidence = "sure"\n', "'sure'"),
        (MINIMAL + '[[power_modes]]\nname = "7W"\n[[power_modes]]\nname = "7W"\n', "a name appears twice"),
        ("id = \n", "expected TOML"),
        ('extends = "jetson-orin-nano"\nid = "mine"\n', "did you mean 'jetson-orin-nano-8gb'?"),
        ('extends = "generic-x86"\n', "needs an 'id' of its own"),
        ('extends = "generic-x86"\nid = "generic-x86"\n', "needs an 'id' of its own"),
        ('extends = ["generic-x86"]\nid = "mine"\n', "extends: expected a string"),
        ('extends = "none.toml"\nid = "mine"\n', "no such file"),
        ('extends = "generic-x86"\nid = "mine"\ntarget = "jetson"\n', "expected architecture aarch64"),
        ('extends = "generic-x86"\nid = "mine"\nsources = 3\n', "sources: expected a list, got 3"),
    ],
)
def test_what_is_wrong_in_a_profile_is_reported_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    at_fault = {"did you mean 'jetson-orin-nano-8gb'?": "jetson-orin-nano", "no such file": "none.toml"}
    assert told in refusal(path, named=at_fault.get(told))


@pytest.mark.parametrize("sources", ["sources = 3\n", "sources = [3]\n", '[[sources]]\ntext = "no field named"\n'])
def test_a_base_with_unsound_sources_is_reported_and_not_a_crash(tmp_path: Path, sources: str) -> None:
    write(tmp_path, MINIMAL.replace("mine", "base") + sources, "base.toml")
    assert "sources" in refusal(write(tmp_path, 'extends = "base.toml"\nid = "mine"\n'), named="base.toml")


def test_a_file_that_is_missing_or_no_text_is_reported(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "cannot be read" in refusal(tmp_path / "binary.toml")


def test_a_profile_that_changes_the_device_loses_its_published_latencies(tmp_path: Path) -> None:
    base = load_profile("atom-x7425e")
    assert base.published
    renamed = load_profile(write(tmp_path, 'extends = "atom-x7425e"\nid = "mine"\n[gates]\nmax_memory_mib = 64\n', "a.toml"))
    assert renamed.published == base.published
    other = load_profile(write(tmp_path, 'extends = "atom-x7425e"\nid = "mine"\ncores = 2\n', "b.toml"))
    assert other.published == ()
    assert not [source for source in other.sources if "published" in source.of]


def test_what_a_profile_sets_is_no_longer_unknown(tmp_path: Path) -> None:
    assert "cpu_mhz_max" in {gap.of for gap in load_profile("atom-x7425e").unknown}
    own = load_profile(write(tmp_path, 'extends = "atom-x7425e"\nid = "mine"\ncpu_mhz_max = 3000\n'))
    assert "cpu_mhz_max" not in {gap.of for gap in own.unknown}
    assert "memory_bandwidth_gbps" in {gap.of for gap in own.unknown}


def test_a_table_that_is_extended_is_merged_key_by_key(tmp_path: Path) -> None:
    own = load_profile(write(tmp_path, EXTENDS + "[gpu]\nsms = 4\n"))
    assert own.gpu is not None
    assert (own.gpu.sms, own.gpu.tensor_cores) == (4, 32)
    assert own.unsourced() == ("gpu",)


def test_a_profile_without_a_name_for_its_machine_is_generic_only_where_no_chip_is_named(tmp_path: Path) -> None:
    assert load_profile(write(tmp_path, MINIMAL)).is_generic
    chip = load_profile(write(tmp_path, MINIMAL + 'soc = "z80"\n'))
    assert (chip.is_generic, chip.names_itself) == (False, False)


def test_the_weakest_source_decides_how_far_a_value_is_trusted() -> None:
    def source(confidence: Literal["V", "S", "U"]) -> Source:
        return Source(of=("cores",), text="counted", date="2026-11-24", confidence=confidence)

    profile = DeviceProfile(
        id="mine", name="Mine", target="cpu", architecture="aarch64", cores=4, sources=(source("V"), source("S"))
    )
    assert (profile.confidence("cores"), profile.confidence("ram_gib")) == ("S", None)


LATENCY = '[[published]]\nmodel = "m"\nprecision = "int8"\nruntime = "r"\nstatistic = "mean"\nsource = "s"\n'
LATENCY += 'date = "2026-11-24"\nconfidence = "V"\n'


INT8 = '[[int8]]\nruntime = "openvino"\nruns = "none"\nwhich = "w"\nsource = "s"\ndate = "2026-11-24"\nconfidence = "V"\n'


def test_what_a_profile_says_of_int8_comes_before_what_holds_for_its_architecture(tmp_path: Path) -> None:
    assert [(row.runtime, row.runs) for row in load_profile(write(tmp_path, MINIMAL)).int8] == [
        ("openvino", "all"),
        ("onnxruntime", "all"),
    ]
    told = load_profile(write(tmp_path, MINIMAL + INT8)).int8
    assert [(row.runtime, row.runs, row.which) for row in told[:1]] == [("openvino", "none", "w")]
    assert [row.runtime for row in told] == ["openvino", "onnxruntime"]


def test_a_published_latency_may_be_a_span(tmp_path: Path) -> None:
    (row,) = load_profile(write(tmp_path, MINIMAL + LATENCY + "low_ms = 1\nhigh_ms = 2\n")).published
    assert isinstance(row, PublishedLatency)
    assert (row.low_ms, row.high_ms, row.latency_ms, row.batch, row.processor) == (1.0, 2.0, None, 1, "cpu")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LATENCY, "m: expected latency_ms, or both low_ms and high_ms"),
        (LATENCY + "latency_ms = 1\nlow_ms = 1\n", "m: expected latency_ms, or both"),
        (LATENCY + "latency_ms = 1\nlow_ms = 1\nhigh_ms = 2\n", "and not all three"),
        (LATENCY + "low_ms = 1\n", "m: expected latency_ms, or both"),
        (LATENCY + "low_ms = 2\nhigh_ms = 1\n", "low_ms 2 is more than high_ms 1; swap them"),
        (LATENCY + "latency_ms = 0\n", "expected times above 0"),
        (INT8 + INT8, "int8: a name appears twice"),
        (INT8.replace("none", "most"), "unknown value 'most'"),
        (LATENCY + "latency_ms = 1\nbatch = 0\n", "a batch of at least 1"),
        ('[[unknown]]\nof = "core"\nreason = "x"\n', "unknown speaks of 'core'; did you mean 'cores'?"),
        ('cores = 4\n[[unknown]]\nof = "cores"\nreason = "x"\n', "not confirmed, yet it is 4; take one of them out"),
        ('[[power_sensors]]\nchip = "ina3221"\ntotal = ["VIN"]\n', "total names VIN, which rails does not; add it there"),
        ("ram_gib_sold = [8.0]\n", "ram_gib_sold = [8.0]: expected smallest and largest; one size goes into ram_gib"),
        ("ram_gib_sold = [8.0, 4.0]\n", "expected smallest and largest"),
    ],
)
def test_a_record_that_contradicts_itself_is_reported_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(write(tmp_path, MINIMAL + text))


def test_a_base_with_unsound_gaps_is_reported_and_not_a_crash(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL.replace("mine", "base") + "unknown = [3]\n", "base.toml")
    assert "unknown" in refusal(write(tmp_path, 'extends = "base.toml"\nid = "mine"\n'), named="base.toml")


@pytest.mark.parametrize(
    ("span", "l4t", "inside"),
    [
        ("36.4.0 - 36.5.2", "36.4.3", True),
        ("36.4.0 - 36.5.2", "36.5.2", True),
        ("36.4.0 - 36.5.2", "36.10.0", False),
        ("36.4.0 - 36.5.2", "36.3.0", False),
        ("38.4.0", "38.4.0", True),
        ("38.4.0", "38.4.1", False),
    ],
)
def test_a_release_holds_what_lies_in_its_span(span: str, l4t: str, inside: bool) -> None:
    assert JetPackRelease(jetpack="x", l4t=span, tensorrt="10.3.0").holds(l4t) is inside
