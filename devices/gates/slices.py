"""Bars for the slice that is served worst: a site, a device, an age for which the rest must not pay.

Every slice that is large enough is held against the bar. The bar is cleared where the 95 % intervals of all of them lie
above it; it is missed where one lies under it by an interval that allows for having looked at several (Bonferroni); else
the gate stays open. Slices too small for an interval are named and not judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from weckd_edge.artifacts import Figure, Gate, Slice, Verdict
from weckd_edge.config import GateConfig
from weckd_edge.metrics.intervals import Z_95

_SHOWN = 6


def judge_slices(bars: GateConfig, slices: Sequence[Slice], labels: Sequence[str], split: str = "test") -> tuple[Gate, ...]:
    """Judge the bars for slices that are set.

    Args:
        bars: The bars that hold.
        slices: Every slice, with figures where it is large enough.
        labels: Class names.
        split: What they were answered on, for reasons.
    """
    gates = []
    if bars.min_slice_accuracy is not None:
        figures = {one.name: one.compiled.accuracy for one in slices if one.compiled is not None}
        small = [f"{one.name} ({_images(one.images)})" for one in slices if one.compiled is None]
        gates.append(_judge("min_slice_accuracy", bars.min_slice_accuracy, figures, small, split))
    if bars.min_slice_recall is not None:
        figures, small = {}, []
        for one in slices:
            classes = {c.label: c.sensitivity for c in one.compiled.classes} if one.compiled is not None else {}
            for number, label in enumerate(labels):
                figure = classes.get(number)
                if figure is not None and figure.low is not None:
                    figures[f"{label} in {one.name}"] = figure
                else:
                    small.append(f"{label} in {one.name} ({_images(one.class_images[number])})")
        gates.append(_judge("min_slice_recall", bars.min_slice_recall, figures, small, split))
    return tuple(gates)


def lowered_high(figure: Figure, tests: int) -> float:
    """Return the upper end of a figure's interval as it is at 95 % for so many figures together (Bonferroni).

    The distance on the logit scale grows with the normal quantile; it is exact for Wilson's interval where the figure is 0.
    """
    high, value = figure.high, figure.value
    if high is None:
        return 1.0
    if tests < 2 or not 0 < high < 1 or value >= 1:
        return high
    wider = NormalDist().inv_cdf(1 - 0.025 / tests) / Z_95
    odds = math.log(high / (1 - high))
    if value <= 0:
        raised = odds + 2 * math.log(wider)
    else:
        middle = math.log(value / (1 - value))
        raised = middle + (odds - middle) * wider
    return 1 / (1 + math.exp(-raised))


def _judge(name: str, bar: float, figures: dict[str, Figure], small: Sequence[str], split: str) -> Gate:
    rest = f"; too small to judge: {_some(small)}" if small else ""
    if not figures:
        why = f"no slice of the {split} images is large enough{rest}" if small else "the data set has no slices"
        return Gate(name=name, limit=bar, value=None, verdict="INCONCLUSIVE", reason=why)
    under = {key: one for key, one in figures.items() if lowered_high(one, len(figures)) < bar}
    worst = min(under or figures, key=lambda key: (figures[key].value, key))
    figure = figures[worst]
    told = f"{figure.value:.1%} of {figure.images} {split} images for {worst}, the lowest of {len(figures)}"
    told += f" (95 % interval {figure.low or 0.0:.1%} to {1.0 if figure.high is None else figure.high:.1%})"
    open_ = sum((one.low or 0.0) < bar for one in figures.values())
    verdict: Verdict = "INCONCLUSIVE"
    if under:
        verdict, how = "FAIL", f"is {bar - figure.value:.1%} under {bar:.1%}"
    elif not open_:
        verdict, how = "PASS", f"reaches {bar:.1%}, and all intervals lie above it"
    elif figure.value >= bar:
        how = f"reaches {bar:.1%}, but {open_} of {len(figures)} intervals span the bar"
    else:
        how = f"is under {bar:.1%}, but may be there by chance: of {len(figures)} that were looked at, one is the lowest"
    return Gate(name=name, limit=bar, value=figure.value, verdict=verdict, reason=f"{told} {how}{rest}")


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
