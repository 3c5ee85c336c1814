"""The outcome of a build, printed: tables and sentences for a person, JSON for a script."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.core.words import with_plain_spaces

if TYPE_CHECKING:
    from weckd_edge.artifacts import Gate, Manifest, Rate
    from weckd_edge.cli.parsing.option_groups import Output
    from weckd_edge.report import BundleContents

EXIT_GATE_FAILED = 3


def report_outcome(contents: BundleContents, out: Path, output: Output) -> int:
    """Print the outcome of a build, and return its exit code: 3 where the bundle misses a gate.

    Args:
        contents: The bundle.
        out: Folder of the bundle, as the user named it.
        output: Whether JSON was asked for.
    """
    from weckd_edge.pipeline.output_paths import normal_path
    from weckd_edge.report.json_summaries import bundle_summary

    if output.as_json:
        print_json(bundle_summary(contents, normal_path(out)))
    else:
        print_outcome(contents, normal_path(out))
    return 0 if contents.manifest.passed else EXIT_GATE_FAILED


def print_outcome(contents: BundleContents, folder: Path) -> None:
    """Print the outcome of a build for a person: links, gates, the deployed link, reasons, and where the bundle lies."""
    _print_links(contents)
    _print_candidates(contents)
    print_gates(contents.manifest.gates)
    _print_deployed(contents)
    _print_reasons(contents)
    _print_preflight(contents.manifest)
    _print_places(contents.manifest, folder)


def _print_links(contents: BundleContents) -> None:
    rows = [
        (
            link.name,
            f"{link.network_text} at {link.input.network.size_text} px",
            f"{link.parameters:,}",
            f"{link.macs / 1e6:.1f} M",
            "not known" if contents.chain.import_notes and not link.labels_used else link.labels_used,
            _format_rate(link.test_accuracy),
        )
        for link in contents.chain.trained
    ]
    title = "Accuracy on held-out groups, FP32" + (" (synthetic images)" if contents.manifest.synthetic else "")
    print_table(("link", "model", "parameters", "MACs", "labels", "accuracy, 95 % interval"), rows, title=title)


def _print_candidates(contents: BundleContents) -> None:
    from weckd_edge.report.chapters.verdicts import evaluation_row, latency_text
    from weckd_edge.report.numbers import size

    evaluations = contents.link_selection.links
    if not evaluations:
        return
    rows = [
        (
            link.name,
            link.method,
            size(link.bytes),
            _format_rate(link.val_accuracy),
            latency_text(link.latency, link.build_machine_p90_ns),
            evaluation_row(link).verdict,
        )
        for link in evaluations
    ]
    print_table(
        ("link", "compiled as", "size", "accuracy, validation", "end-to-end latency", "limits"),
        [tuple(with_plain_spaces(str(cell)) for cell in row) for row in rows],
        title="Links as they would be deployed",
    )
    latency = evaluations[-1].latency
    click.echo(f"End-to-end latency, {latency.label}: {latency.reason}.")


def print_gates(gates: Sequence[Gate]) -> None:
    """Print limits with what was found; nothing where there are none."""
    if gates:
        rows = [
            (g.name, f"{g.limit:g}", "unknown" if g.value is None else f"{g.value:.4g}", g.verdict, g.reason) for g in gates
        ]
        print_table(("gate", "limit", "got", "verdict", "why"), rows)


def _print_deployed(contents: BundleContents) -> None:
    from weckd_edge.report.chapters.summary import summarize_bundle, terminal_lines

    name, verification = contents.link_selection.chosen, contents.verification
    what = f"Deployed: {name}, {verification.precision} on {verification.backend}."
    if contents.manifest.target == "jetson":
        what = f"Deployed: {name} as an {verification.precision} graph, run here by {verification.backend}."
    click.echo(what)
    summary = summarize_bundle(contents)
    for line in terminal_lines(summary):
        click.echo(line)
    for warning in summary.warnings:
        print_message(with_plain_spaces(f"warning: {warning}"))
    for note in contents.metrics.notes if contents.metrics else ():
        print_message(f"note: {note}")


def _print_reasons(contents: BundleContents) -> None:
    from weckd_edge.report.chapters.verdicts import chain_sentence

    chain, selection = contents.chain, contents.link_selection
    if selection.links:
        click.echo(f"Why {selection.chosen}? {selection.reason}.")
        for line in selection.advice:
            print_message(f"to change: {line}")
    for line in chain.notes:
        print_message(f"note: {line}")
    if chain.outside is not None:
        click.echo(f"Teachers from outside? {chain.outside.reason}")
    click.echo(f"Why {contents.verification.precision}? {contents.selection.reason}.")
    for sentence in contents.selection.backends:
        click.echo(f"{sentence}.")
    sentence = with_plain_spaces(chain_sentence(chain))
    if chain.import_notes:
        click.echo(sentence)
    elif chain.baseline is not None and chain.links[-1].test_accuracy.value <= chain.baseline.test_accuracy.value:
        print_message(f"warning: the chain did not help here. {sentence}")
    else:
        click.echo(f"Did the chain help? {sentence}")


def _print_preflight(manifest: Manifest) -> None:
    for model in manifest.models:
        if model.kind == "preflight":
            graph = next((Path(file.path).stem.removeprefix("layers-") for file in model.files), "the graph")
            click.echo(f"{graph} accepted by {model.backend} {model.backend_version}: {'; '.join(model.detail)}.")


def _print_places(manifest: Manifest, folder: Path) -> None:
    if manifest.target == "jetson":
        click.echo(
            "The TensorRT engine is not in this bundle: an engine only runs on the module, TensorRT and L4T that built it, "
            f"as its builder times the kernels there. Copy the bundle to the Jetson and run: "
            f"weckd-edge finalize {shlex.quote(folder.name)}"
        )
    click.echo(f"Bundle: {folder}")
    click.echo(f"Report: {folder / 'evidence' / 'report.html'}")
    if not manifest.passed:
        print_message("This bundle misses a gate; it is marked as not passing (exit code 3).")


def _format_rate(rate: Rate) -> str:
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"
