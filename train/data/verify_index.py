"""Verify that a folder is the data set that an index names, by digests of pixels: a file saved anew stays the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weckd_edge.artifacts import DatasetIndex, ImageRecord
from weckd_edge.config import DataConfig
from weckd_edge.core.progress import Progress
from weckd_edge.train.data.reading import read_data
from weckd_edge.train.data.scan import ScannedImage

_DEFAULT = DataConfig()

Kind = Literal["changed", "missing", "added", "relabelled", "unreadable", "moved", "rewritten", "copy"]
DIFFERENCES: tuple[Kind, ...] = ("changed", "missing", "added", "relabelled", "unreadable")
"""Kinds of findings that make a folder another data set; the other kinds are only reported."""

WORDS: Mapping[Kind, str] = {
    "changed": "in the index by this path, with other pixels",
    "missing": "in the index, and its pixels are nowhere in the folder",
    "added": "in the folder, and its pixels are not in the index",
    "relabelled": "the same pixels under another label",
    "unreadable": "cannot be read",
    "moved": "the same pixels under another path",
    "rewritten": "the same pixels in another file",
    "copy": "a further copy of an image that the index names",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Difference of one image from the index.

    Attributes:
        kind: Kind of difference, a key of ``WORDS``.
        path: Path in the folder; of a missing image, in the index.
        split: Split of the image in the index; None where the index does not name it.
        detail: Other path or label, or the reason why it cannot be read; empty for the other kinds.
    """

    kind: Kind
    path: str
    split: str | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexCheck:
    """Comparison of a folder with an index.

    Attributes:
        indexed: Number of images that the index names.
        present: Number of these that are in the folder, by their pixels and under their label.
        images: Number of the folder's images, copies among them.
        findings: Differences, sorted by kind, then path.
        passed: Whether the folder holds the images of the index, all of them and no others.
    """

    indexed: int
    present: int
    images: int
    findings: tuple[Finding, ...]
    passed: bool

    def count(self, kind: Kind) -> int:
        """Return the number of findings of a kind."""
        return Counter(finding.kind for finding in self.findings)[kind]


def verify_index(index: DatasetIndex, path: Path, progress: Progress, config: DataConfig = _DEFAULT) -> IndexCheck:
    """Compare a data set with an index; unlabelled frames are not compared.

    Args:
        index: Index of a bundle, or as ``data split`` writes it.
        path: A folder or a CSV, in a layout of ``list_data``.
        progress: Receiver of the progress.
        config: Settings, of which the columns of the CSV that the user named are used.

    Raises:
        DataError: Nothing is there, or it is not laid out as a data set.
    """
    found = read_data(path, progress, config)
    findings = list(_findings(index, found.images, {file.path: file.reason for file in found.bad_files}))
    findings.sort(key=lambda f: (list(WORDS).index(f.kind), f.path))
    lost = sum(f.kind in ("changed", "missing", "relabelled") and f.split is not None for f in findings)
    lost += sum(f.kind == "unreadable" and f.split is not None for f in findings)
    return IndexCheck(
        indexed=len(index.images),
        present=len(index.images) - lost,
        images=len(found.images),
        findings=tuple(findings),
        passed=not any(f.kind in DIFFERENCES for f in findings),
    )


def _findings(index: DatasetIndex, images: tuple[ScannedImage, ...], bad: Mapping[str, str]) -> Iterator[Finding]:
    here = {image.listed.path: image for image in images}
    by_pixels: dict[str, list[ScannedImage]] = {}
    for image in images:
        by_pixels.setdefault(image.pixels_sha256, []).append(image)
    taken = set()  # paths of the folder that count as an image of the index
    for record in index.images:
        same, label = here.get(record.path), index.label_of(record)
        if same is not None and same.pixels_sha256 == record.pixels_sha256:
            taken.add(record.path)
            if same.listed.label != label:
                yield _found("relabelled", record, detail=f"{label} in the index, {same.listed.label} in the folder")
            elif same.sha256 != record.sha256:
                yield _found("rewritten", record)
    for record in index.images:
        if record.path in taken:
            continue
        label = index.label_of(record)
        others = [image for image in by_pixels.get(record.pixels_sha256, ()) if image.listed.path not in taken]
        others.sort(key=lambda image: (image.listed.label != label, image.listed.path))
        if others:
            taken.add(others[0].listed.path)
            kind: Kind = "moved" if others[0].listed.label == label else "relabelled"
            yield _found(kind, record, path=others[0].listed.path, detail=f"{record.path} ({label}) in the index")
        elif record.path in bad:
            yield _found("unreadable", record, detail=bad[record.path])
        elif record.path in here:
            taken.add(record.path)
            yield _found("changed", record)
        else:
            yield _found("missing", record)
    yield from _others(index, images, taken, bad)


def _others(
    index: DatasetIndex, images: tuple[ScannedImage, ...], taken: set[str], bad: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield findings about images that the folder holds beyond those of the index."""
    known = {record.pixels_sha256: record for record in index.images}
    left_out = {file.path for file in index.bad_files}
    for image in images:
        record = known.get(image.pixels_sha256)
        if image.listed.path in taken or image.listed.path in left_out:
            continue
        if record is None:
            yield Finding(kind="added", path=image.listed.path, detail=image.listed.label)
        elif image.listed.label != index.label_of(record):
            detail = f"{index.label_of(record)} in the index by {record.path}, {image.listed.label} here"
            yield Finding(kind="relabelled", path=image.listed.path, detail=detail)
        else:
            yield _found("copy", record, path=image.listed.path, detail=record.path)
    named = {record.path for record in index.images} | left_out
    for path, reason in bad.items():
        if path not in named:
            yield Finding(kind="unreadable", path=path, detail=reason)


def _found(kind: Kind, record: ImageRecord, *, path: str | None = None, detail: str = "") -> Finding:
    return Finding(kind=kind, path=path or record.path, split=record.split, detail=detail)
