"""The loggers that there are, and the one that ``[train] log`` asks for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weckd_edge.config import BuildConfig, TrainConfig, without_folders
from weckd_edge.core.optional_imports import require
from weckd_edge.core.serialization import to_data
from weckd_edge.train.run_logging.base import NO_RUN_LOGGER, RunLogger
from weckd_edge.train.run_logging.guarded import GuardedLogger

OUTSIDE_KEYS = "shows curves; no result depends on it"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggerEntry:
    """One logger.

    Attributes:
        module: Name of the module with its function ``open_run``.
        libraries: Modules that it imports, the one that its extra brings first.
        title: Name of the tool in messages.
    """

    module: str
    libraries: tuple[str, ...]
    title: str


LOGGERS = {
    "tensorboard": LoggerEntry(
        module="weckd_edge.train.run_logging.tensorboard_backend",
        libraries=("tensorboard", "torch.utils.tensorboard"),
        title="TensorBoard's event files",
    ),
    "mlflow": LoggerEntry(
        module="weckd_edge.train.run_logging.mlflow_backend", libraries=("mlflow",), title="MLflow's tracking store"
    ),
}
"""Every logger, by its name in ``[train] log``."""


def check_logger(train: TrainConfig) -> None:
    """Check that the library of the logger that is asked for is there.

    Raises:
        MissingDependency: A library is not installed, or is broken; the message names the extra that brings it.
    """
    if train.log != "none":
        for library in LOGGERS[train.log].libraries:
            require(library, f'log curves ([train] log = "{train.log}")')


@contextmanager
def open_run(name: str, config: BuildConfig, workspace: Path, *, enabled: bool = True) -> Iterator[RunLogger]:
    """Open the logger of one run, and close it when the block ends.

    Args:
        name: Name of the run: the bundle's, or that of a study's folder.
        config: All settings; ``train.log`` and ``train.log_dir`` say what logs and where.
        workspace: Folder in which the run keeps its finished steps; logs go to ``logs`` in it where no folder is named.
        enabled: Whether this process logs; of several that train together, the first.

    Raises:
        MissingDependency: The logger's library is not installed, or is broken.
    """
    train = config.train
    if train.log == "none" or not enabled:
        yield NO_RUN_LOGGER
        return
    check_logger(train)
    entry = LOGGERS[train.log]
    folder = Path(train.log_dir) if train.log_dir else workspace / "logs"
    backend: Any = importlib.import_module(entry.module)
    run = GuardedLogger(entry.title, lambda: backend.open_run(name, settings_in_words(config), folder, workspace))
    try:
        yield run
    except BaseException:
        run.close(failed=True)
        raise
    run.close(failed=False)


def settings_in_words(settings: object) -> dict[str, str]:
    """Return every setting by its dotted name, such as ``train.epochs``; of a path its last part alone."""
    data = to_data(without_folders(settings) if isinstance(settings, BuildConfig) else settings)
    return dict(_flat(data, ""))


def _flat(value: object, name: str) -> Iterator[tuple[str, str]]:
    inner: Mapping[object, object] | None = None
    if isinstance(value, Mapping):
        inner = value
    elif isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
        inner = dict(enumerate(value, start=1))
    if inner is None:
        yield name, str(value)
        return
    for key, one in inner.items():
        yield from _flat(one, f"{name}.{key}" if name else str(key))
