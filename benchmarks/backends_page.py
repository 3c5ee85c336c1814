"""The page docs/results/backends.md, from the results of ``bench_backends.py``."""

from __future__ import annotations

import json
from typing import Any

from record import HERE

from weckd_edge.devices.runtime.backends.table import BACKENDS

RESULTS = HERE / "results" / "backends.jsonl"
PAGE = HERE.parent / "docs" / "results" / "backends.md"
TITLES = {name: BACKENDS[name].title for name in ("onnxruntime", "openvino", "litert")}
DISTRIBUTIONS = {"litert": "ai-edge-litert"}
"""Name of a backend's package where it is another than the backend's."""


def read_results() -> dict[str, dict[str, Any]]:
    """Return the newest line of each network, in the order in which they were first measured."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []
    return {line["network"]: line for line in lines}


def write_page(results: dict[str, dict[str, Any]]) -> str:
    """Return the text of docs/results/backends.md."""
    newest = list(results.values())
    machines = sorted({f"{line['environment']['processor']}, {line['environment']['cores']} cores" for line in newest})
    versions = sorted(
        {f"{TITLES[name]} {line['environment'][DISTRIBUTIONS.get(name, name)]}" for line in newest for name in TITLES}
    )
    return "\n".join(
        [
            "# Backends and forms of int8",
            "",
            "<!-- Written by benchmarks/bench_backends.py from benchmarks/results/backends.jsonl. -->",
            "",
            "    chrt --rr 10 taskset -c 1 python benchmarks/bench_backends.py",
            "",
            "Every row is one network with random weights at 128 pixels, on one thread, from a 640x480 frame to the",
            "probabilities. All variants of a network run in turn; a time is the median over the turns of the fastest of",
            "four queries. The machine had other work, so ratios mean more than times. *int8* is the form that a bundle",
            "for processors carries, *symmetric int8* one with signed activations around zero, as TensorRT takes it.",
            "*Layers* are the convolutions and matrix products that the library itself runs in int8, out of all but the",
            "preprocessing's.",
            "",
            f"Measured on {'; '.join(machines)}, with {', '.join(versions)}.",
            "",
            "| network | backend | FP32, ms | int8, ms | int8 over FP32 | layers "
            "| symmetric int8, ms | over FP32 | layers | symmetric over int8 |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *(row(line, backend) for line in newest for backend in TITLES),
            "",
            "A ratio is the median of the ratios within a turn; in brackets the first and the third quartile.",
            "",
        ]
    )


def row(line: dict[str, Any], backend: str) -> str:
    """Return the row of a network and a backend."""
    medians, counts, ratios = line["medians_ns"], line["int8_layers"], line["ratios"]

    def ms(form: str) -> str:
        return f"{medians[f'{backend} {form}'] / 1e6:.2f}"

    def layers(form: str) -> str:
        count = counts[f"{backend} {form}"]
        return "-" if count is None else f"{count[0]} of {count[1]}"

    def ratio(name: str) -> str:
        low, middle, high = ratios[f"{backend} {name}"]
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"

    cells = [
        f"`{line['network']}`", TITLES[backend], ms("fp32"), ms("int8"), ratio("int8"), layers("int8"),
        ms("symmetric int8"), ratio("symmetric int8"), layers("symmetric int8"), ratio("symmetric int8 over int8"),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"
