"""List a folder's files without those of the system and those that are no images by their names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.core.errors import DataError
from weckd_edge.train.data.listing import base
from weckd_edge.train.data.listing.splits import word_set

_MAKERS: dict[str, str] = {
    **dict.fromkeys(("__macosx", ".ds_store", ".appledouble", ".spotlight-v100", ".fseventsd", "icon\r"), "macOS"),
    **dict.fromkeys((".trashes", ".temporaryitems", ".apdisk", "network trash folder", "temporary items"), "macOS"),
    **dict.fromkeys(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "_desktop.ini"), "Windows"),
    **dict.fromkeys(("folder.htt", "$recycle.bin", "recycler", "recycled", "found.000"), "Windows"),
    "system volume information": "Windows",
    **dict.fromkeys(("lost+found", ".directory"), "Linux"),
    **dict.fromkeys(("@eadir", "#recycle", "#snapshot", "@recently-snapshot", "@tmp"), "a network drive"),
    **dict.fromkeys((".ipynb_checkpoints", "__pycache__", ".git", ".svn", ".hg", ".idea", ".vscode"), "a program"),
    **dict.fromkeys((".thumbnails", ".picasa.ini", "picasa.ini", ".nomedia"), "a program"),
}
"""Makers of files and folders that appear unasked, by name in lower case."""

_NO_IMAGES = word_set(
    ".txt .csv .tsv .json .jsonl .ndjson .xml .md .rst .htm .html .pdf .rtf .doc .docx .xls .xlsx .ods .odt .ppt .pptx .log "
    ".yaml .yml .toml .ini .cfg .py .ipynb .sh .bat .m .r .url .lnk .tex .bib .sql .sqlite .cache .md5 .sha256"
)
"""Endings of files that describe a data set."""

IMAGE_ENDINGS = word_set(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .tif .tiff .webp .gif .ppm .pgm .pbm .pnm .jp2 .j2k .jpx .heic .heif .avif .dcm "
    ".dicom .tga .ico .nii"
)
"""Endings of pictures, also of formats that are not read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """Files and folders below a folder.

    Attributes:
        files: Files that are images by their names, or may be, sorted.
        folders: Every folder below it, sorted.
        others: Files that are no images by their names, sorted.
        system: Number of files and folders that systems and programs made, or that are hidden, by their maker; left out.
    """

    files: list[Path]
    folders: list[Path]
    others: list[Path]
    system: Counter[str]


def maker(name: str) -> str | None:
    """Return the maker of files and folders that appear unasked under a name; ``hidden`` for hidden ones; else None."""
    lower = name.lower()
    if lower in _MAKERS:
        return _MAKERS[lower]
    if lower.startswith("._"):
        return "macOS"
    if lower.startswith("~$"):
        return "a program"
    if lower.startswith((".trash", ".fuse_", ".nfs")):
        return "Linux"
    return "hidden" if lower.startswith(".") else None


def is_no_image(name: str) -> bool:
    """Tell whether a file is no image by its name."""
    return Path(name).suffix.lower() in _NO_IMAGES


def entries(folder: Path, system: Counter[str]) -> list[Path]:
    """Return the entries of a folder, sorted; files of systems and programs are counted instead.

    Raises:
        DataError: The folder cannot be listed.
    """
    found = []
    try:
        for entry in folder.iterdir():
            origin = maker(entry.name)
            if origin is None:
                found.append(entry)
            else:
                system[origin] += 1
    except OSError as err:
        raise DataError(f"{folder}: cannot be listed ({err.strerror})", code="E_DATA_SOURCE") from err
    return sorted(found)


def walk(folder: Path) -> Walk:
    """List all files and folders below a folder.

    Each folder is gone through once, however many links lead to it: by its own path where that lies below ``folder``.

    Raises:
        DataError: A folder cannot be listed, or there are too many files or too many folders below each other.
    """
    found = Walk(files=[], folders=[], others=[], system=Counter())
    seen: set[tuple[int, int]] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop()
        if len(here.parts) - len(folder.parts) > base.DEEPEST:
            raise DataError(
                f"{folder}: expected at most {base.DEEPEST} folders below each other, found more; use fewer levels",
                code="E_DATA_LIMIT",
            )
        try:
            identity = _identity(here)
            if identity in seen:
                continue
            seen.add(identity)
            if here != folder:
                found.folders.append(here)
            for entry in entries(here, found.system):
                if not entry.is_dir():
                    (found.others if is_no_image(entry.name) else found.files).append(entry)
                elif entry.is_symlink():
                    links.append(entry)
                else:
                    waiting.append(entry)
        except OSError as err:
            raise DataError(f"{here}: cannot be listed ({err.strerror})", code="E_DATA_SOURCE") from err
        if len(found.files) + len(found.others) > base.MAX_FILES:
            raise DataError(f"{folder}: expected at most {base.MAX_FILES} files, found more", code="E_DATA_LIMIT")
    for names in (found.files, found.folders, found.others):
        names.sort()
    return found


def walk_files(folder: Path) -> list[Path]:
    """Return every file below a folder that may be an image, sorted."""
    return walk(folder).files


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino
