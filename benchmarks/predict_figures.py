"""How far predictions are off on networks they were not calibrated on, from kept measurements; nothing is timed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from weckd_edge.compile.cost.calibration_networks import RECIPES
from weckd_edge.devices.latency_model.features import FEATURES, feature_matrix
from weckd_edge.devices.latency_model.fitting import conformal_width, fit_prices, group_errors
from weckd_edge.devices.latency_model.measurements import TimedNetwork, read_measurements
from weckd_edge.devices.latency_model.published import LeftOut, leave_one_out, transfer_width
from weckd_edge.devices.latency_model.reference import reference_prices as openvino_prices

KEPT = Path(__file__).resolve().parent / "results" / "predict_networks.jsonl"
ONNXRUNTIME = KEPT.with_name("predict_onnxruntime_networks.jsonl")
FRAME = " frame"
FOLDS = 5
PRECISIONS = ("float32", "int8")


def kept_measurements(path: Path = KEPT) -> list[TimedNetwork]:
    """Return the newest measurement of each network and precision."""
    newest = {(timed.network, timed.precision): timed for timed in read_measurements(path)}
    return list(newest.values())


def figures(measured: Sequence[TimedNetwork], late: frozenset[str]) -> dict[str, Any]:
    """Return every claimed figure.

    Args:
        measured: The ladder and the networks of timm.
        late: Names of networks that were first timed when the ladder and the model had been settled.
    """
    ladder_names = {recipe.name for recipe in RECIPES}
    ladder = [timed for timed in measured if timed.network in ladder_names]
    networks = [timed for timed in measured if timed.network not in ladder_names and not timed.network.endswith(FRAME)]
    frames = [timed for timed in measured if timed.network.endswith(FRAME)]
    first = [timed for timed in networks if timed.network not in late]
    last = [timed for timed in networks if timed.network in late]
    families = sorted({timed.family for timed in networks})
    return {
        "ladder_alone": _held_out([(ladder, first)]),
        "ladder_alone_later_networks": _held_out([(ladder, last)]),
        "ladder_alone_all_networks": _held_out([(ladder, networks)]),
        "ladder_alone_frame_to_answer": _held_out([(ladder, frames)]),
        "families_left_out": _held_out(_folds(ladder, networks, lambda timed: families.index(timed.family) % FOLDS, FOLDS)),
        "networks_left_out": _held_out(_folds(ladder, networks, _by_name(networks), 2)),
    }


def onnxruntime_figures(measured: Sequence[TimedNetwork]) -> dict[str, Any]:
    """Return how far ONNX Runtime's latencies, estimated from the ladder alone, are off on the networks of timm."""
    names = {recipe.name for recipe in RECIPES}
    ladder = [timed for timed in measured if timed.network in names]
    return {"ladder_alone": _held_out([(ladder, [timed for timed in measured if timed.network not in names])])}


def reference_prices(measured: Sequence[TimedNetwork], *, near_openvino: bool = False) -> dict[str, float]:
    """Return prices fitted to every measurement, to four digits: those of the reference machine.

    Args:
        measured: The measurements, of one runtime.
        near_openvino: Whether work that none of them holds is priced as OpenVINO's, times a common factor.
    """
    known = openvino_prices() if near_openvino else None
    prices = fit_prices(feature_matrix([timed.counts for timed in measured]), _times(measured), known=known)
    return {name: float(f"{price:.4g}") for name, price in zip(FEATURES, prices, strict=True)}


def published_lines() -> tuple[str, list[str]]:
    """Return what docs/how-to/estimate.md says of published figures left out one at a time: their count, and the table."""
    found = [(left, transfer_width(left.figures, left.row.device)) for left in leave_one_out()]
    inside = sum(abs(left.error) <= width for left, width in found)
    return f"{inside} of {len(found)} are inside ({inside / len(found):.1%})", [_line(left, width) for left, width in found]


def _line(left: LeftOut, width: float) -> str:
    ms, factor = left.predicted_ns / 1e6, float(np.exp(width))
    threads = "" if left.row.threads is None else f", {left.row.threads} thread{'s' if left.row.threads > 1 else ''}"
    verdict = "hit" if abs(left.error) <= width else "**miss**"
    where = f"| {left.row.name} | {left.row.runtime}{threads} | {left.row.precision} | {left.network}"
    return f"{where} | {ms:.2f} | {ms / factor:.2f} to {ms * factor:.2f} | {left.published_ns / 1e6:g} | {verdict} |"


def _by_name(networks: Sequence[TimedNetwork]) -> Callable[[TimedNetwork], int]:
    names = sorted({timed.network for timed in networks})
    return lambda timed: names.index(timed.network) % 2


def _folds(
    ladder: list[TimedNetwork], networks: list[TimedNetwork], fold_of: Callable[[TimedNetwork], int], count: int
) -> list[tuple[list[TimedNetwork], list[TimedNetwork]]]:
    return [
        ([*ladder, *(t for t in networks if fold_of(t) != fold)], [t for t in networks if fold_of(t) == fold])
        for fold in range(count)
    ]


def _held_out(splits: Sequence[tuple[Sequence[TimedNetwork], Sequence[TimedNetwork]]]) -> dict[str, Any]:
    """Calibrate on the first of each pair, predict the second, put the errors together."""
    errors: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    inside: dict[str, list[bool]] = {precision: [] for precision in PRECISIONS}
    widths: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for known, wanted in splits:
        work, times = feature_matrix([timed.counts for timed in known]), _times(known)
        prices = fit_prices(work, times)
        left_out = group_errors(work, times, [timed.family for timed in known])
        off = np.log(feature_matrix([timed.counts for timed in wanted]) @ prices / _times(wanted))
        for precision in PRECISIONS:
            width = conformal_width(left_out[[timed.precision == precision for timed in known]])
            if width is None:
                raise ValueError(f"too few {precision} networks to calibrate on: {len(known)}")
            mine = off[[timed.precision == precision for timed in wanted]]
            errors[precision] += list(mine)
            inside[precision] += list(np.abs(mine) <= width)
            widths[precision].append(width)
    return {
        precision: {
            "networks": len(errors[precision]),
            "median_absolute_error": round(float(np.median(np.abs(np.expm1(errors[precision])))), 4),
            "p90_absolute_error": round(float(np.quantile(np.abs(np.expm1(errors[precision])), 0.9)), 4),
            "inside": int(sum(inside[precision])),
            "coverage": round(float(np.mean(inside[precision])), 4),
            "interval_factor": round(float(np.exp(np.mean(widths[precision]))), 3),
        }
        for precision in PRECISIONS
    }


def _times(timed: Sequence[TimedNetwork]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([one.latency_ns for one in timed], dtype=np.float64)
