"""Classifiers by folds: an image whose label was used is predicted by one that saw nothing of its group."""

from __future__ import annotations

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.core.errors import DataError
from weckd_edge.train.data.folds import deal_folds
from weckd_edge.train.distill.outside.heads import FoldPredictions, LabelledImages, fit_by_folds

GROUPS, IN_A_GROUP = 24, 3
LABELS = np.repeat(np.arange(GROUPS) % 2, IN_A_GROUP)
NAMES = [f"g{at // IN_A_GROUP}" for at in range(len(LABELS))]


def labelled(count: int = len(LABELS)) -> LabelledImages:
    return LabelledImages(rows=np.arange(count), labels=LABELS[:count], groups=NAMES[:count])


def fitted(features: list[np.ndarray], folds: int) -> FoldPredictions:
    known = labelled()
    found = fit_by_folds(features, known, known.deal(folds, 0), 2)
    assert found.by_fold.shape == (folds, len(features[0]), 2)
    return found


def test_folds_hold_whole_groups_and_every_class() -> None:
    dealt = deal_folds(NAMES, LABELS, 5, seed=3)
    assert set(dealt) == set(range(5))
    for group in set(NAMES):
        assert len({fold for fold, name in zip(dealt, NAMES, strict=True) if name == group}) == 1
    assert all(set(LABELS[dealt == fold]) == {0, 1} for fold in range(5))
    assert not np.array_equal(dealt, deal_folds(NAMES, LABELS, 5, seed=4))


def test_a_class_of_few_groups_makes_as_few_folds_and_one_group_is_refused() -> None:
    few = np.array([0] * 6 + [1] * 2)
    assert set(deal_folds([f"g{at}" for at in range(8)], few, 5, seed=0)) == {0, 1}
    with raises(DataError, "E_DATA_SMALL_CLASS"):
        deal_folds(["a", "b", "c", "d", "d"], np.array([0, 0, 0, 1, 1]), 5, seed=0)


def test_what_is_known_of_a_group_alone_does_not_reach_its_own_images() -> None:
    """The features name the group: whoever has seen it knows the label, whoever has not can only guess."""
    features = np.eye(GROUPS)[np.arange(len(LABELS)) // IN_A_GROUP]
    found = fitted([features], folds=4).together
    assert (found.argmax(axis=1) == LABELS).mean() < 0.75
    again = np.concatenate([features, features])
    copies = fitted([again], folds=4).together[
        len(LABELS) :
    ]  # the same images without a label: most classifiers have seen their group
    assert (copies.argmax(axis=1) == LABELS).mean() > 0.95


def test_what_is_common_to_a_class_is_learned_and_the_scale_of_a_teachers_features_does_not_count() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(LABELS), 6)) + 4 * LABELS[:, None]
    found = fitted([features, rng.normal(size=(len(LABELS), 2))], folds=5).together
    assert (found.argmax(axis=1) == LABELS).all()
    assert np.allclose(found.sum(axis=1), 1)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(LABELS), 6)) + 4 * LABELS[:, None]
    scaled = fitted([1000 * features, rng.normal(size=(len(LABELS), 2))], folds=5).together
    assert scaled == pytest.approx(found, abs=1e-9)
