"""How often the intervals of a report hold the truth: predictions are drawn from a known law, over and over.

Each scenario draws groups of images with the sizes of a real data set, predictions that are alike within a group (``alike``:
the correlation of logits), and classes of different difficulty. The truth is what the same law gives on very many groups.
For each figure the line tells in what part of the repeats the 95 % interval of ``weckd_edge.metrics`` held it, and, to
compare, a bootstrap's plain percentiles.

    python benchmarks/bench_intervals.py [repeats] [--rates]

With ``--rates`` only what needs no bootstrap is followed: rates, and predictive values at a prevalence.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
import record
from numpy.typing import NDArray

from weckd_edge.artifacts import Metric, Metrics
from weckd_edge.metrics.classification import compare_metrics, measure_images
from weckd_edge.metrics.counts import BootstrapDraws, Predictions, draw_weights

SIZES = {
    "otoscopy_chile": (
        *((1, 157), (2, 54), (3, 28), (4, 18), (5, 18), (6, 9), (7, 7), (8, 2), (9, 4), (10, 4), (11, 4)),
        *((13, 1), (15, 2), (18, 1)),
    ),
    "one image": ((1, 1),),
    "patients": ((10, 28), (11, 15), (13, 8), (15, 8), (17, 7), (20, 44)),
}
"""Sizes of groups, as pairs of a number of images and a number of groups that have so many.

They are frames of one ear, by near-identity; independent images; and cells of one patient (a quarter of malaria_cells).
"""

ENOUGH_IMAGES = 100_000
RESAMPLES = 200
"""Resamples of a bootstrap, fewer than a build takes, as there are thousands of repeats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One law that predictions are drawn from.

    Attributes:
        name: Name of the law, for the result.
        sizes: Key of ``SIZES``.
        groups: How many groups a test split has.
        mix: Share of each class.
        signal: How far the true class's logit stands out, by class.
        alike: Correlation of logits within a group, 0..1.
        pure: Whether all images of a group are of one class.
        drift: Spread of what compiling adds to logits, for differences.
        prevalence: Prevalence of the first class in the clinic; the others share the rest as in ``mix``.
    """

    name: str
    sizes: str
    groups: int
    mix: tuple[float, ...]
    signal: tuple[float, ...]
    alike: float
    pure: bool
    drift: float = 0.3
    prevalence: float = 0.1


FOUR, TWO = (0.25, 0.25, 0.25, 0.25), (0.3, 0.7)
SCENARIOS = (
    Scenario(
        name="four classes, few groups, easy",
        sizes="otoscopy_chile",
        groups=80,
        mix=FOUR,
        signal=(3.2, 2.6, 2.2, 1.8),
        alike=0.5,
        pure=True,
    ),
    Scenario(
        name="four classes, few groups, hard",
        sizes="otoscopy_chile",
        groups=80,
        mix=FOUR,
        signal=(1.9, 2.0, 2.5, 1.6),
        alike=0.5,
        pure=True,
    ),
    Scenario(
        name="four classes, many groups",
        sizes="otoscopy_chile",
        groups=300,
        mix=FOUR,
        signal=(3.2, 2.6, 2.2, 1.8),
        alike=0.5,
        pure=True,
    ),
    Scenario(
        name="two classes, very alike",
        sizes="otoscopy_chile",
        groups=150,
        mix=TWO,
        signal=(1.0, 2.6),
        alike=0.7,
        pure=True,
    ),
    Scenario(
        name="two classes in each patient",
        sizes="patients",
        groups=80,
        mix=TWO,
        signal=(1.3, 2.4),
        alike=0.2,
        pure=False,
    ),
    Scenario(
        name="one image a group",
        sizes="one image",
        groups=200,
        mix=TWO,
        signal=(1.0, 2.4),
        alike=0.0,
        pure=True,
    ),
    Scenario(
        name="a rare class, seldom mistaken",
        sizes="one image",
        groups=500,
        mix=(0.2, 0.8),
        signal=(2.6, 4.0),
        alike=0.0,
        pure=True,
        prevalence=0.02,
    ),
)

RATES = ("accuracy", "sensitivity", "specificity", "PPV", "NPV", "PPV at prevalence")
"""Figures whose intervals are not drawn."""


def draw(scenario: Scenario, groups: int, random: np.random.Generator) -> tuple[Predictions, Predictions]:
    """Draw a test split: the predictions in FP32, and those of the compiled model."""
    sizes, counts = np.array(SIZES[scenario.sizes]).T
    member = np.repeat(np.arange(groups), random.choice(sizes, groups, p=counts / counts.sum()))
    images, classes = len(member), len(scenario.mix)
    of_groups = random.choice(classes, groups, p=scenario.mix)
    truth = of_groups[member] if scenario.pure else random.choice(classes, images, p=scenario.mix)
    logits = np.sqrt(scenario.alike) * random.standard_normal((groups, classes))[member]
    logits += np.sqrt(1 - scenario.alike) * random.standard_normal((images, classes))
    logits[np.arange(images), truth] += np.array(scenario.signal)[truth]
    moved = logits + scenario.drift * random.standard_normal((images, classes))
    return Predictions(truth, _softmax(logits), member), Predictions(truth, _softmax(moved), member)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(2 * (logits - logits.max(axis=1, keepdims=True)))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def named(figures: Metrics) -> dict[str, Metric | None]:
    """Return the figures that are followed; of the classes the first."""
    first = figures.classes[0]
    return {
        "accuracy": figures.accuracy,
        "balanced accuracy": figures.balanced_accuracy,
        "macro F1": figures.macro_f1,
        "macro AUC": figures.macro_auc,
        "sensitivity": first.sensitivity,
        "specificity": first.specificity,
        "PPV": first.ppv,
        "NPV": first.npv,
        "F1": first.f1,
        "AUC": first.auc,
        "PPV at prevalence": first.ppv_at_prevalence,
    }


def accuracies(answers: Predictions, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the accuracy of each draw, alone."""
    right = np.bincount(answers.member, weights=answers.decided == answers.truth)
    return np.asarray(weights @ right / (weights @ np.bincount(answers.member)))


