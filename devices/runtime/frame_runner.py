"""A model of camera frames: the front end, and the graph behind it."""

from __future__ import annotations

from weckd_edge.artifacts import InputSpec, Takes
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.runtime.backends.base import Frame, ModelSource, Probabilities, Runner
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.front_end import FrontEnd
from weckd_edge.devices.runtime.input_guard import OpenGuard


class FrameRunner:
    """A ``Runner`` of camera frames, whatever its graph takes.

    Args:
        graph: The open graph; closing the model closes it.
        front_end: Front end that makes what the graph takes.

    Attributes:
        name: Name of the backend.
        version: Version of the library that runs the graph.
        input_shape: Shape of a frame, ``(1, height, width, 3)``.
        graph: The open graph, which takes what the front end makes.
        front_end: Front end that makes what the graph takes.
    """

    def __init__(self, graph: Runner, front_end: FrontEnd) -> None:
        self.name, self.version = graph.name, graph.version
        self.input_shape: tuple[int, ...] = front_end.spec.frame_shape
        self.graph = graph
        self.front_end = front_end

    def run(self, frame: Frame) -> Probabilities:
        """Predict one frame ``[1, height, width, 3]``, whatever the guard would say; return ``[classes]``."""
        return self.graph.run(self.front_end.pixels(frame))

    def close(self) -> None:
        """Close the graph."""
        self.graph.close()


def open_frame_runner(
    backend: str,
    model: ModelSource,
    spec: InputSpec,
    *,
    guard: OpenGuard | None = None,
    threads: int = 1,
    reference: bool = False,
    half: bool = False,
) -> FrameRunner:
    """Open a model of camera frames, which takes what the bundle's graph takes or, as a device's engine may, the frame.

    Args:
        backend: Name in the backend table.
        model: A model file, or proved bytes, as ``open_runner`` takes it.
        spec: The frame, and the network's input.
        guard: Input guard of the front end; None: there is none.
        threads: Processor threads that one query may use, at least 1.
        reference: Compute exactly as the graph is written, however slow.
        half: Compute in float16 wherever a layer is not int8.

    Raises:
        ConfigError: No backend has that name, or there is fewer than one thread.
        ModelError: The model is refused, or takes something else than ``spec`` says.
        DeviceError: The model is to compute in float16, which the backend does not do on this processor.
        MissingDependency: The library is absent or broken.
    """
    graph = open_runner(backend, model, threads=threads, reference=reference, half=half)
    # Where both shapes are the same, the front end has nothing to do either.
    takes: Takes = spec.graph_input_name if graph.input_shape == spec.graph_shape else "frame"
    if graph.input_shape != spec.shape_of(takes):
        graph.close()
        raise ModelError(
            f"{model.name}: expected a graph that takes {list(spec.graph_shape)}, as its input says, found one that takes "
            f"{list(graph.input_shape)}",
            code="E_MODEL_INPUT",
        )
    return FrameRunner(graph, FrontEnd(spec, guard, takes))
