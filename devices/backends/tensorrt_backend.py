"""TensorRT on a Jetson, through the Python binding that JetPack brings: build an engine, run an engine.

Not yet run on a Jetson. The building half has run against the parser and builder of TensorRT-RTX, which share this API
and need no GPU; the running half only against a stand-in that records its calls.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.backends.base import Probabilities, check_tensor, require_file
from weckd_edge.devices.backends.cudart import CudaRuntime, load_cuda_runtime
from weckd_edge.devices.recipe import TensorRTRecipe, flags_for
from weckd_edge.errors import DeviceError, ModelError
from weckd_edge.optional import require
from weckd_edge.progress import Progress, SilentProgress
from weckd_edge.store import write_atomic

NAME = "tensorrt"
logger = logging.getLogger(__name__)
_PURPOSE = "build and run engines on a Jetson"
_TYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("uint8"), "FLOAT": np.dtype("float32")}


def make_log(trt: Any) -> Any:
    """Return a logger for a TensorRT module (or TensorRT-RTX, which shares its API)."""

    class Log(trt.ILogger):  # type: ignore[misc]  # the binding has no types
        """Hands TensorRT's messages to ``logging`` and keeps the last error for the exception's text."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = "no reason given"

        def log(self, severity: Any, msg: str) -> None:
            name = severity.name
            if name in ("INTERNAL_ERROR", "ERROR"):
                self.last_error = msg.strip().splitlines()[0] if msg.strip() else self.last_error
                logger.error("%s", msg)
            elif name == "WARNING":
                logger.warning("%s", msg)
            else:
                logger.debug("%s", msg)

    return Log()


def build_engine(
    onnx: Path, recipe: TensorRTRecipe, progress: Progress | None = None, *, timing_cache: Path | None = None
) -> bytes:
    """Build an engine for the GPU of this machine.

    Args:
        onnx: The graph; its Q/DQ nodes say what runs in int8.
        recipe: Flags by version, and the workspace cap.
        progress: Where to show the three steps.
        timing_cache: File of kernel timings to start from and to write back; one of another version is ignored.

    Returns:
        The serialized engine, valid for this module, TensorRT and L4T alone.

    Raises:
        ModelError: The parser refuses the graph (with its node), or the builder finds no implementation.
        DeviceError: TensorRT is older than the recipe asks for.
        MissingDependency: The binding is absent or broken.
    """
    trt: Any = require("tensorrt", _PURPOSE)
    flags = flags_for(recipe, trt.__version__)
    log = make_log(trt)
    with (progress or SilentProgress()).task(f"TensorRT {trt.__version__} engine", total=3) as task:
        builder = trt.Builder(log)
        creation = sum(1 << int(getattr(trt.NetworkDefinitionCreationFlag, name)) for name in flags.network)
        network = builder.create_network(creation)
        parse_network(trt, network, log, onnx)
        task.advance()
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, recipe.workspace_mib << 20)
        for name in flags.builder:
            config.set_flag(getattr(trt.BuilderFlag, name))
        cache = _load_cache(config, timing_cache)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise ModelError(f"{onnx.name}: TensorRT {trt.__version__} cannot build it ({log.last_error})")
        task.advance()
        if timing_cache is not None and cache is not None:
            write_atomic(timing_cache, bytes(cache.serialize()))
        task.advance()
    return bytes(engine)


def parse_network(trt: Any, network: Any, log: Any, onnx: Path, name: str = "TensorRT") -> None:
    """Read an ONNX graph into a network definition.

    Args:
        trt: The TensorRT module.
        network: An empty definition.
        log: What ``make_log`` gave.
        onnx: The graph.
        name: How the library is called in messages.

    Raises:
        ModelError: The parser refuses it, with the node it refuses.
    """
    require_file(onnx, (".onnx",), NAME)
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(str(onnx)):
        return
    if not parser.num_errors:
        raise ModelError(f"{onnx.name}: {name} {trt.__version__} refuses it ({log.last_error})")
    error = parser.get_error(0)
    named = getattr(error, "node_name", None)
    operator = getattr(error, "node_operator", None)
    node = (named() if named else "") or f"number {error.node()}"
    kind = f" ({operator()})" if operator and operator() else ""
    reason = " ".join(error.desc().split())[:300]
    raise ModelError(
        f"{onnx.name}: {name} {trt.__version__} refuses node {node}{kind}: {reason}; "
        "replace that operator in the network, or choose another model"
    )


