"""The record of a benchmark: latencies, power, and the machine's state."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.verification import Int8Count
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Latencies of single queries, one after another.

    Attributes:
        samples_ns: Latency of every query, in order, nanoseconds.
        p50_ns: Median latency, nanoseconds.
        p90_ns: 90th percentile of the latencies, nanoseconds.
        p99_ns: 99th percentile of the latencies, nanoseconds.
        iqr_over_median: Spread: interquartile range over median; above 0.1 the machine was too noisy to trust the latencies.
    """

    samples_ns: tuple[int, ...]
    p50_ns: int
    p90_ns: int
    p99_ns: int
    iqr_over_median: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyParts:
    """Latencies of the parts of a prediction, each run alone, in turns on the same frames; their samples are not kept.

    Attributes:
        guard: Latency of the input guard; None where the bundle has none.
        front_end: Latency of crop and resize before the graph; None where the graph does that itself.
        graph: Latency of the graph, from what it takes to the probabilities.
        decision: Latency of the decision by the probabilities.
        end_to_end_over_network: End-to-end latency over that of the network alone: median of their ratios within each turn;
            None where the network alone cannot be timed.
    """

    guard: Latency | None
    front_end: Latency | None
    graph: Latency
    decision: Latency
    end_to_end_over_network: float | None

    @property
    def named(self) -> tuple[tuple[str, Latency], ...]:
        """Name of each part in words, with its latency, in the order in which a frame passes them."""
        parts = (
            ("input guard", self.guard),
            ("front end", self.front_end),
            ("graph", self.graph),
            ("decision", self.decision),
        )
        return tuple((name, latency) for name, latency in parts if latency is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyStop:
    """Upper bound of a latency percentile that a run proves: MLPerf's early-stopping estimate.

    Attributes:
        percent: The percentile, 1..99.
        estimate_ns: Time that the percentile lies under with the given confidence, nanoseconds; None: too few queries for an
            estimate.
        confidence: Confidence of the estimate, 0..1, for queries that are independent of each other.
        over: Number of queries at or above the estimate.
        needed: Smallest number of queries that gives an estimate.
    """

    percent: int
    estimate_ns: int | None
    confidence: float
    over: int
    needed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadgenRecord:
    """MLPerf LoadGen's own results for a run; its latencies include its call into Python.

    Attributes:
        version: Version of LoadGen.
        valid: LoadGen's own verdict: whether the run is valid.
        queries: Number of queries that LoadGen counted.
        p90_ns: 90th percentile of the latencies, nanoseconds.
        p99_ns: 99th percentile of the latencies, nanoseconds.
        early_stopping_p90_ns: Early-stopping estimate of the 90th percentile, nanoseconds; None: too few queries.
        early_stopping_p99_ns: Early-stopping estimate of the 99th percentile, nanoseconds; None: too few queries.
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
    """Power and energy of a run. None means that the value cannot be measured there, and ``reason`` says why.

    Attributes:
        source: Source of the readings, such as ``ina3221``.
        rails: Power rails that were read, such as ``VDD_IN``.
        idle_mw: Mean power before the run, with the model open and nothing running, milliwatts.
        run_mw: Mean power over the timed run, milliwatts.
        gross_mj: Energy of one frame, idle power included, millijoules.
        net_mj: Energy of one frame above idle, millijoules.
        resolution_mj: Change of either energy by one reading more or less at each end of the run, millijoules.
        readings: Number of readings within the timed run.
        reason: Why a value is None, in words.
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
    """State of the machine at one moment. None means that the machine does not show the value.

    Attributes:
        at_ns: Time from the start of the timed run, nanoseconds; negative before it.
        cpu_khz: Clock of the fastest core, kHz.
        gpu_hz: Clock of the GPU, Hz.
        hottest_celsius: Temperature of the hottest zone, degrees Celsius.
        hottest_zone: Name of the hottest zone.
        load_average: Load average of the last minute.
        throttling: What slows the machine down at that moment, in words.
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
    """State of the machine before, during and after a timed run.

    Attributes:
        before: State before the warm-up.
        during: States during the run, one a second.
        after: State after the run.
        mode_before: Power mode and clock governors before the run; None where the machine shows none.
        mode_after: Power mode and clock governors after the run; None where the machine shows none.
        throttle_events: Throttling counters that rose during the run, each with its increase, in words.
        shown: What the machine shows, in words such as ``clocks``; anything else could not be watched.
        emulated: Emulated machine and host, in words, where an emulator ran the model; None where no emulator was found.
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
    """One benchmark of one bundle on one machine. None means that the value cannot be measured there.

    Attributes:
        device: Id of the device profile that was recognised, or ``unknown``.
        host: Name of the processor or board.
        backend: Backend that ran the model.
        backend_version: Version of the backend.
        precision: Precision of the model.
        rules: Rules of the run in words, such as ``single-stream, 1024 queries``.
        threads: Number of processor threads that the backend was given.
        link: Link that was timed as it would be deployed, to select among links; None: the deployed model.
        end_to_end: End-to-end latency: from a uint8 frame in memory to the decision, the input guard included.
        network: Latency of the network alone, without preprocessing.
        cold_start_ns: Time from opening the model to its first prediction, nanoseconds.
        peak_rss_bytes: Largest resident memory of the process, bytes.
        energy_mj: Energy of one frame above idle, millijoules; ``power`` has the details.
        warnings: What makes the results doubtful, one sentence each.
        rule_set: Name of the rules of the run.
        generator: Sender of the queries: ``builtin``, or LoadGen with its version.
        duration_ns: Duration of the timed end-to-end run, nanoseconds.
        rules_met: Whether the run was as long as its rules ask; False where it was cut off.
        early_stopping: Proven upper bounds of the 90th and the 99th percentile of the end-to-end latency.
        loadgen: LoadGen's own results for the same run; None where the builtin generator sent the queries.
        power: Power and energy; None where they were not asked for.
        machine: State of the machine around the run; None where it was not recorded.
        parts: Latencies of the parts of a prediction; None where they were not timed.
        int8: Layers that ran in int8, counted by the backend's library; None for other precisions, and where it cannot tell.
        by_device: Whether ``finalize`` chose the model on this device.
        pixels: What computed on frames in the front end, in words: ``compiled library (...)``, or ``NumPy, ...`` and why;
            None where it was not recorded.
        cut_off: Why the run ended early; None where it did not. A run that was cut off is never VALID.
        schema_version: Schema version of this record.
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
    parts: LatencyParts | None = None
    int8: Int8Count | None = None
    by_device: bool = False
    pixels: str | None = None
    cut_off: str | None = None
    schema_version: int = SCHEMA_VERSION
