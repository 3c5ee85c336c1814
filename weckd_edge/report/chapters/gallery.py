"""Prediction flips, frame by frame: the decision of teacher, FP32 and deployed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import FlippedFrame, MetricsRecord, Verification
from weckd_edge.core.words import plural
from weckd_edge.report.pictures import Picture

MAX_FRAMES = 24
MAX_ROWS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryFrame:
    """One frame with a prediction flip.

    Attributes:
        path: Path of the image.
        truth: True label index.
        decided: Label index that the deployed model decides for.
        kind: ``worse`` (correct before, wrong now), ``better`` (wrong before, correct now) or ``other``.
        teacher: Label and probability of the first link; empty without one.
        fp32: Label and probability of FP32.
        deployed: Label and probability of the deployed model.
        picture: ``data:`` address of the frame; None where it is not shown.
        overlay: ``data:`` address of the evidence map; None where it is not shown.
        note: Why a picture is not shown.
    """

    path: str
    truth: int
    decided: int
    kind: str
    teacher: str
    fp32: str
    deployed: str
    picture: str | None
    overlay: str | None
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """All prediction flips.

    Attributes:
        frames: Frames that are shown.
        more: Number of further frames, in words; empty where all are shown.
        rows: Rows of the table: all flips, or the first ``MAX_ROWS``.
    """

    frames: tuple[GalleryFrame, ...]
    more: str
    rows: tuple[GalleryFrame, ...]

    @property
    def has_pictures(self) -> bool:
        """Whether any frame is shown with its picture."""
        return any(frame.picture is not None for frame in self.frames)


def by_severity(record: MetricsRecord) -> list[FlippedFrame]:
    """Return the frames with flips; first those on which the deployed model became wrong."""
    order = {"worse": 0, "other": 1, "better": 2}
    return sorted(record.frames, key=lambda frame: (order[outcome_of(frame)], frame.path))


def outcome_of(frame: FlippedFrame) -> str:
    """Return whether the deployed model became wrong (``worse``), became correct (``better``) or neither (``other``)."""
    before = {frame.fp32, frame.teacher} - {None}
    if frame.compiled == frame.label:
        return "better"
    return "worse" if frame.label in before else "other"


def gallery(
    record: MetricsRecord,
    verification: Verification,
    labels: Sequence[str],
    pictures: Mapping[str, Picture],
    urls: Mapping[str, str],
) -> Gallery:
    """Return every prediction flip in words, with its pictures.

    Args:
        record: Metrics with the frames that have flips.
        verification: Verification with the probabilities.
        labels: Class names.
        pictures: Pictures by the path of the image.
        urls: ``data:`` addresses by ``frame:PATH`` and ``overlay:PATH``.
    """
    sure = {p.path: p for p in verification.predictions}
    frames = []
    for frame in by_severity(record):
        found, picture = sure[frame.path], pictures.get(frame.path)
        note = picture.note if picture else "this page was written without the images"
        if picture and picture.frame is not None and f"frame:{frame.path}" not in urls:
            note = "left out to keep the file small"
        frames.append(
            GalleryFrame(
                path=frame.path,
                truth=frame.label,
                decided=frame.compiled,
                kind=outcome_of(frame),
                teacher=_prediction_text(found.teacher, labels),
                fp32=_prediction_text(found.fp32, labels),
                deployed=_prediction_text(found.compiled, labels),
                picture=urls.get(f"frame:{frame.path}"),
                overlay=urls.get(f"overlay:{frame.path}"),
                note=note,
            )
        )
    hidden = len(frames) - MAX_FRAMES
    more = f"{plural(hidden, 'further frame')} not shown; the table below lists them." if hidden > 0 else ""
    return Gallery(frames=tuple(frames[:MAX_FRAMES]), more=more, rows=tuple(frames[:MAX_ROWS]))


def _prediction_text(probabilities: Sequence[float] | None, labels: Sequence[str]) -> str:
    if probabilities is None:
        return ""
    best = max(probabilities)
    return f"{labels[probabilities.index(best)]} {best * 100:.0f}\u00a0%"
