"""The predictions of one run: counted, kept or written, and printed at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.core.errors import DataError

if TYPE_CHECKING:
    from weckd_edge.devices.attribution.explain_images import Explanation
    from weckd_edge.devices.runtime.decision import Prediction
    from weckd_edge.devices.runtime.model_choice import RunningModel
    from weckd_edge.devices.runtime.predict import SkippedFile


class ImageResult(NamedTuple):
    """The prediction for one image, its explanation where one was asked for, and whether a picture of it was saved."""

    prediction: Prediction
    explanation: Explanation | None
    is_saved: bool


@dataclass(kw_only=True, slots=True)
class PredictionResults:
    """The predictions of one run.

    Attributes:
        skipped: Files of the folders that are not images.
        file: File that the predictions are written to; None: they are kept here and printed.
        model: The model that runs; None: it is not open yet.
        decisions: Number of images by their decision.
        failures: Number of images that could not be classified.
        first_failure: Why the first of these could not; None where there are none.
        explained: Number of images with an attribution map.
        saved: Number of images with a picture of their prediction.
        kept: Every result; empty where there is a file.
    """

    skipped: Sequence[SkippedFile]
    file: Path | None
    model: RunningModel | None = None
    decisions: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    first_failure: str | None = None
    explained: int = 0
    saved: int = 0
    kept: list[ImageResult] = field(default_factory=list)

    def add(self, result: ImageResult) -> None:
        """Take the result of one image into account."""
        prediction = result.prediction
        self.decisions[prediction.decision] += 1
        self.explained += result.explanation is not None and result.explanation.overlay is not None
        self.saved += result.is_saved
        if prediction.code in ("unreadable", "not_a_number"):
            self.failures += 1
            self.first_failure = self.first_failure or prediction.reason
        if self.file is None:
            self.kept.append(result)

    def print(self, *, as_json: bool) -> None:
        """Print the predictions, or a summary where they were written to a file."""
        if as_json:
            print_json(self._data() if self.file is None else self._summary())
            return
        if self.file is None:
            self._print_predictions()
        else:
            print_table(("decision", "images"), self.decisions.most_common(), title=f"model: {self.model}")
            print_message(f"written: {self.file}, {self.decisions.total()} images")
        if self.skipped:
            print_table(("skipped", "because"), [(one.file, one.reason) for one in self.skipped])

    def check(self) -> None:
        """Refuse a run in which nothing could be classified.

        Raises:
            DataError: No image could be.
        """
        if self.failures == self.decisions.total():
            raise DataError(
                f"none of {self.failures} images could be classified; the first: {self.first_failure}",
                code="E_DATA_NO_PREDICTION",
            )

    def _print_predictions(self) -> None:
        predictions = [result.prediction for result in self.kept]
        rows = [
            (
                one.file,
                one.decision,
                f"{max(one.probabilities.values()):.3f}" if one.probabilities else None,
                one.reason or "",
            )
            for one in predictions
        ]
        print_table(("image", "decision", "probability", "reason"), rows, title=f"model: {self.model}")
        noted = [(one.file, note.text) for one in predictions for note in one.notes]
        if noted:
            print_table(("image", "noticed"), noted)

    def _data(self) -> dict[str, Any]:
        from weckd_edge.core.serialization import to_data

        images = []
        for prediction, explanation, _ in self.kept:
            images.append(to_data(prediction))
            if explanation is not None:
                images[-1] |= {
                    "overlay": explanation.overlay,
                    "method": explanation.method,
                    "deletion": to_data(explanation.deletion),
                }
        return {"images": images, "skipped": list(self.skipped), "model": self.model}

    def _summary(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "predicted": self.decisions.total(),
            "decisions": dict(self.decisions),
            "skipped": list(self.skipped),
            "model": self.model,
        }
