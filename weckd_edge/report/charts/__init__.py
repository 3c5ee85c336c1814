"""Charts as plain SVG text, one module for each subject."""

from __future__ import annotations

from weckd_edge.report.charts.accuracy import Point, accuracy_against_cost, accuracy_by_strategy, recall_by_class
from weckd_edge.report.charts.exams import exam_strips, frames_curve
from weckd_edge.report.charts.latency import latency_histogram, time_line
from weckd_edge.report.charts.predictions import fraction_bar, layers, reliability, two_predictions
from weckd_edge.report.charts.risk_coverage import risk_coverage_chart, threshold_curves

__all__ = [
    "Point",
    "accuracy_against_cost",
    "accuracy_by_strategy",
    "exam_strips",
    "fraction_bar",
    "frames_curve",
    "latency_histogram",
    "layers",
    "recall_by_class",
    "reliability",
    "risk_coverage_chart",
    "threshold_curves",
    "time_line",
    "two_predictions",
]
