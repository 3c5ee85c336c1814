import dataclasses

import pytest

from weckd_edge.config import GateConfig
from weckd_edge.devices.profiles.profile import (
    PLAIN,
    DeviceProfile,
    Gpu,
    JetPackRelease,
    MemoryBandwidth,
    PowerMode,
    PowerSensor,
    PublishedLatency,
    Source,
    Unknown,
    load_profile,
    profile_names,
)
from weckd_edge.devices.profiles.text import ProfileTable, describe_profile, summarize_profile


def latency(**values: object) -> PublishedLatency:
    given: dict[str, object] = {"model": "m", "precision": "int8", "runtime": "r", "statistic": "mean", "source": "s"}
    return PublishedLatency(**{**given, "date": "2026-11-24", "confidence": "V", "latency_ms": 1.5, **values})  # type: ignore[arg-type]


PROFILE = DeviceProfile(
    id="mine",
    name="Mine",
    target="jetson",
    architecture="aarch64",
    cores=4,
    gpu=Gpu(sms=8, mhz_max=921.6),
    dla_cores=0,
    fp8=False,
    ram_gib_sold=(1.0, 8.0),
    memory_bandwidths=(MemoryBandwidth(memory="LPDDR5", gbps=68.3, memory_mhz=2133.0),),
    power_modes=(PowerMode(name="7W", cpu_cores=2, note="slow"), PowerMode(name="15W", cpu_cores=4, int8_tops_sparse=40.0)),
    power_sensors=(PowerSensor(chip="ina3221", rails=("A", "B"), total=("A",)),),
    tensorrt=(JetPackRelease(jetpack="6.0", l4t="36.3.0", tensorrt="8.6.2.3"),),
    published=(latency(), latency(latency_ms=None, low_ms=1.0, high_ms=2.0, threads=4, batch=2, measured_on="B", note="n")),
    gates=GateConfig(max_memory_mib=256.0),
    unknown=(Unknown(of="tdp_w", reason="nobody says"),),
    sources=(
        Source(of=("cores",), text="counted", date="2026-11-24", confidence="V"),
        Source(of=("cores", "power_modes"), text="told", date="2026-11-25", confidence="S"),
    ),
)


def named(title: str, profile: DeviceProfile = PROFILE) -> ProfileTable:
    (found,) = [table for table in describe_profile(profile) if table.title.startswith(title)]
    return found


def test_every_value_is_reported_with_its_unit_its_weakest_confidence_and_its_sources() -> None:
    table = describe_profile(PROFILE)[0]
    assert table.columns == ("what", "value", "sure", "from")
    rows = {name: rest for name, *rest in table.rows}
    assert rows["profile"] == ["mine", "", ""]
    assert rows["cores"] == ["4", "S", "1, 2"]
    assert rows["gpu.mhz_max"] == ["921.6 MHz", "", ""]
    assert rows["dla_cores"] == ["0", "", ""]
    assert rows["fp8"] == ["no", "", ""]
    assert rows["ram_gib_sold"] == ["1 to 8", "", ""]
    assert rows["memory_bandwidths"] == ["68.3 GB/s: LPDDR5 (2133 MHz)", "", ""]
    assert rows["power_sensors"] == ["chip ina3221, rails A, B, total A", "", ""]
    assert rows["gates.max_memory_mib"] == ["256 MiB", "", ""]
    assert not {"tdp_w", "sources", "power_modes", "name"} & set(rows)


def test_power_modes_leave_out_empty_columns_and_explain_their_remarks_behind() -> None:
    tables = describe_profile(PROFILE)
    modes = named("Power modes")
    assert modes.title.endswith("(S, from 2)")
    assert (modes.columns, modes.rows) == (("mode", "cores", "note"), (("7W", "2", "a"), ("15W", "4", "b")))
    behind = tables[tables.index(modes) + 1]
    assert behind.rows == (("a", "slow"), ("b", "40 int8 TOPS with sparsity"))


def test_published_latencies_say_once_what_they_share_and_name_stand_ins() -> None:
    table = named("Published")
    assert table.title == "Published latencies, measured by others; runtime r; is mean; sure V"
    assert table.columns == ("model", "in", "on", "ms", "note")
    assert table.rows == (("m", "int8", "cpu", "1.5", ""), ("m", "int8", "cpu x4", "1 to 2", "a"))
    tables = describe_profile(PROFILE)
    assert tables[tables.index(table) + 1].rows == (("a", "batch 2; measured on B; n"),)


def test_more_remarks_than_letters_have_signs_of_their_own() -> None:
    rows = tuple(latency(note=f"remark {number}", batch=2) for number in range(60))
    tables = describe_profile(dataclasses.replace(PROFILE, published=rows))
    (notes,) = [table for table in tables if table.columns == ("note", "says") and len(table.rows) == 60]
    signs = [sign for sign, _ in notes.rows]
    assert len(set(signs)) == 60
    assert (signs[0], signs[25], signs[26], signs[59]) == ("a", "z", "aa", "hhh")


def test_what_is_not_known_and_the_sources_end_it() -> None:
    *_, gaps, sources = describe_profile(PROFILE)
    assert (gaps.title, gaps.rows) == ("Not known", (("tdp_w", "nobody says"),))
    assert sources.rows == (("1", "counted", "2026-11-24", "V"), ("2", "told", "2026-11-25", "S"))


def test_what_has_no_source_says_so_in_its_title() -> None:
    assert named("TensorRT").title == "TensorRT (no source, from nowhere)"


@pytest.mark.parametrize("name", profile_names())
def test_every_value_of_a_packaged_profile_shows_its_confidence_and_source(name: str) -> None:
    profile = load_profile(name)
    tables = describe_profile(profile)
    for what, _, sure, numbers in tables[0].rows:
        if what.partition(".")[0] not in PLAIN | {"profile"}:
            assert sure
            assert numbers
    assert not [table.title for table in tables if "no source" in table.title]
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)


ARM, X86 = "openvino some, onnxruntime all", "openvino all, onnxruntime all"


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("jetson-orin-nano-8gb", ("jetson", "GPU, 8 SM", "native", "-", "8", "22")),
        ("jetson-nano-4gb", ("jetson", "GPU, 128 cores", "none", "-", "4", "6")),
        ("jetson-thor-t4000", ("jetson", "GPU, CC 11.0", "native", "-", "-", "-")),
        ("raspberry-pi-4", ("cpu", "4x Cortex-A72", "emulated", ARM, "1 to 8", "20")),
        ("nxp-imx93", ("cpu", "2x Cortex-A55", "native", ARM, "-", "8 of its kind")),
        ("generic-x86", ("cpu", "x86_64", "-", X86, "-", "-")),
    ],
)
def test_a_summary_tells_what_helps_to_choose(name: str, row: tuple[str, ...]) -> None:
    assert summarize_profile(load_profile(name)) == (name, *row)
