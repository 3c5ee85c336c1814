"""Clinical metrics of predictions: by class and by slice, with intervals that count groups, and prediction flips.

``counts`` computes metrics for any weights of the groups, ``group_bootstrap`` their intervals, ``classification`` the
records, ``slices`` the images that share a value of a column, ``prediction_flips`` the decisions that changed, ``paired``
the comparison of two models, and ``record`` puts all of it together. NumPy alone does the work, in seconds.
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