def percentiles(drawn: BootstrapDraws) -> dict[str, NDArray[np.float64]]:
    """Return the draws whose plain percentiles are compared."""
    return {
        "accuracy": drawn.accuracy,
        "balanced accuracy": drawn.balanced_accuracy,
        "macro F1": drawn.macro_f1,
        "macro AUC": drawn.macro_auc,
        "sensitivity": drawn.sensitivity[:, 0],
        "F1": drawn.f1[:, 0],
        "AUC": drawn.auc[:, 0],
    }


def coverage(scenario: Scenario, repeats: int, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, dict[str, float]]:
    """Return, by figure, its true value, the share of intervals that held it, and that of plain percentiles.

    Without ``resamples``, figures that need a bootstrap are left out.
    """
    random = np.random.default_rng(seed)
    rest = np.array(scenario.mix[1:])
    prevalence = np.array([scenario.prevalence, *((1 - scenario.prevalence) * rest / rest.sum())])
    sizes, counts = np.array(SIZES[scenario.sizes]).T
    many = round(ENOUGH_IMAGES / (sizes @ counts / counts.sum()))
    whole, once = draw(scenario, many, random), np.ones((1, many))
    true = {name: f.value for name, f in named(measure_images(whole[1], once, prevalence)[0]).items() if f is not None}
    apart = float(accuracies(whole[1], once)[0] - accuracies(whole[0], once)[0])
    held: dict[str, list[bool]] = {}
    plain: dict[str, list[bool]] = {}
    for _ in range(repeats):
        before, after = draw(scenario, scenario.groups, random)
        weights = draw_weights(scenario.groups, int(random.integers(2**31)), resamples)
        figures, drawn = measure_images(after, weights, prevalence)
        for name, figure in named(figures).items():
            if figure is None or figure.low is None or figure.high is None or not (resamples or name in RATES):
                continue
            held.setdefault(name, []).append(figure.low <= true[name] <= figure.high)
        if not resamples:
            continue
        for name, draws in percentiles(drawn).items():
            low, high = np.nanquantile(draws[1:], (0.025, 0.975))
            plain.setdefault(name, []).append(bool(low <= true[name] <= high))
        difference = compare_metrics(replace(drawn, accuracy=accuracies(before, weights)), drawn, after).accuracy
        if difference is not None:
            held.setdefault("difference of accuracies", []).append(difference.low <= apart <= difference.high)
    return {
        name: {
            "true": round(true.get(name, apart), 4),
            "intervals": len(hits),
            "held": round(float(np.mean(hits)), 4),
            **({"percentiles_held": round(float(np.mean(plain[name])), 4)} if name in plain else {}),
        }
        for name, hits in held.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repeats", type=int, nargs="?", default=2000)
    parser.add_argument("--rates", action="store_true", help="only figures that need no bootstrap")
    arguments = parser.parse_args()
    resamples = 0 if arguments.rates else RESAMPLES
    for scenario in SCENARIOS:
        start_ns = time.monotonic_ns()
        found = coverage(scenario, arguments.repeats, resamples=resamples)
        took_ns = time.monotonic_ns() - start_ns
        for name, line in found.items():
            print(f"{scenario.name:32s} {name:26s} {line}", flush=True)
        record.append(
            "intervals",
            f"share of 95 % intervals that hold the truth: {scenario.name}",
            {"all repeats": [took_ns, took_ns]},
            ("numpy",),
            repeats=arguments.repeats,
            resamples=resamples,
            groups=scenario.groups,
            sizes=scenario.sizes,
            alike=scenario.alike,
            prevalence=scenario.prevalence,
            coverage=found,
        )


if __name__ == "__main__":
    main()
