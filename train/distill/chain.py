"""Train the chain M1 ► M2 ► M3: each link learns from its predecessor and from its own small labelled subset.

Weakly-supervised chained distillation (Rahman et al., arXiv 2510.14668); that each link is smaller than the one before is
this project's addition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import DatasetIndex, Link, OutsideTeaching
from weckd_edge.config import BuildConfig, DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage, Workspace
from weckd_edge.core.stored_array import read_array
from weckd_edge.train.distill.last_link import SetAside, take_better
from weckd_edge.train.distill.link_plan import LinkPlan, plan_link
from weckd_edge.train.distill.loop.distributed import of_first
from weckd_edge.train.distill.loop.losses import choose_soft_loss
from weckd_edge.train.distill.outside.gate import judge
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.distill.outside.teaching import Teaching, prepare_teachers, sizes_of
from weckd_edge.train.distill.strategies import (
    Strategy,
    find_strategy,
    labels_used,
    links_of,
    subsets_of,
    without_outside,
)
from weckd_edge.train.distill.trainer import LinkJob, Trainer
from weckd_edge.train.networks.models import check_order, describe_link, has_pretrained_backbone

CARRIES_OVER = Fraction(1, 2)
"""Least part of a link's size of input at which starting from its weights was tried with the same network.

Before it is trained, such a network answers far worse at 0.67 of the size than at its own; after it, none was seen to be
worse than one that started from its own weights. Smaller parts were not tried: docs/results/resize.md.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedLinks:
    """Trained links of a chain.

    Attributes:
        links: Links in order.
        baseline: The last link's network trained alone; None when switched off.
        labels_used: Number of distinct training images whose label any link saw.
        outside: The teachers from outside, judged, with their soft labels; None where the strategy asks for none.
        set_aside: The last link that the chain taught, where the network trained alone took its place.
    """

    links: tuple[Stage[Link], ...]
    baseline: Stage[Link] | None
    labels_used: int
    outside: JudgedTeachers | None = None
    set_aside: SetAside | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedTeachers:
    """Teachers from outside that were compared with the student alone.

    Attributes:
        record: What was found and decided.
        teaching: What the teachers teach, from the labels that the last link may see.
        alone: The student alone; None where the gate was off.
    """

    record: OutsideTeaching
    teaching: Teaching
    alone: Stage[Link] | None


def plan_chain(index: DatasetIndex, config: BuildConfig) -> tuple[LinkPlan, ...]:
    """Make every link's network once, to find faults of the chain before any training.

    Raises:
        ModelError: A link cannot be made, or is not smaller than its predecessor.
        ConfigError: The strategy or the loss does not exist, the loss is constant with so few classes, or a setting is for
            imported networks alone.
    """
    if config.input.crop_pct is not None:
        raise ConfigError(
            f"input.crop_pct = {config.input.crop_pct:g}: says how an imported network was evaluated; a chain is trained on "
            "the crop that it will see, leave it out",
            code="E_CONFIG_OPTION_UNUSED",
        )
    find_strategy(config.distill.strategy)
    choose_soft_loss(config.distill.loss, len(index.labels))
    plans = [plan_link(index, config, link, starts_trained=_starts_trained(link, config.link)) for link in config.link]
    check_order(config.link, [plan.size for plan in plans])
    return tuple(plans)


def _starts_trained(link: LinkConfig, chain: Sequence[LinkConfig]) -> bool:
    """Tell whether a link's weights, or those it may take over from another link, were trained before."""
    return any(has_pretrained_backbone(other) and can_inherit(other, link) for other in chain)


def make_trainer(
    workspace: Workspace,
    root: Path,
    index: DatasetIndex,
    plans: Sequence[LinkPlan],
    progress: Progress,
    unlabelled: str | None = None,
    teachers: Sequence[OutsideTeacher] = (),
) -> Trainer:
    """Return a trainer for the links of these plans and for teachers, all from one cache of decoded images."""
    sizes = [*(plan.input.network.side for plan in plans), *sizes_of(teachers)]
    folder = Path(unlabelled) if unlabelled else None
    return Trainer(workspace, root, index, plans[0].input.frame, sizes, progress, folder)


def train_build(
    trainer: Trainer, plans: Sequence[LinkPlan], config: BuildConfig, teachers: Sequence[OutsideTeacher] = ()
) -> TrainedLinks:
    """Train the chain of a build by its strategy, and the baseline.

    The baseline is the last link's network trained alone: on the same labels, for as many gradient steps as the whole chain.
    Where validation images show it to be better than the last link, it takes that link's place.
    """
    strategy, outside = judge_outside(trainer, plans, find_strategy(config.distill.strategy), config, teachers)
    links = run_strategy(trainer, plans, strategy, config, None if outside is None else outside.teaching)
    baseline = None
    if config.distill.baseline:
        alone = None if outside is None else outside.alone
        baseline = alone or train_alone(trainer, plans, strategy, config)
    used = labels_used(strategy, trainer.index, len(plans))
    set_aside = None
    if baseline is not None and (strategy.teachers != "none" or strategy.outside):
        links, set_aside = take_better(trainer, links, baseline, config.train)
    return TrainedLinks(links=links, baseline=baseline, labels_used=used, outside=outside, set_aside=set_aside)


def train_alone(trainer: Trainer, plans: Sequence[LinkPlan], strategy: Strategy, config: BuildConfig) -> Stage[Link]:
    """Train the last link's network without a teacher: on its labels, for as many gradient steps as the whole chain."""
    last = len(plans) - 1
    return trainer.link(
        LinkJob(
            name="baseline",
            plan=plans[last],
            labelled_subset=last,
            labelled_subsets=subsets_of(strategy, last, len(plans)),
            seed=config.seed * 1000 + last,
            train=longer(config.train, len(plans)),
        )
    )


def teach(
    trainer: Trainer,
    plans: Sequence[LinkPlan],
    strategy: Strategy,
    config: BuildConfig,
    teachers: Sequence[OutsideTeacher],
) -> Teaching:
    """Return what teachers from outside teach, from the labels that a strategy lets the last link see."""
    return prepare_teachers(trainer, teachers, subsets_of(strategy, len(plans) - 1, len(plans)), config)


def judge_outside(
    trainer: Trainer,
    plans: Sequence[LinkPlan],
    strategy: Strategy,
    config: BuildConfig,
    teachers: Sequence[OutsideTeacher],
) -> tuple[Strategy, JudgedTeachers | None]:
    """Return the strategy that is worth its steps: without the teachers from outside, where they are not better.

    They are compared on validation images, with the last link's network trained alone, before any link learns from them.

    Raises:
        ConfigError: The strategy asks for teachers from outside, and there are none.
        WeckdError: A teacher cannot be run, or the labels are too few.
    """
    if not strategy.outside:
        return strategy, None
    gate = config.distill.teacher_gate
    teaching = teach(trainer, plans, strategy, config, teachers)
    soft_labels = teaching.soft_labels
    alone = None if gate == "off" else train_alone(trainer, plans, strategy, config)
    records = trainer.index.split("val")
    plain = without_outside(strategy)
    found = judge(
        [one.record(tuple(trainer.index.labels)) for one in teachers],
        soft_labels.artifact,
        (
            read_array(soft_labels.folder, soft_labels.artifact.validation),
            None if alone is None else trainer.predict(alone, "val"),
        ),
        (np.array([one.label for one in records]), [one.group for one in records]),
        gate,
        (strategy.name, plain.name),
    )
    record = of_first(found, config.train)  # a strategy of its own in each process would wait for the others' for ever
    trainer.progress.note(record.reason)
    return strategy if record.used else plain, JudgedTeachers(record=record, teaching=teaching, alone=alone)


def run_strategy(
    trainer: Trainer,
    plans: Sequence[LinkPlan],
    strategy: Strategy,
    config: BuildConfig,
    teaching: Teaching | None = None,
) -> tuple[Stage[Link], ...]:
    """Train the links of one strategy, in order; links that an earlier run has trained alike are reused.

    Every strategy takes as many gradient steps in all as the whole chain: one with fewer networks trains the last of them
    longer.

    Args:
        trainer: Trainer of the chain.
        plans: Networks of the chain.
        strategy: The strategy.
        config: Settings of the build.
        teaching: What the teachers from outside teach, as ``judge_outside`` returned it; None where they do not.
    """
    return tuple(train_links(trainer, plans, strategy, config, teaching))


def train_links(
    trainer: Trainer,
    plans: Sequence[LinkPlan],
    strategy: Strategy,
    config: BuildConfig,
    teaching: Teaching | None = None,
) -> Iterator[Stage[Link]]:
    """Yield the links of ``run_strategy``, each as it is trained, so that a search can stop before the next."""
    positions = links_of(strategy, len(plans))
    epochs = _epochs(config, len(plans), len(positions))
    last = len(positions) - 1
    links: list[Stage[Link]] = []
    for order, position in enumerate(positions):
        row = strategy if order == last else without_outside(strategy)
        before = plans[positions[order - 1]].config if order else None
        inherits = row.inherit and before is not None and can_inherit(before, plans[position].config)
        earlier = {"none": [], "previous": links[-1:], "earlier": links}[row.teachers]
        subsets = subsets_of(row, position, len(plans))
        taught = teaching if row.outside else None
        links.append(
            trainer.link(
                LinkJob(
                    name=f"M{order + 1}",
                    plan=plans[position],
                    labelled_subset=position,
                    labelled_subsets=subsets,
                    seed=config.seed * 1000 + order,
                    train=replace(config.train, epochs=epochs[order]),
                    start=links[-1] if inherits else None,
                    teachers=tuple(earlier),
                    unlabelled=row.unlabelled and (bool(earlier) or row.outside),
                    distill=_with_weight(config.distill, row),
                    corrected=row.corrected,
                    soft_labels=None if taught is None else taught.soft_labels,
                    soup=_same_networks(links, positions, plans) if row.soup and order == last else (),
                )
            )
        )
        yield links[-1]


