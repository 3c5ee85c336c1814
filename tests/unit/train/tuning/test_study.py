"""The study: pairs by seed, honest words, and nothing trained twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from support.goldens import FOLDER, stable_json
from support.training.toy_chain import TOY_LINKS, TOY_LINKS_TOML
from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import BuildConfig, DataConfig, TrainConfig, load_config
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.distill import engine
from weckd_edge.train.tuning import study as module
from weckd_edge.train.tuning import work_queue
from weckd_edge.train.tuning.study import StudyGrid, run_study
from weckd_edge.train.tuning.study_results import Study, StudyRun, chain_verdict, chain_verdicts, mean_interval


def trial(strategy: str, seed: int, accuracy: float, **changes: Any) -> StudyRun:
    made = StudyRun(
        strategy=strategy,
        seed=seed,
        accuracy=accuracy,
        correct=round(100 * accuracy),
        test_images=100,
        test_groups=40,
        train_images=250,
        links_accuracy=(accuracy,),
        labels_used=57,
        images_used=57,
        steps=10,
        seconds=1.0,
        cpu_seconds=2.0,
        joules=None,
    )
    return replace(made, **changes)


def study(**accuracies: list[float]) -> Study:
    trials = [trial(name, seed, a) for name, found in accuracies.items() for seed, a in enumerate(found)]
    seeds = len(next(iter(accuracies.values())))
    return Study(dataset="ears", synthetic=True, labelled_fraction=0.1, seeds=seeds, trials=tuple(trials))


def test_interval_is_students() -> None:
    found = mean_interval([0.1, 0.2, 0.3])
    assert found.mean == pytest.approx(0.2)
    assert found.high is not None
    assert found.high - found.mean == pytest.approx(4.30265 * 0.1 / 3**0.5, rel=1e-5)
    assert mean_interval([0.4]).low is None


def test_differences_are_paired_by_seed() -> None:
    """Both vary by 20 points between seeds and differ by 5 in each: the pairs see it, the means alone would not."""
    found = study(alone=[0.5, 0.6, 0.7], chain=[0.55, 0.65, 0.751])
    (difference,) = found.differences()
    assert (difference.a, difference.b) == ("chain", "alone")
    assert difference.low is not None
    assert 0.04 < difference.low < difference.mean < 0.06
    wide = found.mean("chain")
    assert wide.low is not None
    assert wide.low < 0.5


def test_an_accuracy_never_reaches_beyond_all_or_nothing() -> None:
    found = study(alone=[0.1, 0.9]).mean("alone")
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ([0.7, 0.8, 0.91], "The chain helped: the accuracy of weckd differs from single-subset's by +"),
        ([0.3, 0.4, 0.51], "The chain hurt: the accuracy of weckd differs from single-subset's by -"),
        ([0.9, 0.3, 0.9], "Not shown that the chain helped"),
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


def test_one_seed_is_called_chance_and_a_missing_control_unknown() -> None:
    assert "may be chance" in chain_verdict(study(**{"single-subset": [0.5], "weckd": [0.9]}), "weckd")
    assert "not known" in chain_verdict(study(weckd=[0.9]), "weckd")


CONFIG = BuildConfig(
    link=TOY_LINKS,
    data=DataConfig(labelled_fraction=0.25),
    train=TrainConfig(epochs=1, steps_per_epoch=2, batch=8, accelerator="cpu"),
)

CHAIN = (
    TOY_LINKS_TOML
    + """
[data]
labelled_fraction = 0.25

