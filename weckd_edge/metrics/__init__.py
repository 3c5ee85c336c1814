"""Clinical figures from answers: per class, per slice, with intervals that count groups, and what compression changed.

``counts`` turns answers into figures for any weights of the groups, ``intervals`` turns those into intervals, ``measure``
into artefacts, ``slices`` says which images share a value of a column, ``harm`` which decisions flipped, ``paired`` compares
two models, and ``record`` puts all of it together. NumPy alone does the work, in seconds.
"""

from weckd_edge.metrics.paired import compare_predictions
from weckd_edge.metrics.record import measure_metrics, measure_slices
from weckd_edge.metrics.slices import check_report, cut_slices

__all__ = [
    "check_report",
    "compare_predictions",
    "cut_slices",
    "measure_metrics",
    "measure_slices",
]