def _with_weight(distill: DistillConfig, row: Strategy) -> DistillConfig:
    """Return the settings with the row's weight of the teachers where they name none."""
    return replace(distill, distill_weight=row.distill_weight) if distill.distill_weight is None else distill


def _epochs(config: BuildConfig, whole: int, links: int) -> list[int]:
    """Return the epochs of each of a strategy's links; a chain of ``whole`` links and a shorter one take as many in all."""
    total = whole * config.train.epochs
    early = max(1, round(total * (1 - config.distill.last_link_step_fraction) / max(1, whole - 1)))
    return [early] * (links - 1) + [max(1, total - early * (links - 1))]


def _same_networks(
    links: Sequence[Stage[Link]], positions: Sequence[int], plans: Sequence[LinkPlan]
) -> tuple[Stage[Link], ...]:
    """Return the links before the last one that are the same network as it."""
    last = plans[positions[-1]].config
    return tuple(link for link, at in zip(links, positions, strict=False) if is_same_network(plans[at].config, last))


def advise_sizes(config: BuildConfig) -> tuple[str, ...]:
    """Return advice on links that start from the weights of a link whose images are much larger."""
    strategy = find_strategy(config.distill.strategy)
    positions = links_of(strategy, len(config.link)) if strategy.inherit else ()
    advice = []
    for one, two in pairwise(positions):
        before, here = config.link[one], config.link[two]
        least, most = math.ceil(CARRIES_OVER * before.input_size), math.floor(here.input_size / CARRIES_OVER)
        if can_inherit(before, here) and here.input_size < least:
            advice.append(
                f"link {two + 1} starts from the weights of link {one + 1}, the same model at {before.input_size} px; "
                f"whether they help at {here.input_size} px is not known; give link {two + 1} {least} px or more, or link "
                f"{one + 1} at most {most}"
            )
    return tuple(advice)


def advise_weights(config: BuildConfig) -> tuple[str, ...]:
    """Return a sentence on links that start from random weights in a chain where others start from pretrained ones."""
    links = [config.link[at] for at in links_of(find_strategy(config.distill.strategy), len(config.link))]
    random = [f"M{number}" for number, link in enumerate(links, start=1) if not has_pretrained_backbone(link)]
    if not random or len(random) == len(links):
        return ()
    verb = "starts" if len(random) == 1 else "start"
    return (f"{', '.join(random)} {verb} from random weights, and other links of the chain do not.",)


def equal_links(config: BuildConfig) -> tuple[str, ...]:
    """Return a sentence for each run of links that are one network at one size, so that the chain does not shrink there."""
    positions = links_of(find_strategy(config.distill.strategy), len(config.link))
    runs = [[0]]
    for order in range(1, len(positions)):
        before, here = (config.link[at] for at in positions[order - 1 : order + 1])
        if is_same_network(before, here) and before.input_size == here.input_size:
            runs[-1].append(order)
        else:
            runs.append([order])
    sentences = []
    for run in (one for one in runs if len(one) > 1):
        link = config.link[positions[run[0]]]
        who = "The chain is" if len(run) == len(positions) else f"M{run[0] + 1} to M{run[-1] + 1} are"
        sentences.append(f"{who} the same network {len(run)} times, {describe_link(link)}: these links do not shrink.")
    return tuple(sentences)


def is_same_network(one: LinkConfig, other: LinkConfig) -> bool:
    """Tell whether two links are the same network at the same width, whatever size of image each is given."""
    return one.width == other.width and can_inherit(one, other)


def can_inherit(before: LinkConfig, here: LinkConfig) -> bool:
    """Tell whether a link can start from another's weights: the same model, and no wider, whatever their images' sizes."""
    same = (before.model, before.options, before.mean, before.std) == (here.model, here.options, here.mean, here.std)
    return same and here.width <= before.width


def longer(train: TrainConfig, factor: int) -> TrainConfig:
    """Return the same training with ``factor`` times the epochs."""
    return replace(train, epochs=train.epochs * factor)
