"""Every strategy is a row that all run through one loop: which networks, whose labels, whose teaching."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.errors import raises
from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import BuildConfig, DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.train.distill import chain
from weckd_edge.train.distill.chain import advise_sizes, advise_weights, equal_links, run_strategy, train_build
from weckd_edge.train.distill.strategies import STRATEGIES, find_strategy, labels_used, links_of, subsets_of, without_outside
from weckd_edge.train.distill.trainer import LinkJob

PLANS = cast(Any, [SimpleNamespace(name=name, config=LinkConfig(model=name)) for name in ("large", "middle", "small")])
CONFIG = BuildConfig(seed=7, train=TrainConfig(epochs=4), distill=DistillConfig(mixup=0.1))


@dataclass
class Recorder:
    """Stands for the trainer: keeps the jobs, trains nothing."""

    jobs: list[LinkJob] = field(default_factory=list)
    index: Any = None

    def link(self, job: LinkJob) -> Any:
        self.jobs.append(job)
        return SimpleNamespace(name=job.name, plan=job.plan)


def index() -> DatasetIndex:
    """Three shares of one image each, two training images without a share, and a test image."""
    places = [("train", 0), ("train", 1), ("train", 2), ("train", None), ("train", None), ("test", None)]
    images = tuple(cast(Any, SimpleNamespace(split=split, labelled_subset=share)) for split, share in places)
    return DatasetIndex(name="toy", labels=("a", "b"), images=images)


def recorded_teaching(trainer: Any, teachers: Any, subsets: tuple[int, ...] | None, config: BuildConfig) -> Any:
    """Stands for the teachers: keeps which subsets' labels they may use, fits nothing."""
    return SimpleNamespace(soft_labels=SimpleNamespace(subsets=subsets))


@pytest.fixture(autouse=True)
def _recorded_teaching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "prepare_teachers", recorded_teaching)


def jobs_of(name: str, config: BuildConfig = CONFIG) -> list[LinkJob]:
    trainer, strategy = Recorder(), find_strategy(name)
    teaching = chain.teach(cast(Any, trainer), PLANS, strategy, config, ()) if strategy.outside else None
    run_strategy(cast(Any, trainer), PLANS, strategy, config, teaching)
    return trainer.jobs


@pytest.mark.parametrize(
    "name",
    [*STRATEGIES, "weckd+unlabelled", "guided+unlabelled", "guided+teachers", "single-subset+teachers+unlabelled"],
)
def test_every_strategy_ends_with_the_small_network_and_takes_as_many_steps(name: str) -> None:
    jobs = jobs_of(name)
    assert jobs[-1].plan is PLANS[-1]
    assert sum(job.train.epochs for job in jobs) == 3 * CONFIG.train.epochs
    assert len({job.seed for job in jobs}) == len(jobs)


@pytest.mark.parametrize(
    ("name", "networks", "teachers"),
    [
        ("single-subset", ["small"], [0]),
        ("one-step", ["large", "small"], [0, 1]),
        ("takd", ["large", "middle", "small"], [0, 1, 1]),
        ("dgkd", ["large", "middle", "small"], [0, 1, 2]),
        ("born-again", ["small", "small", "small"], [0, 1, 1]),
        ("weckd", ["large", "middle", "small"], [0, 1, 1]),
    ],
)
def test_who_teaches_whom(name: str, networks: list[str], teachers: list[int]) -> None:
    jobs = jobs_of(name)
    assert [cast(Any, job.plan).name for job in jobs] == networks
    assert [len(job.teachers) for job in jobs] == teachers


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("weckd", [(0,), (1,), (2,)]),
        ("single-subset", [(2,)]),
        ("single-union", [(0, 1, 2)]),
        ("single-all", [None]),
        ("takd", [(0, 1, 2)] * 3),
    ],
)
def test_whose_labels_a_link_sees(name: str, shares: list[tuple[int, ...] | None]) -> None:
    assert [job.labelled_subsets for job in jobs_of(name)] == shares


def test_the_unlabelled_images_is_for_links_with_a_teacher() -> None:
    assert [job.unlabelled for job in jobs_of("weckd+unlabelled")] == [False, True, True]
    assert not any(job.unlabelled for job in jobs_of("weckd"))


@pytest.mark.parametrize("name", ["weckd+teachers", "guided+teachers+unlabelled", "one-step+teachers+unlabelled"])
def test_links_before_the_last_one_are_those_of_the_plain_name(name: str) -> None:
    jobs, plain = jobs_of(name), jobs_of(name.split("+")[0])
    for job, other in zip(jobs[:-1], plain[:-1], strict=True):
        assert replace(job, teachers=()) == replace(other, teachers=())
        assert len(job.teachers) == len(other.teachers)


