"""``weckd-edge infer``: answer images with a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.output import HELP, json_option, print_json, print_table


@click.command("infer", context_settings=HELP)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--backend", help="Run with this one: openvino, onnxruntime or tensorrt; the default is the best that is here."
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Processor threads.")
@click.option("--answer-anyway", is_flag=True, help="Answer also frames that the bundle's guard refuses.")
@json_option
def command(
    bundle: Path, images: tuple[Path, ...], backend: str | None, threads: int, answer_anyway: bool, as_json: bool
) -> None:
    """Answer IMAGES (files and folders) with a BUNDLE.

    An image that cannot be read is listed as "unable to analyze"; only where none can be read does the command fail.
    """
    from weckd_edge.devices.infer import infer
    from weckd_edge.errors import DataError

    answers = infer(bundle, images, backend=backend, threads=threads, answer_anyway=answer_anyway)
    if as_json:
        print_json(answers)
    else:
        rows = [
            (a.file, a.decision, f"{max(a.probabilities.values()):.3f}" if a.probabilities else None, a.reason or "")
            for a in answers
        ]
        print_table(("image", "decision", "probability", "why not"), rows)
    if all(answer.code in ("unreadable", "no_number") for answer in answers):
        raise DataError(f"none of {len(answers)} images could be answered; the first: {answers[0].reason}")
