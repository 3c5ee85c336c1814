"""Folders that look like ``/`` of some machine, with the files that are read of them, as those machines show them."""

from pathlib import Path

_X86 = "fpu vme de pse tsc msr pae cx8 sse sse2 ht syscall nx lm constant_tsc ssse3 sse4_1 sse4_2 popcnt aes"
_ORIN = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp uscat flagm"
_A53 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_PI5 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"

_NVPMODEL = """\
# < PARAM TYPE=PARAM_TYPE NAME=PARAM_NAME >
# < POWER_MODEL ID=id_num NAME=mode_name >
# < POWER_MODEL ID=1 NAME=RETIRED >

< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online

< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
GPU MAX_FREQ 612000000

< POWER_MODEL ID=1 NAME=25W >
CPU_ONLINE CORE_0 1
GPU MAX_FREQ 918000000

< POWER_MODEL ID=2 NAME=MAXN_SUPER >
CPU_ONLINE CORE_0 1
GPU MAX_FREQ -1

# mandatory section to configure the default power mode
< PM_CONFIG DEFAULT=1 >
"""


def write(root: Path, path: str, content: str | bytes) -> Path:
    """Write one file below a root, its folders too."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def x86(root: Path, *, model: str = "Intel(R) Xeon(R) Processor @ 2.10GHz", flags: str = "", cores: int = 2) -> Path:
    """Any x86-64 machine; ``flags`` come on top of SSE 4.2."""
    block = "processor\t: {}\nvendor_id\t: GenuineIntel\nmodel name\t: {}\nflags\t\t: {} {}\nbugs\t\t: spectre_v1\n\n"
    write(root, "proc/cpuinfo", "".join(block.format(core, model, _X86, flags) for core in range(cores)))
    return root


def arm(root: Path, *, features: str, cores: int = 4, parts: tuple[str, ...] = ()) -> Path:
    """Any 64-bit Arm machine; ``parts`` is the kind of each core, Cortex-A78AE where none is given."""
    block = "processor\t: {}\nBogoMIPS\t: 62.50\nFeatures\t: {}\nCPU implementer\t: 0x41\nCPU part\t: {}\n\n"
    kinds = parts or ("0xd42",) * cores
    write(root, "proc/cpuinfo", "".join(block.format(core, features, part) for core, part in enumerate(kinds)))
    return root


def dmi(root: Path, *, vendor: str, product: str) -> Path:
    """What the firmware calls the machine."""
    write(root, "sys/class/dmi/id/sys_vendor", f"{vendor}\n")
    write(root, "sys/class/dmi/id/product_name", f"{product}\n")
    return root


def device_tree(root: Path, *, model: str, compatible: tuple[str, ...]) -> None:
    """What the boot loader says about the board; every string ends with a zero."""
    write(root, "proc/device-tree/model", f"{model}\0")
    write(root, "proc/device-tree/compatible", "".join(f"{name}\0" for name in compatible))


def raspberry_pi_5(root: Path) -> Path:
    """A Raspberry Pi 5 with its usual system."""
    return board(root, "raspberry-pi-5")


_ARM_BOARDS = {
    "raspberry-pi-4": (("0xd08",) * 4, _A53, "Raspberry Pi 4 Model B Rev 1.4", ("raspberrypi,4-model-b", "brcm,bcm2711")),
    "raspberry-pi-5": (("0xd0b",) * 4, _PI5, "Raspberry Pi 5 Model B Rev 1.0", ("raspberrypi,5-model-b", "brcm,bcm2712")),
    "nxp-imx8mp": (("0xd03",) * 4, _A53, "NXP i.MX8MPlus EVK board", ("fsl,imx8mp-evk", "fsl,imx8mp")),
    "nxp-imx93": (("0xd05",) * 2, _PI5, "NXP i.MX93 11X11 EVK board", ("fsl,imx93-11x11-evk", "fsl,imx93")),
    "rockchip-rk3588": (("0xd05",) * 4 + ("0xd0b",) * 4, _PI5, "Radxa ROCK 5B", ("radxa,rock-5b", "rockchip,rk3588")),
    "qualcomm-qcs6490": (
        ("0xd05",) * 4 + ("0xd41",) * 4,
        _PI5,
        "Robotics RB3gen2",
        ("qcom,qcs6490-rb3gen2", "qcom,qcm6490"),
    ),
}
_X86_MODELS = {
    "intel-n100": ("Intel(R) N100", "avx2 fma avx_vnni"),
    "intel-n97": ("Intel(R) N97", "avx2 fma avx_vnni"),
    "intel-n150": ("Intel(R) N150", "avx2 fma avx_vnni"),
    "atom-x7425e": ("Intel Atom(R) x7425E", "avx2 fma avx_vnni"),
    "atom-x6425e": ("Intel Atom(R) x6425E Processor @ 2.00GHz", ""),
    "celeron-j4125": ("Intel(R) Celeron(R) J4125 CPU @ 2.00GHz", ""),
    "core-i3-1215u": ("12th Gen Intel(R) Core(TM) i3-1215U", "avx2 fma avx_vnni"),
}
BOARDS = (*_ARM_BOARDS, *_X86_MODELS)
"""Ids of the profiles that ``board`` can make a machine for; Jetsons are made by ``fake_jetson``."""


def board(root: Path, name: str) -> Path:
    """A machine that is the device of a profile."""
    if name in _X86_MODELS:
        model, flags = _X86_MODELS[name]
        return x86(root, model=model, flags=flags, cores=4)
    parts, features, model, compatible = _ARM_BOARDS[name]
    arm(root, features=features, parts=parts)
    device_tree(root, model=model, compatible=compatible)
    return root


def jetson(
    root: Path,
    *,
    module: str = "p3767-0005",
    carrier: str = "p3768-0000",
    model: str = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    cores: int = 6,
    l4t: tuple[str, str] = ("36", "4.3"),
    power_mode: int = 1,
    tensorrt: str = "10.3.0.30",
) -> Path:
    """A Jetson Orin Nano, JetPack 6.2, in its 25 W mode; or another by its module."""
    arm(root, features=_ORIN, cores=cores)
    names = (f"nvidia,{carrier}+{module}", f"nvidia,{module}", "nvidia,tegra234") if module else ("nvidia,tegra234",)
    device_tree(root, model=model, compatible=names)
    write(
        root,
        "etc/nv_tegra_release",
        f"# R{l4t[0]} (release), REVISION: {l4t[1]}, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8\n"
        "# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
    )
    write(root, "etc/nvpmodel.conf", _NVPMODEL)
    set_memory(root, 5_000)
    set_power_mode(root, power_mode)
    set_tensorrt(root, tensorrt)
    return root


def set_power_mode(root: Path, number: int) -> None:
    """What ``nvpmodel -m`` leaves behind."""
    write(root, "var/lib/nvpmodel/status", f"pmode:{number:04d}\nfmode:quiet\n")


def set_tensorrt(root: Path, version: str) -> None:
    """The package manager's record, with the remains of an older package as an upgrade leaves them."""
    major = version.partition(".")[0]
    write(
        root,
        "var/lib/dpkg/status",
        "Package: libc6\nStatus: install ok installed\nVersion: 2.35-0ubuntu3.8\nDescription: GNU C Library\n more words\n\n"
        "Package: libnvinfer7\nStatus: deinstall ok config-files\nVersion: 7.1.3-1+cuda10.2\n\n"
        f"Package: libnvinfer-bin\nStatus: install ok installed\nVersion: 9.9.9.9-1+cuda12.5\n\n"
        f"Package: libnvinfer{major}\nStatus: install ok installed\nPriority: optional\nSection: Multimedia\n"
        f"Architecture: arm64\nSource: tensorrt\nVersion: {version}-1+cuda12.5\nDepends: libc6\n"
        "Description: TensorRT runtime libraries\n for deep learning\n\n",
    )


def set_memory(root: Path, available_mib: int) -> None:
    """What the kernel says of its memory."""
    write(
        root,
        "proc/meminfo",
        f"MemTotal:        7802076 kB\nMemFree:    123456 kB\nMemAvailable:   {available_mib * 1024} kB\n",
    )


def set_governors(root: Path, *names: str) -> None:
    """One clock governor a core."""
    for core, name in enumerate(names):
        write(root, f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", f"{name}\n")
