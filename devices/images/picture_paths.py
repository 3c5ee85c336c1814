"""Files for pictures that are drawn of images: one each, named like its image, none in place of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from weckd_edge.core.errors import StoreError
from weckd_edge.core.store import explain_os_errors


def make_picture_paths(images: Iterable[Path], folder: Path, *, bundle: Path) -> list[Path]:
    """Return the path of a picture for each image, ``<stem>.png``, and make the folder.

    Where several images share a stem, the later ones get a number. All paths are checked before any work starts.

    Args:
        images: The images.
        folder: Folder of the pictures; it is made where it is missing.
        bundle: Folder of a bundle, which no picture may lie in.

    Raises:
        StoreError: A file of such a name exists, or the folder lies in the bundle or cannot be made.
    """
    if folder.resolve().is_relative_to(bundle.resolve()):
        raise StoreError(f"{folder}: lies in the sealed bundle; choose a folder outside {bundle}", code="E_STORE_OCCUPIED")
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    paths = []
    for image in images:
        stem = image.stem
        while stem.casefold() in taken:
            numbers[image.stem.casefold()] += 1
            stem = f"{image.stem}-{numbers[image.stem.casefold()] + 1}"
        taken.add(stem.casefold())
        paths.append(folder / f"{stem}.png")
        if paths[-1].exists():
            raise StoreError(
                f"{paths[-1]}: exists and is not overwritten; name another folder, or remove it", code="E_STORE_OCCUPIED"
            )
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return paths
