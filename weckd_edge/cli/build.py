"""``weckd-edge build``: the whole way, from images to a bundle."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weckd_edge.cli.console.output import (
    HELP,
    json_option,
    make_progress,
    print_json,
    print_message,
    print_table,
    quiet_option,
)
from weckd_edge.cli.options import (
    PATH,
    DataOptions,
    bundle_out_option,
    bundle_version_option,
    data_option,
    data_options,
    device_option,
    key_option,
    seed_option,
    skip_bad_option,
    target_option,
)
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.words import with_plain_spaces

if TYPE_CHECKING:
    from weckd_edge.artifacts import Metric, MetricsRecord, Rate
    from weckd_edge.config import BuildConfig, LinkConfig
    from weckd_edge.report import BundleContents

EXIT_GATE_FAILED = 3


@click.command("build", context_settings=HELP)
@data_option
@data_options
@target_option
@device_option
@bundle_out_option
@click.option("--config", "config_file", type=PATH, help="TOML file with the other settings.")
@click.option(
    "--links",
    help="The chain, largest first: model[@pixels][=weights file], separated by commas; or auto, by measured time.",
)
@seed_option("Seed of splits, weights and batches.")
@skip_bad_option
@key_option
@bundle_version_option
@quiet_option
@json_option
def command(
    data: Path,
    data_options: DataOptions,
    target: str,
    device: str | None,
    out: Path,
    config_file: Path | None,
    links: str | None,
    seed: int | None,
    skip_bad: bool,
    key: Path | None,
    bundle_version: int,
    quiet: bool,
    as_json: bool,
) -> int:
    """Train the chain, compile its last link, verify it against the device profile, and seal a bundle.

    Run the same command again after a stop: it goes on from the last finished stage or epoch (kept in OUT.work).
    Exits 3 when a limit of the device profile was missed; the bundle is written all the same, marked as not passing.
    """
    # Threads that wait without spinning: as fast alone, and nearly twice as fast beside another run (see benchmarks/).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from weckd_edge.config import BuildConfig, load_config
    from weckd_edge.pipeline.build import BuildRequest, build, keeps_results, train_along

    config = load_config(config_file) if config_file else BuildConfig()
    config = with_options(config, links, seed, data_options)
    request = BuildRequest(
        data=data,
        target=parse_target(target),
        device=device,
        out=out,
        config=config,
        skip_bad=skip_bad,
        key=key,
        bundle_version=bundle_version,
        auto_links=links == "auto",
    )
    if not keeps_results(os.environ):
        train_along(request)
        return 0
    with make_progress(quiet) as progress:
        contents = build(request, progress)
    if as_json:
        print_json(summarize_outcome(contents, out))
    else:
        print_outcome(contents, out)
    return 0 if contents.manifest.passed else EXIT_GATE_FAILED


def parse_target(name: str) -> Any:
    """Return the target a user named.

    Raises:
        ConfigError: There is none of that name.
    """
    from weckd_edge.core.errors import did_you_mean

    if name not in ("cpu", "jetson"):
        raise ConfigError(f"unknown target '{name}'{did_you_mean(name, ('cpu', 'jetson'))}", code="E_CONFIG_CHOICE")
    return name


def with_options(config: BuildConfig, links: str | None, seed: int | None, data: DataOptions) -> BuildConfig:
    """Return the configuration with what the command line says put over it."""
    config = data.over(config)
    if seed is not None:
        config = replace(config, seed=seed)
    if links is not None and links != "auto":
        config = replace(config, link=tuple(parse_link(text) for text in links.split(",")))
    return config


def parse_link(text: str) -> LinkConfig:
    """Read ``model[@pixels][=weights file]``.

    Raises:
        ConfigError: The size is no number, or a part is empty.
    """
    from weckd_edge.config import LinkConfig

    name, _, weights = text.strip().partition("=")
    model, at, size = name.partition("@")
    if not model or (at and not (size.isdecimal() and len(size) <= 6)):
        raise ConfigError(
            f"--links: '{text}': expected model, model@pixels or model@pixels=weights.safetensors", code="E_CONFIG_VALUE"
        )
    link = LinkConfig(model=model, weights=weights or None)
    return replace(link, input_size=int(size)) if size else link


def summarize_outcome(contents: BundleContents, out: Path) -> dict[str, Any]:
    """Return what ``--json`` prints of a bundle in the folder ``out``."""
    from weckd_edge.pipeline.output_paths import normal_path
    from weckd_edge.report.chapters.summary import summarize_bundle

    warnings = summarize_bundle(contents).warnings
    manifest, verification, chain = contents.manifest, contents.verification, contents.chain
    compiled = verification.accuracy_compiled
    baseline = chain.baseline
    return {
        "bundle": str(normal_path(out)),
        "passed": manifest.passed,
        "warnings": [with_plain_spaces(warning) for warning in warnings],
        "links": [
            {
                "name": link.name,
                "model": link.model,
                "input_size": link.input.network.size,
                "parameters": link.parameters,
                "macs": link.macs,
                "labels_used": link.labels_used,
                "epochs": link.epochs,
                "accuracy": link.test_accuracy.value,
                "baseline_accuracy": baseline.test_accuracy.value if baseline and link is chain.links[-1] else None,
            }
            for link in chain.links
        ],
        "deployed": {
            "link": contents.link_selection.chosen,
            "precision": verification.precision,
            "backend": verification.backend,
            "reason": contents.link_selection.reason,
        },
        "candidates": [
            {
                "name": link.name,
                "precision": link.precision,
                "bytes": link.bytes,
                "val_accuracy": link.val_accuracy.value,
                "latency": {
                    "label": link.latency.label,
                    "p90_ns": link.latency.p90_ns,
                    "low_ns": link.latency.low_ns,
                    "high_ns": link.latency.high_ns,
                    "reason": link.latency.reason,
                },
                "build_machine_p90_ns": link.build_machine_p90_ns,
                "passes": link.passes,
                "gates": [{"name": g.name, "limit": g.limit, "value": g.value, "verdict": g.verdict} for g in link.gates],
            }
            for link in contents.link_selection.links
        ],
        "accuracy": {
            "fp32": verification.accuracy_fp32.value,
            "compiled": compiled.value,
            "low": compiled.low,
            "high": compiled.high,
            "test_images": compiled.images,
            "test_groups": compiled.groups,
        },
        "metrics": metrics_summary(contents.metrics, manifest.labels) if contents.metrics else None,
        "gates": [
            {"name": g.name, "limit": g.limit, "value": g.value, "verdict": g.verdict, "reason": g.reason}
            for g in manifest.gates
        ],
        "steps": [{"name": s.name, "seconds": s.seconds, "reused": s.reused} for s in contents.build.steps],
    }


def metrics_summary(performance: MetricsRecord, labels: Sequence[str]) -> dict[str, Any]:
    """Return the clinical figures that ``--json`` prints; every figure is in ``evidence/metrics.json``."""

    def figure(found: Metric | None) -> dict[str, Any] | None:
        return None if found is None else {"value": found.value, "low": found.low, "high": found.high}

    compiled = performance.compiled
    slices = [
        {
            "column": one.column,
            "value": one.value,
            "images": one.images,
            "groups": one.groups,
            "right": one.right,
            "accuracy": figure(one.compiled.accuracy) if one.compiled else None,
            "note": one.note,
        }
        for one in performance.slices
    ]
    return {
        "balanced_accuracy": figure(compiled.balanced_accuracy),
        "macro_f1": figure(compiled.macro_f1),
        "macro_auc": figure(compiled.macro_auc),
        "classes": [
            {"label": labels[c.label], "sensitivity": figure(c.sensitivity), "specificity": figure(c.specificity)}
            for c in compiled.classes
        ],
        "worst_class": None if performance.worst_class is None else labels[performance.worst_class],
        "worst_slice": None if performance.worst_slice is None else slices[performance.worst_slice],
        "slices": slices,
        "flips": [
            {
                "before": f.before,
                "after": f.after,
                "better": f.total.better,
                "worse": f.total.worse,
                "other": f.total.other,
                "mcnemar_p": f.mcnemar_p,
            }
            for f in performance.flips
        ],
        "notes": list(performance.notes),
    }


def format_rate(rate: Rate) -> str:
    """Write a rate with its interval."""
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def print_outcome(contents: BundleContents, out: Path) -> None:
    """Print what a person wants to know of a bundle in the folder ``out``."""
    from weckd_edge.pipeline.output_paths import normal_path
    from weckd_edge.report.chapters.summary import summarize_bundle, terminal_lines
    from weckd_edge.report.chapters.verdicts import chain_sentence, evaluation_row, latency_text
    from weckd_edge.report.numbers import size

    manifest, verification = contents.manifest, contents.verification
    baseline = contents.chain.baseline
    rows: list[tuple[object, ...]] = []
    for link in (*contents.chain.links, *([baseline] if baseline else [])):
        rate = link.test_accuracy
        rows.append(
            (
                link.name,
                f"{link.model} at {link.input.network.size} px",
                f"{link.parameters:,}",
                f"{link.macs / 1e6:.1f} M",
                "not known" if contents.chain.import_notes and not link.labels_used else link.labels_used,
                format_rate(rate),
            )
        )
    title = "Accuracy on held-out groups, FP32" + (" (synthetic images)" if manifest.synthetic else "")
    print_table(("link", "model", "parameters", "MACs", "labels", "accuracy, 95 % interval"), rows, title=title)
    evaluations = contents.link_selection.links
    if evaluations:
        rows = [
            (
                link.name,
                link.method,
                size(link.bytes),
                format_rate(link.val_accuracy),
                latency_text(link.latency, link.build_machine_p90_ns),
                limits,
            )
            for link, limits in ((link, evaluation_row(link).verdict) for link in evaluations)
        ]
        print_table(
            ("link", "compiled as", "size", "accuracy, validation", "end-to-end latency", "limits"),
            [tuple(with_plain_spaces(str(cell)) for cell in row) for row in rows],
            title="Links as they would be deployed",
        )
        click.echo(f"End-to-end latency, {evaluations[-1].latency.label}: {evaluations[-1].latency.reason}.")
    if manifest.gates:
        gates = [
            (g.name, f"{g.limit:g}", "unknown" if g.value is None else f"{g.value:.4g}", g.verdict, g.reason)
            for g in manifest.gates
        ]
        print_table(("gate", "limit", "got", "verdict", "why"), gates)
    name = contents.link_selection.chosen
    what = f"Deployed: {name}, {verification.precision} on {verification.backend}."
    if manifest.target == "jetson":
        what = f"Deployed: {name} as an {verification.precision} graph, run here by {verification.backend}."
    click.echo(what)
    summary = summarize_bundle(contents)
    for line in terminal_lines(summary):
        click.echo(line)
    for warning in summary.warnings:
        print_message(with_plain_spaces(f"warning: {warning}"))
    for note in contents.metrics.notes if contents.metrics else ():
        print_message(f"note: {note}")
    if contents.link_selection.links:
        click.echo(f"Why {name}? {contents.link_selection.reason}.")
        for line in contents.link_selection.advice:
            print_message(f"to change: {line}")
    click.echo(f"Why {verification.precision}? {contents.selection.reason}.")
    sentence = with_plain_spaces(chain_sentence(contents.chain))
    if contents.chain.import_notes:
        click.echo(sentence)
    elif baseline is not None and contents.chain.links[-1].test_accuracy.value <= baseline.test_accuracy.value:
        print_message(f"warning: the chain did not help here. {sentence}")
    else:
        click.echo(f"Did the chain help? {sentence}")
    for model in manifest.models:
        if model.kind == "preflight":
            graph = next((Path(file.path).stem.removeprefix("layers-") for file in model.files), "the graph")
            click.echo(f"{graph} accepted by {model.backend} {model.backend_version}: {'; '.join(model.detail)}.")
    if manifest.target == "jetson":
        click.echo(
            "The TensorRT engine is not in this bundle: an engine only runs on the module, TensorRT and L4T that built it, "
            f"as its builder times the kernels there. Copy the bundle to the Jetson and run: "
            f"weckd-edge finalize {shlex.quote(normal_path(out).name)}"
        )
    click.echo(f"Bundle: {normal_path(out)}")
    click.echo(f"Report: {normal_path(out) / 'evidence' / 'report.html'}")
    if not manifest.passed:
        print_message("This bundle misses a gate; it is marked as not passing (exit code 3).")
