import dataclasses
from pathlib import Path

import pytest

from weckd_edge.config import GateConfig
from weckd_edge.devices.profile import DeviceProfile, PowerMode, Source, describe, list_profiles, load_profile, profile_names
from weckd_edge.errors import ConfigError, DeviceError

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


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_loads_under_the_name_of_its_file(name: str) -> None:
    assert load_profile(name).id == name


@pytest.mark.parametrize("name", profile_names())
def test_every_value_of_a_shipped_profile_names_its_source(name: str) -> None:
    profile = load_profile(name)
    assert profile.unsourced() == ()
    for source in profile.sources:
        assert source.of
        assert source.text
        assert len(source.date.split("-")) == 3


@pytest.mark.parametrize("name", profile_names())
def test_no_source_of_a_shipped_profile_speaks_of_a_value_that_is_not_there(name: str) -> None:
    profile = load_profile(name)
    for source in profile.sources:
        for field in source.of:
            assert getattr(profile, field) not in (None, (), GateConfig()), field


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_sets_bars_and_says_that_they_are_a_choice(name: str) -> None:
    profile = load_profile(name)
    assert profile.bars.latency_p90_ms is not None
    assert profile.bars.accuracy_drop is not None
    assert [source.confidence for source in profile.sources if "bars" in source.of] == ["choice"]


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_jetson_lists_tensorrt_by_jetpack_and_what_an_engine_needs(name: str) -> None:
    profile = load_profile(name)
    if profile.target != "jetson":
        assert (profile.tensorrt, profile.power_modes, profile.part_numbers) == ((), (), ())
        return
    assert profile.part_numbers
    assert profile.compute_capability
    assert profile.power_modes
    assert [release.jetpack[0] for release in profile.tensorrt[:3]] == ["5", "6", "6"]
    for release in profile.tensorrt:
        assert release.l4t
        assert release.tensorrt.count(".") >= 2


def test_the_shipped_profiles_are_of_both_targets_and_sorted() -> None:
    profiles = list_profiles()
    assert [p.id for p in profiles] == sorted(p.id for p in profiles)
    assert {p.target for p in profiles} == {"cpu", "jetson"}
    assert {p.id for p in profiles if p.is_generic} == {"generic-x86", "generic-arm64"}


def test_no_two_shipped_profiles_claim_the_same_board() -> None:
    claims = [claim for p in list_profiles() for claim in (*p.part_numbers, *p.compatible, *p.cpu_models)]
    assert len(claims) == len(set(claims))


def test_an_unknown_name_gives_the_nearest_and_lists_all() -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile("jetson-orin-nano")
    assert "did you mean 'jetson-orin-nano-8gb'?" in str(caught.value)
    for name in profile_names():
        assert name in str(caught.value)


def test_a_profile_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, MINIMAL + "tdp_w = 6\n[bars]\nmemory_mib = 256\n"))
    assert (profile.id, profile.tdp_w, profile.bars.memory_mib) == ("mine", 6.0, 256.0)
    assert profile.unsourced() == ("tdp_w", "bars")


def test_a_path_as_text_is_a_file_and_not_a_name(tmp_path: Path) -> None:
    assert load_profile(str(write(tmp_path, MINIMAL))).id == "mine"
    with pytest.raises(DeviceError, match="cannot read it"):
        load_profile("./generic-x86")


def test_what_extends_a_profile_gives_only_what_differs(tmp_path: Path) -> None:
    base = load_profile("jetson-orin-nano-8gb")
    own = load_profile(write(tmp_path, EXTENDS + 'part_numbers = ["p3767-0000"]\ncores = 8\n[bars]\nlatency_p90_ms = 10\n'))
    assert (own.id, own.cores, own.part_numbers) == ("mine", 8, ("p3767-0000",))
    assert own.bars == dataclasses.replace(base.bars, latency_p90_ms=10.0)
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
        (MINIMAL + "[bars]\nlatency = 6\n", "unknown key 'latency'; did you mean 'latency_p90_ms'?"),
        (MINIMAL + "cores = 4.5\n", "cores: expected a whole number, got 4.5"),
        (MINIMAL + "cores = true\n", "cores: expected a whole number, got True"),
        (MINIMAL + "[bars]\naccuracy = 90\n", "accuracy = 90.0: expected 0 to 1"),
        (MINIMAL + 'int8 = "fast"\n', "unknown value 'fast'"),
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
        ('extends = ["generic-x86"]\nid = "mine"\n', "extends: expected a text"),
        ('extends = "none.toml"\nid = "mine"\n', "cannot read it"),
        ('extends = "generic-x86"\nid = "mine"\ntarget = "jetson"\n', "expected architecture aarch64"),
        ('extends = "generic-x86"\nid = "mine"\nsources = 3\n', "sources: expected a list, got 3"),
    ],
)
def test_what_is_wrong_in_a_profile_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    at_fault = {"did you mean 'jetson-orin-nano-8gb'?": "jetson-orin-nano", "cannot read it": "none.toml"}
    assert told in refusal(path, named=at_fault.get(told))


@pytest.mark.parametrize("sources", ["sources = 3\n", "sources = [3]\n", '[[sources]]\ntext = "no field named"\n'])
def test_a_base_with_unsound_sources_is_told_and_not_a_crash(tmp_path: Path, sources: str) -> None:
    write(tmp_path, MINIMAL.replace("mine", "base") + sources, "base.toml")
    assert "sources" in refusal(write(tmp_path, 'extends = "base.toml"\nid = "mine"\n'), named="base.toml")


def test_a_file_that_is_missing_or_no_text_is_told(tmp_path: Path) -> None:
    assert "cannot read it" in refusal(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "cannot read it" in refusal(tmp_path / "binary.toml")


def test_describe_gives_every_value_with_its_source_and_leaves_out_the_unknown() -> None:
    profile = DeviceProfile(
        id="mine",
        name="Mine",
        target="cpu",
        architecture="aarch64",
        cores=4,
        power_modes=(PowerMode(name="7W", cpu_cores=2), PowerMode(name="15W", cpu_cores=4)),
        bars=GateConfig(memory_mib=256.0),
        sources=(Source(of=("cores",), text="counted", date="2026-11-24", confidence="V"),),
    )
    rows = {name: (value, source, confidence) for name, value, source, confidence in describe(profile)}
    assert rows["cores"] == ("4", "counted (2026-11-24)", "V")
    assert rows["power_modes"][0] == "name 7W, cpu_cores 2\nname 15W, cpu_cores 4"
    assert rows["bars"][0] == "memory_mib 256.0"
    assert "tdp_w" not in rows
    assert "sources" not in rows


@pytest.mark.parametrize("name", profile_names())
def test_describe_shows_a_confidence_for_every_number_of_a_shipped_profile(name: str) -> None:
    plain = {"id", "name", "target", "architecture", "summary"}
    assert all(confidence for field, _, _, confidence in describe(load_profile(name)) if field not in plain)
