"""A folder that looks like ``/`` of a Jetson, in the layout of its JetPack: one function, for every test that reads one.

What is written, below the root that ``build`` returns:

- ``proc``: cpuinfo, meminfo, swaps; ``proc/device-tree`` with model and compatible
- ``etc/nv_tegra_release``, ``etc/nvpmodel.conf``, ``var/lib/nvpmodel/status``, ``var/lib/dpkg/status``
- ``sys/devices/system/cpu/cpuN/cpufreq``: governor and clocks; ``sys/class/devfreq/<gpu>``: the GPU's clocks
- ``sys/class/thermal/thermal_zoneN``: temperatures and trips; ``sys/class/thermal/cooling_deviceN``
- the power sensors: JetPack 4 ``iio:deviceN/rail_name_N``, newer ones ``hwmon/hwmonN/inN_label``, Thor an INA238 beside

Layouts are those that jetson-stats 7.2.2 reads; the text of nv_tegra_release and the device trees' names were seen in public
repositories. Figures are made up where a test needs some.
"""

from dataclasses import dataclass
from pathlib import Path

Rail = tuple[str, int, int]
"""Name, millivolts, milliamperes."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """One module on its developer kit.

    ``modes`` are nvpmodel's, in the order of their numbers, each with the GPU's highest clock in hertz (-1: none set).
    ``sensors`` is one I2C address with its rails for each INA3221. ``gpu`` is the GPU's folder below ``/sys/class/devfreq``.
    """

    module: str
    compatible: tuple[str, ...]
    model: str
    part: str
    cores: int
    features: str
    board: str
    modes: tuple[tuple[str, int], ...]
    default_mode: int
    sensors: dict[str, tuple[Rail, ...]]
    gpu: str
    gpu_hz: tuple[int, int]
    zones: tuple[str, ...]
    ina238: tuple[Rail, ...] = ()
    modes_before_super: tuple[tuple[str, int], ...] = ()

    def modes_of(self, jetpack: str) -> tuple[tuple[str, int], ...]:
        """Return the power modes of a release: JetPack 6.2 brought the Super modes to Orin NX and Nano."""
        return self.modes if jetpack in ("6.2", "7.2") or not self.modes_before_super else self.modes_before_super


_A57 = "fp asimd evtstrm aes pmull sha1 sha2 crc32"
_CARMEL = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp"
_A78 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp uscat flagm"
_V3AE = _A78 + " sve sve2 i8mm bf16 sveaes"
_ORIN_ZONES = ("cpu-thermal", "gpu-thermal", "cv0-thermal", "soc0-thermal", "tj-thermal")
_ORIN_GPU = ("17000000.gpu", (306_000_000, 1_020_000_000))
_ORIN_RAILS: dict[str, tuple[Rail, ...]] = {
    "1-0040": (("VDD_IN", 5_000, 1_100), ("VDD_CPU_GPU_CV", 5_000, 300), ("VDD_SOC", 5_000, 280))
}
_AGX_RAILS: dict[str, tuple[Rail, ...]] = {
    "1-0040": (("VDD_GPU_SOC", 19_000, 130), ("VDD_CPU_CV", 19_000, 60), ("VIN_SYS_5V0", 5_000, 700)),
    "1-0041": (("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 1_800, 300)),
}
_NANO_MODES = (("15W", 612_000_000), ("25W", 918_000_000), ("MAXN_SUPER", -1), ("7W", 408_000_000))


def _orin(
    module: str,
    model: str,
    modes: tuple[tuple[str, int], ...],
    default: int,
    cores: int,
    before: tuple[tuple[str, int], ...] = (),
) -> Board:
    gpu, clocks = _ORIN_GPU
    return Board(
        module=module,
        compatible=(f"nvidia,p3768-0000+{module}", f"nvidia,{module}", "nvidia,tegra234"),
        model=model,
        part="0x41:0xd42",
        cores=cores,
        features=_A78,
        board="generic",
        modes=modes,
        default_mode=default,
        sensors=_ORIN_RAILS,
        gpu=gpu,
        gpu_hz=clocks,
        zones=_ORIN_ZONES,
        modes_before_super=before,
    )


def _agx(module: str, cores: int) -> Board:
    return Board(
        module=module,
        compatible=(f"nvidia,p3737-0000+{module}", f"nvidia,{module}", "nvidia,tegra234"),
        model="NVIDIA Jetson AGX Orin Developer Kit",
        part="0x41:0xd42",
        cores=cores,
        features=_A78,
        board="generic",
        modes=(("MAXN", -1), ("MODE_15W", 408_000_000), ("MODE_30W", 612_000_000), ("MODE_50W", 816_000_000)),
        default_mode=2,
        sensors=_AGX_RAILS,
        gpu="17000000.gpu",
        gpu_hz=(306_000_000, 1_300_000_000),
        zones=_ORIN_ZONES,
    )


BOARDS: dict[str, Board] = {
    "jetson-nano-4gb": Board(
        module="p3448-0000",
        compatible=("nvidia,p3449-0000-b00+p3448-0000-b00", "nvidia,jetson-nano", "nvidia,tegra210"),
        model="NVIDIA Jetson Nano Developer Kit",
        part="0x41:0xd07",
        cores=4,
        features=_A57,
        board="t210ref",
        modes=(("MAXN", -1), ("5W", 640_000_000)),
        default_mode=0,
        sensors={"6-0040": (("POM_5V_IN", 5_016, 420), ("POM_5V_GPU", 5_016, 40), ("POM_5V_CPU", 5_016, 90))},
        gpu="57000000.gpu",
        gpu_hz=(76_800_000, 921_600_000),
        zones=("AO-therm", "CPU-therm", "GPU-therm", "PLL-therm", "PMIC-Die", "thermal-fan-est"),
    ),
    "jetson-tx2": Board(
        module="p3310-1000",
        compatible=("nvidia,p2597-0000+p3310-1000", "nvidia,tegra186"),
        model="quill",
        part="0x41:0xd07",
        cores=4,
        features=_A57,
        board="t186ref",
        modes=(("MAXN", -1), ("MAXQ", 850_000_000), ("MAXP_CORE_ALL", 1_120_000_000)),
        default_mode=2,
        sensors={
            "0-0040": (("VDD_SYS_GPU", 19_000, 9), ("VDD_SYS_SOC", 19_000, 22), ("VDD_4V0_WIFI", 4_800, 0)),
            "0-0041": (("VDD_IN", 19_000, 88), ("VDD_SYS_CPU", 19_000, 16), ("VDD_SYS_DDR", 4_800, 36)),
        },
        gpu="17000000.gp10b",
        gpu_hz=(114_750_000, 1_300_500_000),
        zones=("BCPU-therm", "MCPU-therm", "GPU-therm", "PLL-therm", "Tboard_tegra", "thermal-fan-est"),
    ),
    "jetson-xavier-nx": Board(
        module="p3668-0001",
        compatible=("nvidia,p3449-0000+p3668-0001", "nvidia,p3509-0000+p3668-0001", "nvidia,tegra194"),
        model="NVIDIA Jetson Xavier NX Developer Kit",
        part="0x4e:0x004",
        cores=6,
        features=_CARMEL,
        board="t186ref",
        modes=(("MODE_A", 1_000_000_000), ("MODE_B", 800_000_000)),
        default_mode=0,
        sensors={"7-0040": (("VDD_IN", 5_000, 760), ("VDD_CPU_GPU_CV", 5_000, 200), ("VDD_SOC", 5_000, 210))},
        gpu="17000000.gv11b",
        gpu_hz=(114_750_000, 1_100_000_000),
        zones=("AO-therm", "CPU-therm", "GPU-therm", "AUX-therm", "PMIC-Die"),
    ),
    "jetson-orin-nano-8gb": _orin(
        "p3767-0005",
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        _NANO_MODES,
        1,
        6,
        before=(("15W", -1), ("7W", 408_000_000)),
    ),
    "jetson-orin-nano-4gb": _orin(
        "p3767-0004",
        "NVIDIA Jetson Orin Nano 4GB",
        (("10W", 625_000_000), ("7W_AI", 408_000_000), ("7W_CPU", 306_000_000)),
        0,
        6,
    ),
    "jetson-orin-nx-16gb": _orin(
        "p3767-0000",
        "NVIDIA Jetson Orin NX",
        (("MAXN_SUPER", -1), ("10W", 612_000_000), ("15W", 612_000_000), ("25W", 408_000_000), ("40W", 1_173_000_000)),
        4,
        8,
        before=(("MAXN", -1), ("10W", 612_000_000), ("15W", 612_000_000), ("25W", 408_000_000)),
    ),
    "jetson-orin-nx-8gb": _orin(
        "p3767-0001",
        "NVIDIA Jetson Orin NX",
        (("MAXN", -1), ("10W", 612_000_000), ("15W", 612_000_000), ("20W", 408_000_000)),
        2,
        6,
    ),
    "jetson-agx-orin-64gb": _agx("p3701-0005", 12),
    "jetson-agx-orin-32gb": _agx("p3701-0004", 8),
    "jetson-thor-t5000": Board(
        module="p3834-0008",
        compatible=("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
        model="NVIDIA Jetson AGX Thor Developer Kit",
        part="0x41:0xd83",
        cores=14,
        features=_V3AE,
        board="generic",
        modes=(("MODE_A", -1), ("MODE_B", 800_000_000)),
        default_mode=0,
        sensors={"2-0040": (("VDD_GPU", 12_000, 250), ("VDD_CPU_SOC_MSS", 12_000, 540), ("VIN_SYS_5V0", 5_000, 1_300))},
        gpu="gpu-gpc-0",
        gpu_hz=(315_000_000, 1_575_000_000),
        zones=("cpu-thermal", "gpu-thermal", "soc012-thermal", "soc345-thermal", "tj-thermal"),
        ina238=(("VIN", 20_000, 1_150),),
    ),
}
"""By the id of the profile; ``jetson-tx2`` has none. Modes are nvpmodel's where the profile knows them, else A and B."""

