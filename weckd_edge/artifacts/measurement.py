"""A bench: times, power, the machine's state."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Times of single queries, one after another.

    Attributes:
        samples_ns: Every query, in order.
        p50_ns: Median.
        p90_ns: 90th percentile.
        p99_ns: 99th percentile.
        iqr_over_median: Spread; over 0.1 the machine was too noisy to trust the figures.
    """

    samples_ns: tuple[int, ...]
    p50_ns: int
    p90_ns: int
    p99_ns: int
    iqr_over_median: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyStop:
    """What a run proves about a percentile: MLPerf's early-stopping estimate.

    Attributes:
        percent: Which percentile, 1 to 99.
        estimate_ns: The percentile lies under this time, with that confidence; None: too few queries to say so of any.
        confidence: Between 0 and 1, for queries that are independent of each other.
        over: How many of the slowest queries stand at or above the estimate.
        needed: Fewest queries that give an estimate.
    """

    percent: int
    estimate_ns: int | None
    confidence: float
    over: int
    needed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadgenRecord:
    """What MLPerf's LoadGen says of a run; its times hold its own call into Python.

    Attributes:
        version: Of LoadGen.
        valid: Its own verdict.
        queries: How many it counted.
        p90_ns: 90th percentile.
        p99_ns: 99th percentile.
        early_stopping_p90_ns: Its estimate of the 90th percentile; None: too few queries.
        early_stopping_p99_ns: Likewise of the 99th.
    """

    version: str
    valid: bool
    queries: int
    p90_ns: int
    p99_ns: int
    early_stopping_p90_ns: int | None
    early_stopping_p99_ns: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerRecord:
    """Power and energy of a run. None means that it cannot be measured there, and ``reason`` says why.

    Attributes:
        source: What was read, such as ``ina3221``.
        rails: What it measures, such as ``VDD_IN``.
        idle_mw: Mean power before the run, model open and nothing running.
        run_mw: Mean power over the timed run.
        gross_mj: Energy of one frame, idle power included.
        net_mj: Energy of one frame above idle.
        resolution_mj: What one reading more or less at each end would change in either.
        readings: How many fell into the timed run.
        reason: In words, where something is None.
    """

    source: str
    rails: tuple[str, ...]
    idle_mw: float | None
    run_mw: float | None
    gross_mj: float | None
    net_mj: float | None
    resolution_mj: float | None
    readings: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineState:
    """One look at the machine. None means that the machine does not show it.

    Attributes:
        at_ns: When, counted from the start of the timed run; negative before it.
        cpu_khz: Clock of the core that runs fastest.
        gpu_hz: Clock of the GPU.
        hottest_celsius: Temperature of the hottest zone.
        hottest_zone: Its name.
        load_average: Of the last minute.
        throttling: What slows the machine down at this moment, in words.
    """

    at_ns: int
    cpu_khz: int | None
    gpu_hz: int | None
    hottest_celsius: float | None
    hottest_zone: str | None
    load_average: float | None
    throttling: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineRecord:
    """The machine before, during and after a timed run.

    Attributes:
        before: Before the warm-up.
        during: Once a second.
        after: After the run.
        mode_before: Power mode and clock governors before; None where none is shown.
        mode_after: The same after.
        throttle_events: Counters of throttling that went up during the run, with how much, in words.
        shown: What the machine shows, in words such as ``clocks``; what is not here could not be watched.
        emulated: As what on what, in words, where an emulator ran the model; None where nothing shows one.
    """

    before: MachineState
    during: tuple[MachineState, ...]
    after: MachineState
    mode_before: str | None
    mode_after: str | None
    throttle_events: tuple[str, ...]
    shown: tuple[str, ...]
    emulated: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One bench of one bundle on one machine. None means that it cannot be measured there.

    Attributes:
        device: What was recognised: a profile's id, or ``unknown``.
        host: Processor or board in words.
        backend: What ran the model.
        backend_version: Its version.
        precision: Precision of the model.
        rules: By which rules, such as ``single-stream, 1024 queries``.
        threads: Processor threads the backend was given.
        link: The link that was timed as it would ship, for the choice between links; None: what is deployed.
        end_to_end: From a uint8 frame in memory to probabilities.
        network: The network alone, preprocessing cut away.
        cold_start_ns: From opening the model to its first answer.
        peak_rss_bytes: Largest resident memory of the process.
        energy_mj: Energy of one frame above idle, millijoule; ``power`` has the whole of it.
        warnings: What makes the figures doubtful.
        rule_set: Name of the rules the run was made by.
        generator: What sent the queries: ``builtin`` or LoadGen with its version.
        duration_ns: Of the timed run, end-to-end latency.
        rules_met: Whether the run was as long as its rules ask; False for one that was cut off.
        early_stopping: What the run proves about the 90th and the 99th percentile, end-to-end latency.
        loadgen: What LoadGen says of the same run; None where the builtin generator sent the queries.
        power: Power and energy; None where nobody asked for it.
        machine: The machine's state around the run; None where nobody watched.
        cut_off: Why the run ended before its time; None: it did not. Its times are never VALID.
        schema_version: Of this record.
    """

    device: str
    host: str
    backend: str
    backend_version: str
    precision: str
    rules: str
    threads: int
    end_to_end: Latency
    network: Latency | None
    cold_start_ns: int
    peak_rss_bytes: int | None
    energy_mj: float | None
    link: str | None = None
    warnings: tuple[str, ...] = ()
    rule_set: str = "quick"
    generator: str = "builtin"
    duration_ns: int | None = None
    rules_met: bool = True
    early_stopping: tuple[EarlyStop, ...] = ()
    loadgen: LoadgenRecord | None = None
    power: PowerRecord | None = None
    machine: MachineRecord | None = None
    cut_off: str | None = None
    schema_version: int = SCHEMA_VERSION
