"""One link as it would ship, answering images no training has seen: validation images to choose by, test images to show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION, DatasetIndex, InputContract, Verification
from weckd_edge.compile.verify.parity import Candidate, predict_images, summarize_verification
from weckd_edge.core.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitVerifications:
    """How a compiled link answers.

    Attributes:
        validation: On the validation images: links are chosen by these.
        test: On the test images.
        schema_version: Of this record.
    """

    validation: Verification
    test: Verification
    schema_version: int = SCHEMA_VERSION


def verify_splits(
    fp32: Candidate, compiled: Candidate, index: DatasetIndex, root: Path, contract: InputContract
) -> SplitVerifications:
    """Classify the validation and the test images with a link's FP32 graph and with what it was compiled to.

    Raises:
        DataError: A split is empty, or an image cannot be read.
        ModelError: A backend refuses its model.
    """
    found = {}
    for split in ("val", "test"):
        records = [record for record in index.images if record.split == split]
        if not records:
            raise DataError(f"expected {split} images to weigh a link on, the index has none")
        before, after = predict_images((fp32, compiled), records, root, contract)
        found[split] = summarize_verification(records, index.labels, before, after, (), compiled)
    return SplitVerifications(validation=found["val"], test=found["test"])
