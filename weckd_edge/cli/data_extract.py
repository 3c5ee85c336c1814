"""``weckd-edge data extract``: sharp, distinct frames of videos, as a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.image_patterns import expand_pattern
from weckd_edge.cli.parsing.option_groups import ProgressOutput
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH, AnyPath, WholeNumber


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractedFrames(OptionGroup):
    """The frames that are written."""

    title: ClassVar[str] = "Data"
    out: Path = option("--out", type=AnyPath(file_okay=False), required=True, help="Folder to write, or to go on with.")
    frames: int = option(
        "--frames", type=WholeNumber(1, 10_000), default=20, show_default=True, help="Most frames of one video."
    )


@click.command("extract", cls=Command)
@click.argument("videos", nargs=-1, required=True, type=PATH)
@takes(extracted=ExtractedFrames, output=ProgressOutput)
def command(videos: tuple[Path, ...], extracted: ExtractedFrames, output: ProgressOutput) -> None:
    """Write sharp frames of VIDEOS, no two alike, as a data set: each video is one examination, and one group.

    VIDEOS are files, folders, and patterns such as 'ears/**/*.mp4' (in quotes). Of a folder, the name of the folder that a
    video lies in becomes its label; other labels are left for you to write into FOLDER/frames.csv, which a build reads. A
    video that was extracted before is skipped, so the same command goes on after an interruption.
    """
    from weckd_edge.pipeline.output_paths import ReadPath, check_place
    from weckd_edge.train.extraction.extract import extract_videos, find_videos

    named = [path for argument in videos for path in expand_pattern(argument)]
    check_place(extracted.out, [ReadPath("the folder of videos", path) for path in named if path.is_dir()])
    with output.progress() as progress:
        found = extract_videos(find_videos(named), extracted.out, progress, frames=extracted.frames)
    if output.as_json:
        print_json(found)
        return
    print_table(
        ("video", "examination", "frames", "damaged", "noticed"),
        [(one.video, one.exam, one.frames, one.lost.damaged, one.lost.end or "") for one in found.exams],
    )
    if found.done_before:
        print_message(f"{found.done_before} videos were extracted before")
    if found.bad_files:
        print_table(("file", "cannot be used because"), [(one.path, one.reason) for one in found.bad_files])
    print_message(f"written: {sum(one.frames for one in found.exams)} frames; they are listed in {found.table}")
