"""``weckd-edge infer``: answer images with a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.options import PATH, THREADS
from weckd_edge.cli.output import HELP, json_option, print_json, print_table, say


@click.command("infer", context_settings=HELP)
@click.argument("bundle", type=PATH)
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option(
    "--backend", help="Run with this one: openvino, onnxruntime or tensorrt; the default is the best that is here."
)
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Processor threads.")
@click.option("--answer-anyway", is_flag=True, help="Answer also frames that the bundle's guard refuses.")
@click.option(
    "--explain",
    "pictures",
    type=PATH,
    metavar="DIR",
    help="Write a picture for each image of where the model finds its evidence; JSON tells how far to rely on it.",
)
@json_option
def command(
    bundle: Path,
    images: tuple[Path, ...],
    backend: str | None,
    threads: int,
    answer_anyway: bool,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Answer IMAGES (files and folders) with a BUNDLE.

    An image that cannot be read is listed as "unable to analyze"; only where none can be read does the command fail.
    """
    from weckd_edge.devices.infer import infer
    from weckd_edge.errors import DataError
    from weckd_edge.places import Source, check_place

    if pictures is not None:
        check_place(
            pictures, [Source("the folder of images", image) for image in images if image.is_dir()], option="--explain"
        )
    if pictures is None:
        answers = infer(bundle, images, backend=backend, threads=threads, answer_anyway=answer_anyway)
        found: list[object] = list(answers)
    else:
        from weckd_edge.devices.explaining import explain_images
        from weckd_edge.schema import to_data

        explained = explain_images(bundle, images, pictures, backend=backend, threads=threads, answer_anyway=answer_anyway)
        answers = tuple(one.answer for one in explained)
        found = [
            {**to_data(one.answer), "overlay": one.overlay, "method": one.method, "deletion": to_data(one.deletion)}
            for one in explained
        ]
    if as_json:
        print_json(found)
    else:
        rows = [
            (a.file, a.decision, f"{max(a.probabilities.values()):.3f}" if a.probabilities else None, a.reason or "")
            for a in answers
        ]
        print_table(("image", "decision", "probability", "why not"), rows)
    if pictures is not None:
        say(f"pictures: {sum(one.overlay is not None for one in explained)} of {len(answers)} in {pictures}")
    if all(answer.code in ("unreadable", "no_number") for answer in answers):
        raise DataError(f"none of {len(answers)} images could be answered; the first: {answers[0].reason}")
