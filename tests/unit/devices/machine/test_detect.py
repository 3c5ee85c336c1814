import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from weckd_edge.devices.machine.detect import detect, is_same_device, needs_half_range, read_governors, read_l4t
from weckd_edge.devices.profiles.profile import DeviceProfile, load_profile


def test_x86_without_vnni_is_generic_and_needs_the_overflow_fix(machines: ModuleType, tmp_path: Path) -> None:
    found = detect(machines.x86(tmp_path, flags="avx avx2 fma avx512f", cores=3))
    assert (found.profile, found.recognised, found.architecture) == ("generic-x86", False, "x86_64")
    assert found.overflow_fix_needed is True
    assert found.instruction_sets == ("sse4_2", "avx2", "fma", "avx512f")
    assert (found.cores, found.host) == (3, "Intel(R) Xeon(R) Processor @ 2.10GHz")
    assert (found.module, found.l4t, found.governors) == (None, None, ())
    assert found.reasons == ("no profile names this board or processor; its architecture is x86_64",)


@pytest.mark.parametrize("flag", ["avx_vnni", "avx512_vnni", "amx_int8"])
def test_x86_with_8_bit_dot_products_needs_no_overflow_fix(machines: ModuleType, tmp_path: Path, flag: str) -> None:
    found = detect(machines.x86(tmp_path, flags=f"avx2 {flag}"))
    assert found.overflow_fix_needed is False
    assert flag in found.instruction_sets


def test_a_flag_is_matched_whole_not_by_a_part_of_its_name(machines: ModuleType, tmp_path: Path) -> None:
    found = detect(machines.x86(tmp_path, flags="avx2_like xavx_vnni"))
    assert found.instruction_sets == ("sse4_2",)


def test_the_processors_own_name_finds_its_profile(machines: ModuleType, tmp_path: Path) -> None:
    found = detect(machines.x86(tmp_path, model="Intel(R) N100", flags="avx2 fma avx_vnni"))
    assert (found.profile, found.recognised) == ("intel-n100", True)
    assert "Intel(R) N100" in found.reasons[0]


def test_a_processor_whose_name_only_starts_alike_is_not_recognised(machines: ModuleType, tmp_path: Path) -> None:
    assert detect(machines.x86(tmp_path, model="Intel(R) N1000")).profile == "generic-x86"


def test_a_raspberry_pi_5_is_recognised_by_its_device_tree(machines: ModuleType, tmp_path: Path) -> None:
    found = detect(machines.raspberry_pi_5(tmp_path))
    assert (found.profile, found.recognised, found.architecture) == ("raspberry-pi-5", True, "aarch64")
    assert (found.host, found.cores) == ("Raspberry Pi 5 Model B Rev 1.0", 4)
    assert found.instruction_sets == ("neon", "fp16", "dotprod")
    assert (found.overflow_fix_needed, found.module, found.l4t) == (False, None, None)
    assert "raspberrypi,5-model-b" in found.reasons[0]


