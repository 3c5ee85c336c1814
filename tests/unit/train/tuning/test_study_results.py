"""What a study says: pairs image by image, intervals over groups and trainings, honest words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from weckd_edge.train.tuning.study_record import HeldOut, StudyFacts, StudyRun
from weckd_edge.train.tuning.study_results import StrategyDifference, Study
from weckd_edge.train.tuning.study_verdicts import chain_verdict, chain_verdicts

IMAGES = 100
"""Number of test images of each seed and fold that is made up here, in groups of two."""


def trial(strategy: str, seed: int, accuracy: float, **changes: Any) -> StudyRun:
    """A run whose last link predicts the first images rightly, as many as ``accuracy`` says; the class is always 0."""
    right = round(IMAGES * accuracy)
    made = StudyRun(
        strategy=strategy,
        seed=seed,
        accuracy=right / IMAGES,
        correct=right,
        test_images=IMAGES,
        test_groups=IMAGES // 2,
        predicted=((0,) * right + (1,) * (IMAGES - right),),
        links_accuracy=(right / IMAGES,),
        labels_used=57,
        images_used=57,
        steps=10,
        seconds=1.0,
        cpu_seconds=2.0,
        joules=None,
    )
    return replace(made, **changes)


def held_out(seed: int, fold: int | None = None) -> HeldOut:
    """Images that no other fold of the seed tests; without folds, those that every seed tests."""
    first = IMAGES * ((fold or 1) - 1)
    images = tuple(range(first, first + IMAGES))
    return HeldOut(
        seed=seed,
        fold=fold,
        data_sha256="0" * 64,
        images=images,
        groups=tuple(image // 2 for image in images),
        truth=(0,) * IMAGES,
    )


def facts(seeds: int, folds: int | None, *strategies: str) -> StudyFacts:
    return StudyFacts(dataset="ears", synthetic=True, seeds=seeds, folds=folds, strategies=strategies, labelled_fraction=0.1)


def study(**accuracies: list[float]) -> Study:
    trials = [trial(name, seed, a) for name, found in accuracies.items() for seed, a in enumerate(found)]
    seeds = len(next(iter(accuracies.values())))
    return Study(
        facts=facts(seeds, None, *accuracies),
        trials=tuple(trials),
        held_out=tuple(held_out(seed) for seed in range(seeds)),
    )


def width(found: Any) -> float:
    assert found.low is not None
    assert found.high is not None
    return float(found.high - found.low)


def test_differences_are_paired_image_by_image() -> None:
    """Both vary by 20 points between seeds and differ by 5 in each: the pairs see it, the means alone would not."""
    found = study(alone=[0.5, 0.6, 0.7], chain=[0.55, 0.65, 0.75])
    (difference,) = found.differences()
    assert (difference.a, difference.b) == ("chain", "alone")
    assert difference.mean == pytest.approx(0.05)
    assert difference.low is not None
    assert difference.low > 0
    assert width(found.mean("chain")) > 4 * width(difference)


def test_an_accuracy_never_reaches_beyond_all_or_nothing() -> None:
    found = study(alone=[0.9, 0.99, 1.0]).mean("alone")
    assert found.high is not None
    assert found.mean < found.high <= 1


def test_two_trainings_give_no_interval_and_the_note_says_what_is_missing() -> None:
    found = study(alone=[0.5, 0.6], chain=[0.6, 0.7])
    assert found.mean("alone").low is None
    assert found.difference("chain", "alone") == StrategyDifference(
        a="chain", b="alone", mean=pytest.approx(0.1), low=None, high=None
    )
    (note,) = found.notes
    assert "three trainings" in note
    assert "there are 2 and 50" in note


def test_strategies_are_compared_on_the_runs_that_both_have() -> None:
    """A study that goes on, or two that are put together, need not have run everything."""
    found = study(alone=[0.5, 0.6, 0.7, 0.2], chain=[0.6, 0.7, 0.8, 0.2])
    found = replace(found, trials=found.trials[:-1])
    assert found.difference("chain", "alone").mean == pytest.approx(0.1)
    apart = replace(found, trials=(found.trials[0], found.trials[-1]))
    with pytest.raises(ValueError, match="same seed and fold"):
        apart.difference("chain", "alone")


def test_the_last_link_is_compared_with_the_first() -> None:
    found = study(chain=[0.6, 0.7, 0.8], alone=[0.5, 0.5, 0.5])
    first = ((0,) * 50 + (1,) * 50,)
    found = replace(
        found,
        trials=tuple(replace(t, predicted=first + t.predicted) if t.strategy == "chain" else t for t in found.trials),
    )
    gain = found.last_over_first("chain")
    assert gain is not None
    assert gain.mean == pytest.approx(0.2)
    assert gain.low is not None
    assert gain.low < 0.2
    assert found.last_over_first("alone") is None


def test_a_strategys_cost_is_its_time_over_that_of_the_control_with_as_many_labels() -> None:
    found = study(**{"single-union": [0.5, 0.5], "chain": [0.5, 0.5]})
    slower = replace(found, trials=tuple(replace(t, seconds=3.0) if t.strategy == "chain" else t for t in found.trials))
    assert slower.cost_ratio("chain") == pytest.approx(3)
    assert slower.cost_ratio("single-union") == 1
    assert study(chain=[0.5]).cost_ratio("chain") is None
    columns, rows = slower.summary_table()
    assert dict(zip(columns, rows[1], strict=True))["cost ratio"] == pytest.approx(3)
    assert dict(zip(columns, rows[0], strict=True))["over single-union"] == ""


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ([0.7, 0.8, 0.91], "The chain helped: the accuracy of weckd differs from single-subset's by +"),
        ([0.3, 0.4, 0.51], "The chain hurt: the accuracy of weckd differs from single-subset's by -"),
        ([0.9, 0.3, 0.8], "Not shown that the chain helped"),
    ],
)
def test_the_verdict_follows_the_interval(chain: list[float], words: str) -> None:
    found = study(**{"single-subset": [0.5, 0.6, 0.7], "weckd": chain})
    assert chain_verdict(found, "weckd").startswith(words)
    assert chain_verdict(study(**{"weckd": chain, "single-subset": [0.5, 0.6, 0.7]}), "weckd").startswith(words)


def test_a_chain_is_also_held_against_the_control_that_cost_as_many_labels() -> None:
    found = study(**{"single-subset": [0.5, 0.6, 0.7], "single-union": [0.9, 0.9, 0.91], "weckd": [0.7, 0.8, 0.91]})
    one, same = chain_verdicts(found, "weckd")
    assert one.startswith("The chain helped: the accuracy of weckd differs from single-subset's by +20.3 points")
    assert "single-union's" in same
    assert not same.startswith("The chain helped")
    assert len(chain_verdicts(study(weckd=[0.9]), "weckd")) == 1
    (only,) = chain_verdicts(study(**{"single-union": [0.5, 0.52], "weckd": [0.9, 0.93]}), "weckd")
    assert "single-union's" in only


def test_one_seed_is_called_chance_and_a_missing_control_unknown() -> None:
    assert "may be chance" in chain_verdict(study(**{"single-subset": [0.5], "weckd": [0.9]}), "weckd")
    assert "not known" in chain_verdict(study(weckd=[0.9]), "weckd")


def folded(**accuracies: list[list[float]]) -> Study:
    """A study of folds: for each strategy the accuracies by seed and fold."""
    trials = [
        trial(name, seed, accuracy, fold=number)
        for name, seeds in accuracies.items()
        for seed, folds in enumerate(seeds)
        for number, accuracy in enumerate(folds, start=1)
    ]
    shape = next(iter(accuracies.values()))
    return Study(
        facts=facts(len(shape), len(shape[0]), *accuracies),
        trials=tuple(reversed(trials)),
        held_out=tuple(held_out(seed, fold) for seed in range(len(shape)) for fold in range(1, len(shape[0]) + 1)),
    )


def test_the_accuracy_of_a_seed_is_that_over_all_images_of_its_folds() -> None:
    found = folded(alone=[[0.4, 0.5, 0.6], [0.6, 0.6, 0.9]])
    assert found.accuracies("alone") == {0: pytest.approx(0.5), 1: pytest.approx(0.7)}
    assert found.mean("alone").mean == pytest.approx(0.6)
    uneven = replace(
        found,
        trials=tuple(replace(t, correct=t.correct // 2, test_images=50) if t.fold == 3 else t for t in found.trials),
    )
    assert uneven.accuracies("alone")[0] == pytest.approx((40 + 50 + 30) / 250)


def test_folds_of_one_seed_are_trainings_enough_for_an_interval() -> None:
    one = folded(alone=[[0.4, 0.5, 0.6, 0.5, 0.5]])
    five = folded(alone=[[0.4, 0.5, 0.6, 0.5, 0.5]] * 5)
    assert width(one.mean("alone")) > width(five.mean("alone")) > 0
    assert study(alone=[0.5]).mean("alone").low is None


def test_differences_over_folds_are_the_same_in_whatever_order_the_runs_came() -> None:
    found = folded(alone=[[0.4, 0.8], [0.5, 0.7]], chain=[[0.45, 0.85], [0.55, 0.75]])
    mixed = replace(found, trials=(*found.trials[1::2], *found.trials[::2]))
    assert found.difference("chain", "alone").mean == pytest.approx(0.05)
    assert found.difference("chain", "alone") == mixed.difference("chain", "alone")
    assert found.mean("chain") == mixed.mean("chain")


def test_the_notes_say_what_an_interval_counts_and_that_trainings_ended_early() -> None:
    (note,) = folded(alone=[[0.4, 0.5, 0.6]]).notes
    assert "150 groups" in note
    assert "3 trainings" in note
    assert "2 seeds of 2 folds" in chain_verdict(
        folded(**{"single-subset": [[0.5, 0.6], [0.5, 0.6]], "weckd": [[0.7, 0.7], [0.7, 0.8]]}), "weckd"
    )
    uneven = study(alone=[0.5], chain=[0.6])
    uneven = replace(uneven, trials=(uneven.trials[0], replace(uneven.trials[1], steps=4)))
    assert "Early stopping" in uneven.notes[1]
