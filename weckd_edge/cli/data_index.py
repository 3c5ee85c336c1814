"""``weckd-edge data verify-index``: the check that a folder holds the images that a bundle was built from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import DataColumns, OwnerKey, ProgressOutput
from weckd_edge.cli.parsing.options import Command, takes
from weckd_edge.cli.parsing.parameter_types import PATH

if TYPE_CHECKING:
    from weckd_edge.artifacts import DatasetIndex

_SHOWN = 20
_MAX_BYTES = 1 << 30
"""Largest index that is read, bytes: some two million images."""


@click.command("verify-index", cls=Command)
@click.argument("bundle", type=PATH)
@click.argument("data", type=PATH)
@takes(columns=DataColumns, trust=OwnerKey, output=ProgressOutput)
def command(bundle: Path, data: Path, columns: DataColumns, trust: OwnerKey, output: ProgressOutput) -> None:
    """Check that DATA holds the images that the index of BUNDLE names, by the digest of their pixels.

    BUNDLE is a bundle, or a file that 'data split' wrote; DATA is a folder of <label>/<image>, or a CSV. The command
    exits with 1 where an image is missing, changed, added or relabelled. It lists images that were only moved, or saved
    again with the same pixels.
    """
    from weckd_edge.config import load_config
    from weckd_edge.core.errors import DataError
    from weckd_edge.train.data.verify_index import DIFFERENCES, WORDS, verify_index

    index = _read_index(bundle, trust.key)
    with output.progress() as progress:
        found = verify_index(index, data, progress, load_config(None, columns.settings()).data)
    if output.as_json:
        print_json(found)
    else:
        rows: list[tuple[object, ...]] = [
            ("images in the index", found.indexed, ""),
            ("of these in the folder", found.present, "by their pixels and under their label"),
            ("images in the folder", found.images, ""),
        ]
        rows += [(kind, found.count(kind), words) for kind, words in WORDS.items()]
        print_table(("what", "images", "meaning"), rows, title=f"{bundle} and {data}")
        differences = [(f.kind, f.path, f.split, f.detail) for f in found.findings if f.kind != "copy"]
        if differences:
            more = f" (the first {_SHOWN} of {len(differences)}; --json has all)" if len(differences) > _SHOWN else ""
            print_table(("what", "image" + more, "used for", "detail"), differences[:_SHOWN])
        if index.unlabelled:
            print_message(f"note: {len(index.unlabelled)} unlabelled frames of the index were not looked for")
    if not found.passed:
        counted = ", ".join(f"{found.count(kind)} {kind}" for kind in DIFFERENCES if found.count(kind))
        raise DataError(
            f"{data}: expected the {found.indexed} images of the index, found {counted}; it is another data set",
            code="E_DATA_CHANGED",
        )
    if not output.as_json:
        print_message(f"{data}: holds the images of the index, and no others")


def _read_index(path: Path, key: Path | None) -> DatasetIndex:
    from weckd_edge.artifacts import DatasetIndex
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.core.errors import BundleError
    from weckd_edge.core.files import read_bounded
    from weckd_edge.core.serialization import from_json
    from weckd_edge.report.evidence import DATASET_FILE, EVIDENCE_FOLDER

    if path.is_file():
        if key is not None:
            raise click.UsageError("--key is for a bundle; a file that 'data split' wrote has no signature")
        text: bytes | None = read_bounded(path, at_most=_MAX_BYTES, where=str(path), error=BundleError)
    else:
        text = open_bundle(path, key=key).read_path(f"{EVIDENCE_FOLDER}/{DATASET_FILE}")
        path = path / EVIDENCE_FOLDER / DATASET_FILE
    if text is None:
        raise BundleError(f"{path}: expected the index of a data set, found none", code="E_BUNDLE_EVIDENCE")
    return from_json(DatasetIndex, text, where=str(path), error=BundleError)