def test_another_board_of_the_same_chip_is_any_arm_computer(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.raspberry_pi_5(tmp_path)
    machines.device_tree(root, model="Pi 500", compatible=("raspberrypi,500", "brcm,bcm2712"))
    assert detect(root).profile == "generic-arm64"


@pytest.mark.parametrize("module", ["p3767-0003", "p3767-0005"])
def test_a_jetson_orin_nano_is_recognised_by_its_module(machines: ModuleType, tmp_path: Path, module: str) -> None:
    found = detect(machines.jetson(tmp_path, module=module))
    assert (found.profile, found.recognised) == ("jetson-orin-nano-8gb", True)
    assert (found.module, found.l4t, found.cores) == (module, "36.4.3", 6)
    assert found.overflow_fix_needed is False
    assert module in found.reasons[0]


def test_the_super_suffix_of_a_device_tree_does_not_hide_the_module(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.jetson(tmp_path)
    machines.device_tree(root, model="Jetson", compatible=("nvidia,p3768-0000+p3767-0005-super", "nvidia,tegra234"))
    assert (detect(root).profile, detect(root).module) == ("jetson-orin-nano-8gb", "p3767-0005")


def test_a_jetson_agx_orin_is_recognised_on_its_own_carrier(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.jetson(tmp_path, module="p3701-0005", carrier="p3737-0000", cores=12, l4t=("35", "6.0"))
    found = detect(root)
    assert (found.profile, found.module, found.l4t) == ("jetson-agx-orin-64gb", "p3701-0005", "35.6.0")


def test_an_unknown_jetson_is_named_with_how_to_get_a_profile(machines: ModuleType, tmp_path: Path) -> None:
    found = detect(machines.jetson(tmp_path, module="p3767-0009"))
    assert (found.profile, found.recognised) == ("generic-arm64", False)
    assert (found.module, found.l4t) == ("p3767-0009", "36.4.3")
    assert "p3767-0009 has no profile" in found.reasons[0]
    assert 'extends = "jetson-agx-orin-32gb" (of the same chip: ' in found.reasons[0]
    assert "jetson-orin-nano-8gb" in found.reasons[0]


def test_a_jetson_that_names_no_module_has_none(machines: ModuleType, tmp_path: Path) -> None:
    found = detect(machines.jetson(tmp_path, module=""))
    assert (found.module, found.profile) == (None, "generic-arm64")
    assert "(not named)" in found.reasons[0]


def test_a_profile_of_ones_own_is_found_for_its_module(machines: ModuleType, tmp_path: Path) -> None:
    own = DeviceProfile(
        id="jetson-orin-nx", name="NX", target="jetson", architecture="aarch64", part_numbers=("p3767-0000",)
    )
    found = detect(machines.jetson(tmp_path, module="p3767-0000"), profiles=(own,))
    assert (found.profile, found.recognised, found.module) == ("jetson-orin-nx", True, "p3767-0000")


@pytest.mark.parametrize(
    "cpuinfo",
    [
        "processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafdc\n",
        "processor\t: 0\nmodel name\t: ARMv7 Processor rev 3 (v7l)\nFeatures\t: half thumb fastmult vfp neon vfpv4\n",
        "processor\t: 0\nmodel name\t: Intel(R) Atom(TM) CPU\nflags\t\t: fpu vme sse sse2\n",
    ],
    ids=["risc-v", "32-bit arm", "32-bit x86"],
)
def test_an_architecture_without_a_profile_is_unknown(machines: ModuleType, tmp_path: Path, cpuinfo: str) -> None:
    machines.write(tmp_path, "proc/cpuinfo", cpuinfo)
    found = detect(tmp_path)
    assert (found.profile, found.recognised, found.architecture, found.cores) == ("unknown", False, None, 1)
    assert (found.overflow_fix_needed, found.instruction_sets) == (None, ())
    assert "neither x86-64 nor 64-bit Arm" in found.reasons[-1]


def test_a_root_without_any_file_is_unknown_not_an_error(tmp_path: Path) -> None:
    found = detect(tmp_path)
    assert (found.profile, found.cores, found.governors, found.l4t) == ("unknown", 0, (), None)
    assert found.host.startswith("a machine of architecture")


def test_files_that_are_no_text_are_read_as_far_as_they_go(machines: ModuleType, tmp_path: Path) -> None:
    machines.jetson(tmp_path)
    machines.write(tmp_path, "proc/device-tree/model", b"NVIDIA \xff\xfe\0")
    machines.write(tmp_path, "etc/nv_tegra_release", b"\xff\xfe")
    found = detect(tmp_path)
    assert (found.profile, found.l4t) == ("jetson-orin-nano-8gb", None)
    assert found.host.startswith("NVIDIA")


def test_l4t_is_none_where_there_is_no_release_file(tmp_path: Path) -> None:
    assert read_l4t(tmp_path) is None


def test_governors_are_named_once_each_and_sorted(machines: ModuleType, tmp_path: Path) -> None:
    machines.set_governors(tmp_path, "schedutil", "performance", "schedutil")
    machines.write(tmp_path, "sys/devices/system/cpu/cpufreq/cpufreq/scaling_governor", "powersave")
    assert read_governors(tmp_path) == ("performance", "schedutil")


def test_an_empty_governor_file_counts_as_not_shown(machines: ModuleType, tmp_path: Path) -> None:
    machines.set_governors(tmp_path, "")
    assert read_governors(tmp_path) == ()


def test_a_generic_profile_takes_any_machine_of_its_architecture(machines: ModuleType, tmp_path: Path) -> None:
    n100 = detect(machines.x86(tmp_path / "a", model="Intel(R) N100"))
    pi = detect(machines.raspberry_pi_5(tmp_path / "b"))
    assert is_same_device(load_profile("generic-x86"), n100)
    assert not is_same_device(load_profile("generic-x86"), pi)
    assert is_same_device(load_profile("generic-arm64"), pi)
    assert not is_same_device(load_profile("generic-arm64"), detect(tmp_path / "nothing"))


def test_a_named_board_takes_itself_alone(machines: ModuleType, tmp_path: Path) -> None:
    xeon, n100 = detect(machines.x86(tmp_path / "a")), detect(machines.x86(tmp_path / "b", model="Intel(R) N100"))
    assert is_same_device(load_profile("intel-n100"), n100)
    assert not is_same_device(load_profile("intel-n100"), xeon)
    assert not is_same_device(load_profile("raspberry-pi-5"), n100)


def test_a_jetson_is_distinguished_from_another_by_its_module(machines: ModuleType, tmp_path: Path) -> None:
    nano, agx = load_profile("jetson-orin-nano-8gb"), load_profile("jetson-agx-orin-64gb")
    found = detect(machines.jetson(tmp_path))
    assert is_same_device(nano, found)
    assert not is_same_device(agx, found)
    stranger = dataclasses.replace(found, module="p3767-0000", profile="jetson-orin-nano-8gb")
    assert not is_same_device(nano, stranger)


def test_a_host_is_never_a_jetson(machines: ModuleType, tmp_path: Path) -> None:
    assert not is_same_device(load_profile("jetson-orin-nano-8gb"), detect(machines.x86(tmp_path)))


@pytest.mark.parametrize(
    ("profile", "flags", "half"),
    [
        ("atom-x6425e", "avx2 avx_vnni", True),
        ("intel-n100", "avx2", True),
        ("intel-n100", "avx512f avx512_vnni", False),
        ("generic-x86", "avx2", True),
        ("generic-x86", "avx512f avx512_vnni", False),
        ("generic-arm64", "avx2", True),
        ("generic-arm64", "avx2 avx_vnni", False),
        ("jetson-orin-nano-8gb", "avx2", False),
    ],
)
def test_weights_keep_half_their_range_where_the_device_or_the_processor_that_builds_lacks_vnni(
    machines: ModuleType, tmp_path: Path, profile: str, flags: str, half: bool
) -> None:
    assert needs_half_range(load_profile(profile), detect(machines.x86(tmp_path, flags=flags))) is half


@pytest.mark.parametrize(("instruction_sets", "half"), [(("avx2",), True), (("avx2", "avx_vnni"), False)])
def test_a_profile_that_names_its_instruction_sets_need_not_say_more(
    machines: ModuleType, tmp_path: Path, instruction_sets: tuple[str, ...], half: bool
) -> None:
    own = dataclasses.replace(load_profile("generic-x86"), id="own", cpu_models=("Own",), instruction_sets=instruction_sets)
    assert needs_half_range(own, detect(machines.x86(tmp_path, flags="avx2 avx_vnni"))) is half


@pytest.mark.parametrize("release", ["4.6.1", "5.1.1", "5.1.3", "6.0", "6.2", "7.0", "7.1", "7.2"])
def test_a_jetson_is_recognised_under_every_release_of_jetpack(
    machines: ModuleType, fake_jetson: ModuleType, tmp_path: Path, release: str
) -> None:
    tried = 0
    for name, board in fake_jetson.BOARDS.items():
        if release not in fake_jetson.JETPACKS[board.compatible[-1]] or name == "jetson-tx2":
            continue
        found = detect(fake_jetson.build(tmp_path / name, name, release))
        assert (found.profile, found.module, found.l4t) == (name, board.module, fake_jetson.RELEASES[release][0])
        assert (found.cores, found.host) == (board.cores, board.model)
        tried += 1
    assert tried


def test_a_jetson_without_a_profile_is_reported_its_module_and_cores(fake_jetson: ModuleType, tmp_path: Path) -> None:
    found = detect(fake_jetson.build(tmp_path, "jetson-tx2"))
    assert (found.profile, found.recognised, found.module, found.l4t) == ("generic-arm64", False, "p3310-1000", "32.7.1")
    assert any("4 Cortex-A57, as those of jetson-nano-4gb" in reason for reason in found.reasons)


def test_a_device_tree_of_another_board_is_not_believed(
    fake_jetson: ModuleType, machines: ModuleType, tmp_path: Path
) -> None:
    root = fake_jetson.build(tmp_path, "jetson-orin-nano-8gb")
    machines.device_tree(root, model="Raspberry Pi 5", compatible=("raspberrypi,5-model-b", "brcm,bcm2712"))
    found = detect(root)
    assert (found.profile, found.recognised) == ("generic-arm64", False)
    assert not is_same_device(load_profile("raspberry-pi-5"), found)
    assert "raspberry-pi-5, which has Cortex-A76 cores, and this machine shows 6 Cortex-A78AE" in found.reasons[0]


def test_a_device_tree_that_names_several_modules_names_none(
    fake_jetson: ModuleType, machines: ModuleType, tmp_path: Path
) -> None:
    root = fake_jetson.build(tmp_path, overlay=("nvidia,p3768-0000+p3767-0000",))
    found = detect(root)
    assert (found.profile, found.recognised) == ("generic-arm64", False)
    assert "several modules (p3767-0000, p3767-0005)" in found.reasons[0]
    assert len([reason for reason in found.reasons if "several modules" in reason]) == 1
    assert not any(is_same_device(load_profile(name), found) for name in ("jetson-orin-nano-8gb", "jetson-orin-nx-16gb"))


def test_part_of_the_cores_offline_is_no_contradiction(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.board(tmp_path, "rockchip-rk3588")
    machines.arm(root, features="fp asimd asimdhp asimddp", parts=("0xd05",) * 4)
    assert detect(root).profile == "rockchip-rk3588"


def test_a_board_of_the_same_chip_is_reported_the_profile_to_extend(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.board(tmp_path, "raspberry-pi-5")
    machines.device_tree(root, model="Raspberry Pi 500", compatible=("raspberrypi,500", "brcm,bcm2712"))
    found = detect(root)
    assert (found.profile, found.recognised) == ("generic-arm64", False)
    assert "the chip is that of raspberry-pi-5" in found.reasons[0]


def test_without_a_device_tree_the_cores_are_named_by_their_numbers(machines: ModuleType, tmp_path: Path) -> None:
    found = detect(machines.arm(tmp_path, features="fp asimd asimddp", parts=("0xd05", "0xd05", "0xfff")))
    assert (found.profile, found.host) == ("generic-arm64", "2 Cortex-A55 and 1 0x41:0xfff")
    assert "its cores are 2 Cortex-A55 and 1 0x41:0xfff" in found.reasons
    same = detect(machines.arm(tmp_path, features="fp asimd asimddp", parts=("0xd05",) * 2))
    assert "its cores are 2 Cortex-A55, as those of nxp-imx93" in same.reasons


def test_a_jetson_container_without_a_device_tree_is_reported_what_to_mount(fake_jetson: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path)
    for name in ("model", "compatible"):
        (root / "proc/device-tree" / name).unlink()
    found = detect(root)
    assert (found.profile, found.module, found.l4t) == ("generic-arm64", None, "36.4.3")
    assert any("mount /sys/firmware" in reason for reason in found.reasons)


def test_the_device_tree_is_also_read_where_the_kernel_keeps_it(fake_jetson: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path)
    (root / "sys/firmware/devicetree").mkdir(parents=True)
    (root / "proc/device-tree").rename(root / "sys/firmware/devicetree/base")
    assert detect(root).profile == "jetson-orin-nano-8gb"


def test_a_file_that_is_there_and_cannot_be_read_is_reported(fake_jetson: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path)
    (root / "proc/device-tree/compatible").unlink()
    (root / "proc/device-tree/compatible").mkdir()
    found = detect(root)
    assert found.profile == "generic-arm64"
    assert any("/proc/device-tree/compatible cannot be read (Is a directory)" in reason for reason in found.reasons)


def test_a_release_file_of_another_form_is_reported(fake_jetson: ModuleType, machines: ModuleType, tmp_path: Path) -> None:
    root = fake_jetson.build(tmp_path)
    machines.write(root, "etc/nv_tegra_release", "R36 REVISION 4.3\n")
    found = detect(root)
    assert (found.profile, found.l4t) == ("jetson-orin-nano-8gb", None)
    assert "does not name the release" in found.reasons[-1]


def test_a_tree_of_an_arm_board_on_an_x86_machine_is_not_believed(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.x86(tmp_path)
    machines.device_tree(root, model="Raspberry Pi 5", compatible=("raspberrypi,5-model-b",))
    assert (detect(root).profile, detect(root).recognised) == ("generic-x86", False)


def test_the_firmwares_name_is_reported_unless_nobody_filled_it_in(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.dmi(machines.x86(tmp_path), vendor="AZW", product="MINI S")
    assert "its firmware calls it AZW MINI S" in detect(root).reasons
    for empty in ("To Be Filled By O.E.M.", "Default string", "System Product Name", " "):
        machines.dmi(root, vendor=empty, product=empty)
        assert not any("firmware" in reason for reason in detect(root).reasons)


def test_a_profile_of_ones_own_is_reported_by_the_firmwares_name(machines: ModuleType, tmp_path: Path) -> None:
    shipped = load_profile("intel-n100")
    own = dataclasses.replace(shipped, id="otoscope", dmi_products=("OTO-1",))
    there = machines.dmi(machines.board(tmp_path / "a", "intel-n100"), vendor="Oto", product="OTO-1")
    other = machines.dmi(machines.board(tmp_path / "b", "intel-n100"), vendor="AZW", product="MINI S")
    wrong = machines.dmi(machines.board(tmp_path / "c", "intel-n97"), vendor="Oto", product="OTO-1")
    found = detect(there, profiles=(shipped, own))
    assert (found.profile, found.reasons) == ("otoscope", ("its firmware names the product 'OTO-1'",))
    assert detect(other, profiles=(shipped, own)).profile == "intel-n100"
    assert not detect(wrong, profiles=(shipped, own)).recognised
    assert [is_same_device(own, detect(root)) for root in (there, other, wrong)] == [True, False, False]


def test_a_profile_of_ones_own_under_another_id_is_still_this_machine(machines: ModuleType, tmp_path: Path) -> None:
    own = dataclasses.replace(load_profile("intel-n100"), id="mine")
    assert is_same_device(own, detect(machines.board(tmp_path / "a", "intel-n100")))
    assert not is_same_device(own, detect(machines.board(tmp_path / "b", "intel-n97")))


def test_a_profile_that_names_no_machine_is_never_this_one(fake_jetson: ModuleType, tmp_path: Path) -> None:
    found = detect(fake_jetson.build(tmp_path, "jetson-thor-t5000"))
    assert not is_same_device(load_profile("jetson-thor-t4000"), found)


def test_two_names_of_one_family_that_one_profile_knows_are_no_contradiction(
    fake_jetson: ModuleType, tmp_path: Path
) -> None:
    root = fake_jetson.build(tmp_path, "jetson-xavier-nx", overlay=("nvidia,p3509-0000+p3668-0000",))
    assert detect(root).profile == "jetson-xavier-nx"


def test_a_module_with_the_cores_of_another_chip_is_not_that_device(
    fake_jetson: ModuleType, machines: ModuleType, tmp_path: Path
) -> None:
    root = machines.arm(fake_jetson.build(tmp_path), features="fp asimd", parts=("0xd08",) * 4)
    found = detect(root)
    assert (found.recognised, found.module) == (False, "p3767-0005")
    assert not is_same_device(load_profile("jetson-orin-nano-8gb"), found)


def test_a_jetson_profile_of_ones_own_with_a_product_takes_only_that(
    fake_jetson: ModuleType, machines: ModuleType, tmp_path: Path
) -> None:
    own = dataclasses.replace(load_profile("jetson-orin-nano-8gb"), id="own", dmi_products=("OTO-J",))
    root = fake_jetson.build(tmp_path)
    assert not is_same_device(own, detect(root))
    assert is_same_device(own, detect(machines.dmi(root, vendor="Oto", product="OTO-J")))


def test_a_record_without_an_identity_is_evaluated_by_what_it_recognised(machines: ModuleType, tmp_path: Path) -> None:
    found = dataclasses.replace(detect(machines.board(tmp_path, "intel-n100")), identity=None)
    assert is_same_device(load_profile("intel-n100"), found)
    assert not is_same_device(load_profile("intel-n97"), found)


X86_ALIAS = "cpu:type:x86,ven0002fam001Amod0002:feature:,0000,0001,0002\n"
ARM_ALIAS = "cpu:type:aarch64:feature:,0000,0001,0002\n"


def test_arm_programs_on_an_x86_machine_are_emulated(machines: ModuleType, tmp_path: Path) -> None:
    found = detect(machines.x86(tmp_path, flags="avx2 avx512_vnni"), machine="aarch64")
    assert (found.profile, found.recognised, found.architecture) == ("generic-arm64", False, "aarch64")
    assert found.identity is not None
    assert (found.identity.emulated_on, found.identity.emulation) == ("x86_64", "aarch64 on x86_64")
    assert (found.instruction_sets, found.overflow_fix_needed) == ((), False)
    assert found.host == "Intel(R) Xeon(R) Processor @ 2.10GHz (aarch64 emulated on x86_64)"
    assert "run as aarch64 on x86_64 hardware" in found.reasons[0]
    assert not is_same_device(load_profile("generic-arm64"), found)


def test_an_emulator_that_draws_up_a_cpuinfo_is_reported_by_sysfs(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.arm(tmp_path, features="fp asimd asimddp", parts=("0xd0b",))
    machines.write(root, "sys/devices/system/cpu/modalias", X86_ALIAS)
    found = detect(root, machine="aarch64")
    assert found.identity is not None
    assert found.identity.emulation == "aarch64 on x86_64"
    assert (found.profile, found.instruction_sets) == ("generic-arm64", ("neon", "dotprod"))


def test_x86_programs_emulated_on_a_board_are_not_that_board(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.raspberry_pi_5(tmp_path)
    machines.write(root, "sys/devices/system/cpu/modalias", ARM_ALIAS)
    found = detect(root, machine="x86_64")
    assert (found.profile, found.architecture, found.overflow_fix_needed) == ("generic-x86", "x86_64", None)
    assert found.host == "Raspberry Pi 5 Model B Rev 1.0 (x86_64 emulated on aarch64)"
    assert not needs_half_range(load_profile("generic-x86"), found)


@pytest.mark.parametrize("alias", [ARM_ALIAS, "", "cpu:type:arm\n"])
def test_a_board_that_says_what_its_kernel_says_is_itself(machines: ModuleType, tmp_path: Path, alias: str) -> None:
    root = machines.raspberry_pi_5(tmp_path)
    machines.write(root, "sys/devices/system/cpu/modalias", alias)
    found = detect(root, machine="aarch64")
    assert (found.profile, found.host) == ("raspberry-pi-5", "Raspberry Pi 5 Model B Rev 1.0")
    assert found.identity is not None
    assert found.identity.emulation is None


def test_nothing_to_compare_with_is_no_emulator(machines: ModuleType, tmp_path: Path) -> None:
    bare = detect(tmp_path, machine="arm64").identity
    narrow = detect(machines.x86(tmp_path), machine="i686").identity
    assert bare is not None
    assert narrow is not None
    assert (bare.architecture, bare.emulated_on) == ("aarch64", None)
    assert (narrow.architecture, narrow.emulated_on) == ("x86_64", None)


def test_the_firmwares_name_makes_no_device_of_an_emulated_machine(machines: ModuleType, tmp_path: Path) -> None:
    root = machines.dmi(machines.x86(tmp_path), vendor="Ours", product="OTO-2")
    own = dataclasses.replace(load_profile("generic-arm64"), id="our-otoscope", dmi_products=("OTO-2",))
    assert detect(root, (own, load_profile("generic-arm64")), machine="aarch64").profile == "generic-arm64"
