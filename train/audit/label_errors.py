"""Find labels that a classifier surely contradicts without having seen the group (Northcutt 2021, arXiv 1911.00068).

The authors' own library, cleanlab, is under the AGPL, which this package does not depend on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import LabelIssue, LabelIssueAudit

MAX_LISTED = 500
_STEEPNESS = np.geomspace(1.0, 64.0, 49)


def find_suspects(
    scores: NDArray[np.float64], labels: NDArray[np.int64], paths: Sequence[str], names: Sequence[str]
) -> LabelIssueAudit:
    """Find doubtful labels by confident learning.

    An image counts as of class k where its probability of k reaches the mean one of the images that are labelled k; it is
    a suspect where the likeliest such class is not its own. The worst come first: by the given label's probability less
    the likelier one's.

    Args:
        scores: Scores of a regression on class indicators, out of folds of whole groups ``[N, C]``.
        labels: Class of each image as given ``[N]``.
        paths: Paths of the images.
        names: Class names.
    """
    probabilities = to_probabilities(scores, labels)
    rows = np.arange(len(labels))
    limits = np.array(
        [probabilities[labels == c, c].mean() if (labels == c).any() else np.inf for c in range(scores.shape[1])]
    )
    sure = np.where(probabilities >= limits, probabilities, -1.0)
    likelier = sure.argmax(1)
    found: list[int] = np.flatnonzero((sure.max(1) >= 0) & (likelier != labels)).tolist()
    given, other = probabilities[rows, labels], probabilities[rows, likelier]
    order = sorted(found, key=lambda i: (round(float(given[i] - other[i]), 9), paths[i]))
    return LabelIssueAudit(
        images=len(labels),
        found=len(found),
        label_issues=tuple(
            LabelIssue(
                path=paths[i],
                label=names[int(labels[i])],
                predicted_label=names[int(likelier[i])],
                given_probability=round(float(given[i]), 4),
                predicted_probability=round(float(other[i]), 4),
            )
            for i in order[:MAX_LISTED]
        ),
    )


def to_probabilities(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the softmax of scores ``[N, C]``, with the steepness that makes the labels likeliest."""
    rows = np.arange(len(labels))
    candidates = [_softmax(steepness * scores) for steepness in _STEEPNESS]
    likelihoods = [float(np.log(np.maximum(p[rows, labels], 1e-12)).mean()) for p in candidates]
    return candidates[int(np.argmax(likelihoods))]


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return result
