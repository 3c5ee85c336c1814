"""The study as it runs: every split once, nothing trained twice, shared by machines and folds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import factories
from support.errors import raises
from support.goldens import FOLDER, stable_json
from support.training.hub_folder import write_hub_folder
from support.training.toy_chain import TOY_LINKS, TOY_LINKS_TOML
from support.training.toy_teacher import toy_teacher
from weckd_edge.artifacts import DatasetIndex, ImageRecord
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, LinkConfig, TrainConfig, load_config
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.folds import Fold
from weckd_edge.train.data.split import SplitItem, split_fold
from weckd_edge.train.distill.loop import engine
from weckd_edge.train.distill.training_cost import TrainingCost
from weckd_edge.train.tuning import study as module
from weckd_edge.train.tuning import work_queue
from weckd_edge.train.tuning.study import StudyGrid, run_study
from weckd_edge.train.tuning.study_record import held_out_of

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


def test_a_split_plans_its_chain_once_and_not_where_every_result_is_there(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[int] = []
    real = module.plan_chain

    def plan_chain(index: DatasetIndex, config: BuildConfig) -> Any:
        planned.append(config.seed)
        return real(index, config)

    monkeypatch.setattr(module, "plan_chain", plan_chain)
    grid = StudyGrid(strategies=NAMES, seeds=2)
    for _ in range(2):
        run_study(ears, CONFIG, grid, tmp_path / "study", SilentProgress())
        assert planned == [0, 1]


def test_strategies_share_the_links_that_are_alike(ears: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    run_study(ears, CONFIG, StudyGrid(strategies=["weckd", "weckd+unlabelled"], seeds=1), out, SilentProgress())
    assert len(list(out.glob("link-M1-*"))) == 1
    assert len(list(out.glob("link-M2-*"))) == 2
    run_study(ears, CONFIG, StudyGrid(strategies=["relay"], seeds=1), out, SilentProgress())
    assert len(list(out.glob("link-M1-*"))) == 1, "a link without a teacher has none to correct"


def test_seeds_that_are_too_large_for_the_folds_are_refused_at_once(tmp_path: Path) -> None:
    config = replace(CONFIG, seed=500_000_000)
    with raises(ConfigError, "E_CONFIG_RANGE", says="with 1 seeds of 5 folds expected at most"):
        run_study(tmp_path, config, StudyGrid(strategies=["weckd"], seeds=1, folds=5), tmp_path / "out", SilentProgress())


def test_new_weights_under_the_same_name_are_another_study(ears: Path, tmp_path: Path) -> None:
    out, trials = tmp_path / "study", []
    for seed in (1, 1, 2):
        config = replace(CONFIG, link=2 * (LinkConfig(model=write_hub_folder(tmp_path / "hub", seed), input_size=32),))
        run_study(ears, config, ONE_SEED, out, SilentProgress())
        trials.append(len(list(out.glob("trial-*"))))
    assert trials == [1, 1, 2]


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


@pytest.mark.parametrize("change", [{"group": "of both"}, {"published_split": "test"}, {"label": 1}])
def test_a_storage_keeps_no_results_for_data_that_were_corrected(change: dict[str, Any]) -> None:
    images = [factories.image(f"{n}.png") for n in range(4)]

    def name(first: ImageRecord) -> str:
        index = factories.index([first, *images[1:]], ("ear", "wax"))
        return module._shared_name(CONFIG, TWO_SEEDS.find_strategies(), index, TWO_SEEDS, [])

    assert name(replace(images[0], **change)) != name(images[0])
    assert name(replace(images[0], path="renamed.png")) == name(images[0])


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
    """The soft labels are the last link's alone, and count beside the links."""
    teacher = toy_teacher()
    counted: list[list[str]] = []
    real = module.total_cost

    def look(folders: Iterable[Path]) -> TrainingCost:
        counted.append(sorted(folder.name.rpartition("-")[0] for folder in folders))
        return real(folders)

    monkeypatch.setattr(module, "total_cost", look)
    grid = StudyGrid(strategies=["weckd+teachers", "weckd"], seeds=1, teachers=[teacher])
    config = replace(CONFIG, distill=DistillConfig(teacher_gate="off"))
    run_study(ears, config, grid, tmp_path / "out", SilentProgress())
    assert counted == [["link-M1", "link-M2", "soft-labels"], ["link-M1", "link-M2"]]
