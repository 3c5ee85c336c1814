"""Rules for the manifest's ``exam`` beyond the types of its values; the C library checks the same."""

from __future__ import annotations

from itertools import pairwise

from weckd_edge.artifacts import (
    MAX_EDGES,
    MAX_FRAMES,
    MAX_SCALE,
    MAX_STOP_LEAD,
    MAX_TOP_K,
    MAX_WEIGHT,
    ExamRule,
    FrameWeights,
)
from weckd_edge.bundle.signing import MANIFEST_FILE
from weckd_edge.core.errors import BundleError

MAX_DISTANCE = 1e30
"""Largest distance at which two frames count once."""


def check_exam_rule(rule: ExamRule, *, has_guard: bool) -> None:
    """Raise an error where the rule of an examination breaks a rule of the format.

    Args:
        rule: How frames become one decision.
        has_guard: Whether the bundle has an input guard, which measures sharpness and features.

    Raises:
        BundleError: A number is out of its range, the table of weights has another shape than its edges say, or the rule
            needs a guard that is not there.
    """
    _check_range("top_k", rule.top_k, 0, MAX_TOP_K)
    _check_range("max_frames", rule.max_frames, 1, MAX_FRAMES)
    _check_range("min_frames", rule.min_frames, 1, rule.max_frames)
    _check_range("confidence_threshold", rule.confidence_threshold, 0, 1)
    if not 0 < rule.scale <= MAX_SCALE:
        raise _wrong(f"expected a scale over 0, at most {MAX_SCALE:g}, found {rule.scale:g}")
    if rule.duplicate_distance is not None:
        _check_range("duplicate_distance", rule.duplicate_distance, 0, MAX_DISTANCE)
    if rule.stop_lead is not None:
        _check_range("stop_lead", rule.stop_lead, 0, MAX_STOP_LEAD)
    if rule.weights is not None:
        _check_weights(rule.weights)
    if not has_guard:
        _check_without_guard(rule)


def _check_weights(weights: FrameWeights) -> None:
    for name, edges in (("sharpness_edges", weights.sharpness_edges), ("confidence_edges", weights.confidence_edges)):
        rises = all(low < high for low, high in pairwise(edges))
        if len(edges) > MAX_EDGES or not rises:
            raise _wrong(f"expected {name} of at most {MAX_EDGES} rising numbers, found {list(edges)[:20]}")
    rows, columns = len(weights.sharpness_edges) + 1, len(weights.confidence_edges) + 1
    if len(weights.table) != rows or any(len(row) != columns for row in weights.table):
        raise _wrong(f"expected a table of {rows} rows of {columns} weights, as the edges say, found another")
    values = [value for row in weights.table for value in row]
    if not all(0 <= value <= MAX_WEIGHT for value in values) or not any(values):
        raise _wrong(f"expected weights of 0 to {MAX_WEIGHT}, one of them over 0, found {values}")


def _check_without_guard(rule: ExamRule) -> None:
    ranked = rule.top_k > 0 and rule.rank == "sharpness"
    if ranked or rule.duplicate_distance is not None or (rule.weights is not None and rule.weights.sharpness_edges):
        raise _wrong("expected an input guard for a rule by sharpness or with a duplicate_distance, found none")


def _check_range(name: str, found: float, least: float, most: float) -> None:
    if not least <= found <= most:
        raise _wrong(f"expected {name} of {least:g} to {most:g}, found {found:g}")


def _wrong(text: str) -> BundleError:
    return BundleError(f"{MANIFEST_FILE}: exam: {text}", code="E_BUNDLE_EXAM")
