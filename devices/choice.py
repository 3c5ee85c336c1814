"""Which model of a bundle to open on this machine; needs nothing that reads images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weckd_edge.bundle import Bundle
from weckd_edge.devices.backends.table import BACKENDS, find_backend
from weckd_edge.devices.engines import current_engine, current_record
from weckd_edge.errors import DeviceError, MissingDependency
from weckd_edge.optional import is_installed


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChoice:
    """Which file of a bundle is run by what.

    Attributes:
        backend: A name of the backend table.
        path: The model file.
        precision: ``int8`` or ``fp32``.
    """

    backend: str
    path: Path
    precision: str


def choose_model(bundle: Bundle, backend: str | None = None) -> ModelChoice:
    """Choose what to run of a bundle on this machine.

    The engine that finalize built here comes first, then the models that were built for the bundle, then its ONNX graph
    in whatever reads ONNX here.

    Args:
        bundle: The bundle.
        backend: Only this one; None takes the first whose library is installed.

    Raises:
        ConfigError: No backend is called so.
        DeviceError: The bundle's engine is not built yet and nothing else is asked for.
        MissingDependency: No library that could run the bundle is installed.
    """
    if backend is not None:
        find_backend(backend)
    choices = _choices(bundle)
    wanted = [choice for choice in choices if backend in (None, choice.backend)]
    for choice in wanted:
        if backend is not None or is_installed(BACKENDS[choice.backend].library):
            return choice
    if backend == "tensorrt":
        current_engine(bundle.folder)  # says why there is none
    if backend is not None:
        raise DeviceError(
            f"{bundle.folder}: holds nothing that {backend} runs; it has {', '.join(c.backend for c in choices)}"
        )
    rows = [BACKENDS[choice.backend] for choice in choices]
    extras = " or ".join(dict.fromkeys(f"pip install 'weckd-edge[{row.extra}]'" for row in rows))
    names = ", ".join(dict.fromkeys(row.library for row in rows))
    raise MissingDependency(f"one of {names} is needed to run this bundle and none is installed; {extras}")


def _choices(bundle: Bundle) -> list[ModelChoice]:
    manifest, found = bundle.manifest, []
    record = current_record(bundle.folder)
    if record is not None and record.identity.onnx_sha256 == manifest.onnx.sha256:
        found.append(ModelChoice(backend="tensorrt", path=current_engine(bundle.folder), precision=record.precision))
    for model in manifest.models:
        for name, row in BACKENDS.items():
            for ref in model.files:
                if model.kind == "model" and model.backend in row.runs and Path(ref.path).suffix in row.suffixes:
                    found.append(ModelChoice(backend=name, path=bundle.folder / ref.path, precision=model.precision))
    onnx = bundle.folder / manifest.onnx.path
    done = {choice.backend for choice in found}
    for name, row in BACKENDS.items():
        if ".onnx" in row.suffixes and name not in done:
            found.append(ModelChoice(backend=name, path=onnx, precision=manifest.onnx_precision))
    return found
