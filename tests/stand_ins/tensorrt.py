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
out_of_memory = False
launch_fails = False


def become(version: str) -> None:
    """Take the names that this version of the binding has."""
    global __version__, BuilderFlag, NetworkDefinitionCreationFlag
    __version__ = version
    major = int(version.partition(".")[0])
    builder = ("TF32",) if major >= 11 else ("FP16", "INT8", "TF32")
    network = {8: ("EXPLICIT_BATCH",), 10: ("EXPLICIT_BATCH", "STRONGLY_TYPED")}.get(major, ("STRONGLY_TYPED",))
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
        if build_error is not None:
            self._logger.log(ILogger.Severity.ERROR, build_error + "\nand more")
            return None
        header = {"version": __version__, "error": answer_error, "built": len(told("build_serialized_network"))}
        return memoryview(json.dumps(header).encode() + b"\n" + network.graph)


class INetworkDefinition:
    graph = b""


class IBuilderConfig:
    def __init__(self) -> None:
        self.enabled: list[Any] = []
        self._cache: ITimingCache | None = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        calls.append(("set_memory_pool_limit", (pool.name, size)))

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

    def parse_from_file(self, path: str) -> bool:
        self._network.graph = Path(path).read_bytes()
        return parser_error is None


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger: Any = logger

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

    def create_execution_context(self) -> Any:
        return None if out_of_memory else IExecutionContext(self)

    def __del__(self) -> None:
        calls.append(("freed", "engine"))


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
        raw = ctypes.string_at(self._addresses[source.name], int(np.prod(shape)))
        frame = np.frombuffer(raw, np.uint8).reshape(shape)
        answer = self._engine.session.run(None, {source.name: frame})[0] + np.float32(self._engine.error)
        ctypes.memmove(self._addresses[target.name], answer.tobytes(), answer.nbytes)
        return True

    def __del__(self) -> None:
        calls.append(("freed", "context"))


become("10.3.0")
