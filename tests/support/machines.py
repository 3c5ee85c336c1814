"""Folders that look like ``/`` of some machine, with the files that are read of them, as those machines show them."""

from pathlib import Path

_X86 = "fpu vme de pse tsc msr pae cx8 sse sse2 ht syscall nx lm constant_tsc ssse3 sse4_1 sse4_2 popcnt aes"
_ORIN = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp uscat flagm"
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


def arm(root: Path, *, features: str, cores: int) -> Path:
    """Any 64-bit Arm machine."""
    block = "processor\t: {}\nBogoMIPS\t: 62.50\nFeatures\t: {}\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n\n"
    write(root, "proc/cpuinfo", "".join(block.format(core, features) for core in range(cores)))
    return root


def device_tree(root: Path, *, model: str, compatible: tuple[str, ...]) -> None:
    """What the boot loader says about the board; every string ends with a zero."""
    write(root, "proc/device-tree/model", f"{model}\0")
    write(root, "proc/device-tree/compatible", "".join(f"{name}\0" for name in compatible))


def raspberry_pi_5(root: Path) -> Path:
    """A Raspberry Pi 5 with its usual system."""
    arm(root, features=_PI5, cores=4)
    device_tree(root, model="Raspberry Pi 5 Model B Rev 1.0", compatible=("raspberrypi,5-model-b", "brcm,bcm2712"))
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
