"""The page docs/results/architectures.md, from the results of ``bench_architectures.py``."""

from __future__ import annotations

from typing import Any


def write_page(results: dict[str, dict[str, Any]]) -> str:
    """Return the text of docs/results/architectures.md."""
    head = [
        "# Architectures that were compiled",
        "",
        "<!-- Written by benchmarks/bench_architectures.py from benchmarks/results/architectures.jsonl. -->",
        "",
        "Each network went through export, the choice of its precision and, for a Jetson, TensorRT-RTX's parser and",
        "builder. Weights are random and the last layer is fitted to synthetic images, so there is no accuracy. Times",
        "are end-to-end latencies on one core, each form in turn with FP32. The machine had other work, so only",
        "ratios within a row mean something, and those roughly. *Chosen* is the fastest. *Divergence* is that of",
        "int8 predictions from FP32's in nats, and how many of the validation images int8 decides otherwise. Random",
        "weights amplify rounding as no trained network does.",
        "",
        "## For a processor (OpenVINO)",
        "",
        "| network | px | parameters | FP32 | FP16 | int8 | int8 divergence | chosen here | in float in int8, and why |",
        "|---|---|---|---|---|---|---|---|---|",
        *(cpu_row(line) for line in results.values()),
        "",
        "## For a Jetson (graphs that TensorRT-RTX builds; nothing is timed)",
        "",
        "| network | FP32 | FP16 | int8 | int8 divergence | chosen |",
        "|---|---|---|---|---|---|",
        *(jetson_row(line) for line in results.values()),
        "",
        "Norms, softmax, activations written out in products (GELU, SiLU), multiplications by a constant and sums that no",
        "layer reads stay in floating point in every network: [Precision](../concepts/precision.md) says why.",
        "",
    ]
    return "\n".join(head)


def name_of(line: dict[str, Any]) -> str:
    """Return family and name of a network."""
    return f"{line['family']} `{line['network'].removeprefix('torchvision/')}`" + (
        " (torchvision)" if line["network"].startswith("torchvision/") else ""
    )


def best_int8(forms: dict[str, Any]) -> dict[str, Any] | None:
    """Return the int8 form that comes closest to FP32, among those that run."""
    run = [form for form in forms.values() if form["precision"] == "int8" and form["divergence"] is not None]
    return min(run, key=lambda form: (len(form["left"]), form["divergence"]), default=None)


def cpu_row(line: dict[str, Any]) -> str:
    """Return a row of the first table."""
    start = f"| {name_of(line)} | {line['side']} | {line['parameters'] / 1e6:.1f} M |"
    found = line["cpu"]
    if "error" in found:
        return f"{start} - | - | - | - | - | {found['error']} |"
    forms = found["forms"]
    fp32, fp16, int8 = forms["fp32"], forms.get("fp16"), best_int8(forms)
    timed = next((f for f in forms.values() if f["precision"] == "int8" and f["relative"]), None)
    if int8 is None:
        notes = "; ".join(form["note"] for form in forms.values() if form["precision"] == "int8")
        apart, left = "-", f"int8 cannot be built: {notes}"
    else:
        apart, left = f"{int8['divergence']:.2g}; {int8['flips']} of {found['images']}", left_words(int8)
    times = f"{fp32['median_ns'] / 1e6:.2f} ms | {factor(fp16)} | {factor(timed)}"
    return f"{start} {times} | {apart} | {found['chosen']} | {left} |"


def factor(form: dict[str, Any] | None) -> str:
    """Return how many times as fast as FP32 a form is."""
    return f"{1 / form['relative']:.2f} x" if form and form["relative"] else "-"


def left_words(form: dict[str, Any]) -> str:
    """Say which layers stay in floating point, and why."""
    said = []
    for kind, count in form.get("float", {}).items():
        if kind == "attention":
            said.append(f"{count} products of two activations: int8 gains nothing")
    if form["refused"]:
        said.append(f"{len(form['refused'])} operators that the backend refuses in int8")
    return "; ".join(said) or "none"


def jetson_row(line: dict[str, Any]) -> str:
    """Return a row of the second table."""
    found = line["jetson"]
    if "error" in found:
        return f"| {name_of(line)} | - | - | - | - | {found['error']} |"
    forms = found["forms"]
    proofs = {name: "built" if not why else f"refused: {why}" for name, why in found["proofs"].items()}
    int8 = best_int8(forms)
    refused = [f["note"] for f in forms.values() if f["precision"] == "int8" and f["note"].startswith("cannot be built")]
    if refused:
        state = refused[0]
    elif found["precision"] == "int8":
        state = "built"
    else:
        state = next((f["note"] for f in forms.values() if f["precision"] == "int8"), "-") + " (not built)"
    apart = f"{int8['divergence']:.2g}" if int8 else "-"
    return f"| {name_of(line)} | {proofs['fp32']} | {proofs['fp16']} | {state} | {apart} | {found['chosen']} |"