[train]
epochs = 1
steps_per_epoch = 2
batch = 8
accelerator = "cpu"
"""
)


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """``CONFIG`` as a file."""
    path = tmp_path / "chain.toml"
    path.write_text(CHAIN)
    assert load_config(path) == CONFIG
    return path


NAMES = ["single-subset", "weckd", "weckd+unlabelled", "dgkd"]


def test_a_second_run_trains_nothing_and_finds_the_same(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "study"
    first = run_study(ears, CONFIG, StudyGrid(strategies=NAMES, seeds=2), out, SilentProgress())
    lines = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    assert [(line["strategy"], line["seed"]) for line in lines] == [(n, s) for s in (0, 1) for n in NAMES]

    def never(*args: Any, **kw: Any) -> None:
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(engine, "epoch_batches", never)
    assert run_study(ears, CONFIG, StudyGrid(strategies=NAMES, seeds=2), out, SilentProgress()) == first


def test_strategies_share_the_links_that_are_alike(ears: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    run_study(ears, CONFIG, StudyGrid(strategies=["weckd", "weckd+unlabelled"], seeds=1), out, SilentProgress())
    assert len(list(out.glob("link-M1-*"))) == 1
    assert len(list(out.glob("link-M2-*"))) == 2


def test_unknown_and_repeated_strategies_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    for names in (["weckdd"], ["weckd", "weckd"], []):
        with pytest.raises(ConfigError):
            run_study(tmp_path / "nothing", CONFIG, StudyGrid(strategies=names, seeds=1), tmp_path / "out", SilentProgress())
    assert not (tmp_path / "out").exists()


def test_every_trial_tells_what_its_links_took_and_shared_ones_count_for_each(
    ears: Path, tmp_path: Path, chain: Path, run: Callable[..., tuple[int, str, str]], golden: Callable[[Path, str], None]
) -> None:
    names = ("--strategies", "takd,dgkd", "--seeds", "1")
    given = ("--data", ears, "--config", chain, *names, "--out", tmp_path / "study")
    code, text, err = run("study", *given, "--json", "--quiet")
    assert code == 0, err
    golden(FOLDER / "json/study.json", stable_json(text, tmp_path, "words"))
    trials = json.loads(text)["strategies"]
    assert [trial["name"] for trial in trials] == ["takd", "dgkd"]
    assert [trial["seconds"] for trial in trials] == [trials[0]["seconds"]] * 2
    assert all(trial["cpu_seconds"] > 0 for trial in trials)


ONE_SEED = StudyGrid(strategies=["single-subset"], seeds=1)
TWO_SEEDS = StudyGrid(strategies=["single-subset"], seeds=2)


class WaitingError(Exception):
    pass


def test_machines_that_share_a_storage_take_a_seed_each_and_both_end_with_all(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, real, met = f"sqlite:///{tmp_path / 'study.db'}", module.run_strategy, []

    def wait(seconds: float) -> None:
        raise WaitingError

    def while_the_first_trains(*args: Any) -> Any:
        if not met:
            met.append(1)
            with pytest.raises(WaitingError):
                run_study(
                    ears,
                    CONFIG,
                    TWO_SEEDS,
                    tmp_path / "b",
                    SilentProgress(),
                    storage=storage,
                )
        return real(*args)

    monkeypatch.setattr(work_queue.time, "sleep", wait)
    monkeypatch.setattr(module, "run_strategy", while_the_first_trains)
    first = run_study(ears, CONFIG, TWO_SEEDS, tmp_path / "a", SilentProgress(), storage=storage)
    assert [trial.seed for trial in first.trials] == [0, 1]
    assert [len(list((tmp_path / out).glob("link-M1-*"))) for out in ("a", "b")] == [1, 1]
    monkeypatch.setattr(module, "run_strategy", None)
    assert run_study(ears, CONFIG, TWO_SEEDS, tmp_path / "b", SilentProgress(), storage=storage) == first


def test_a_seed_that_failed_on_one_machine_is_taken_by_the_next(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"

    def dies(*args: Any) -> Any:
        raise WaitingError

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_strategy", dies)
        with pytest.raises(WaitingError):
            run_study(
                ears,
                CONFIG,
                ONE_SEED,
                tmp_path / "a",
                SilentProgress(),
                storage=storage,
            )
    found = run_study(ears, CONFIG, ONE_SEED, tmp_path / "b", SilentProgress(), storage=storage)
    assert len(found.trials) == 1


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
        dataset="ears",
        synthetic=True,
        labelled_fraction=0.1,
        seeds=len(shape),
        folds=len(shape[0]),
        trials=tuple(reversed(trials)),
    )


def test_the_interval_over_folds_is_that_of_the_corrected_resampled_t_test() -> None:
    """Nadeau and Bengio 2003: the variance of the mean is s² (1 / runs + test images / training images)."""
    values = [0.1, 0.2, 0.3]
    found = mean_interval(values, overlap=0.4)
    assert found.high is not None
    assert found.high - found.mean == pytest.approx(4.30265 * 0.1 * (1 / 3 + 0.4) ** 0.5, rel=1e-5)
    folds = folded(alone=[[0.4, 0.5, 0.6]]).mean("alone")
    assert folds.high is not None
    assert folds.high - folds.mean == pytest.approx(4.30265 * 0.1 * (1 / 3 + 100 / 250) ** 0.5, rel=1e-5)


def test_differences_over_folds_are_paired_by_seed_and_fold_in_whatever_order_the_runs_came() -> None:
    found = folded(alone=[[0.4, 0.8], [0.5, 0.7]], chain=[[0.45, 0.85], [0.55, 0.75]])
    mixed = replace(found, trials=(*found.trials[1::2], *found.trials[::2]))
    for one in (found, mixed):
        (difference,) = one.differences()
        assert abs(difference.mean) == pytest.approx(0.05)
        assert difference.low == pytest.approx(difference.mean)


def test_the_notes_say_what_an_interval_over_folds_is_and_that_trainings_ended_early() -> None:
    assert study(alone=[0.5, 0.6]).notes == ()
    (note,) = folded(alone=[[0.4, 0.5]]).notes
    assert "Each fold trains on the other's test images" in note
    (three,) = folded(alone=[[0.4, 0.5, 0.6]]).notes
    assert "Folds share training images" in three
    assert "0.40 test images for each training image" in note
    assert "2 seeds of 2 folds" in chain_verdict(
        folded(**{"single-subset": [[0.5, 0.6], [0.5, 0.6]], "weckd": [[0.7, 0.7], [0.7, 0.8]]}), "weckd"
    )
    uneven = study(alone=[0.5], chain=[0.6])
    uneven = replace(uneven, trials=(uneven.trials[0], replace(uneven.trials[1], steps=4)))
    assert "Early stopping" in uneven.notes[0]


def test_every_strategy_runs_on_each_fold_and_each_image_is_tested_once(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[DatasetIndex] = []
    real = module.cached_index

    def look(*args: Any, **kwargs: Any) -> Any:
        stage = real(*args, **kwargs)
        seen.append(stage.artifact)
        return stage

    monkeypatch.setattr(module, "cached_index", look)
    found = run_study(
        ears, CONFIG, StudyGrid(strategies=["single-subset", "weckd"], seeds=1, folds=3), tmp_path / "out", SilentProgress()
    )
    names = ("single-subset", "weckd")
    assert [(run.fold, run.strategy) for run in found.trials] == [(k, name) for k in (1, 2, 3) for name in names]
    tested = [sorted(record.path for record in index.split("test")) for index in seen[:3]]
    assert sorted(path for part in tested for path in part) == sorted(record.path for record in seen[0].images)
    assert all(run.test_images == len(tested[(run.fold or 0) - 1]) for run in found.trials)
    lines = [json.loads(line) for line in (tmp_path / "out/trials.jsonl").read_text().splitlines()]
    assert [line["fold"] for line in lines] == [1, 1, 2, 2, 3, 3]
    monkeypatch.setattr(module, "run_strategy", None)
    assert (
        run_study(ears, CONFIG, StudyGrid(strategies=list(names), seeds=1, folds=3), tmp_path / "out", SilentProgress())
        == found
    )


def test_machines_share_the_folds_of_a_storage(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    grid = StudyGrid(strategies=["single-subset"], seeds=2, folds=2)
    first = run_study(ears, CONFIG, grid, tmp_path / "a", SilentProgress(), storage=storage)
    assert [(run.seed, run.fold) for run in first.trials] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    monkeypatch.setattr(module, "run_strategy", None)
    assert run_study(ears, CONFIG, grid, tmp_path / "b", SilentProgress(), storage=storage) == first


def test_folds_of_a_data_set_with_a_published_split_are_refused(ears: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("dark", "light"):
            (tmp_path / "split" / part / label).mkdir(parents=True)
    for path in ears.rglob("*.png"):
        part = "test" if path.stem in ("0", "1", "2") else "train"
        path.rename(tmp_path / "split" / part / path.parent.name / path.name)
    grid = StudyGrid(strategies=["single-subset"], seeds=1, folds=2)
    with raises(ConfigError, "E_CONFIG_CONFLICT", says=("--folds", "--no-published-split")):
        run_study(tmp_path / "split", CONFIG, grid, tmp_path / "out", SilentProgress())
    dealt = replace(CONFIG, data=replace(CONFIG.data, use_published_split=False))
    found = run_study(tmp_path / "split", dealt, grid, tmp_path / "out", SilentProgress())
    assert [run.fold for run in found.trials] == [1, 2]
