"""Comparison of two bundles."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.artifacts import BundleDiff
from weckd_edge.report.diff.bundle_pair import read_bundle_side
from weckd_edge.report.diff.dataset import compare_data
from weckd_edge.report.diff.fields import MODEL, OWN_RESULTS, SETTINGS, SOFTWARE, THRESHOLDS, compare_fields
from weckd_edge.report.diff.results import compare_results


def compare_bundles(old: Path, new: Path, key: Path | None = None) -> BundleDiff:
    """Return the differences from one bundle to another.

    Args:
        old: Bundle that is the reference; it may be of an older format, and ``unknown`` names what cannot be compared.
        new: Bundle that is compared with it.
        key: PEM public key of the owner; if either bundle is not signed by this owner, it is refused.

    Raises:
        BundleError: A folder is not a bundle, was changed, is incomplete, or is of a newer format than this version reads.
        MissingDependency: scipy is not installed.
    """
    before, after = read_bundle_side(old, "old", key), read_bundle_side(new, "new", key)
    model, model_unknown = compare_fields(before, after, MODEL)
    settings, settings_unknown = compare_fields(before, after, SETTINGS)
    thresholds, thresholds_unknown = compare_fields(before, after, THRESHOLDS)
    software, software_unknown = compare_fields(before, after, SOFTWARE)
    own, own_unknown = compare_fields(before, after, OWN_RESULTS)
    results, why = compare_results(before, after)
    data = compare_data(before.dataset, after.dataset) if before.dataset and after.dataset else None
    unknown = (*before.unknown, *after.unknown, *model_unknown, *settings_unknown, *thresholds_unknown, *software_unknown)
    return BundleDiff(
        old=before.identity,
        new=after.identity,
        data=data,
        model=model,
        settings=settings,
        thresholds=thresholds,
        software=software,
        own_results=own,
        results=results,
        unknown=(*unknown, *own_unknown, *([why] if why else [])),
    )