RELEASES = {
    "4.6.1": ("32.7.1", "8.2.1.8"),
    "5.1.1": ("35.3.1", "8.5.2.2"),
    "5.1.3": ("35.5.0", "8.5.2.2"),
    "6.0": ("36.3.0", "8.6.2.3"),
    "6.2": ("36.4.3", "10.3.0.30"),
    "7.0": ("38.2.0", "10.13.3.9"),
    "7.1": ("38.4.0", "10.13.3.9"),
    "7.2": ("39.2.0", "10.16.2.10"),
}
"""By JetPack: L4T and TensorRT."""

JETPACKS = {
    "nvidia,tegra210": ("4.6.1",),
    "nvidia,tegra186": ("4.6.1",),
    "nvidia,tegra194": ("4.6.1", "5.1.1", "5.1.3"),
    "nvidia,tegra234": ("5.1.1", "5.1.3", "6.0", "7.2", "6.2"),
    "nvidia,tegra264": ("7.0", "7.1", "7.2"),
}
"""By chip: what runs on it, the usual one last."""


def build(
    root: Path,
    board: str = "jetson-orin-nano-8gb",
    jetpack: str | None = None,
    *,
    mode: int | None = None,
    governor: str = "schedutil",
    pinned: bool = False,
    celsius: float = 45.0,
    throttling: bool = False,
    zram: bool = False,
    overlay: tuple[str, ...] = (),
) -> Path:
    """Build the root of a board with a release of JetPack, and return it.

    Args:
        root: An empty folder.
        board: A key of ``BOARDS``.
        jetpack: A key of ``RELEASES``; None takes the usual one of its chip.
        mode: Number of the power mode; None takes the default of the board and release.
        governor: Of every core.
        pinned: As ``jetson_clocks`` leaves it: lowest clocks equal the highest.
        celsius: Of every thermal zone.
        throttling: A passive trip is passed, and a cooling device is at work.
        zram: The memory is swapped into itself, as JetPack does where nobody turns it off.
        overlay: Names to put in front of ``compatible``.

    Raises:
        ValueError: That release does not run on that board.
    """
    made, chip = BOARDS[board], BOARDS[board].compatible[-1]
    jetpack = JETPACKS[chip][-1] if jetpack is None else jetpack
    if jetpack not in JETPACKS[chip]:
        raise ValueError(f"JetPack {jetpack} does not run on {board}; take one of {', '.join(JETPACKS[chip])}")
    l4t, tensorrt = RELEASES[jetpack]
    _processor(root, made, governor, pinned)
    tree = root / "proc/device-tree"
    _write(tree / "model", f"{made.model}\0")
    _write(tree / "compatible", "".join(f"{name}\0" for name in (*overlay, *made.compatible)))
    major, _, revision = l4t.partition(".")
    _write(
        root / "etc/nv_tegra_release",
        f"# R{major} (release), REVISION: {revision}, GCID: 38968081, BOARD: {made.board}, EABI: aarch64, "
        "DATE: Wed Jan  8 01:49:37 UTC 2025\n"
        + ("# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n" if int(major) >= 36 else ""),
    )
    _modes(root, made, jetpack, mode)
    _packages(root, tensorrt)
    _memory(root, zram)
    _gpu(root, made, pinned)
    _thermal(root, made, celsius, throttling)
    hwmon = 0
    for address, rails in made.sensors.items():
        if int(major) < 34:
            _ina3221_iio(root, address, rails, hwmon)
        else:
            _ina3221_hwmon(root, address, rails, hwmon)
        hwmon += 1
    for rail in made.ina238:
        _ina238(root, "2-0044", rail, hwmon)
        hwmon += 1
    return root


