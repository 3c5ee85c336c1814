"""A stand-in for NVIDIA's binding ``tensorrt``: it records what it is told, and ONNX Runtime answers for its engines.

An engine is a line of JSON (version, flags, error) and the ONNX graph behind it. It loads in the version that built it
alone, as a real one does.
"""

import ctypes
import enum
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

__version__ = ""
calls: list[tuple[Any, ...]] = []
answer_error = 0.0
"""Added to every answer of the engines that are built from now on."""
parser_error: tuple[int, str, str, str] | None = None
"""Node number, node name, operator, description."""
build_error: str | None = None
int8_error: str | None = None
"""Logged by builds that have the flag INT8, which then fail, before the builder's own closing words."""
out_of_memory = False
launch_fails = False
num_dla_cores = 0
stays_on_gpu: tuple[str, ...] = ()
"""Layers that a DLA cannot run."""
float_layers: tuple[str, ...] = ()
"""Convolutions that the engines built from now on run in floating point."""
slow_ns: dict[str, int] = {"GPU": 0, "DLA": 0}
"""What engines for either processor, built from now on, take for a frame."""
slow_front_end_ns = 0
"""What an engine takes more, or less, that has the front end inside, built from now on."""
elapsed_ns = 0
"""What all frames so far took: a clock that no other program can disturb."""


def become(version: str) -> None:
    """Take the names that this version of the binding has."""
    global __version__, BuilderFlag, NetworkDefinitionCreationFlag
    __version__ = version
    major = int(version.partition(".")[0])
    builder = ("GPU_FALLBACK", "TF32") if major >= 11 else ("FP16", "INT8", "GPU_FALLBACK", "TF32")
    network = {8: ("EXPLICIT_BATCH",), 10: ("EXPLICIT_BATCH", "STRONGLY_TYPED")}.get(major, ("STRONGLY_TYPED",))
    globals().pop("IProgressMonitor", None)
    if major >= 10:
        globals()["IProgressMonitor"] = _ProgressMonitor
    BuilderFlag = enum.Enum("BuilderFlag", builder)  # type: ignore[misc]
    NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", network, start=0)  # type: ignore[misc]


def told(name: str) -> list[Any]:
    """What was passed in every call of a name."""
    return [call[1] for call in calls if call[0] == name]


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    INT32 = 3
    UINT8 = 5


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class DeviceType(enum.Enum):
    GPU = 0
    DLA = 1


class ProfilingVerbosity(enum.Enum):
    LAYER_NAMES_ONLY = 0
    DETAILED = 2


class LayerInformationFormat(enum.Enum):
    ONELINE = 0
    JSON = 1


class LayerType(enum.Enum):
    CONVOLUTION = 0
    CONSTANT = 1
    ELEMENTWISE = 2


class _ProgressMonitor:
    """``IProgressMonitor``, which is there from version 10 on."""

    def __init__(self) -> None:
        self.ready = True


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        self.ready = True


