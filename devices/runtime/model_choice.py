"""Choice of the model of a bundle to open on this machine, without anything that reads images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from weckd_edge.artifacts import BuiltModel, FileRef, InputSpec, Precision, Takes
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import BundleError, DeviceError, MissingDependency
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.devices.runtime.backends.base import ModelBytes
from weckd_edge.devices.runtime.backends.table import BACKENDS, find_backend
from weckd_edge.devices.runtime.device_choice import FoundChoice, find_choice, listed_model, model_name
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner
from weckd_edge.devices.runtime.input_guard import OpenGuard

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningModel:
    """Facts that are reported of the model that runs.

    Attributes:
        backend: Name in the backend table.
        precision: Precision of the model.
        by_device: Whether ``finalize`` chose it on this device.
        note: Why a choice that lies in the bundle's folder was not followed; None where there is nothing to say.
    """

    backend: str
    precision: Precision
    by_device: bool = False
    note: str | None = None

    def __str__(self) -> str:
        return model_name(self.backend, self.precision) + (", chosen on this device" if self.by_device else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChoice:
    """A model of a bundle and the backend that runs it.

    Attributes:
        backend: Name in the backend table.
        model: Bytes of the model, proved.
        precision: Precision of the model, such as ``int8`` or ``fp32``.
        half: Whether it computes in float16 wherever a layer is not int8.
        takes: Input of the model; None: what the manifest says of the bundle's graph.
        by_device: Whether ``finalize`` chose it on this device; else it is the first of the bundle that can run here.
        note: Why a choice that lies in the bundle's folder was not followed; empty where there is nothing to say.
    """

    backend: str
    model: ModelBytes
    precision: Precision
    half: bool = False
    takes: Takes | None = None
    by_device: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        """Name of the model, such as ``openvino int8``."""
        return model_name(self.backend, self.precision)

    @property
    def running(self) -> RunningModel:
        """Facts that are reported of the model that runs."""
        return RunningModel(backend=self.backend, precision=self.precision, by_device=self.by_device, note=self.note or None)

    def open(self, spec: InputSpec, *, guard: OpenGuard | None = None, threads: int = 1) -> FrameRunner:
        """Open the model, which then takes camera frames.

        Args:
            spec: The frame, and the network's input.
            guard: Input guard of the front end; None: there is none.
            threads: Processor threads that one query may use, at least 1.

        Raises:
            WeckdError: The model cannot be opened here, as ``open_frame_runner`` says.
        """
        runner = open_frame_runner(self.backend, self.model, spec, guard=guard, threads=threads, half=self.half)
        if self.takes not in (None, runner.front_end.takes):
            runner.close()
            raise DeviceError(
                f"{self.model.name}: the device's choice says that it takes {self.takes}, and it takes "
                f"{runner.front_end.takes}; run weckd-edge finalize again",
                code="E_DEVICE_ENGINE",
            )
        return runner


@dataclass(frozen=True, slots=True)
class _Row:
    """A model that could be chosen; its bytes are read only if it is."""

    backend: str
    precision: Precision
    half: bool
    read: Callable[[], ModelBytes]
    by_device: bool = False
    takes: Takes | None = None

    @property
    def name(self) -> str:
        return model_name(self.backend, self.precision)


def choose_model(
    bundle: Bundle, backend: str | None = None, precision: Precision | None = None, root: Path = Path("/")
) -> ModelChoice:
    """Choose the model of a bundle to run on this machine.

    What finalize chose here comes first, then the bundle's models in their order.

    Args:
        bundle: The bundle.
        backend: Name in the backend table; None takes the first model whose library is installed.
        precision: Precision of the model; None takes the first in any.
        root: Folder that holds ``proc``, ``sys`` and ``etc``.

    Raises:
        ConfigError: No backend has that name.
        BundleError: A file was changed since the bundle was opened.
        DeviceError: The bundle holds no such model, or its engine is not built yet.
        MissingDependency: No library that could run the bundle is installed.
    """
    if backend is not None:
        find_backend(backend)
    found = find_choice(bundle, root)
    rows = _rows(bundle, found)
    wanted = [row for row in rows if backend in (None, row.backend) and precision in (None, row.precision)]
    for row in wanted:
        if backend is not None or is_installed(BACKENDS[row.backend].library):
            if found.reason is not None and backend is None and precision is None:
                logger.warning("%s; the first model of the bundle that runs here is used: weckd-edge finalize", found.reason)
            return ModelChoice(
                backend=row.backend,
                model=row.read(),
                precision=row.precision,
                half=row.half,
                takes=row.takes,
                by_device=row.by_device,
                note="" if row.by_device else found.reason or "",
            )
    if backend == "tensorrt":
        why = found.reason or "no engine was built here yet"
        raise DeviceError(
            f"{bundle.folder}: {why}; on the Jetson, run: weckd-edge finalize {bundle.folder}", code="E_DEVICE_NO_ENGINE"
        )
    if not wanted:
        asked = " ".join(filter(None, (backend, precision))) or "this weckd-edge"
        held = ", ".join(row.name for row in rows) or "no model"
        raise DeviceError(f"{bundle.folder}: holds nothing that {asked} runs; it has {held}", code="E_DEVICE_BACKEND")
    known = [BACKENDS[row.backend] for row in wanted]
    extras = " or ".join(dict.fromkeys(f"pip install 'weckd-edge[{row.extra}]'" for row in known))
    names = ", ".join(dict.fromkeys(row.library for row in known))
    raise MissingDependency(
        f"one of {names} is needed to run this bundle and none is installed; {extras}", code="E_MISSING_LIBRARY"
    )


def backend_of(model: BuiltModel) -> str | None:
    """Return the name of the backend that runs a built model as it is; None where none does."""
    for name, row in BACKENDS.items():
        if model.kind == "model" and model.backend in row.runs and _graph(model.files, row.suffixes) is not None:
            return name
    return None


def read_model_bytes(bundle: Bundle, *files: FileRef) -> ModelBytes:
    """Read a model's bytes as they were proved.

    Args:
        bundle: The bundle.
        files: The model's files: its graph or engine, and a ``.bin`` where an IR has its weights in one.

    Raises:
        BundleError: A file was changed since the bundle was opened, or none of them is a graph.
    """
    graph = _graph(files, tuple(suffix for row in BACKENDS.values() for suffix in row.suffixes))
    if graph is None:
        raise BundleError(
            f"{bundle.folder}: expected a graph, found {', '.join(ref.path for ref in files)}", code="E_BUNDLE_MODEL"
        )
    weights = [bundle.read(ref) for ref in files if ref.path.endswith(".bin")]
    return ModelBytes(path=str(bundle.folder / graph.path), graph=bundle.read(graph), weights=b"".join(weights))


def _graph(files: Sequence[FileRef], suffixes: tuple[str, ...]) -> FileRef | None:
    return next((ref for ref in files if ref.path.endswith(suffixes)), None)


def _rows(bundle: Bundle, chosen: FoundChoice) -> list[_Row]:
    manifest, found = bundle.manifest, []
    choice = chosen.choice
    if choice is not None:
        entry = listed_model(bundle, choice)
        read = partial(read_model_bytes, bundle, *choice.files)
        half = entry is not None and entry.half
        found.append(_Row(choice.backend, choice.precision, half, read, by_device=True, takes=choice.takes))
    for model in manifest.models:
        name = backend_of(model)
        if name is not None:
            found.append(_Row(name, model.precision, model.half, partial(read_model_bytes, bundle, *model.files)))
    return found
