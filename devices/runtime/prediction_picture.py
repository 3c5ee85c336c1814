"""Predictions as pictures: a copy of each image with its prediction below it."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.core.errors import DataError
from weckd_edge.core.store import write_atomic
from weckd_edge.devices.images.annotate import draw_prediction, encode_png
from weckd_edge.devices.images.decoding import decode
from weckd_edge.devices.runtime.decision import Prediction


def save_prediction(image: Path, prediction: Prediction, picture: Path) -> bool:
    """Write a copy of an image with its prediction below it.

    Args:
        image: The image.
        prediction: Prediction of the image.
        picture: PNG file to write.

    Returns:
        Whether there is a picture; there is none of an image that cannot be read.

    Raises:
        StoreError: The picture cannot be written.
    """
    try:
        pixels = decode(image)
    except DataError:
        return False
    drawn = draw_prediction(
        pixels, decision=prediction.decision, probabilities=prediction.probabilities, reason=prediction.reason
    )
    write_atomic(picture, encode_png(drawn))
    return True