class Builder:
    def __init__(self, logger: ILogger) -> None:
        assert logger.ready, "ILogger.__init__ was not called"
        self._logger: Any = logger

    def create_network(self, flags: int = 0) -> "INetworkDefinition":
        calls.append(("create_network", [f.name for f in NetworkDefinitionCreationFlag if flags & 1 << f.value]))
        return INetworkDefinition()

    def create_builder_config(self) -> "IBuilderConfig":
        return IBuilderConfig()

    def build_serialized_network(self, network: "INetworkDefinition", config: "IBuilderConfig") -> Any:
        calls.append(("build_serialized_network", [flag.name for flag in config.enabled]))
        calls.append(("ranges", {tensor.name: tensor.dynamic_range for tensor in network.tensors() if tensor.dynamic_range}))
        if config.progress_monitor is not None and not self._report(config.progress_monitor):
            return None
        if int8_error is not None and "INT8" in [flag.name for flag in config.enabled]:
            self._logger.log(ILogger.Severity.ERROR, int8_error)
            self._logger.log(ILogger.Severity.ERROR, "buildSerializedNetwork: Error Code 2: (engine != nullptr failed)")
            return None
        if build_error is not None:
            self._logger.log(ILogger.Severity.ERROR, build_error + "\nand more")
            return None
        processor = config.default_device_type.name
        header = {
            "version": __version__,
            "error": answer_error,
            "built": len(told("build_serialized_network")),
            "layers": [_describe(layer, processor, config.profiling_verbosity) for layer in network.layers()],
            "slow_ns": slow_ns[processor] + (slow_front_end_ns if b"front_end/" in network.graph else 0),
        }
        return memoryview(json.dumps(header).encode() + b"\n" + network.graph)

    def _report(self, monitor: Any) -> bool:
        """Tell a monitor of a build of four steps, the second of which has phases of its own."""
        assert monitor.ready, "IProgressMonitor.__init__ was not called"
        monitor.phase_start("Building Engine", None, 4)
        going = True
        for step in range(4):
            if step == 1:
                monitor.phase_start("Tactics", "Building Engine", 9)
                going = going and monitor.step_complete("Tactics", 8)
                monitor.phase_finish("Tactics")
            going = going and monitor.step_complete("Building Engine", step)
        monitor.phase_finish("Building Engine")
        return going


def _describe(layer: "ILayer", processor: str, verbosity: ProfilingVerbosity) -> Any:
    if verbosity != ProfilingVerbosity.DETAILED:
        return layer.name
    kind = "Int8" if "Conv" in layer.name and layer.name not in float_layers else "FP16"
    on_dla = processor == "DLA" and layer.name not in stays_on_gpu
    return {
        "Name": layer.name,
        "LayerType": "DLA" if on_dla else {"CONVOLUTION": "CaskConvolution"}.get(layer.type.name, "Constant"),
        "Inputs": [{"Name": "in", "Dimensions": [1], "Format/Datatype": f"Row major linear {kind} format"}],
        "Outputs": [{"Name": "out", "Dimensions": [1], "Format/Datatype": f"Row major linear {kind} format"}],
    }


class ITensor:
    def __init__(self, name: str) -> None:
        self.name = name
        self.dynamic_range: tuple[float, float] | None = None


class ILayer:
    num_inputs = num_outputs = 1

    def __init__(self, name: str, kind: LayerType) -> None:
        self.name = name
        self.type = kind
        self._output = ITensor(f"out of {name}")

    def get_input(self, index: int) -> ITensor:
        return ITensor(f"in of {self.name}")

    def get_output(self, index: int) -> ITensor:
        return self._output


class INetworkDefinition:
    """A frame, a constant and two convolutions, whatever the graph."""

    graph = b""
    num_inputs = 1

    def __init__(self) -> None:
        self._input = ITensor("frame")
        convolutions = [ILayer(f"Conv_{number}", LayerType.CONVOLUTION) for number in (1, 2)]
        self._layers = [ILayer("weights", LayerType.CONSTANT), *convolutions]

    def layers(self) -> list[ILayer]:
        return self._layers

    def tensors(self) -> list[ITensor]:
        return [self._input, *(layer.get_output(0) for layer in self._layers)]

    def get_input(self, index: int) -> ITensor:
        return self._input

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def get_layer(self, index: int) -> ILayer:
        return self._layers[index]


class IBuilderConfig:
    progress_monitor: Any = None
    profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
    default_device_type = DeviceType.GPU
    DLA_core = -1

    def __init__(self) -> None:
        self.enabled: list[Any] = []
        self._cache: ITimingCache | None = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        calls.append(("set_memory_pool_limit", (pool.name, size)))

    def can_run_on_DLA(self, layer: ILayer) -> bool:  # noqa: N802
        return layer.name not in stays_on_gpu

    def set_flag(self, flag: Any) -> None:
        assert flag in BuilderFlag
        self.enabled.append(flag)

    def create_timing_cache(self, saved: bytes) -> "ITimingCache":
        return ITimingCache(saved)

    def set_timing_cache(self, cache: "ITimingCache", ignore_mismatch: bool) -> bool:
        fits = cache.saved in (b"", b"timings of " + __version__.encode())
        calls.append(("set_timing_cache", (cache.saved, ignore_mismatch, fits)))
        return fits


