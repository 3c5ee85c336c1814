"""Choice of the model of a bundle to open on this machine, without anything that reads images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import BuiltModel, FileRef, InputSpec, Precision, Takes
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import BundleError, DeviceError, MissingDependency
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.devices.runtime.backends.base import ModelBytes
from weckd_edge.devices.runtime.backends.table import BACKENDS, find_backend, refusal
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

    @property
    def name(self) -> str:
        """Name of the model, such as ``openvino int8``."""
        return model_name(self.backend, self.precision)

    def __str__(self) -> str:
        return self.name + (", chosen on this device" if self.by_device else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChoice:
    """A model of a bundle and the backend that runs it.

    Attributes:
        running: Facts that are reported of it.
        model: Bytes of the model, proved.
        half: Whether it computes in float16 wherever a layer is not int8.
        takes: Input of the model; None: what the manifest says of the bundle's graph.
    """

    running: RunningModel
    model: ModelBytes
    half: bool = False
    takes: Takes | None = None

    @property
    def backend(self) -> str:
        """Name in the backend table."""
        return self.running.backend

    @property
    def precision(self) -> Precision:
        """Precision of the model, such as ``int8`` or ``fp32``."""
        return self.running.precision

    @property
    def name(self) -> str:
        """Name of the model, such as ``openvino int8``."""
        return self.running.name

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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A model that could be chosen; its files are read only if it is."""

    running: RunningModel
    files: tuple[FileRef, ...]
    half: bool
    takes: Takes | None = None


def choose_model(
    bundle: Bundle,
    backend: str | None = None,
    precision: Precision | None = None,
    root: Path = Path("/"),
    *,
    refused: str | None = None,
) -> ModelChoice:
    """Choose the model of a bundle to run on this machine, and read it.

    What finalize chose here comes first, then the bundle's models in their order. One in float16 is passed over where its
    backend does not compute in it on this processor, unless backend and precision ask for it.

    Args:
        bundle: The bundle.
        backend: Name in the backend table; None takes the first model whose library is installed.
        precision: Precision of the model; None takes the first in any.
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
        refused: Why what finalize chose here does not open, in words; the bundle's own models alone are then chosen from.
            None: nobody has tried.

    Raises:
        ConfigError: No backend has that name.
        BundleError: A file was changed since the bundle was opened.
        DeviceError: The bundle holds no such model, its engine is not built yet, or all that it holds compute in float16,
            which this processor does not.
        MissingDependency: No library that could run the bundle is installed.
    """
    found = find_choice(bundle, root) if refused is None else FoundChoice(reason=refused)
    row = _choose(bundle, backend, precision, found)
    model = read_model_bytes(bundle, *row.files)
    return ModelChoice(running=row.running, model=model, half=row.half, takes=row.takes)


def find_running(bundle: Bundle, root: Path = Path("/")) -> RunningModel:
    """Return facts of the model that ``choose_model`` would open; none is read.

    Raises:
        DeviceError: The bundle holds no model that runs here.
        MissingDependency: No library that could run the bundle is installed.
    """
    return _choose(bundle, None, None, find_choice(bundle, root)).running


def _choose(bundle: Bundle, backend: str | None, precision: Precision | None, found: FoundChoice) -> _Row:
    if backend is not None:
        find_backend(backend)
    rows = _rows(bundle, found)
    wanted = [row for row in rows if _is_wanted(row.running, backend, precision)]
    refused = None
    for row in wanted:
        is_here = is_installed(BACKENDS[row.running.backend].library)
        if row.half and is_here and None in (backend, precision):  # one that both name is refused when it is opened
            why = refusal(row.running.backend, half=True)
            refused = refused or why
            if why is not None:
                continue
        if backend is not None or is_here:
            if found.reason is not None and backend is None and precision is None:
                logger.warning("%s; the first model of the bundle that runs here is used: weckd-edge finalize", found.reason)
            return row
    if backend == "tensorrt":
        why = found.reason or "no engine was built here yet"
        raise DeviceError(
            f"{bundle.folder}: {why}; on the Jetson, run: weckd-edge finalize {bundle.folder}", code="E_DEVICE_NO_ENGINE"
        )
    if not wanted:
        asked = " ".join(filter(None, (backend, precision))) or "this weckd-edge"
        held = ", ".join(row.running.name for row in rows) or "no model"
        raise DeviceError(f"{bundle.folder}: holds nothing that {asked} runs; it has {held}", code="E_DEVICE_BACKEND")
    if refused is not None:
        raise DeviceError(f"{bundle.folder}: {refused}; it has nothing else that runs here", code="E_DEVICE_BACKEND")
    known = [BACKENDS[row.running.backend] for row in wanted]
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


def _is_wanted(model: RunningModel, backend: str | None, precision: Precision | None) -> bool:
    return backend in (None, model.backend) and precision in (None, model.precision)


def _rows(bundle: Bundle, found: FoundChoice) -> list[_Row]:
    rows, choice = [], found.choice
    if choice is not None:
        entry = listed_model(bundle, choice)
        running = RunningModel(backend=choice.backend, precision=choice.precision, by_device=True)
        half = entry is not None and entry.half
        rows.append(_Row(running=running, files=choice.files, half=half, takes=choice.takes))
    for model in bundle.manifest.models:
        backend = backend_of(model)
        if backend is not None:
            running = RunningModel(backend=backend, precision=model.precision, note=found.reason)
            rows.append(_Row(running=running, files=model.files, half=model.half))
    return rows
