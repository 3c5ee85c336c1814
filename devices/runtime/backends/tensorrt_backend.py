"""TensorRT on a Jetson, through the Python binding that JetPack brings: it builds an engine and runs one.

Not yet run on a Jetson. The parser's part has run against TensorRT-RTX, which shares this API and needs no GPU; the rest
only against a stand-in that records its calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.errors import DeviceError, ModelError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.store import write_atomic
from weckd_edge.devices.jetson.builder_errors import build_error
from weckd_edge.devices.jetson.engine_layers import EngineLayer, layers_on_gpu, read_engine_information
from weckd_edge.devices.jetson.recipe import BuildPlan, TensorRTRecipe
from weckd_edge.devices.runtime.backends.base import ModelBytes, ModelSource, Probabilities, check_tensor, require_model
from weckd_edge.devices.runtime.backends.cudart import CudaRuntime, load_cuda_runtime

NAME = "tensorrt"
logger = logging.getLogger(__name__)
_PURPOSE = "build and run engines on a Jetson"
_STEPS = 100
_MAX_ERRORS = 1000
_INPUTS, _OUTPUTS = ("UINT8", "FLOAT"), ("FLOAT",)
_NEVER_ON_A_DLA = ("CONSTANT", "SHAPE")
"""Kinds of layers that do no work when the engine runs."""


def make_log(trt: Any, listen: Callable[[str], None] | None = None) -> Any:
    """Make a logger for a TensorRT module (or TensorRT-RTX, which shares its API).

    Args:
        trt: The TensorRT module.
        listen: Function that takes each message that is no error, in place of the log.
    """

    class Log(trt.ILogger):  # type: ignore[misc]  # the binding has no types
        """Hands TensorRT's messages to ``logging`` and keeps its errors for the exception's text."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        @property
        def last_error(self) -> str:
            return self.errors[-1] if self.errors else "no reason given"

        def log(self, severity: Any, msg: str) -> None:
            name = severity.name
            if name in ("INTERNAL_ERROR", "ERROR"):
                self.errors += [first_line(msg)] if first_line(msg) and len(self.errors) < _MAX_ERRORS else []
                logger.error("%s", msg)
            elif listen is not None:
                listen(msg)
            elif name == "WARNING":
                logger.warning("%s", msg)
            else:
                logger.debug("%s", msg)

    return Log()


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltEngine:
    """A new engine.

    Attributes:
        data: Bytes of the engine, valid for this module, TensorRT and L4T alone.
        layers: Processor and types of each layer; empty where TensorRT does not say.
    """

    data: bytes
    layers: tuple[EngineLayer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DLA:
    """A deep learning accelerator that an engine is built for.

    Attributes:
        core: Number of the accelerator.
        gpu_fallback: Whether layers that it cannot run may run on the GPU; without it such a network is refused.
    """

    core: int = 0
    gpu_fallback: bool = False


def dla_cores() -> int:
    """Return the number of DLA cores that this machine's TensorRT sees.

    Raises:
        MissingDependency: The binding is absent or broken.
    """
    trt: Any = require("tensorrt", _PURPOSE)
    return int(trt.Runtime(make_log(trt)).num_DLA_cores)


def build_engine(
    onnx: ModelSource,
    recipe: TensorRTRecipe,
    plan: BuildPlan,
    progress: Progress | None = None,
    *,
    timing_cache: Path | None = None,
    dla: DLA | None = None,
) -> BuiltEngine:
    """Build an engine for the GPU of this machine, or for its DLA.

    Args:
        onnx: The graph in the form that the plan names, its front end put before it where the plan has one.
        recipe: The largest workspace, and the ranges for a DLA.
        plan: Flags, from ``plans_for`` or ``dla_plan`` with this TensorRT's version.
        progress: Shows the build, from TensorRT 10 on by the builder's own steps; None shows nothing.
        timing_cache: File of kernel timings to start from and to write back; one of another version is ignored.
        dla: The DLA to build for; None builds for the GPU.

    Raises:
        ModelError: The parser refuses the graph (with its node), the builder finds no implementation, or a layer cannot run
            on the DLA and may not run on the GPU instead (with all such layers).
        DeviceError: The builder fails on a known defect of its own.
        MissingDependency: The binding is absent or broken.
    """
    trt: Any = require("tensorrt", _PURPOSE)
    log = make_log(trt)
    title = f"TensorRT {trt.__version__} engine" + ("" if dla is None else f" for DLA {dla.core}")
    with (progress or SilentProgress()).task(title, total=_STEPS) as task:
        builder = trt.Builder(log)
        creation = sum(1 << int(getattr(trt.NetworkDefinitionCreationFlag, name)) for name in plan.attempt.network_flags)
        network = builder.create_network(creation)
        parse_network(trt, network, log, onnx)
        config = _make_config(trt, builder, recipe, plan)
        if dla is not None:
            _aim_at_dla(trt, network, config, recipe, dla, onnx.name)
        cache = _load_cache(config, timing_cache)
        monitor = make_monitor(trt, task.advance, _STEPS) if plan.rule.progress_monitor else None
        if monitor is not None:
            config.progress_monitor = monitor
        engine = builder.build_serialized_network(network, config)
        if monitor is not None and monitor.interrupted:
            raise KeyboardInterrupt
        if engine is None:
            raise build_error(onnx.name, trt.__version__, log.errors)
        if timing_cache is not None and cache is not None:
            write_atomic(timing_cache, bytes(cache.serialize()))
        if monitor is None:
            task.advance(_STEPS)
    built = BuiltEngine(data=bytes(engine), layers=inspect_engine(trt, log, bytes(engine)))
    if dla is not None and not dla.gpu_fallback and (strayed := layers_on_gpu(built.layers)):
        raise ModelError(
            f"{onnx.name}: {_listed(strayed)} run on the GPU and not on the DLA; gpu_fallback would allow it",
            code="E_MODEL_DLA",
        )
    return built


def _make_config(trt: Any, builder: Any, recipe: TensorRTRecipe, plan: BuildPlan) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, recipe.workspace_mib << 20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for name in plan.attempt.builder_flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    return config


def make_monitor(trt: Any, advance: Callable[[int], None], total: int) -> Any:
    """Make a progress monitor for the builder of a TensorRT module (10.0 or newer).

    Args:
        trt: The TensorRT module.
        advance: Function that takes the number of further steps that are done.
        total: Number of steps of the whole build.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the binding has no types
        """Follows the outermost phase; the ones inside it are part of its steps."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False
            self._root, self._steps, self._done = "", 1, 0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self._root, self._steps = phase_name, max(num_steps, 1)

        def step_complete(self, phase_name: str, step: int) -> bool:
            # An interrupt arrives here, in Python code that the builder calls; False stops the builder.
            try:
                if phase_name == self._root:
                    self._reach(total * (step + 1) // self._steps)
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            if phase_name == self._root and not self.interrupted:
                self._reach(total)

        def _reach(self, steps: int) -> None:
            more = min(steps, total) - self._done
            if more > 0:
                self._done += more
                advance(more)

    return Monitor()


def _aim_at_dla(trt: Any, network: Any, config: Any, recipe: TensorRTRecipe, dla: DLA, name: str) -> None:
    """Send every layer to the DLA, with the recipe's ranges; a DLA reads no Q/DQ nodes."""
    for tensor in _tensors(network):
        if tensor.name in recipe.ranges:
            reach = recipe.ranges[tensor.name]
            tensor.dynamic_range = (-reach, reach)
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = dla.core
    if dla.gpu_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    refused = [
        layer.name for layer in layers if layer_kind(layer) not in _NEVER_ON_A_DLA and not config.can_run_on_DLA(layer)
    ]
    if refused and not dla.gpu_fallback:
        raise ModelError(
            f"{name}: {_listed(refused)} cannot run on the DLA; gpu_fallback would run them on the GPU", code="E_MODEL_DLA"
        )
    if refused:
        logger.warning("%s run on the GPU and not on the DLA", _listed(refused))


def _tensors(network: Any) -> list[Any]:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return [*inputs, *(layer.get_output(index) for layer in layers for index in range(layer.num_outputs))]


def layer_kind(layer: Any) -> str:
    """Return the type of a network's layer in capitals, such as ``CONVOLUTION``."""
    return str(layer.type).rpartition(".")[2]


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} layers ({', '.join(names)})"


def inspect_engine(trt: Any, log: Any, data: bytes) -> tuple[EngineLayer, ...]:
    """Return the layers of an engine; empty where it cannot be loaded, as without a GPU."""
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        return ()
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    del inspector, engine, runtime  # in this order: each lives on the next
    return read_engine_information(text)


def parse_network(trt: Any, network: Any, log: Any, onnx: ModelSource, name: str = "TensorRT") -> None:
    """Read an ONNX graph into a network definition.

    Args:
        trt: The TensorRT module.
        network: An empty network definition.
        log: Logger from ``make_log``.
        onnx: The graph.
        name: Name of the library for messages.

    Raises:
        ModelError: The parser refuses the graph; the message names the node.
    """
    require_model(onnx, (".onnx",), NAME)
    parser = trt.OnnxParser(network, log)
    if parser.parse(onnx.graph) if isinstance(onnx, ModelBytes) else parser.parse_from_file(str(onnx)):
        return
    if not parser.num_errors:
        raise ModelError(f"{onnx.name}: {name} {trt.__version__} refuses it ({log.last_error})", code="E_MODEL_BACKEND_LOAD")
    error = parser.get_error(0)
    named = getattr(error, "node_name", None)
    operator = getattr(error, "node_operator", None)
    node = (named() if named else "") or f"number {error.node()}"
    kind = f" ({operator()})" if operator and operator() else ""
    reason = " ".join(error.desc().split())[:300]
    raise ModelError(
        f"{onnx.name}: {name} {trt.__version__} refuses node {node}{kind}: {reason}; "
        "replace that operator in the network, or choose another model",
        code="E_MODEL_BACKEND_LOAD",
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
    """An engine with its buffers on the device: one input, the uint8 frame, and one output, the probabilities."""

    name = NAME

    def __init__(self, trt: Any, cuda: CudaRuntime, runtime: Any, engine: Any, where: str) -> None:
        self.version: str = str(trt.__version__)
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(f"{where}: expected one input and one output, got {inputs} and {outputs}", code="E_MODEL_INPUT")
        self.input_shape: tuple[int, ...] = tuple(engine.get_tensor_shape(inputs[0]))
        kind = _type_of(engine, inputs[0], _INPUTS, where)
        _type_of(engine, outputs[0], _OUTPUTS, where)
        # TensorRT 8.5 cannot cast a uint8 frame inside the graph, so that its engines take a float one.
        self._float_frame = np.empty(self.input_shape, np.float32) if kind == "FLOAT" else None
        self._probabilities = np.empty(tuple(engine.get_tensor_shape(outputs[0])), np.float32)
        self._cuda, self._runtime, self._engine = cuda, runtime, engine
        self._context = engine.create_execution_context()
        if self._context is None:
            raise DeviceError(
                f"{where}: TensorRT has no memory left for this engine; close other programs", code="E_DEVICE_MEMORY"
            )
        self._stream = cuda.create_stream()
        self._input = cuda.malloc(int(np.prod(self.input_shape)) * (1 if self._float_frame is None else 4))
        self._output = cuda.malloc(self._probabilities.nbytes)
        self._context.set_tensor_address(inputs[0], self._input)
        self._context.set_tensor_address(outputs[0], self._output)

    def run(self, frame: NDArray[Any]) -> Probabilities:
        """Copy one frame ``[1, H, W, 3]`` to the device, run it, and copy ``[classes]`` back."""
        check_tensor(frame, self.input_shape, np.dtype(np.uint8))
        if self._float_frame is not None:
            self._float_frame[...] = frame
            frame = self._float_frame
        self._cuda.copy_in(self._input, frame, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise DeviceError("TensorRT could not start the engine; run weckd-edge finalize again", code="E_DEVICE_ENGINE")
        self._cuda.copy_out(self._probabilities, self._output, self._stream)
        self._cuda.synchronize(self._stream)
        return self._probabilities.reshape(-1).astype(np.float32, copy=True)

    def close(self) -> None:
        """Free the device's memory; the context goes before the engine, the engine before its runtime."""
        del self._context, self._engine, self._runtime
        for address in (self._input, self._output):
            self._cuda.free(address)
        self._cuda.destroy_stream(self._stream)


def _type_of(engine: Any, name: str, allowed: tuple[str, ...], where: str) -> str:
    kind = str(engine.get_tensor_dtype(name)).rpartition(".")[2]
    if kind not in allowed:
        raise ModelError(
            f"{where}: expected uint8 frames and float32 probabilities, tensor '{name}' is {kind}", code="E_MODEL_INPUT"
        )
    return kind


def open_model(model: ModelSource, *, threads: int, cache_dir: Path | None, reference: bool, half: bool) -> TensorRTRunner:
    """Open an engine; ``threads``, ``cache_dir`` and ``half`` do not apply to one.

    Raises:
        ModelError: The file is missing, or a reference run is asked for.
        DeviceError: Another TensorRT, module or L4T built the engine, or no GPU is visible.
        MissingDependency: The binding or the CUDA runtime is absent.
    """
    del threads, cache_dir, half
    if reference:
        raise ModelError(
            "TensorRT has no reference mode; open the ONNX graph with onnxruntime for reference predictions",
            code="E_MODEL_BACKEND_MODE",
        )
    require_model(model, (".engine",), NAME)
    trt: Any = require("tensorrt", _PURPOSE)
    cuda = load_cuda_runtime()
    log = make_log(trt)
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(model.graph if isinstance(model, ModelBytes) else model.read_bytes())
    if engine is None:
        raise DeviceError(
            f"{model.name}: TensorRT {trt.__version__} cannot load this engine ({log.last_error}); "
            "an engine runs only where it was built: run weckd-edge finalize on this device",
            code="E_DEVICE_ENGINE",
        )
    return TensorRTRunner(trt, cuda, runtime, engine, model.name)
