"""The frames on which compressing changed the decision: what each of the chain's ends says, and to whose good."""

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
    """One frame whose decision changed.

    Attributes:
        path: The image.
        truth: Label index.
        decided: Label index that what is deployed decides for.
        kind: ``worse`` (right before), ``better`` (wrong before) or ``other``.
        teacher: Whose label the first link gives; empty without one.
        fp32: The same of FP32.
        deployed: The same of what is deployed.
        picture: Address of the frame; None where it is not shown.
        overlay: Address of the map; None where it is not shown.
        note: Why something is not shown.
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
    """All changed decisions.

    Attributes:
        frames: Those that are shown.
        more: How many more there are, in words; empty where all are shown.
        rows: All of them, or the first ``MAX_ROWS``.
    """

    frames: tuple[GalleryFrame, ...]
    more: str
    rows: tuple[GalleryFrame, ...]


def by_severity(performance: MetricsRecord) -> list[FlippedFrame]:
    """Return the changed frames, those where what is deployed is wrong and was not before first."""
    order = {"worse": 0, "other": 1, "better": 2}
    return sorted(performance.frames, key=lambda frame: (order[outcome_of(frame)], frame.path))


def outcome_of(frame: FlippedFrame) -> str:
    """Say whether what is deployed lost (``worse``), gained (``better``) or neither (``other``) against those before it."""
    before = {frame.fp32, frame.teacher} - {None}
    if frame.compiled == frame.label:
        return "better"
    return "worse" if frame.label in before else "other"


def gallery(
    performance: MetricsRecord,
    verification: Verification,
    labels: Sequence[str],
    pictures: Mapping[str, Picture],
    urls: Mapping[str, str],
) -> Gallery:
    """Word every changed decision.

    Args:
        performance: Which frames changed.
        verification: How sure each answer was.
        labels: Class names.
        pictures: By path of the image.
        urls: Addresses by ``frame:PATH`` and ``overlay:PATH``.
    """
    sure = {p.path: p for p in verification.predictions}
    frames = []
    for frame in by_severity(performance):
        found, picture = sure[frame.path], pictures.get(frame.path)
        note = picture.note if picture else "the page was written without the images"
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
    more = f"{plural(hidden, 'more frame')} not shown; the table below lists them." if hidden > 0 else ""
    return Gallery(frames=tuple(frames[:MAX_FRAMES]), more=more, rows=tuple(frames[:MAX_ROWS]))


def _prediction_text(probabilities: Sequence[float] | None, labels: Sequence[str]) -> str:
    if probabilities is None:
        return ""
    best = max(probabilities)
    return f"{labels[probabilities.index(best)]} {best * 100:.0f}\u00a0%"
