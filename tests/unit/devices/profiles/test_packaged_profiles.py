"""Every profile that ships: it loads, sources each value, keeps to what is confirmed, and finds its machine."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from weckd_edge.devices.machine.detect import detect, is_same_device
from weckd_edge.devices.profiles.profile import DeviceProfile, is_stated, list_profiles, load_profile, profile_names

JETSONS = {
    "jetson-nano-4gb",
    "jetson-xavier-nx",
    "jetson-orin-nano-4gb",
    "jetson-orin-nano-8gb",
    "jetson-orin-nx-8gb",
    "jetson-orin-nx-16gb",
    "jetson-agx-orin-32gb",
    "jetson-agx-orin-64gb",
    "jetson-thor-t4000",
    "jetson-thor-t5000",
}
X86 = {"intel-n100", "intel-n97", "intel-n150", "atom-x7425e", "atom-x6425e", "celeron-j4125", "core-i3-1215u"}
ARM = {"raspberry-pi-4", "raspberry-pi-5", "nxp-imx8mp", "nxp-imx93", "rockchip-rk3588", "qualcomm-qcs6490"}
GENERIC = {"generic-x86", "generic-arm64"}
PROFILES = {profile.id: profile for profile in list_profiles()}
EACH = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def test_there_is_a_profile_for_each_of_the_23_devices_and_two_that_stand_for_any() -> None:
    assert len(JETSONS | X86 | ARM) == 23
    assert set(profile_names()) == JETSONS | X86 | ARM | GENERIC
    assert [p.id for p in list_profiles()] == sorted(profile_names())
    assert {p.id for p in PROFILES.values() if p.is_generic} == GENERIC
    assert {p.id for p in PROFILES.values() if p.target == "jetson"} == JETSONS
    assert {p.id for p in PROFILES.values() if p.architecture == "x86_64"} == X86 | {"generic-x86"}


@EACH
def test_it_loads_under_the_name_of_its_file(profile: DeviceProfile) -> None:
    assert load_profile(profile.id) == profile
    assert profile.name
    assert profile.summary.endswith(".")


@EACH
def test_every_value_names_its_source(profile: DeviceProfile) -> None:
    assert profile.unsourced() == ()
    for source in profile.sources:
        assert source.of
        assert source.text
        assert re.fullmatch(r"2026-\d\d-\d\d", source.date)


@EACH
def test_no_source_speaks_of_a_value_that_is_not_there(profile: DeviceProfile) -> None:
    for source in profile.sources:
        for field in source.of:
            assert is_stated(getattr(profile, field)), field


@EACH
def test_only_what_names_the_processor_rests_on_something_not_confirmed(profile: DeviceProfile) -> None:
    doubtful = {field for source in profile.sources if source.confidence == "U" for field in source.of}
    assert doubtful <= {"cpu_models"}
    assert all(row.confidence in ("V", "S") for row in profile.published)


@EACH
def test_it_says_which_layers_a_runtime_runs_in_int8_and_where_that_was_read(profile: DeviceProfile) -> None:
    assert {row.runtime for row in profile.int8} == (set() if profile.target == "jetson" else {"openvino", "onnxruntime"})
    assert all(row.which and row.source for row in profile.int8)


@EACH
def test_it_sets_limits_and_says_that_they_are_a_choice(profile: DeviceProfile) -> None:
    assert profile.gates.max_latency_p90_ms is not None
    assert profile.gates.max_accuracy_drop is not None
    assert [source.confidence for source in profile.sources if "gates" in source.of] == ["choice"]


@EACH
def test_what_matters_is_either_known_or_called_unknown(profile: DeviceProfile) -> None:
    matters = (
        {"int8_arithmetic", "published"}
        if profile.is_generic
        else {"int8_arithmetic", "memory_bandwidth_gbps", "published", "power_sensors"}
    )
    matters |= {"tensorrt", "power_modes", "gpu", "part_numbers"} if profile.target == "jetson" else set()
    gaps = {gap.of for gap in profile.unknown}
    silent = {field for field in matters if not is_stated(getattr(profile, field))} - gaps
    assert silent <= ({"published"} if profile.is_generic else set())


@pytest.mark.parametrize("name", sorted(JETSONS))
def test_a_jetson_says_what_its_releases_bring(name: str) -> None:
    profile = PROFILES[name]
    assert profile.compute_capability
    assert profile.fp16 is not None
    assert profile.fp8 is not None
    assert profile.dla_cores is not None
    majors = [int(release.jetpack[0]) for release in profile.tensorrt]
    assert majors == sorted(majors)
    ubuntu = {4: ("3.6", "18.04"), 5: ("3.8", "20.04"), 6: ("3.10", "22.04"), 7: ("3.12", "24.04")}
    for major, release in zip(majors, profile.tensorrt, strict=True):
        assert (release.python, release.ubuntu) == ubuntu[major]
        assert release.tensorrt.count(".") >= 2
        assert release.holds(release.l4t.partition(" ")[0])


@pytest.mark.parametrize("name", sorted(X86 | ARM | GENERIC))
def test_what_is_no_jetson_has_nothing_of_one(name: str) -> None:
    profile = PROFILES[name]
    assert (profile.tensorrt, profile.power_modes, profile.part_numbers, profile.gpu) == ((), (), (), None)


def test_which_jetpack_runs_on_which_module() -> None:
    majors = {name: {release.jetpack[0] for release in PROFILES[name].tensorrt} for name in JETSONS}
    assert majors.pop("jetson-nano-4gb") == {"4"}
    assert majors.pop("jetson-xavier-nx") == {"4", "5"}
    assert majors.pop("jetson-thor-t4000") == majors.pop("jetson-thor-t5000") == {"7"}
    assert set(majors) == {name for name in JETSONS if "orin" in name}
    assert all(found == {"5", "6", "7"} for found in majors.values())


def test_the_peaks_of_orin_follow_from_multiprocessors_and_clock() -> None:
    checked = 0
    for name in JETSONS:
        for mode in PROFILES[name].power_modes:
            if mode.int8_tops_dense is None:
                continue
            assert mode.gpu_sms is not None
            assert mode.gpu_mhz is not None
            assert mode.fp32_gflops is not None
            assert mode.int8_tops_dense == pytest.approx(mode.gpu_sms * mode.gpu_mhz * 4096e-6, abs=0.06)
            assert mode.fp32_gflops == pytest.approx(mode.gpu_sms * 256 * mode.gpu_mhz / 1000, abs=0.9)
            checked += 1
    assert checked == 23


def test_the_bandwidths_follow_from_the_bus_and_the_clock() -> None:
    for name in JETSONS:
        profile = PROFILES[name]
        for row in profile.memory_bandwidths:
            assert profile.memory_bus_bits is not None
            assert row.memory_mhz is not None
            assert row.gbps == pytest.approx(profile.memory_bus_bits / 8 * 2 * row.memory_mhz / 1000, abs=0.06)
        if profile.memory_bandwidths:
            assert profile.memory_bandwidth_gbps == max(row.gbps for row in profile.memory_bandwidths)


# What the table of devices calls not confirmed: none of it may be stated. A field that is set later needs a source that is.
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (
            "jetson-thor-t4000",
            "gpu ram_gib ram_gib_sold memory_bandwidth_gbps memory_bandwidths power tdp_w power_modes cores",
        ),
        ("jetson-xavier-nx", "gpu memory_bandwidth_gbps memory_bandwidths power_modes"),
        ("qualcomm-qcs6490", "cpu cores cpu_mhz_max cpu_parts int8_arithmetic fp16 memory_bandwidth_gbps"),
        ("core-i3-1215u", "cores cpu_mhz_max tdp_w power memory_bandwidth_gbps"),
        ("nxp-imx8mp", "memory memory_bus_bits memory_bandwidth_gbps memory_bandwidths"),
        ("nxp-imx93", "memory memory_bus_bits memory_bandwidth_gbps memory_bandwidths"),
        ("atom-x6425e", "memory memory_bus_bits memory_bandwidth_gbps memory_bandwidths"),
        ("raspberry-pi-4", "memory_bus_bits memory_bandwidth_gbps memory_bandwidths"),
        ("raspberry-pi-5", "memory_bus_bits memory_bandwidth_gbps memory_bandwidths"),
        ("rockchip-rk3588", "memory memory_bus_bits memory_bandwidth_gbps memory_bandwidths"),
        ("intel-n97", "cpu_mhz_max"),
    ],
)
def test_what_could_not_be_confirmed_is_not_stated(name: str, fields: str) -> None:
    assert [field for field in fields.split() if is_stated(getattr(PROFILES[name], field))] == []


def test_no_clock_or_peak_is_stated_for_modes_whose_clock_is_not_confirmed() -> None:
    for name, modes in (("jetson-orin-nx-8gb", ["MAXN"]), ("jetson-agx-orin-32gb", ["MAXN", "MAXN_SUPER"])):
        unsure = [mode for mode in PROFILES[name].power_modes if mode.name in modes]
        assert [mode.name for mode in unsure] == modes
        assert all((mode.gpu_mhz, mode.int8_tops_dense, mode.fp32_gflops) == (None, None, None) for mode in unsure)
    assert "MAXN_SUPER" not in {mode.name for mode in PROFILES["jetson-orin-nano-4gb"].power_modes}
    sparse = {mode.int8_tops_sparse for mode in PROFILES["jetson-orin-nx-16gb"].power_modes}
    assert sparse == {None}


def test_no_release_states_a_tensorrt_that_could_not_be_confirmed() -> None:
    for profile in PROFILES.values():
        for release in profile.tensorrt:
            assert not release.holds("35.1.0")
            assert not release.holds("39.2.1")
            if release.holds("39.2.2"):
                assert (release.bundled, release.tensorrt) == (False, "11.4.1")
    with_11 = {p.id for p in PROFILES.values() if any(r.tensorrt.startswith("11") for r in p.tensorrt)}
    assert with_11 == {"jetson-agx-orin-32gb", "jetson-agx-orin-64gb", "jetson-thor-t5000"}


def test_no_published_latency_is_of_what_nobody_has_published() -> None:
    small = ("mobilenet", "resnet18", "resnet-18", "efficientnet")
    for profile in PROFILES.values():
        for row in profile.published:
            if profile.target == "jetson" and row.runtime.startswith("TensorRT"):
                assert not row.model.startswith(small), (profile.id, row.model)
            if profile.architecture == "aarch64":
                assert "OpenVINO" not in row.runtime
    for name in ("intel-n97", "intel-n100", "intel-n150", "celeron-j4125", "core-i3-1215u"):
        assert PROFILES[name].published == ()


@pytest.mark.parametrize(
    ("name", "model", "precision", "runtime", "threads", "ms"),
    [
        ("jetson-agx-orin-64gb", "resnet50", "int8", "TensorRT 8.5.2", None, 0.636),
        ("jetson-orin-nx-16gb", "resnet50", "int8", "TensorRT 8.5.2", None, 1.078),
        ("jetson-xavier-nx", "resnet50", "int8", "TensorRT", None, 2.434),
        ("jetson-orin-nano-8gb", "yolov8n", "int8", "TensorRT 10.3", None, 3.49),
        ("atom-x7425e", "mobilenet-v2", "int8", "OpenVINO 2024.1", None, 4.12),
        ("atom-x6425e", "resnet-50", "int8", "OpenVINO 2024.1", None, 52.0),
        ("raspberry-pi-4", "mobilenet_v2", "float", "ncnn", 1, 93.5),
        ("raspberry-pi-5", "resnet18", "int8", "ncnn", 4, 16.7),
        ("rockchip-rk3588", "resnet50", "float", "ncnn", 4, 53.8),
        ("qualcomm-qcs6490", "mobilenet_v2", "int8", "QNN", None, 1.48),
    ],
)
def test_published_latencies_are_those_of_their_sources(
    name: str, model: str, precision: str, runtime: str, threads: int | None, ms: float
) -> None:
    wanted = (model, precision, runtime, threads)
    found = [r for r in PROFILES[name].published if (r.model, r.precision, r.runtime, r.threads) == wanted]
    assert ms in [row.latency_ms for row in found]


def test_a_latency_that_stands_for_a_class_of_chips_names_the_board_it_was_measured_on() -> None:
    stand_ins = {p.id for p in PROFILES.values() if any(row.measured_on for row in p.published)}
    assert stand_ins == {"nxp-imx8mp", "nxp-imx93", "qualcomm-qcs6490"}
    for name in stand_ins:
        assert all(row.measured_on for row in PROFILES[name].published)


def test_no_two_profiles_claim_the_same_board() -> None:
    claims = [claim for p in PROFILES.values() for claim in (*p.part_numbers, *p.compatible, *p.cpu_models)]
    assert len(claims) == len(set(claims))


def machine(name: str, root: Path, machines: ModuleType, fake_jetson: ModuleType) -> Path | None:
    """Return the root of a machine that is the device of a profile; None where nothing is known to name it."""
    if name in fake_jetson.BOARDS:
        return Path(fake_jetson.build(root, name))
    return Path(machines.board(root, name)) if name in machines.BOARDS else None


def test_every_machine_whose_names_are_known_is_distinguished_from_all_others(
    machines: ModuleType, fake_jetson: ModuleType, tmp_path: Path
) -> None:
    unnamed = set()
    for name in sorted(JETSONS | X86 | ARM):
        root = machine(name, tmp_path / name, machines, fake_jetson)
        if root is None:
            unnamed.add(name)
            continue
        found = detect(root)
        assert (found.profile, found.recognised) == (name, True), found.reasons
        assert {p.id for p in PROFILES.values() if not p.is_generic and is_same_device(p, found)} == {name}
    assert unnamed == {"jetson-thor-t4000"}
    assert {name for name in JETSONS | X86 | ARM if not PROFILES[name].names_itself} == unnamed


def test_every_module_of_a_profile_is_recognised(fake_jetson: ModuleType, machines: ModuleType, tmp_path: Path) -> None:
    for name in sorted(JETSONS):
        for part in PROFILES[name].part_numbers:
            root = Path(fake_jetson.build(tmp_path / part, name))
            machines.device_tree(root, model="Jetson", compatible=(f"nvidia,p3768-0000+{part}-super", "nvidia,tegra234"))
            assert (detect(root).profile, detect(root).module) == (name, part)
