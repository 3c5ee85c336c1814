"""From answers to the figures that are kept: each with its value, its interval and what stands behind it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ClassFigures, Differences, Estimate, Figure, Figures
from weckd_edge.metrics.counts import Answers, Bools, Drawn, Floats, figures_drawn
from weckd_edge.metrics.group_bootstrap import (
    as_mass,
    bounded,
    difference,
    enough,
    group_sizes,
    half_an_image,
    mean_factor,
    smaller,
)
from weckd_edge.metrics.intervals import few_groups_factor, rate_by_group


def measure(answers: Answers, weights: Floats, prevalence: Floats | None = None) -> tuple[Figures, Drawn]:
    """Return the figures of some images, at least one, and their draws for comparisons.

    Args:
        answers: To N images.
        weights: See ``figures_drawn``; the first weighting counts each group once.
        prevalence: Of each class, in label order; predictive values at it are None where a class has no image.
    """
    truth, decided, member = answers.truth, answers.decided, answers.member
    counts = np.bincount(truth, minlength=answers.classes)
    drawn = figures_drawn(answers, weights, prevalence if (counts > 0).all() else None)
    classes = tuple(_class_figures(label, answers, drawn) for label in range(answers.classes))

    present = np.flatnonzero(counts)
    by_class = [group_sizes(member, as_mass(truth == label)) for label in present]
    all_groups = group_sizes(member, 1.0 / counts[truth])

    def macro(draws: Floats, each: Floats, *, logit: bool = False) -> Figure:
        known = enough(min(len(sizes) for sizes in by_class), int(counts[present].min()))
        factor = mean_factor(each[:, present], by_class)
        ends = bounded(draws, all_groups, logit=logit, factor=factor) if known else (None, None)
        return Figure(value=float(draws[0]), low=ends[0], high=ends[1], images=len(member), groups=answers.groups)

    if not math.isfinite(drawn.macro_auc[0]):
        macro_auc = None
    elif len(present) == 2 and answers.classes == 2:
        macro_auc = classes[0].auc  # both classes have the same curve
    else:
        macro_auc = macro(drawn.macro_auc, drawn.auc, logit=True)
    return Figures(
        accuracy=_rate(decided == truth, member),
        balanced_accuracy=macro(drawn.balanced_accuracy, drawn.sensitivity),
        macro_f1=macro(drawn.macro_f1, drawn.f1),
        macro_auc=macro_auc,
        classes=classes,
    ), drawn


def compare(before: Drawn, after: Drawn, answers: Answers) -> Differences:
    """Return what ships less FP32, from draws with the same weights."""
    member, counts = answers.member, np.bincount(answers.truth, minlength=answers.classes)
    present = np.flatnonzero(counts)
    by_class = {int(label): group_sizes(member, as_mass(answers.truth == label)) for label in present}
    everyone = group_sizes(member, np.ones(len(member)))
    known = enough(min(len(sizes) for sizes in by_class.values()), int(counts[present].min()))
    unseen = sum(half_an_image(int(counts[label])) for label in present) / len(present) ** 2

    def macro(name: str, each: str, added: float) -> Estimate | None:
        apart = (getattr(after, each) - getattr(before, each))[:, present]
        factor = mean_factor(apart, list(by_class.values()))
        return difference(getattr(before, name), getattr(after, name), factor, unseen=added) if known else None

    def one(label: int) -> Estimate | None:
        sizes = by_class.get(label)
        if sizes is None or not enough(len(sizes), int(counts[label])):
            return None
        draws = before.sensitivity[:, label], after.sensitivity[:, label]
        return difference(*draws, few_groups_factor(sizes), unseen=half_an_image(int(counts[label])))

    accuracy = difference(before.accuracy, after.accuracy, few_groups_factor(everyone), unseen=half_an_image(len(member)))
    return Differences(
        accuracy=accuracy if enough(len(everyone), len(member)) else None,
        balanced_accuracy=macro("balanced_accuracy", "sensitivity", unseen),
        macro_f1=macro("macro_f1", "f1", unseen),
        macro_auc=macro("macro_auc", "auc", 0.0),
        sensitivity=tuple(one(label) for label in range(answers.classes)),
    )


def share(mask: Bools, among: Bools, member: NDArray[np.intp]) -> Figure | None:
    """Return the share of the images of ``among`` that are in ``mask`` too; None where there is no such image."""
    return _rate(mask[among], member[among]) if among.any() else None


def _class_figures(label: int, answers: Answers, drawn: Drawn) -> ClassFigures:
    member = answers.member
    of_it, said = answers.truth == label, answers.decided == label
    there, others = group_sizes(member, as_mass(of_it)), group_sizes(member, as_mass(~of_it))
    least = int(min(of_it.sum(), (~of_it).sum()))

    def against_rest(draws: Floats | None) -> Figure | None:
        if draws is None or not math.isfinite(draws[0]):
            return None
        sizes = smaller(there, others)
        ends = bounded(draws, sizes, logit=True) if enough(min(len(there), len(others)), least) else (None, None)
        return Figure(value=float(draws[0]), low=ends[0], high=ends[1], images=len(member), groups=answers.groups)

    either = of_it | said
    return ClassFigures(
        label=label,
        images=int(of_it.sum()),
        found=int((of_it & said).sum()),
        sensitivity=share(said, of_it, member),
        specificity=share(~said, ~of_it, member),
        ppv=share(of_it, said, member),
        npv=share(~of_it, ~said, member),
        f1=_figure(drawn.f1[:, label], member, as_mass(either), least=int(either.sum())) if of_it.any() else None,
        auc=against_rest(drawn.auc[:, label]),
        ppv_at_prevalence=against_rest(None if drawn.ppv_at is None else drawn.ppv_at[:, label]),
        npv_at_prevalence=against_rest(None if drawn.npv_at is None else drawn.npv_at[:, label]),
    )


def _rate(correct: Bools, member: NDArray[np.intp]) -> Figure:
    found = rate_by_group(correct, member.tolist())
    known = enough(found.groups, found.images)
    return Figure(
        value=found.value,
        low=found.low if known else None,
        high=found.high if known else None,
        images=found.images,
        groups=found.groups,
    )


def _figure(draws: Floats, member: NDArray[np.intp], mass: Floats, *, least: int, logit: bool = False) -> Figure:
    sizes = group_sizes(member, mass)
    ends = bounded(draws, sizes, logit=logit) if enough(len(sizes), least) else (None, None)
    return Figure(value=float(draws[0]), low=ends[0], high=ends[1], images=int((mass > 0).sum()), groups=len(sizes))
