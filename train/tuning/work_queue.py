"""Share work between machines through one Optuna database: each takes the next piece until none is left."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from weckd_edge.core.errors import ConfigError, StoreError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import Progress

UNPRUNED = 5
"""Number of finished trials before any is stopped early.

A trial reports after each link, a few times in all, and accuracies are noisy: it stops where it is below the median of the
other trials after the same link. Successive halving would stop three of four trials after their first link, whose accuracy
says little of the last one's.
"""
HEARTBEAT_S = 20
GRACE_S = 60
"""Seconds without a heartbeat after which a machine counts as dead and its piece goes to another."""
PIECE, RESULT = "piece", "result"
PART = 30_000
"""Characters of a result that one field of the database takes; MySQL's fields hold 65,535 bytes."""


def open_study(storage: str, name: str, seed: int, *, heartbeat: bool = False) -> Any:
    """Open an Optuna study, or make it.

    Args:
        storage: Address of the storage, such as ``sqlite:///study.db`` or a server's.
        name: Name of the study in the storage.
        seed: Seed of the sampler.
        heartbeat: Whether trials of machines that died are given to others.

    Raises:
        ConfigError: The storage cannot be opened.
        MissingDependency: Optuna is not installed.
    """
    optuna: Any = require("optuna", "share work through a database")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        where: Any = storage
        if heartbeat:
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            where = optuna.storages.RDBStorage(storage, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S)
        return optuna.create_study(
            study_name=name,
            storage=where,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
        )
    except Exception as err:  # SQLAlchemy and its drivers have their own kinds of error
        reason = first_line(err)
        raise ConfigError(
            f"--storage {storage}: expected a storage that Optuna can open ({reason})", code="E_CONFIG_STORAGE"
        ) from err


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Raise one error where a storage cannot be read or written any more, such as a file on a full disk.

    Raises:
        StoreError: Optuna or SQLAlchemy failed; the message is one line.
    """
    try:
        yield
    except Exception as err:
        if type(err).__module__.partition(".")[0] not in ("optuna", "sqlalchemy", "sqlite3"):
            raise
        reason = first_line(err.__cause__ or err)
        raise StoreError(
            f"{storage}: the storage cannot be read or written ({reason}); see whether it is in reach and has room, and run "
            "the same command again",
            code="E_STORE_STORAGE",
        ) from err


def run_pieces(
    study: Any,
    pieces: Sequence[int],
    work: Callable[[int], tuple[str, float]],
    progress: Progress,
    keep: Callable[[dict[int, str]], None],
) -> dict[int, str]:
    """Do pieces of work until all are done, here or on other machines, and return every piece's result.

    Args:
        study: Study that was opened with ``heartbeat``.
        pieces: Numbers of the pieces, the same on every machine.
        work: Does one piece; returns its result as text, and a score that is only shown.
        progress: Receiver of the progress.
        keep: Takes the results of the pieces that any machine has done, in the order of the pieces, after each one here.
    """
    import optuna

    states = optuna.trial.TrialState
    for piece in pieces:
        if piece not in _pieces(study, (states.WAITING, states.RUNNING, states.COMPLETE)):
            study.enqueue_trial({}, user_attrs={PIECE: piece})

    def objective(trial: Any) -> float:
        piece = trial.user_attrs.get(PIECE)
        others = _pieces(study, (states.RUNNING, states.COMPLETE), but=trial.number)
        if piece is None or piece in others:
            raise optuna.TrialPruned  # another machine was quicker
        result, score = work(piece)
        for number, start in enumerate(range(0, len(result), PART)):
            trial.set_user_attr(f"{RESULT} {number}", result[start : start + PART])
        return score

    waiting = False
    while left := set(pieces) - _pieces(study, (states.COMPLETE,)).keys():
        optuna.storages.fail_stale_trials(study)
        if left & _pieces(study, (states.WAITING,)).keys():
            study.optimize(objective, n_trials=1)
            keep(_results(study, pieces))
        elif not left & _pieces(study, (states.RUNNING,)).keys():
            study.enqueue_trial({}, user_attrs={PIECE: min(left)})
        else:
            if not waiting:
                progress.note(f"waiting for other machines, which work on {', '.join(map(str, sorted(left)))}")
            waiting = True
            time.sleep(2)
    return _results(study, pieces)


def _results(study: Any, pieces: Sequence[int]) -> dict[int, str]:
    """Return the results of the pieces that are done, in the order of the pieces."""
    import optuna

    done = _pieces(study, (optuna.trial.TrialState.COMPLETE,))
    return {piece: _result(done[piece].user_attrs) for piece in pieces if piece in done}


def _result(kept: Mapping[str, str]) -> str:
    """Return a result from its parts."""
    parts = itertools.takewhile(kept.__contains__, (f"{RESULT} {number}" for number in itertools.count()))
    return "".join(kept[part] for part in parts)


def _pieces(study: Any, states: Sequence[Any], but: int = -1) -> dict[int, Any]:
    """Return the trials in these states by their piece."""
    found = {}
    for trial in study.get_trials(deepcopy=False, states=tuple(states)):
        piece = trial.user_attrs.get(PIECE)
        if piece is not None and trial.number != but:
            found[piece] = trial
    return found
