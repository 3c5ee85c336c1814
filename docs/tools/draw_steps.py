"""Draw the steps of a build for docs/design/architecture.md: ``python docs/tools/draw_steps.py``.

A test holds that every step is a module of ``weckd_edge.pipeline.steps`` and every record one of ``weckd_edge.artifacts``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from svg import arrow, box, picture

PICTURE = Path(__file__).resolve().parents[1] / "design/steps.svg"
STEPS = {
    "read_data": "DatasetIndex",
    "train_chain": "ChainRecord",
    "guard": "GuardRecord",
    "export": "ExportedModel",
    "quantize": "PrecisionSelection",
    "calibrate": "Recalibration",
    "bench": "Measurement",
    "select_link": "LinkSelection",
    "convert": "BuiltModel",
    "verify": "Verification",
    "golden": "GoldenFrames",
    "abstain": "Abstention",
    "exam": "ExamEvidence",
    "measure": "MetricsRecord",
    "audit_data": "DataAudit",
    "gates": "Gate",
    "write_bundle": "Manifest",
}
"""Each step in the order in which a build runs them, and the record that it hands on."""
COLUMNS, WIDTH, HEIGHT, GAP = 4, 156, 48, 34


def draw() -> str:
    """Return the steps as SVG, row after row, each row from left to right."""
    parts = []
    for number, (step, record) in enumerate(STEPS.items()):
        row, column = divmod(number, COLUMNS)
        left, top = 5 + column * (WIDTH + GAP), 5 + row * (HEIGHT + GAP)
        parts.append(box(left, top, WIDTH, HEIGHT, step, record))
        if column:
            parts.append(arrow((left - GAP, top + HEIGHT / 2), (left - 1, top + HEIGHT / 2)))
        elif row:
            last = 5 + (COLUMNS - 1) * (WIDTH + GAP) + WIDTH / 2
            middle = top - GAP / 2
            parts.append(arrow((last, top - GAP), (last, middle), (left + WIDTH / 2, middle), (left + WIDTH / 2, top - 1)))
    rows = -(-len(STEPS) // COLUMNS)
    size = (COLUMNS * (WIDTH + GAP) - GAP + 10, rows * (HEIGHT + GAP) - GAP + 10)
    return picture(*size, "The steps of a build and the record that each hands on", parts)


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
