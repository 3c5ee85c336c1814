"""The examinations of one run: kept, and printed at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.core.errors import DataError, WeckdError
from weckd_edge.core.words import plural

if TYPE_CHECKING:
    from weckd_edge.devices.runtime.exam_run import ExamResult, SeenFrame
    from weckd_edge.devices.runtime.model_choice import RunningModel
    from weckd_edge.devices.runtime.predict import SkippedFile


class UnreadExam(NamedTuple):
    """An examination that could not be read, and the error that says why."""

    exam: str
    error: WeckdError


@dataclass(kw_only=True, slots=True)
class ExamResults:
    """The examinations of one run.

    Attributes:
        skipped: Files of the folders that are neither frames nor videos.
        file: File that the frames are written to; None: ``--json`` prints them.
        keeps_frames: Whether the frames are kept, to be printed.
        model: The model that runs; None: it is not open yet.
        results: Every examination that has ended.
        frames: The frames of every examination, in their order; empty where they are not kept.
    """

    skipped: Sequence[SkippedFile]
    file: Path | None
    keeps_frames: bool
    model: RunningModel | None = None
    results: list[ExamResult | UnreadExam] = field(default_factory=list)
    frames: list[list[SeenFrame]] = field(default_factory=list)

    def begin(self) -> None:
        """Begin the next examination."""
        self.frames.append([])

    def add_frame(self, frame: SeenFrame) -> None:
        """Take a frame of the examination into account."""
        if self.keeps_frames:
            self.frames[-1].append(frame)

    def print(self, *, as_json: bool) -> None:
        """Print the decisions, and what was lost on the way."""
        if as_json:
            print_json(self._data())
            return
        rows = [_row(result) for result in self.results]
        columns = ("examination", "decision", "probability", "frames that count", "length", "reason")
        print_table(columns, rows, title=f"model: {self.model}")
        for result in self.results:
            if not isinstance(result, UnreadExam):
                for text in _losses(result):
                    print_message(f"{result.exam}: {text}")
        if self.file is not None:
            print_message(f"written: {self.file}, the frames of {plural(len(self.results), 'examination')}")
        if self.skipped:
            print_table(("skipped", "because"), [(one.file, one.reason) for one in self.skipped])

    def check(self) -> None:
        """Refuse a run in which no examination could be read.

        Raises:
            WeckdError: None could be.
        """
        unread = [result for result in self.results if isinstance(result, UnreadExam)]
        if len(unread) < len(self.results):
            return
        if len(unread) == 1:
            raise unread[0].error
        raise DataError(
            f"none of {len(unread)} examinations could be read; the first: {unread[0].error}", code="E_DATA_NO_PREDICTION"
        )

    def _data(self) -> dict[str, Any]:
        from weckd_edge.core.serialization import to_data

        exams: list[dict[str, Any]] = []
        for result, frames in zip(self.results, self.frames, strict=True):
            if isinstance(result, UnreadExam):
                exams.append({"exam": result.exam, "decision": None, "error": _error(result.error)})
                continue
            exams.append({**to_data(result), "error": None})
            if self.keeps_frames:
                exams[-1]["frames"] = [to_data(frame) for frame in frames]
        file = None if self.file is None else str(self.file)
        return {"examinations": exams, "file": file, "skipped": list(self.skipped), "model": self.model}


def _error(error: WeckdError) -> dict[str, str]:
    return {"code": error.code, "message": str(error)}


def _row(result: ExamResult | UnreadExam) -> tuple[object, ...]:
    if isinstance(result, UnreadExam):
        from weckd_edge.devices.runtime.decision import ABSTAIN

        return result.exam, ABSTAIN, None, None, None, str(result.error)
    found = result.decision
    probability = f"{max(found.probabilities.values()):.3f}" if found.probabilities else None
    return (
        result.exam,
        found.decision,
        probability,
        f"{found.counted} of {found.seen}",
        f"{result.length_ns / 1e9:.1f} s",
        found.reason or ("enough was seen" if found.has_seen_enough else ""),
    )


def _losses(result: ExamResult) -> list[str]:
    lost, notes = result.lost, []
    if lost.end is not None:
        notes.append(f"{lost.end}; the decision rests on the frames until then")
    if lost.dropped:
        notes.append(f"{lost.dropped} frames were dropped, as the model was slower than they came")
    if lost.damaged:
        notes.append(f"{lost.damaged} frames are damaged, and were left out")
    return notes