def test_teachers_from_outside_teach_the_last_link_from_the_labels_that_it_may_see() -> None:
    jobs = jobs_of("weckd+teachers+unlabelled")
    assert [job.soft_labels is not None for job in jobs] == [False, False, True]
    assert [job.unlabelled for job in jobs] == [False, False, True]
    assert cast(Any, jobs[-1].soft_labels).subsets == (2,)
    assert [len(job.teachers) for job in jobs] == [0, 1, 1]
    (alone,) = jobs_of("single-union+teachers+unlabelled")
    assert (cast(Any, alone.soft_labels).subsets, alone.teachers, alone.unlabelled) == ((0, 1, 2), (), True)
    assert alone.train.epochs == 3 * CONFIG.train.epochs
    assert not any(job.soft_labels for job in jobs_of("weckd"))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("guided+teachers", "guided"),
        ("guided+teachers+unlabelled", "guided"),
        ("single-union+teachers", "single-union"),
        ("single-union+teachers+unlabelled", "single-union"),
    ],
)
def test_a_strategy_without_the_teachers_from_outside_is_one_that_can_be_named(name: str, plain: str) -> None:
    assert without_outside(find_strategy(name)) == find_strategy(plain)


def test_a_strategy_says_what_the_teachers_count_unless_the_configuration_does() -> None:
    asked = replace(CONFIG, distill=replace(CONFIG.distill, distill_weight=0.55))
    assert {job.distill.teachers_part for job in jobs_of("relay")} == {STRATEGIES["relay"].distill_weight}
    assert {job.distill.teachers_part for job in jobs_of("takd")} == {0.7}
    for name in ("relay", "takd"):
        assert {job.distill.teachers_part for job in jobs_of(name, asked)} == {0.55}


@pytest.mark.parametrize(
    ("name", "code", "named"),
    [
        ("wekcd", "E_CONFIG_CHOICE", "'weckd'"),
        ("single-subset+unlabelled", "E_CONFIG_CONFLICT", "'single-subset+unlabelled'"),
        ("guided+unlabelled+teachers", "E_CONFIG_CHOICE", "'guided+unlabelled+teachers'"),
    ],
)
def test_names_that_mean_nothing_are_refused(name: str, code: str, named: str) -> None:
    with raises(ConfigError, code, says=named):
        find_strategy(name)


def test_any_number_of_links() -> None:
    assert links_of(find_strategy("weckd"), 5) == (0, 1, 2, 3, 4)
    assert links_of(find_strategy("one-step"), 5) == (0, 4)
    assert subsets_of(find_strategy("weckd"), 4, 5) == (4,)


@pytest.mark.parametrize(
    ("strategy", "shares", "links"),
    [("weckd", (2,), 3), ("takd+unlabelled", (0, 1, 2), 3), ("one-step", (0, 1, 2), 2), ("single-union", (0, 1, 2), 1)],
)
def test_the_baseline_of_a_build_is_alone_on_the_last_links_labels_for_as_many_steps_as_the_chain(
    strategy: str, shares: tuple[int, ...], links: int
) -> None:
    trainer = Recorder(index=index())
    config = replace(CONFIG, distill=replace(CONFIG.distill, strategy=strategy))
    chain = train_build(cast(Any, trainer), PLANS, config)
    assert [job.name for job in trainer.jobs] == [*("M1", "M2", "M3")[:links], "baseline"]
    baseline = trainer.jobs[-1]
    assert (baseline.teachers, baseline.labelled_subsets, baseline.unlabelled) == ((), shares, False)
    assert baseline.train.epochs == 12
    assert sum(job.train.epochs for job in trainer.jobs[:-1]) == 12
    assert len(chain.links) == links
    assert chain.labels_used == 3


def test_a_network_that_nothing_taught_is_not_replaced_by_another_training_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    monkeypatch.setattr(chain, "take_better", lambda trainer, links, *_: (compared.append(links[-1].name), (links, None))[1])
    for strategy in ("single-union", "takd"):
        config = replace(CONFIG, distill=replace(CONFIG.distill, strategy=strategy))
        train_build(cast(Any, Recorder(index=index())), PLANS, config)
    assert compared == ["M3"]


@pytest.mark.parametrize(
    ("name", "labels"),
    [("single-subset", 1), ("single-union", 3), ("single-all", 5), ("weckd", 3), ("takd", 3), ("one-step", 3)],
)
def test_labels_are_counted_once_however_many_links_see_them(name: str, labels: int) -> None:
    assert labels_used(find_strategy(name), index(), 3) == labels


def test_a_link_inherits_only_from_the_same_model() -> None:
    links = ("a", "b", "b")
    plans = cast(Any, [SimpleNamespace(config=LinkConfig(model=m, input_size=64 - i)) for i, m in enumerate(links)])
    trainer = Recorder()
    run_strategy(cast(Any, trainer), plans, find_strategy("guided"), CONFIG)
    assert [job.start is not None for job in trainer.jobs] == [False, False, True]
    assert all(job.train.learning_rate == CONFIG.train.learning_rate for job in trainer.jobs)
    assert [len(job.soup) for job in trainer.jobs] == [0, 0, 1]
    assert [[cast(Any, teacher).name for teacher in job.teachers] for job in trainer.jobs] == [[], ["M1"], ["M1", "M2"]]
    assert all(job.corrected for job in trainer.jobs)
    trainer = Recorder()
    run_strategy(cast(Any, trainer), plans, find_strategy("relay"), CONFIG)
    assert [len(job.soup) for job in trainer.jobs] == [0, 0, 1]
    trainer = Recorder()
    run_strategy(cast(Any, trainer), plans, find_strategy("takd"), CONFIG)
    assert [job.start for job in trainer.jobs] == [None, None, None]


