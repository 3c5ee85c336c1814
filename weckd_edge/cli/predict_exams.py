"""Examinations in ``weckd-edge predict``: one after another, each read until it is decided."""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from weckd_edge.cli.console.exam_results import ExamResults, UnreadExam
from weckd_edge.cli.parsing.exam_sources import NamedExam, NamedSources
from weckd_edge.core.errors import WeckdError

if TYPE_CHECKING:
    from weckd_edge.api.bundle import Bundle
    from weckd_edge.api.model import Model
    from weckd_edge.cli.predict import PredictOutput, PredictRun
    from weckd_edge.core.progress import Progress
    from weckd_edge.devices.runtime.exam_run import ExamResult, SeenFrame
    from weckd_edge.devices.runtime.prediction_file import FrameWriter


def predict_exams(
    bundle: Bundle, sources: NamedSources, run: PredictRun, output: PredictOutput, *, live_limit_s: float
) -> None:
    """Read examinations to their decisions, and print them; where one cannot be read, the next one follows.

    Args:
        bundle: The bundle.
        sources: The examinations.
        run: The runtime that runs the model.
        output: What is printed and written.
        live_limit_s: Longest examination of a live source, seconds.

    Raises:
        WeckdError: The model cannot be opened here, or no examination can be read.
    """
    from weckd_edge.devices.runtime.prediction_file import write_frames

    results = ExamResults(skipped=sources.skipped, file=output.out, keeps_frames=output.as_json and output.out is None)
    with (
        bundle.open(run.backend, run.precision, threads=run.threads) as model,
        output.progress() as progress,
        nullcontext() if output.out is None else write_frames(output.out, bundle.labels) as file,
    ):
        results.model = model.running
        reading = _Reading(bundle, model, results, file, progress, live_limit_s)
        results.results += map(reading.read, sources.exams)
    results.print(as_json=output.as_json)
    results.check()


class _Reading(NamedTuple):
    """What every examination is read with."""

    bundle: Bundle
    model: Model
    results: ExamResults
    file: FrameWriter | None
    progress: Progress
    live_limit_s: float

    def read(self, exam: NamedExam) -> ExamResult | UnreadExam:
        """Read an examination to its decision."""
        from weckd_edge.devices.runtime.exam_run import run_exam

        self.results.begin()
        try:
            with (
                closing(exam.open(self.bundle.input.frame)) as source,
                self.progress.task(f"examination {exam.name}", source.expected_frames) as task,
            ):

                def take(frame: SeenFrame) -> None:
                    self.results.add_frame(frame)
                    if self.file is not None:
                        self.file.write(frame)
                    task.advance()

                return run_exam(self.model.exam(), source, take, live_limit_s=self.live_limit_s)
        except WeckdError as err:
            return UnreadExam(exam.name, err)
