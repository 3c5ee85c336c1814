"""Train on all sources but one and test on that one, to see what a new site or device may do to the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import SourceAudit, SourceScore
from weckd_edge.train.audit.classifier.linear_classifier import Ridge
from weckd_edge.train.audit.classifier.scores import auc, majority, score_accuracy


def leave_out(
    column: str,
    sources: Sequence[str],
    ridge: Ridge,
    seen: NDArray[np.float64] | None,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: Sequence[str],
) -> SourceAudit:
    """Leave every source out in turn, train on the others and score it.

    Args:
        column: Name of the column with the sources.
        sources: Source of each image; empty where it is not named.
        ridge: Classifier on the features of all images.
        seen: Scores out of folds of whole groups ``[N, C]``; None where no folds can be made.
        labels: Class of each image ``[N]``.
        groups: Number of each image's group ``[N]``.
        names: Class names.
    """
    of = np.array([source or "(not said)" for source in sources])
    found = []
    for source in sorted(set(of.tolist())):
        own = of == source
        # A group that lies in two sources would be trained on and tested on.
        train, test = np.flatnonzero(~own & ~np.isin(groups, groups[own])), np.flatnonzero(own)
        here, there = np.unique(labels[test]), np.unique(labels[train])
        score = SourceScore(
            source=source,
            images=len(test),
            groups=len(np.unique(groups[test])),
            labels=tuple(names[c] for c in here),
            majority=majority(labels[test]),
            left_out=None,
            auc=None,
            seen=score_accuracy(seen[test], labels[test], groups[test]) if seen is not None else None,
            note=_note(here, there, names),
        )
        if len(there) > 1:
            scores = ridge.scores(train, test)
            score = replace(
                score,
                left_out=score_accuracy(scores, labels[test], groups[test]),
                auc=auc(scores, labels[test], groups[test]),
            )
        found.append(score)
    return SourceAudit(column=column, sources=tuple(found))


def _note(here: NDArray[np.int64], there: NDArray[np.int64], names: Sequence[str]) -> str:
    parts = []
    if len(there) < 2:
        return "nothing to train on: the other sources hold fewer than two classes"
    if len(here) == 1:
        parts.append("one class alone: what is given is its recall")
    if missing := [names[c] for c in here if c not in there]:
        parts.append(f"no other source holds {', '.join(missing)}, which is always predicted wrong")
    return "; ".join(parts)
