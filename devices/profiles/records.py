"""The records a device profile is made of: sources, what is unknown, power modes, releases, sensors, published latencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.core.errors import DeviceError

Confidence = Literal["V", "S", "U", "choice"]
"""``V`` read in a primary source, or derived from one as the text says; ``S`` a secondary source; ``U`` not confirmed;
``choice``: decided by this project, nothing to confirm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where some of a profile's values come from.

    Attributes:
        of: Names of the profile's fields.
        text: The source in words, or its address.
        date: When it was read, ``YYYY-MM-DD``.
        confidence: See ``Confidence``.
    """

    of: tuple[str, ...]
    text: str
    date: str
    confidence: Confidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown:
    """What no source that was read confirms, so that nobody takes the gap for an oversight.

    Attributes:
        of: Name of the profile's field; one that holds a list may have other values all the same.
        reason: What is missing, in words.
    """

    of: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerMode:
    """One setting of the board's power; modes are matched by name, as their numbers differ between boards and releases.

    Attributes:
        name: As ``nvpmodel -q`` prints it.
        gpu_mhz: Highest clock of the GPU.
        gpu_sms: Streaming multiprocessors left on.
        int8_tops_dense: Arithmetic peak of the GPU, without sparsity.
        int8_tops_sparse: The same as the vendor tells it, with half the weights zero.
        dla_int8_tops_sparse: Peak of all DLA cores together, as the vendor tells it.
        fp32_gflops: Arithmetic peak of the GPU outside its tensor cores.
        cpu_cores: Processor cores left on.
        cpu_mhz: Their highest clock.
        memory_mhz: Clock of the memory.
        note: What else is to be known, in words.
    """

    name: str
    gpu_mhz: float | None = None
    gpu_sms: int | None = None
    int8_tops_dense: float | None = None
    int8_tops_sparse: float | None = None
    dla_int8_tops_sparse: float | None = None
    fp32_gflops: float | None = None
    cpu_cores: int | None = None
    cpu_mhz: float | None = None
    memory_mhz: float | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JetPackRelease:
    """What a release of JetPack brings.

    Attributes:
        jetpack: The release, or a span of releases.
        l4t: Release of NVIDIA's Linux, as ``/etc/nv_tegra_release`` tells it.
        tensorrt: Its TensorRT, in full where known.
        python: Of the system; TensorRT's binding is for this one only.
        ubuntu: Release of Ubuntu below it.
        cuda: Its CUDA.
        cudnn: Its cuDNN.
        bundled: Whether that TensorRT comes with the release; otherwise it may be installed beside what comes with it.
    """

    jetpack: str
    l4t: str
    tensorrt: str
    python: str | None = None
    ubuntu: str | None = None
    cuda: str | None = None
    cudnn: str | None = None
    bundled: bool = True

    def holds(self, l4t: str) -> bool:
        """Tell whether a release of NVIDIA's Linux, such as ``36.4.3``, is this one or lies in its span."""
        first, _, last = (_numbers(part) for part in (self.l4t.partition(" - ")))
        return first <= _numbers(l4t) <= (last or first)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.strip().split(".") if part.isdigit())


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryBandwidth:
    """Peak of the memory in one of its forms.

    Attributes:
        memory: Its kind or its clock, in words, such as ``DDR4-3200``.
        gbps: Gigabytes (1e9) a second.
        memory_mhz: Its clock, where power modes name one.
    """

    memory: str
    gbps: float
    memory_mhz: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """The graphics processor that inference runs on.

    Attributes:
        cuda_cores: As the vendor counts them.
        tensor_cores: Matrix units.
        sms: Streaming multiprocessors.
        mhz_max: Highest clock.
        fp32_gflops: Arithmetic peak at that clock, outside the tensor cores.
        fp8_tflops: Peak in FP8 as the source tells it.
        fp4_tflops_sparse: Peak in FP4 with half the weights zero.
    """

    cuda_cores: int | None = None
    tensor_cores: int | None = None
    sms: int | None = None
    mhz_max: float | None = None
    fp32_gflops: float | None = None
    fp8_tflops: float | None = None
    fp4_tflops_sparse: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerSensor:
    """Something on the board that tells its power.

    Attributes:
        chip: ``ina3221`` and ``ina238`` are below ``/sys/bus/i2c``, ``rapl`` below ``/sys/class/powercap``; ``pmic``:
            the board's own tool; ``none``: it is known that there is no sensor.
        rails: Names of what is measured, as the sensor calls them; more than these may be there.
        total: The rails that add up to the whole board or package; empty where that is not known.
    """

    chip: Literal["ina3221", "ina238", "rapl", "pmic", "none"]
    rails: tuple[str, ...] = ()
    total: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        strangers = sorted(set(self.total) - set(self.rails))
        if strangers:
            raise DeviceError(
                f"power_sensors: total names {', '.join(strangers)}, which rails does not; add it there",
                code="E_DEVICE_PROFILE",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLatency:
    """A latency of the device that somebody else has published, to hold predictions against; nothing here measured it.

    Attributes:
        model: Network, as the source calls it.
        precision: ``float``: FP32 or FP16, as the runtime chose by itself.
        runtime: Library, with its version where the source tells it.
        statistic: What the figure is of the single times; ``unknown``: the source does not say.
        source: Where it was read; the profile's sources of ``published`` give the address.
        date: When it was read, ``YYYY-MM-DD``.
        confidence: See ``Confidence``.
        latency_ms: Milliseconds an inference of one batch.
        low_ms: Where the source gives a span instead.
        high_ms: Its other end.
        input_size: Pixels on a side; None where the source does not say.
        batch: Images at once.
        processor: What of the device ran it.
        threads: Of a processor's cores.
        part: What of the device ran it, where that is not what a build runs on, such as its slow cores; in words.
        power_mode: By name.
        measured_on: Another device it was really measured on, which stands for this one's class; None: on the device itself.
        note: What else is to be known, in words.
    """

    model: str
    precision: Literal["int8", "fp16", "fp32", "float"]
    runtime: str
    statistic: Literal["median", "p90", "p99", "mean", "unknown"]
    source: str
    date: str
    confidence: Confidence
    latency_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    input_size: int | None = None
    batch: int = 1
    processor: Literal["cpu", "gpu", "dla", "npu"] = "cpu"
    threads: int | None = None
    part: str | None = None
    power_mode: str | None = None
    measured_on: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        span = (self.low_ms, self.high_ms)
        if (self.latency_ms is None) == (None in span) or (self.latency_ms is not None and span != (None, None)):
            raise DeviceError(
                f"published: {self.model}: expected latency_ms, or both low_ms and high_ms, and not all three",
                code="E_DEVICE_PUBLISHED",
            )
        if self.low_ms is not None and self.high_ms is not None and self.low_ms > self.high_ms:
            raise DeviceError(
                f"published: {self.model}: low_ms {self.low_ms:g} is more than high_ms {self.high_ms:g}; swap them",
                code="E_DEVICE_PUBLISHED",
            )
        if min(value for value in (self.latency_ms, *span) if value is not None) <= 0 or self.batch < 1:
            raise DeviceError(
                f"published: {self.model}: expected times above 0 and a batch of at least 1", code="E_DEVICE_PUBLISHED"
            )