@pytest.mark.parametrize(
    ("widths", "starts", "soup"),
    [
        ((1.0, 0.75, 0.5), [False, True, True], 0),
        ((1.0, 0.5, 0.5), [False, True, True], 1),
        ((0.5, 1.0, 0.5), [False, False, True], 1),
        ((1.0, 1.0, 1.0), [False, True, True], 2),
    ],
)
def test_a_link_inherits_from_one_as_wide_or_wider_and_is_averaged_with_links_of_its_width(
    widths: tuple[float, ...], starts: list[bool], soup: int
) -> None:
    plans = cast(Any, [SimpleNamespace(config=LinkConfig(model="a", width=width)) for width in widths])
    trainer = Recorder()
    run_strategy(cast(Any, trainer), plans, find_strategy("guided"), CONFIG)
    assert [job.start is not None for job in trainer.jobs] == starts
    assert [len(job.soup) for job in trainer.jobs] == [0, 0, soup]


@pytest.mark.parametrize(
    ("strategy", "sizes", "named"),
    [
        ("relay", (160, 96, 64), []),
        ("relay", (128, 64, 32), []),
        ("relay", (193, 96, 64), [("link 2", "link 1", "97 px", "at most 192")]),
        (
            "guided",
            (224, 96, 40),
            [("link 2", "link 1", "112 px", "at most 192"), ("link 3", "link 2", "48 px", "at most 80")],
        ),
        ("takd", (224, 96, 40), []),
    ],
)
def test_a_link_that_inherits_from_much_larger_images_is_advised_against(
    strategy: str, sizes: tuple[int, ...], named: list[tuple[str, ...]]
) -> None:
    links = tuple(LinkConfig(model="mobilenetv2_035", input_size=size) for size in sizes)
    advice = advise_sizes(replace(CONFIG, link=links, distill=replace(CONFIG.distill, strategy=strategy)))
    assert len(advice) == len(named)
    assert all(fact in text for text, facts in zip(advice, named, strict=True) for fact in facts)


def test_other_networks_inherit_nothing_and_no_size_is_advised() -> None:
    links = tuple(LinkConfig(model=name, input_size=size) for name, size in (("a", 128), ("b", 64)))
    assert advise_sizes(replace(CONFIG, link=links, distill=replace(CONFIG.distill, strategy="relay"))) == ()


def test_links_from_random_weights_beside_pretrained_ones_are_named() -> None:
    trained, random = LinkConfig(model="mobilenetv2_050", weights="a.safetensors"), LinkConfig(model="mobilenetv2_035")

    def advice(strategy: str, *links: LinkConfig) -> tuple[str, ...]:
        return advise_weights(replace(CONFIG, link=links, distill=replace(CONFIG.distill, strategy=strategy)))

    assert advice("dgkd", trained, random, random) == (
        "M2, M3 start from random weights, and other links of the chain do not.",
    )
    assert advice("one-step", trained, random, random) == (
        "M2 starts from random weights, and other links of the chain do not.",
    )
    assert advice("dgkd", random, trained) == ("M1 starts from random weights, and other links of the chain do not.",)
    assert advice("dgkd", trained, trained) == advice("dgkd", random, random) == advice("single-all", random, trained) == ()


@pytest.mark.parametrize(
    ("strategy", "links", "said"),
    [
        ("guided", (("a", 96), ("a", 96), ("a", 96)), ["The chain is the same network 3 times, a at 96 px"]),
        ("guided", (("b", 128), ("a", 96), ("a", 96)), ["M2 to M3 are the same network 2 times, a at 96 px"]),
        ("guided", (("a", 128), ("a", 112), ("a", 96)), []),
        ("born-again", (("a", 128), ("a", 112), ("a", 96)), ["The chain is the same network 3 times, a at 96 px"]),
        ("one-step", (("a", 96), ("b", 96), ("a", 96)), ["The chain is the same network 2 times, a at 96 px"]),
        ("single-union", (("a", 96), ("a", 96)), []),
    ],
)
def test_links_that_do_not_shrink_are_called_the_same_network(
    strategy: str, links: tuple[tuple[str, int], ...], said: list[str]
) -> None:
    made = tuple(LinkConfig(model=name, input_size=size) for name, size in links)
    found = equal_links(replace(CONFIG, link=made, distill=replace(CONFIG.distill, strategy=strategy)))
    assert [sentence.partition(":")[0] for sentence in found] == said
