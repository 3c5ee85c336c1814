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
    takes: Takes | None = None,
    threads: int = 1,
    reference: bool = False,
) -> FrameRunner:
    """Open a model of camera frames.

    Args:
        backend: Name in the backend table.
        model: A model file, or proved bytes, as ``open_runner`` takes it.
        spec: The frame, and the network's input.
        guard: Input guard of the front end; None: there is none.
        takes: What the model takes; None: what ``spec`` says of the bundle's graph. A device's engine may take the frame.
        threads: Processor threads that one query may use, at least 1.
        reference: Compute exactly as the graph is written, however slow.

    Raises:
        ConfigError: No backend has that name, or there is fewer than one thread.
        ModelError: The model is refused, or takes something else than ``spec`` says.
        MissingDependency: The library is absent or broken.
    """
    graph = open_runner(backend, model, threads=threads, reference=reference)
    front_end = FrontEnd(spec, guard, takes)
    wanted = spec.shape_of(front_end.takes)
    if graph.input_shape != wanted:
        graph.close()
        raise ModelError(
            f"{model.name}: expected a graph that takes {list(wanted)}, as its input says, found one that takes "
            f"{list(graph.input_shape)}",
            code="E_MODEL_INPUT",
        )
    return FrameRunner(graph, front_end)