def set_power_mode(root: Path, number: int) -> None:
    """What ``nvpmodel -m`` leaves behind."""
    _write(root / "var/lib/nvpmodel/status", f"pmode:{number:04d}\nfmode:quiet\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _processor(root: Path, board: Board, governor: str, pinned: bool) -> None:
    implementer, part = board.part.split(":")
    # JetPack 4's kernel shows a model name that says nothing of the core.
    name = "model name\t: ARMv8 Processor rev 1 (v8l)\n" if board.board != "generic" else ""
    block = (
        f"{name}BogoMIPS\t: 62.50\nFeatures\t: {board.features}\nCPU implementer\t: {implementer}\nCPU part\t: {part}\n\n"
    )
    _write(root / "proc/cpuinfo", "".join(f"processor\t: {core}\n{block}" for core in range(board.cores)))
    for core in range(board.cores):
        folder = root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        _write(folder / "scaling_governor", f"{governor}\n")
        _write(folder / "scaling_max_freq", "1344000\n")
        _write(folder / "scaling_min_freq", "1344000\n" if pinned else "115200\n")
        _write(folder / "scaling_cur_freq", "1344000\n" if pinned else "729600\n")
        _write(folder / "cpuinfo_max_freq", "1728000\n")


def _modes(root: Path, board: Board, jetpack: str, mode: int | None) -> None:
    modes = board.modes_of(jetpack)
    default = min(board.default_mode, len(modes) - 1)
    entries = "".join(
        f"< POWER_MODEL ID={n} NAME={name} >\nCPU_ONLINE CORE_0 1\nGPU MIN_FREQ 0\nGPU MAX_FREQ {clock}\n\n"
        for n, (name, clock) in enumerate(modes)
    )
    _write(
        root / "etc/nvpmodel.conf",
        "# < PARAM TYPE=PARAM_TYPE NAME=PARAM_NAME >\n# < POWER_MODEL ID=id_num NAME=mode_name >\n\n"
        "< PARAM TYPE=FILE NAME=CPU_ONLINE >\nCORE_0 /sys/devices/system/cpu/cpu0/online\n\n"
        f"{entries}# mandatory section to configure the default power mode\n< PM_CONFIG DEFAULT={default} >\n",
    )
    set_power_mode(root, default if mode is None else mode)


def _packages(root: Path, tensorrt: str) -> None:
    major = tensorrt.partition(".")[0]
    _write(
        root / "var/lib/dpkg/status",
        f"Package: libc6\nStatus: install ok installed\nVersion: 2.35\n\n"
        f"Package: libnvinfer{major}\nStatus: install ok installed\nArchitecture: arm64\nVersion: {tensorrt}-1+cuda12.6\n\n",
    )


def _memory(root: Path, zram: bool) -> None:
    _write(
        root / "proc/meminfo",
        "MemTotal:        7802076 kB\nMemFree:         2123456 kB\nMemAvailable:    5120000 kB\n"
        f"SwapTotal:       {3901036 if zram else 0} kB\nSwapFree:        {3801036 if zram else 0} kB\n",
    )
    rows = "".join(
        f"/dev/zram{n}                              partition\t650172\t\t16000\t\t5\n" for n in range(6 if zram else 0)
    )
    _write(root / "proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" + rows)


def _gpu(root: Path, board: Board, pinned: bool) -> None:
    folder = root / "sys/class/devfreq" / board.gpu
    low, high = board.gpu_hz
    _write(folder / "min_freq", f"{high if pinned else low}\n")
    _write(folder / "max_freq", f"{high}\n")
    _write(folder / "cur_freq", f"{high if pinned else low}\n")
    _write(folder / "available_frequencies", f"{low} {high}\n")


def _thermal(root: Path, board: Board, celsius: float, throttling: bool) -> None:
    folder = root / "sys/class/thermal"
    for n, name in enumerate(board.zones):
        zone = folder / f"thermal_zone{n}"
        _write(zone / "type", f"{name}\n")
        _write(zone / "temp", f"{round((99.5 if throttling else celsius) * 1000)}\n")
        for trip, (kind, degrees) in enumerate((("active", 51), ("passive", 99), ("critical", 104))):
            _write(zone / f"trip_point_{trip}_type", f"{kind}\n")
            _write(zone / f"trip_point_{trip}_temp", f"{degrees * 1000}\n")
    for n, (kind, state) in enumerate((("pwm-fan", 2), ("cpufreq-cpu0", 3 if throttling else 0))):
        _write(folder / f"cooling_device{n}/type", f"{kind}\n")
        _write(folder / f"cooling_device{n}/cur_state", f"{state}\n")
        _write(folder / f"cooling_device{n}/max_state", "10\n")


def _i2c(root: Path, address: str, chip: str, driver: str) -> Path:
    """Make a device on the I2C bus, known to its driver, and return its folder."""
    device = root / "sys/bus/i2c/devices" / address
    _write(device / "name", f"{chip}\n")
    _link(root / "sys/bus/i2c/drivers" / driver / address, Path("../../devices") / address)
    return device


def _ina3221_iio(root: Path, address: str, rails: tuple[Rail, ...], number: int) -> None:
    folder = _i2c(root, address, "ina3221x", "ina3221x") / f"iio:device{number}"
    for n, (name, millivolt, milliampere) in enumerate(rails):
        _write(folder / f"rail_name_{n}", f"{name}\n")
        _write(folder / f"in_voltage{n}_input", f"{millivolt}\n")
        _write(folder / f"in_current{n}_input", f"{milliampere}\n")
        _write(folder / f"in_power{n}_input", f"{millivolt * milliampere // 1000}\n")
        _write(folder / f"warn_current_limit_{n}", "4000\n")
        _write(folder / f"crit_current_limit_{n}", "5000\n")


def _ina3221_hwmon(root: Path, address: str, rails: tuple[Rail, ...], number: int) -> None:
    folder = _i2c(root, address, "ina3221", "ina3221") / f"hwmon/hwmon{number}"
    _write(folder / "name", "ina3221\n")
    for n, (name, millivolt, milliampere) in enumerate(rails, start=1):
        _write(folder / f"in{n}_label", f"{name}\n")
        _write(folder / f"in{n}_input", f"{millivolt}\n")
        _write(folder / f"curr{n}_input", f"{milliampere}\n")
        _write(folder / f"curr{n}_max", "4000\n")
        _write(folder / f"curr{n}_crit", "5000\n")
        _write(folder / f"curr{n}_max_alarm", "0\n")
        _write(folder / f"curr{n}_crit_alarm", "0\n")


def _ina238(root: Path, address: str, rail: Rail, number: int) -> None:
    folder = _i2c(root, address, "ina238", "ina2xx") / f"hwmon/hwmon{number}"
    _, millivolt, milliampere = rail
    _write(folder / "name", "ina238\n")
    _write(folder / "in1_input", f"{millivolt}\n")
    _write(folder / "curr1_input", f"{milliampere}\n")
    _write(folder / "power1_input", f"{millivolt * milliampere}\n")
