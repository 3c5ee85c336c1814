"""Replies to the demo page as plain data: one bundle is held open, one query runs at a time, nothing is kept."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from weckd_edge.artifacts import Precision
from weckd_edge.artifacts.frame import crop_box
from weckd_edge.bundle.verdict import SYNTHETIC, sum_up_gates
from weckd_edge.core.errors import DataError, DeviceError
from weckd_edge.core.serialization import to_data
from weckd_edge.devices.attribution.explain_images import explain_frame, method_words, sanity_words
from weckd_edge.devices.attribution.overlay import MIN_EVIDENCE, Picture, draw_model_view, draw_overlay
from weckd_edge.devices.images.annotate import encode_png
from weckd_edge.devices.images.decoding import decode_bytes, decoded_image
from weckd_edge.devices.images.frames import frame_from_pixels
from weckd_edge.devices.runtime.backends.base import Frame
from weckd_edge.devices.runtime.decision import unreadable
from weckd_edge.devices.runtime.exam import Exam
from weckd_edge.devices.runtime.predict import open_bundle_model

NOTICE = (
    "Not a medical device. It claims no clinical performance and no regulatory compliance, and nothing in it was reviewed, "
    "cleared or approved by any authority. Do not use its predictions for diagnosis."
)
SHOWN_PIXELS = 640
"""Width of the pictures that are sent back, pixels."""


class DemoSession:
    """A bundle that is open for a page; use it as a context.

    Args:
        folder: The bundle's folder; it is verified first.
        backend: Name in the backend table; None takes the first backend whose library is installed.
        precision: Precision of the model; None takes the best one that is here.
        threads: Processor threads that one query may use.
        key: PEM public key; with it, a bundle that its owner did not sign is refused.
        min_version: Lowest version of the bundle that is taken.

    Raises:
        WeckdError: The bundle cannot be opened.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backend: str | None = None,
        precision: Precision | None = None,
        threads: int = 1,
        key: Path | None = None,
        min_version: int = 0,
    ) -> None:
        self.model = open_bundle_model(
            folder, backend=backend, precision=precision, threads=threads, key=key, min_version=min_version
        )
        self._one_at_a_time = threading.Lock()
        self._closed = False
        # One run for nothing, so that the first prediction takes no longer than the others.
        empty = np.zeros(self.model.runner.input_shape, np.uint8)
        decode_bytes(encode_png(empty[0]))
        self.model.runner.run(empty)

    def __enter__(self) -> DemoSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        with self._one_at_a_time:
            self._closed = True
            self.model.close()

    def describe(self) -> dict[str, Any]:
        """Describe the open bundle: its name, device, backend, labels, frame, operating point and verdict."""
        manifest, choice = self.model.bundle.manifest, self.model.choice
        scored = sum_up_gates(manifest)
        return {
            "name": manifest.name,
            "device": manifest.device,
            "target": manifest.target,
            "backend": f"{choice.backend} {self.model.runner.version}".strip(),
            "precision": choice.precision,
            "by_device": choice.running.by_device,
            "labels": list(manifest.labels),
            "confidence_threshold": manifest.operating_point.confidence_threshold,
            "frame": [manifest.input.frame.height, manifest.input.frame.width],
            "crop": list(crop_box(manifest.input.frame)),
            "verdict": {**to_data(scored), "detail": scored.detail.replace("reasons below", "reasons in its report")},
            "synthetic": SYNTHETIC if manifest.synthetic else None,
            "notice": NOTICE,
        }

    def predict(self, data: bytes) -> dict[str, Any]:
        """Predict an image file's bytes; one that cannot be read is "unable to analyze" and says why."""
        with self.turn():
            start_ns = time.monotonic_ns()
            try:
                with decoded_image(data) as found:
                    image = found.pixels
            except DataError as err:
                return {"prediction": to_data(unreadable("", str(err))), "stages": [], "seen": None}
            decoded_ns = time.monotonic_ns()
            frame = self._frame(image)
            framed_ns = time.monotonic_ns()
            prediction = replace(self.model.predictor.predict(frame), notes=found.notes)
            end_ns = time.monotonic_ns()
            seen = draw_model_view(frame[0], crop_box(self.model.bundle.manifest.input.frame), width_pixels=SHOWN_PIXELS)
        stages = [
            {"name": "Decode the file", "ns": decoded_ns - start_ns},
            {"name": "Fit to the camera frame", "ns": framed_ns - decoded_ns},
            {"name": "End-to-end latency", "ns": end_ns - framed_ns},
        ]
        return {"prediction": to_data(prediction), "stages": stages, "seen": _data_url(seen)}

    def explain(self, data: bytes) -> dict[str, Any]:
        """Map where the model finds its evidence in an image file's bytes.

        Raises:
            DataError: The image cannot be read, or has no prediction to explain.
        """
        with self.turn():
            start_ns = time.monotonic_ns()
            frame = self._frame(decode_bytes(data))
            prediction = self.model.predictor.predict(frame)
            if prediction.label is None:
                raise DataError(f"there is no prediction to explain: {prediction.reason}", code="E_DATA_NO_PREDICTION")
            found, check = explain_frame(self.model, frame, self.model.bundle.manifest.labels.index(prediction.label))
            overlay = draw_overlay(frame[0], found, width_pixels=SHOWN_PIXELS)
            took_ns = time.monotonic_ns() - start_ns
        return {
            "label": prediction.label,
            "overlay": _data_url(overlay),
            "marked": bool(found.map.max() > MIN_EVIDENCE),
            "method": method_words(found),
            "sanity": sanity_words(found, check, prediction.label),
            "deletion": to_data(check),
            "ns": took_ns,
        }

    def open_exam(self) -> Exam:
        """Return an examination by the bundle's own rule, without frames."""
        return Exam(self.model.predictor, self.model.bundle.manifest.exam)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until nobody else uses the model, and hold it for a block of code.

        Raises:
            DeviceError: The model was closed.
        """
        with self._one_at_a_time:
            if self._closed:
                raise DeviceError("the demo is ending; start it again", code="E_DEVICE_DEMO")
            yield

    def _frame(self, image: Picture) -> Frame:
        return frame_from_pixels(image, self.model.bundle.manifest.input.frame)


def _data_url(picture: Picture) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