class ITimingCache:
    def __init__(self, saved: bytes) -> None:
        self.saved = saved

    def serialize(self) -> memoryview:
        return memoryview(b"timings of " + __version__.encode())


class ParserError:
    def node(self) -> int:
        return _error()[0]

    def node_name(self) -> str:
        return _error()[1]

    def node_operator(self) -> str:
        return _error()[2]

    def desc(self) -> str:
        return _error()[3]


def _error() -> tuple[int, str, str, str]:
    assert parser_error is not None
    return parser_error


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network

    @property
    def num_errors(self) -> int:
        return 1 if parser_error else 0

    def get_error(self, index: int) -> ParserError:
        assert index == 0
        return ParserError()

    def parse(self, data: bytes) -> bool:
        self._network.graph = data
        return parser_error is None

    def parse_from_file(self, path: str) -> bool:
        self._network.graph = Path(path).read_bytes()
        return parser_error is None


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger: Any = logger

    @property
    def num_DLA_cores(self) -> int:  # noqa: N802
        return num_dla_cores

    def deserialize_cuda_engine(self, serialized: bytes) -> Any:
        head, _, graph = serialized.partition(b"\n")
        if not head.startswith(b"{"):
            self._logger.log(ILogger.Severity.ERROR, "The engine plan file is not compatible: magic tag does not match")
            return None
        header = json.loads(head)
        if header["version"] != __version__:
            self._logger.log(ILogger.Severity.ERROR, f"The engine plan file is of version {header['version']}")
            return None
        return ICudaEngine(header, graph)

    def __del__(self) -> None:
        calls.append(("freed", "runtime"))


class ICudaEngine:
    def __init__(self, header: dict[str, Any], graph: bytes) -> None:
        self.error: float = header["error"]
        self.slow_ns: int = header["slow_ns"]
        self.layers: list[Any] = header["layers"]
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._tensors = [
            *((tensor, TensorIOMode.INPUT) for tensor in self.session.get_inputs()),
            *((tensor, TensorIOMode.OUTPUT) for tensor in self.session.get_outputs()),
        ]

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return str(self._tensors[index][0].name)

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return next(mode for tensor, mode in self._tensors if tensor.name == name)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(next(tensor.shape for tensor, _ in self._tensors if tensor.name == name))

    def get_tensor_dtype(self, name: str) -> DataType:
        kinds = {"tensor(uint8)": DataType.UINT8, "tensor(float)": DataType.FLOAT, "tensor(int32)": DataType.INT32}
        return kinds[next(tensor.type for tensor, _ in self._tensors if tensor.name == name)]

    def create_engine_inspector(self) -> "EngineInspector":
        return EngineInspector(self)

    def create_execution_context(self) -> Any:
        return None if out_of_memory else IExecutionContext(self)

    def __del__(self) -> None:
        calls.append(("freed", "engine"))


class EngineInspector:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine

    def get_engine_information(self, format: LayerInformationFormat) -> str:  # noqa: A002
        assert format == LayerInformationFormat.JSON
        return json.dumps({"Layers": self._engine.layers, "Bindings": []})


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        calls.append(("execute_async_v3", stream_handle))
        if launch_fails:
            return False
        (source,), (target,) = self._engine.session.get_inputs(), self._engine.session.get_outputs()
        shape = self._engine.get_tensor_shape(source.name)
        kind = np.dtype({"tensor(uint8)": "uint8", "tensor(float)": "float32"}[source.type])
        raw = ctypes.string_at(self._addresses[source.name], int(np.prod(shape)) * kind.itemsize)
        frame = np.frombuffer(raw, kind).reshape(shape)
        global elapsed_ns
        elapsed_ns += self._engine.slow_ns
        answer = self._engine.session.run(None, {source.name: frame})[0] + np.float32(self._engine.error)
        ctypes.memmove(self._addresses[target.name], answer.tobytes(), answer.nbytes)
        return True

    def __del__(self) -> None:
        calls.append(("freed", "context"))


become("10.3.0")
