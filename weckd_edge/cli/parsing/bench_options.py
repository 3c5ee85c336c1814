"""Options of ``weckd-edge bench``, by section: the run, the limits, other machines, a comparison, and the output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from weckd_edge.cli.parsing.option_groups import ProgressOutput, Runtime
from weckd_edge.cli.parsing.options import OptionGroup, option
from weckd_edge.cli.parsing.parameter_types import DEVICE, PATH, AnyPath, FiniteRange, OneOf, WholeNumber

if TYPE_CHECKING:
    from weckd_edge.devices.bench.settings import BenchSettings

POWER_SOURCES = ("auto", "ina3221", "ina238", "rapl", "none")
RULES = ("mlperf", "mobile", "quick")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRun(Runtime):
    """Settings of one bench: the runtime, its length, the load generator and the power source."""

    rules: str = option(
        "--rules",
        type=OneOf(RULES),
        default="quick",
        show_default=True,
        help="Length of the run: mlperf (10 minutes), mobile (1 minute) or quick (seconds).",
    )
    queries: int | None = option(
        "--queries", type=WholeNumber(1, 1_000_000_000), help="Number of timed frames; overrides the rules."
    )
    warmup: int | None = option(
        "--warmup",
        type=WholeNumber(0, 1_000_000_000),
        help="Number of untimed frames before them. Default: the rules' 50.",
    )
    generator: Literal["auto", "builtin", "loadgen"] = option(
        "--generator",
        type=OneOf(("auto", "builtin", "loadgen")),
        default="auto",
        show_default=True,
        help="Load generator: builtin, or MLPerf's LoadGen.",
    )
    power: str = option(
        "--power",
        type=OneOf(POWER_SOURCES, prefix="replay:FILE"),
        default="auto",
        show_default=True,
        help="Power source: a meter of this machine, a recorded one, or none.",
    )

    def settings(self) -> BenchSettings:
        """Return the settings of the bench, without the runtime's name and the power source."""
        from weckd_edge.devices.bench.settings import BenchSettings

        return BenchSettings(
            rules=self.rules,
            queries=self.queries,
            warmup=self.warmup,
            threads=self.threads,
            generator=self.generator,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchLimits(OptionGroup):
    """The device whose limits a bench is judged by."""

    title: ClassVar[str] = "Limits"
    device: str | None = option(
        "--device",
        type=DEVICE,
        help="The device profile that the bundle was built for, where it is a TOML file of your own.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteHosts(OptionGroup):
    """The machines that a bench runs on over ssh."""

    title: ClassVar[str] = "Remote"
    ssh: tuple[str, ...] = option(
        "--ssh",
        multiple=True,
        metavar="USER@HOST[:PORT]",
        help="Measure on these hosts instead (comma-separated). They need Python, numpy and a backend.",
    )
    remote_bundle: bool = option(
        "--remote-bundle", is_flag=True, help="With --ssh: BUNDLE is a folder on the devices; nothing is sent."
    )
    finalize: bool = option(
        "--finalize", is_flag=True, help="With --ssh: let each device choose what it runs of the bundle first."
    )
    identity: Path | None = option(
        "--identity", type=AnyPath(exists=True, dir_okay=False), help="With --ssh: private key file."
    )
    known_hosts: Path | None = option(
        "--known-hosts",
        type=AnyPath(exists=True, dir_okay=False),
        help="With --ssh: file of trusted host keys. Default: ~/.ssh/known_hosts.",
    )
    python: str = option(
        "--remote-python",
        default="python3",
        show_default=True,
        metavar="PATH",
        help="With --ssh: Python interpreter on the devices.",
    )
    jobs: int = option(
        "--jobs",
        default=16,
        show_default=True,
        type=WholeNumber(1, 1024),
        help="With --ssh: maximum number of parallel hosts.",
    )
    timeout_s: float = option(
        "--timeout",
        default=30.0,
        show_default=True,
        type=FiniteRange(3, 86_400),
        help="With --ssh: inactivity timeout, seconds.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison(OptionGroup):
    """Two benches that are compared."""

    title: ClassVar[str] = "Compare"
    folders: tuple[Path, Path] | None = option(
        "--compare", nargs=2, type=PATH, metavar="A B", help="Compare two folders of --out; runs nothing."
    )
    margin: float = option(
        "--margin",
        default=0.05,
        show_default=True,
        type=FiniteRange(0, 1, max_open=True),
        help="With --compare: smallest relative difference that counts.",
    )
    allow_different_devices: bool = option(
        "--allow-different-devices", is_flag=True, help="With --compare: accept two different devices."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchOutput(ProgressOutput):
    """Output of a bench: what is printed, and the folder that keeps the record."""

    out: Path | None = option("--out", type=PATH, help="Folder for the record, every latency and a page.")
