"""Records of a device profile: sources, unknown fields, power modes, releases, sensors, int8 and published latencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.core.errors import DeviceError

Confidence = Literal["V", "S", "U", "choice"]
"""Confidence in a value.

``V`` was read in a primary source, or derived from one as the text says; ``S`` was read in a secondary source; ``U`` is not
confirmed; ``choice`` was decided by this project, so that there is nothing to confirm.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Source of some of a profile's values.

    Attributes:
        of: Names of the profile's fields.
        text: The source in words, or its address.
        date: Day on which the source was read, ``YYYY-MM-DD``.
        confidence: Confidence in the values.
    """

    of: tuple[str, ...]
    text: str
    date: str
    confidence: Confidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown:
    """Field that no source confirms, so that nobody takes the gap for an oversight.

    Attributes:
        of: Name of the profile's field; a field that holds a list may have some values all the same.
        reason: Missing information, in words.
    """

    of: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerMode:
    """One setting of the board's power; modes are matched by name, as their numbers differ between boards and releases.

    Attributes:
        name: Name that ``nvpmodel -q`` prints.
        gpu_mhz: Highest clock of the GPU, MHz.
        gpu_sms: Number of streaming multiprocessors that are on.
        int8_tops_dense: Peak of the GPU in int8 without sparsity, TOPS.
        int8_tops_sparse: Peak of the GPU in int8 with half the weights zero, as the vendor states it, TOPS.
        dla_int8_tops_sparse: Peak of all DLA cores together, as the vendor states it, TOPS.
        fp32_gflops: Peak of the GPU in FP32 outside its tensor cores, GFLOPS.
        cpu_cores: Number of processor cores that are on.
        cpu_mhz: Highest clock of those cores, MHz.
        memory_mhz: Clock of the memory, MHz.
        note: Remark in words.
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
    """Versions of a release of JetPack.

    Attributes:
        jetpack: The release, or a span of releases.
        l4t: Release of NVIDIA's Linux, as ``/etc/nv_tegra_release`` shows it.
        tensorrt: Version of TensorRT, in full where it is known.
        python: Version of the system's Python; TensorRT's binding is for this one only.
        ubuntu: Release of Ubuntu below it.
        cuda: Version of CUDA.
        cudnn: Version of cuDNN.
        bundled: Whether that TensorRT comes with the release; if not, it may be installed beside the one that does.
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
    """Peak bandwidth of one kind of memory.

    Attributes:
        memory: Kind or clock of the memory, in words, such as ``DDR4-3200``.
        gbps: Peak bandwidth, gigabytes (1e9) a second.
        memory_mhz: Clock of the memory, MHz, where power modes name one.
    """

    memory: str
    gbps: float
    memory_mhz: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """The graphics processor that inference runs on.

    Attributes:
        cuda_cores: Number of CUDA cores, as the vendor counts them.
        tensor_cores: Number of tensor cores.
        sms: Number of streaming multiprocessors.
        mhz_max: Highest clock, MHz.
        fp32_gflops: Peak in FP32 at that clock outside the tensor cores, GFLOPS.
        fp8_tflops: Peak in FP8 as the source states it, TFLOPS.
        fp4_tflops_sparse: Peak in FP4 with half the weights zero, TFLOPS.
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
    """Sensor on the board that measures its power.

    Attributes:
        chip: Kind of sensor. ``ina3221`` and ``ina238`` are below ``/sys/bus/i2c``, ``rapl`` below
            ``/sys/class/powercap``; ``pmic`` is the board's own tool; ``none``: it is known that there is no sensor.
        rails: Names of the rails that are measured, as the sensor calls them; there may be more.
        total: Rails that add up to the whole board or package; empty where that is not known.
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
class Int8Runtime:
    """What is known of int8 in one runtime on a device: whether the layers of an int8 graph really run in int8 there.

    Attributes:
        runtime: Library that runs the model, such as ``openvino``.
        runs: How many of its convolutions run in int8: ``all``, ``some`` or ``none``.
        which: Description of those that do, or of what it takes.
        source: Text that says so, or how it was observed.
        date: Day of that, ``YYYY-MM-DD``.
        confidence: Confidence in it.
    """

    runtime: str
    runs: Literal["all", "some", "none"]
    which: str
    source: str
    date: str
    confidence: Confidence


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLatency:
    """A latency of the device that somebody else has published, to hold estimates against; this project did not measure it.

    Attributes:
        model: Name of the network in the source.
        precision: Precision of the network; ``float`` is FP32 or FP16, as the runtime chose by itself.
        runtime: Library that ran it, with its version where the source gives it.
        statistic: Statistic of the single times that the figure is; ``unknown``: the source does not say.
        source: Name of the source; the profile's sources of ``published`` give the address.
        date: Day on which the source was read, ``YYYY-MM-DD``.
        confidence: Confidence in the figure.
        latency_ms: Latency of one batch, milliseconds; None where the source gives a span.
        low_ms: Lower end of a span that the source gives, milliseconds.
        high_ms: Upper end of that span, milliseconds.
        input_size: Side of the network's input, pixels; None where the source does not say.
        batch: Number of images in a batch.
        processor: Part of the device that ran it.
        threads: Number of processor threads.
        part: Part of the device that ran it, in words, where a build runs on another one, such as on its faster cores.
        power_mode: Name of the power mode.
        measured_on: Another device that it was measured on, which stands for this one's class; None: on the device itself.
        note: Remark in words.
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