def _load_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    saved = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(saved)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


class TensorRTRunner:
    """An engine with its buffers on the device. One input (the uint8 frame), one output (the probabilities)."""

    name = NAME

    def __init__(self, trt: Any, cuda: CudaRuntime, runtime: Any, engine: Any, where: str) -> None:
        self.version: str = str(trt.__version__)
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(f"{where}: expected one input and one output, got {inputs} and {outputs}")
        self.input_shape: tuple[int, ...] = tuple(engine.get_tensor_shape(inputs[0]))
        self.dtype = _numpy_type(engine, inputs[0], where)
        self._answer = np.empty(tuple(engine.get_tensor_shape(outputs[0])), dtype=_numpy_type(engine, outputs[0], where))
        self._cuda, self._runtime, self._engine = cuda, runtime, engine
        self._context = engine.create_execution_context()
        if self._context is None:
            raise DeviceError(f"{where}: TensorRT has no memory left for this engine; close other programs")
        self._stream = cuda.create_stream()
        self._input = cuda.malloc(int(np.prod(self.input_shape)) * self.dtype.itemsize)
        self._output = cuda.malloc(self._answer.nbytes)
        self._context.set_tensor_address(inputs[0], self._input)
        self._context.set_tensor_address(outputs[0], self._output)

    def run(self, frame: NDArray[Any]) -> Probabilities:
        """Copy one frame ``[1, H, W, 3]`` to the device, run it, and copy ``[classes]`` back."""
        check_tensor(frame, self.input_shape, self.dtype)
        self._cuda.copy_in(self._input, frame, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise DeviceError("TensorRT could not start the engine; run weckd-edge finalize again")
        self._cuda.copy_out(self._answer, self._output, self._stream)
        self._cuda.synchronize(self._stream)
        return self._answer.reshape(-1).astype(np.float32, copy=True)

    def close(self) -> None:
        """Free the device's memory; the context goes before the engine, the engine before its runtime."""
        del self._context, self._engine, self._runtime
        for address in (self._input, self._output):
            self._cuda.free(address)
        self._cuda.destroy_stream(self._stream)


def _numpy_type(engine: Any, name: str, where: str) -> np.dtype[Any]:
    kind = str(engine.get_tensor_dtype(name)).rpartition(".")[2]
    if kind not in _TYPES:
        raise ModelError(f"{where}: expected uint8 frames and float32 answers, tensor '{name}' is {kind}")
    return _TYPES[kind]


def open_model(model: Path, *, threads: int, cache_dir: Path | None, reference: bool) -> TensorRTRunner:
    """Open an engine; ``threads`` and ``cache_dir`` do not apply to a GPU.

    Raises:
        ModelError: The file is missing, or a reference run is asked for.
        DeviceError: Another TensorRT, module or L4T built the engine, or no GPU is visible.
        MissingDependency: The binding or the CUDA runtime is absent.
    """
    del threads, cache_dir
    if reference:
        raise ModelError("TensorRT has no reference mode; open the ONNX graph with onnxruntime for reference answers")
    require_file(model, (".engine",), NAME)
    trt: Any = require("tensorrt", _PURPOSE)
    cuda = load_cuda_runtime()
    log = make_log(trt)
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(model.read_bytes())
    if engine is None:
        raise DeviceError(
            f"{model.name}: TensorRT {trt.__version__} cannot load this engine ({log.last_error}); "
            "an engine runs only where it was built: run weckd-edge finalize on this device"
        )
    return TensorRTRunner(trt, cuda, runtime, engine, model.name)
