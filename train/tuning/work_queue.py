"""Share work between machines through one Optuna database: each takes the next piece until none is left."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weckd_edge.core.progress import Progress

PIECE, RESULT = "piece", "result"
PART = 30_000
"""Characters of a result that one field of the database takes; MySQL's fields hold 65,535 bytes."""


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

    failures: list[Exception] = []

    def do_piece(trial: Any) -> float:
        piece = trial.user_attrs.get(PIECE)
        begun = _pieces(study, (states.RUNNING,), below=trial.number)
        if piece is None or piece in begun or piece in _pieces(study, (states.COMPLETE,)):
            raise optuna.TrialPruned  # another machine was quicker
        result, score = work(piece)
        if piece in _pieces(study, (states.COMPLETE,)):
            raise optuna.TrialPruned
        parts = {
            f"{RESULT} {number}": result[start : start + PART] for number, start in enumerate(range(0, len(result), PART))
        }
        try:
            for name, part in parts.items():
                trial.set_user_attr(name, part)
        except RuntimeError as err:  # the trial is finished: this machine was out of reach and counted as dead
            whole = {PIECE: piece, **parts}
            study.add_trial(optuna.trial.create_trial(state=states.COMPLETE, value=score, user_attrs=whole))
            raise optuna.TrialPruned from err
        return score

    def objective(trial: Any) -> float:
        try:
            return do_piece(trial)
        except Exception as err:
            failures.append(err)
            raise

    def take_piece() -> None:
        failures.clear()
        try:
            study.optimize(objective, n_trials=1)
        except ValueError as err:  # Optuna's own, where the trial was finished by another machine
            if not failures or err is failures[0]:
                raise
            if not isinstance(failures[0], optuna.TrialPruned):
                raise failures[0] from err

    waiting = False
    while left := set(pieces) - _pieces(study, (states.COMPLETE,)).keys():
        optuna.storages.fail_stale_trials(study)
        if left & _pieces(study, (states.WAITING,)).keys():
            take_piece()
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


def _pieces(study: Any, states: Sequence[Any], below: float = math.inf) -> dict[int, Any]:
    """Return the trials in these states, with numbers below one, by their piece; of two, the first."""
    found: dict[int, Any] = {}
    for trial in study.get_trials(deepcopy=False, states=tuple(states)):
        piece = trial.user_attrs.get(PIECE)
        if piece is not None and trial.number < below:
            found.setdefault(piece, trial)
    return found
