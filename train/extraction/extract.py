"""Extract frames of videos into a folder that a build reads, one examination after another; a further run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from weckd_edge.artifacts import BadFile
from weckd_edge.core.errors import DataError
from weckd_edge.core.files import visible_files
from weckd_edge.core.progress import Progress, ProgressTask
from weckd_edge.core.store import atomic_folder
from weckd_edge.devices.images.camera_frames import rgb_of
from weckd_edge.devices.video.base import LostFrames
from weckd_edge.devices.video.film_files import film_sha256, is_film, open_film
from weckd_edge.devices.video.reading_thread import ThreadSource
from weckd_edge.train.extraction.choose import Candidate, choose_frames, find_candidates
from weckd_edge.train.extraction.folder import TABLE, ExtractedExam, ExtractedFrame, ExtractionFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFile:
    """A video that frames are extracted from.

    Attributes:
        path: The file.
        name: Path of the file below the folder that was named, without suffix.
        label: Name of the folder that the file lies in, below the folder that was named; empty where there is none.
    """

    path: Path
    name: str
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamSummary:
    """What was extracted of one video in this run.

    Attributes:
        video: The video as the user named it.
        exam: Name of the examination.
        frames: Number of frames that were written.
        lost: What of the video was lost.
    """

    video: str
    exam: str
    frames: int
    lost: LostFrames


@dataclass(frozen=True, kw_only=True, slots=True)
class Extraction:
    """What a run has extracted.

    Attributes:
        folder: The folder.
        table: The CSV of its frames.
        exams: Examinations of this run.
        done_before: Number of videos that an earlier run had extracted.
        bad_files: Videos that cannot be read.
    """

    folder: str
    table: str
    exams: tuple[ExamSummary, ...]
    done_before: int
    bad_files: tuple[BadFile, ...]


def find_videos(named: Sequence[Path]) -> list[VideoFile]:
    """Find the videos that are named, and those below the folders that are named, in the order of their paths.

    Raises:
        DataError: A path does not exist, or there is no video.
    """
    found: list[VideoFile] = []
    for path in named:
        if path.is_dir():
            for file in filter(is_film, visible_files(path)):
                below = file.relative_to(path)
                found.append(VideoFile(path=file, name=below.with_suffix("").as_posix(), label=below.parent.name))
        elif path.exists():
            found.append(VideoFile(path=path, name=path.stem, label=""))
        else:
            raise DataError(f"{path}: expected a video or a folder, found nothing", code="E_DATA_SOURCE")
    if not found:
        raise DataError(
            f"{', '.join(map(str, named))}: expected videos, found none; a video ends in .mp4, .mkv, .avi or the like",
            code="E_DATA_NO_VIDEO",
        )
    return found


def extract_videos(videos: Sequence[VideoFile], out: Path, progress: Progress, *, frames: int) -> Extraction:
    """Write sharp, distinct frames of videos as PNG, each video as one examination, with the CSV that a build reads.

    Args:
        videos: The videos.
        out: A new or empty folder, or one of an earlier extraction, to which examinations are added.
        progress: Receiver of the progress.
        frames: Largest number of frames of one examination.

    Raises:
        DataError: The folder holds something else, or no video can be read.
        StoreError: The folder cannot be written.
    """
    folder = ExtractionFolder(out)
    exams: list[ExamSummary] = []
    bad: list[BadFile] = []
    done_before = 0
    for video in videos:
        try:
            digest = film_sha256(video.path)
            if folder.find(digest) is not None:
                done_before += 1
                continue
            exams.append(_extract(video, digest, folder, progress, frames))
        except DataError as err:
            bad.append(BadFile(path=str(video.path), reason=str(err)))
    if bad and not exams and not done_before:
        raise DataError(f"none of {len(bad)} videos can be read; the first: {bad[0].reason}", code="E_DATA_NO_VIDEO")
    return Extraction(
        folder=str(out), table=str(out / TABLE), exams=tuple(exams), done_before=done_before, bad_files=tuple(bad)
    )


def _extract(video: VideoFile, digest: str, folder: ExtractionFolder, progress: Progress, at_most: int) -> ExamSummary:
    with closing(_open(video)) as source:
        with progress.task(f"measure {video.path}", source.expected_frames) as task:
            candidates = find_candidates(source, task.advance)
        lost = source.lost
    chosen = choose_frames(candidates, at_most)
    name = folder.free_name(video.name, digest)
    with atomic_folder(folder.path / name) as place, progress.task(f"write {name}", len(chosen)) as task:
        files = _write(video, chosen, place, task)
    written = tuple(
        ExtractedFrame(path=f"{name}/{file}", time_s=one.time_ns / 1e9) for one, file in zip(chosen, files, strict=True)
    )
    folder.add(ExtractedExam(exam=name, label=video.label, sha256=digest, frames=written))
    return ExamSummary(video=str(video.path), exam=name, frames=len(written), lost=lost)


def _write(video: VideoFile, chosen: Sequence[Candidate], place: Path, task: ProgressTask) -> list[str]:
    """Decode a video again as far as its last chosen frame, and write the chosen ones; return their names."""
    wanted, names = {one.number for one in chosen}, list[str]()
    with closing(_open(video)) as source:
        for number, frame in enumerate(source.frames()):
            if len(names) == len(wanted):
                break
            if number in wanted:
                names.append(f"{frame.time_ns // 1_000_000:08d}.png")
                Image.fromarray(rgb_of(frame.frame)).save(place / names[-1])
                task.advance()
    return names


def _open(video: VideoFile) -> ThreadSource:
    return ThreadSource(lambda: open_film(video.path), str(video.path))
