"""MLflow: a run with its settings, table and bundle, and a child run for each link with its curves.

The tracking server is MLflow's own affair: its variable ``MLFLOW_TRACKING_URI`` names it, and ``MLFLOW_EXPERIMENT_NAME`` the
experiment. Without the first, runs go to ``mlflow.db`` in the folder of logs.
"""

from __future__ import annotations

import csv
import io
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param
from mlflow.environment_variables import (
    MLFLOW_EXPERIMENT_NAME,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from weckd_edge.core.store import digest_of
from weckd_edge.train.run_logging.base import Curves, RunLogger, Values

OUTSIDE_KEYS = "shows curves; no result depends on it"

EXPERIMENT = "weckd-edge"
"""Name of the experiment where ``MLFLOW_EXPERIMENT_NAME`` names none."""

RETRIES, TIMEOUT_S = 1, 10
"""Number of retries of a request to a server, and its time limit; MLflow's own 7 and 120 s would hold up a training."""

PARAMS_AT_ONCE, METRICS_AT_ONCE = 100, 1000
"""Largest numbers that a tracking server takes in one request."""

LONGEST_VALUE = 500
"""Largest number of characters of a setting's value; older servers refuse longer ones."""

PARENT = "mlflow.parentRunId"


def open_run(name: str, settings: Mapping[str, str], folder: Path, workspace: Path) -> RunLogger:
    """Open the run ``name``, or go on with it; ``weckd_edge.train.run_logging.open_run`` says more."""
    for variable, value in ((MLFLOW_HTTP_REQUEST_MAX_RETRIES, RETRIES), (MLFLOW_HTTP_REQUEST_TIMEOUT, TIMEOUT_S)):
        if not variable.is_set():
            variable.set(value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _quiet():
        store = _Store.open(folder)
    return MlflowRun(store, name, settings, workspace)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what MLflow and its libraries warn each other of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


class _Store:
    """One experiment of a tracking server, or of a file."""

    def __init__(self, client: Any, experiment: str, uri: str) -> None:
        self.client, self.experiment, self.uri = client, experiment, uri

    @classmethod
    def open(cls, folder: Path) -> _Store:
        """Open the experiment, or make it."""
        artifacts = None
        if mlflow.is_tracking_uri_set():
            uri = mlflow.get_tracking_uri()
        else:
            folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{(folder / 'mlflow.db').absolute()}", (folder / "artifacts").absolute().as_uri()
        client = MlflowClient(tracking_uri=uri)
        name = MLFLOW_EXPERIMENT_NAME.get() or EXPERIMENT
        found = client.get_experiment_by_name(name)
        number = client.create_experiment(name, artifact_location=artifacts) if found is None else found.experiment_id
        return cls(client, number, uri)

    def run(self, note: Path, name: str, settings: Mapping[str, str], tags: Mapping[str, str]) -> tuple[str, bool]:
        """Return the id of the run that a file notes, and that it was there; or make one and note it."""
        if note.is_file():
            number = note.read_text(encoding="utf-8").strip()
            try:
                self.client.get_run(number)
            except MlflowException:
                pass  # it was deleted since
            else:
                self.client.update_run(number, status="RUNNING")
                return number, True
        number = self.client.create_run(self.experiment, run_name=name, tags=dict(tags)).info.run_id
        params = [Param(key, value[:LONGEST_VALUE]) for key, value in settings.items()]
        for start in range(0, len(params), PARAMS_AT_ONCE):
            self.client.log_batch(number, params=params[start : start + PARAMS_AT_ONCE])
        note.write_text(f"{number}\n", encoding="utf-8")
        return number, False


class MlflowRun:
    """A run, and a child of it for each link.

    Args:
        store: Experiment that holds the run.
        name: Name of the run.
        settings: Every setting by its dotted name; a run with other settings is another one.
        workspace: Folder that remembers the run between two calls of the same command.
    """

    def __init__(self, store: _Store, name: str, settings: Mapping[str, str], workspace: Path) -> None:
        self._store, self._client = store, store.client
        place = workspace / "logs"
        place.mkdir(parents=True, exist_ok=True)
        note = place / f"mlflow-run-{digest_of([store.uri, name, dict(settings)])[:16]}"
        with _quiet():
            self._run, _ = store.run(note, name, settings, {})

    def link(self, name: str, settings: Mapping[str, str], scratch: Path) -> Curves:
        return MlflowCurves(self._store, name, settings, scratch, self._run)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows([columns, *rows])
        with _quiet():
            self._client.log_text(self._run, written.getvalue(), f"{name}.csv")

    def folder(self, path: Path) -> None:
        with _quiet():
            self._client.log_artifacts(self._run, str(path), "bundle")

    def close(self, *, failed: bool) -> None:
        with _quiet():
            self._client.set_terminated(self._run, status="FAILED" if failed else "FINISHED")


class MlflowCurves:
    """Curves of one link in a run of its own.

    MLflow keeps every point that it was ever sent, so a run that goes on after an interruption leaves out the steps that its
    curves hold.

    Args:
        store: Experiment that holds the run.
        name: Name of the run.
        settings: Settings of the link's training, by their names.
        scratch: Folder that remembers the run until the link is trained.
        parent: Id of the run that this one belongs to.
    """

    def __init__(self, store: _Store, name: str, settings: Mapping[str, str], scratch: Path, parent: str) -> None:
        self._store, self._client = store, store.client
        self._name, self._settings, self._parent = name, settings, parent
        self._note = scratch / f"mlflow-run-{digest_of([store.uri, name])[:16]}"
        self._run = ""
        self._resumed = False
        self._last: dict[str, int] = {}
        self._waiting: list[Any] = []

    def start(self, step: int) -> None:
        with _quiet():
            self._run, self._resumed = self._store.run(self._note, self._name, self._settings, {PARENT: self._parent})

    def add(self, step: int, values: Values) -> None:
        now_ms = int(time.time() * 1000)
        for name, value in values.items():
            if step > self._last_step(name):
                self._waiting.append(Metric(name, float(value), now_ms, step))

    def save(self) -> None:
        with _quiet():
            for start in range(0, len(self._waiting), METRICS_AT_ONCE):
                self._client.log_batch(self._run, metrics=self._waiting[start : start + METRICS_AT_ONCE])
        self._waiting.clear()

    def end(self) -> None:
        self.save()
        with _quiet():
            self._client.set_terminated(self._run, status="FINISHED")

    def _last_step(self, name: str) -> int:
        """Return the last step of a curve that an earlier call has logged; -1 without any."""
        if not self._resumed:
            return -1
        if name not in self._last:
            with _quiet():
                history = self._client.get_metric_history(self._run, name)
            self._last[name] = max((point.step for point in history), default=-1)
        return self._last[name]
