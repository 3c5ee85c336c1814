"""Gates of the slice that is served worst, such as a site, a device or an age.

Every slice that is large enough is held against the limit. The gate passes where the 95 % intervals of all slices lie above
the limit. It fails where one lies under it by an interval that allows for having looked at several (Bonferroni). Otherwise
it stays open. Slices too small for an interval are named and not judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from weckd_edge.artifacts import Gate, Metric, Slice, Verdict
from weckd_edge.config import GateConfig
from weckd_edge.metrics.intervals import Z_95

_SHOWN = 6


def evaluate_slices(
    limits: GateConfig, slices: Sequence[Slice], labels: Sequence[str], split: str = "test"
) -> tuple[Gate, ...]:
    """Judge the limits for slices that are set.

    Args:
        limits: The limits that hold.
        slices: Every slice, with metrics where it is large enough.
        labels: Class names.
        split: Name of the split that was predicted, for reasons.
    """
    gates = []
    if limits.min_slice_accuracy is not None:
        metrics = {one.name: one.compiled.accuracy for one in slices if one.compiled is not None}
        small = [f"{one.name} ({_images(one.images)})" for one in slices if one.compiled is None]
        gates.append(_evaluate_slices("min_slice_accuracy", limits.min_slice_accuracy, metrics, small, split))
    if limits.min_slice_recall is not None:
        metrics, small = {}, []
        for one in slices:
            classes = {c.label: c.sensitivity for c in one.compiled.classes} if one.compiled is not None else {}
            for number, label in enumerate(labels):
                metric = classes.get(number)
                if metric is not None and metric.low is not None:
                    metrics[f"{label} in {one.name}"] = metric
                else:
                    small.append(f"{label} in {one.name} ({_images(one.class_images[number])})")
        gates.append(_evaluate_slices("min_slice_recall", limits.min_slice_recall, metrics, small, split))
    return tuple(gates)


def bonferroni_high(metric: Metric, tests: int) -> float:
    """Return the upper end of a metric's interval that holds at 95 % for several metrics together (Bonferroni).

    The distance on the logit scale grows with the normal quantile; it is exact for Wilson's interval where the metric is 0.

    Args:
        metric: The metric.
        tests: Number of metrics that are looked at together.
    """
    high, value = metric.high, metric.value
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


def _evaluate_slices(name: str, limit: float, metrics: dict[str, Metric], small: Sequence[str], split: str) -> Gate:
    rest = f"; too small to judge: {_some_names(small)}" if small else ""
    if not metrics:
        why = f"no slice of the {split} images is large enough{rest}" if small else "the data set has no slices"
        return Gate(name=name, limit=limit, value=None, verdict="INCONCLUSIVE", reason=why)
    under = {key: one for key, one in metrics.items() if bonferroni_high(one, len(metrics)) < limit}
    worst = min(under or metrics, key=lambda key: (metrics[key].value, key))
    metric = metrics[worst]
    reason = f"{metric.value:.1%} of {metric.images} {split} images for {worst}, the lowest of {len(metrics)}"
    reason += f" (95 % interval {metric.low or 0.0:.1%} to {1.0 if metric.high is None else metric.high:.1%})"
    open_ = sum((one.low or 0.0) < limit for one in metrics.values())
    verdict: Verdict = "INCONCLUSIVE"
    if under:
        verdict, how = "FAIL", f"is {limit - metric.value:.1%} under {limit:.1%}"
    elif not open_:
        verdict, how = "PASS", f"reaches {limit:.1%}, and all intervals lie above it"
    elif metric.value >= limit:
        how = f"reaches {limit:.1%}, but {open_} of {len(metrics)} intervals span the limit"
    else:
        how = f"is under {limit:.1%}, but may be there by chance: of {len(metrics)} that were looked at, one is the lowest"
    return Gate(name=name, limit=limit, value=metric.value, verdict=verdict, reason=f"{reason} {how}{rest}")


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"


def _some_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
