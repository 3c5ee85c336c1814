"""The study: pairs by seed, honest words, and nothing trained twice."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from support.goldens import FOLDER, stable_json
from support.training.toy_chain import TOY_LINKS, TOY_LINKS_TOML
from weckd_edge.artifacts import DatasetIndex, NetworkInput
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, TrainConfig, load_config
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.folds import Fold
from weckd_edge.train.data.split import SplitItem, split_fold
from weckd_edge.train.distill.loop import engine
from weckd_edge.train.distill.outside.teacher import torch_teacher
from weckd_edge.train.distill.training_cost import TrainingCost
from weckd_edge.train.networks.models import create_student
from weckd_edge.train.tuning import study as module
from weckd_edge.train.tuning import work_queue
from weckd_edge.train.tuning.study import StudyGrid, run_study
from weckd_edge.train.tuning.study_record import HeldOut, StudyFacts, StudyRun, held_out_of
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


def test_a_lane_of_a_long_study_shows_what_is_done_so_far(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, real, begun = f"sqlite:///{tmp_path / 'study.db'}", module.run_strategy, []

    def dies_the_second_time(*args: Any) -> Any:
        begun.append(1)
        if len(begun) == 2:
            raise WaitingError
        return real(*args)

    monkeypatch.setattr(module, "run_strategy", dies_the_second_time)
    with pytest.raises(WaitingError):
        run_study(ears, CONFIG, TWO_SEEDS, tmp_path / "a", SilentProgress(), storage=storage)
    (line,) = (tmp_path / "a/trials.jsonl").read_text().splitlines()
    assert json.loads(line)["seed"] == 0


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
    tested = [sorted(record.path for record in index.split("test")) for index in seen[1:4]]
    assert sorted(path for part in tested for path in part) == sorted(record.path for record in seen[0].images)
    assert all(run.test_images == len(tested[(run.fold or 0) - 1]) for run in found.trials)
    lines = [json.loads(line) for line in (tmp_path / "out/trials.jsonl").read_text().splitlines()]
    assert [line["fold"] for line in lines] == [1, 1, 2, 2, 3, 3]
    splits = [json.loads(line) for line in (tmp_path / "out/splits.jsonl").read_text().splitlines()]
    assert [len(split["images"]) for split in splits] == [len(part) for part in tested]
    assert sorted(image for split in splits for image in split["images"]) == list(range(len(seen[0].images)))
    for line in lines:
        truth = splits[line["fold"] - 1]["truth"]
        right = [sum(p == t for p, t in zip(link, truth, strict=True)) for link in line["predicted"]]
        assert right[-1] == line["correct"]
        assert [count / len(truth) for count in right] == line["links_accuracy"]
    monkeypatch.setattr(module, "run_strategy", None)
    assert (
        run_study(ears, CONFIG, StudyGrid(strategies=list(names), seeds=1, folds=3), tmp_path / "out", SilentProgress())
        == found
    )


def test_no_two_folds_of_any_seeds_train_with_the_same_seed() -> None:
    grid = StudyGrid(strategies=["weckd"], seeds=20, folds=3)
    numbers = [split.number for split in grid.splits(4)]
    assert len(set(numbers)) == 60
    assert [split.number for split in StudyGrid(strategies=["weckd"], seeds=3).splits(4)] == [4, 5, 6]


def test_labelled_subsets_of_two_folds_are_no_more_alike_than_those_of_two_seeds() -> None:
    items = [SplitItem(label=str(i % 2), group=f"g{i}") for i in range(400)]

    def subset(seed: int, number: int) -> set[int]:
        places = split_fold(items, DataConfig(), Fold(number=number, count=5), labelled_subsets=3, seed=seed)
        return {i for i, place in enumerate(places) if place.labelled_subset == 0}

    folds = [subset(0, number) for number in range(1, 6)]
    seeds = [subset(seed, 1) for seed in range(5)]
    alike = [[len(a & b) / len(a) for a, b in itertools.combinations(found, 2)] for found in (folds, seeds)]
    assert all(folds)
    assert sum(alike[0]) <= sum(alike[1]) + 0.5
    assert max(alike[0]) < 0.3


def test_images_and_groups_have_the_same_numbers_in_every_split(ears: Path, tmp_path: Path) -> None:
    from weckd_edge.train.data.index import build_index

    def index(seed: int) -> DatasetIndex:
        return build_index(ears, CONFIG.data, labelled_subsets=2, seed=seed, skip_bad=False, progress=SilentProgress())

    kept = {}
    for seed in (0, 1, 2):
        one = index(seed)
        found = held_out_of(one, seed, None)
        assert found.data_sha256 == held_out_of(index(0), 0, None).data_sha256
        for record, *numbers in zip(one.split("test"), found.images, found.groups, found.truth, strict=True):
            assert kept.setdefault(record.path, numbers) == numbers
    assert len({tuple(numbers) for numbers in kept.values()}) == len(kept)


def test_machines_share_the_folds_of_a_storage(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a result is longer than a field of the database."""
    monkeypatch.setattr(work_queue, "PART", 100)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    grid = StudyGrid(strategies=["single-subset"], seeds=2, folds=2)
    first = run_study(ears, CONFIG, grid, tmp_path / "a", SilentProgress(), storage=storage)
    assert [(run.seed, run.fold) for run in first.trials] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    monkeypatch.setattr(module, "run_strategy", None)
    assert run_study(ears, CONFIG, grid, tmp_path / "b", SilentProgress(), storage=storage) == first
    assert (tmp_path / "a/trials.jsonl").read_bytes() == (tmp_path / "b/trials.jsonl").read_bytes()


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


def test_a_strategys_cost_is_that_of_all_it_asked_for(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soft labels are made anew for the labels that each link may see, and both count."""
    network = NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    teacher = torch_teacher(
        create_student(TOY_LINKS[-1], 2).student.eval(),
        network,
        name="toy",
        identity=["toy"],
        outputs=2,
        labels=("dark", "light"),
        head="own",
    )
    counted: list[list[str]] = []
    real = module.total_cost

    def look(folders: Iterable[Path]) -> TrainingCost:
        counted.append(sorted(folder.name.rpartition("-")[0] for folder in folders))
        return real(folders)

    monkeypatch.setattr(module, "total_cost", look)
    grid = StudyGrid(strategies=["weckd+teachers", "weckd"], seeds=1, teachers=[teacher])
    config = replace(CONFIG, distill=DistillConfig(teacher_gate="off"))
    run_study(ears, config, grid, tmp_path / "out", SilentProgress())
    assert counted == [["link-M1", "link-M2", "soft-labels", "soft-labels"], ["link-M1", "link-M2"]]
