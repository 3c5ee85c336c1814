"""Table of training strategies: who teaches whom, and with which data. All run through the same loop.

``+teachers`` behind a name lets the teachers from outside the chain (``[distill] teachers``) teach the last link too; a
control has no other teacher then. ``+unlabelled`` also shows taught links the other training images, without their labels;
behind ``+teachers`` the last link alone, so that the links before it are those of the plain name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.core.errors import ConfigError, did_you_mean

UNLABELLED_SUFFIX = "+unlabelled"
TEACHERS_SUFFIX = "+teachers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Strategy:
    """Way to train a small network with few labels.

    Attributes:
        name: Name on the command line.
        links: Networks that are trained: the whole ``chain``, its two ``ends``, only the ``last``, or the last one as
            often as the chain has links (``same``).
        labels: Labels that a link sees: those of its ``own`` subset, of the ``union`` of all subsets, or ``all`` of
            training.
        teachers: Teachers of a link: the ``previous`` link, every ``earlier`` one, or ``none``.
        outside: Whether the teachers from outside the chain teach the last link.
        unlabelled: Whether a taught link also sees the other training images, without labels.
        inherit: Whether a link starts from its predecessor's weights where both are the same model, and it is as
            wide or narrower, whatever the sizes of their images.
        soup: Whether the last link ends as the mean of its weights and of those of earlier links of the same network that
            make it no worse on the validation groups, so that it keeps what one labelled subset taught while it learns the
            next.
        corrected: Whether a teacher is left out on images whose label the student sees and the teacher misses.
        distill_weight: Weight of the teachers' term in the loss where the configuration sets none; None takes the default.
        source: Origin of the strategy, such as a paper.
    """

    name: str
    links: Literal["chain", "ends", "last", "same"]
    labels: Literal["own", "union", "all"]
    teachers: Literal["previous", "earlier", "none"]
    outside: bool = False
    unlabelled: bool = False
    inherit: bool = False
    soup: bool = False
    corrected: bool = False
    distill_weight: float | None = None
    source: str = ""


STRATEGIES: dict[str, Strategy] = {
    row.name: row
    for row in (
        Strategy(name="single-subset", links="last", labels="own", teachers="none", source="control"),
        Strategy(name="single-union", links="last", labels="union", teachers="none", source="control"),
        Strategy(name="single-all", links="last", labels="all", teachers="none", source="control: full supervision"),
        Strategy(name="one-step", links="ends", labels="union", teachers="previous", source="Hinton 2015, arXiv 1503.02531"),
        Strategy(name="takd", links="chain", labels="union", teachers="previous", source="Mirzadeh 2020, arXiv 1902.03393"),
        Strategy(name="dgkd", links="chain", labels="union", teachers="earlier", source="Son 2021, arXiv 2009.08825"),
        Strategy(
            name="born-again", links="same", labels="union", teachers="previous", source="Furlanello 2018, arXiv 1805.04770"
        ),
        Strategy(name="weckd", links="chain", labels="own", teachers="previous", source="Rahman 2025, arXiv 2510.14668"),
        Strategy(
            name="relay",
            links="chain",
            labels="own",
            teachers="earlier",
            inherit=True,
            soup=True,
            corrected=True,
            distill_weight=0.3,
            source="this project: weckd's labelled subsets, handed on in the weights; a teacher counts where it is right",
        ),
        Strategy(
            name="guided",
            links="chain",
            labels="union",
            teachers="earlier",
            inherit=True,
            soup=True,
            corrected=True,
            distill_weight=0.3,
            source="this project: handed on in the weights and averaged, with the labels of all subsets",
        ),
    )
}


def find_strategy(name: str) -> Strategy:
    """Return a strategy by its name, with or without ``+teachers`` and ``+unlabelled``.

    Raises:
        ConfigError: No strategy has this name, or ``+unlabelled`` stands behind one that has no teacher.
    """
    taught = name.removesuffix(UNLABELLED_SUFFIX)
    base = taught.removesuffix(TEACHERS_SUFFIX)
    if base not in STRATEGIES:
        raise ConfigError(f"unknown strategy '{name}'{did_you_mean(base, STRATEGIES)}", code="E_CONFIG_CHOICE")
    row = replace(STRATEGIES[base], name=name, outside=taught != base, unlabelled=name != taught)
    if row.outside:
        row = replace(row, distill_weight=None)  # several networks are right more often than one link
    if row.unlabelled and row.teachers == "none" and not row.outside:
        raise ConfigError(
            f"'{name}': without a teacher there is nothing to learn from images that carry no label",
            code="E_CONFIG_CONFLICT",
        )
    return row


def without_outside(strategy: Strategy) -> Strategy:
    """Return the strategy itself, or, where it has teachers from outside, its row without them and unlabelled images.

    The links before the last one are trained by it, and the whole chain where those teachers are not worth their steps.
    """
    return find_strategy(_base(strategy.name)) if strategy.outside else strategy


def _base(name: str) -> str:
    return name.removesuffix(UNLABELLED_SUFFIX).removesuffix(TEACHERS_SUFFIX)


def links_of(strategy: Strategy, count: int) -> tuple[int, ...]:
    """Return the positions in a chain of ``count`` networks that a strategy trains, in order."""
    return {
        "chain": tuple(range(count)),
        "ends": (0, count - 1),
        "last": (count - 1,),
        "same": (count - 1,) * count,
    }[strategy.links]


def subsets_of(strategy: Strategy, position: int, count: int) -> tuple[int, ...] | None:
    """Return the labelled subsets that the link at a position sees; None for the labels of all training images."""
    return {
        "own": (position,),
        "union": tuple(range(count)),
        "all": None,
    }[strategy.labels]


def labels_used(strategy: Strategy, index: DatasetIndex, count: int) -> int:
    """Return the number of distinct training images whose label any link of a chain of ``count`` networks sees."""
    subsets = [subsets_of(strategy, position, count) for position in links_of(strategy, count)]
    seen = {subset for some in subsets for subset in some or ()}
    return sum(None in subsets or r.labelled_subset in seen for r in index.split("train"))
