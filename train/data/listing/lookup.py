"""Find the images that a CSV names: by their paths, or by names without ending or folder."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from weckd_edge.artifacts import DataNote
from weckd_edge.core.errors import DataError
from weckd_edge.core.files import through_stored_links
from weckd_edge.train.data.listing.columns import has_ending
from weckd_edge.train.data.listing.masks import is_mask_folder
from weckd_edge.train.data.listing.notes import counted, note, some_names
from weckd_edge.train.data.listing.system_files import IMAGE_ENDINGS, walk

_Parts = tuple[bool, tuple[str, ...]]
"""Whether a path ends as its file does, or without the ending; and its parts, the last one in lower case."""

_DRIVE = re.compile(r"[A-Za-z]:/")


def relative(name: str, root: Path, where: str) -> str:
    """Return the path of an image below a CSV's folder, POSIX; an absolute path elsewhere is returned as it is.

    Raises:
        DataError: The path is empty, or leads out of the folder.
    """
    if not name:
        raise DataError(f"{where}: expected the path of an image, got an empty cell", code="E_DATA_TABLE_CELL")
    plain = PurePosixPath(name.replace("\\", "/"))
    if is_elsewhere(str(plain)):
        plain = PurePosixPath(os.path.normpath(plain))
        here = root.resolve().as_posix()
        if not plain.is_relative_to(here):
            return str(plain)
        plain = plain.relative_to(here)
    parts = [part for part in plain.parts if part != "."]
    if ".." in parts or not parts:
        raise DataError(
            f"{where}: {name} does not lie below the CSV's folder; put the CSV above its images", code="E_DATA_TABLE_PATH"
        )
    return "/".join(parts)


def is_elsewhere(name: str) -> bool:
    """Tell whether a path is absolute, on this machine or on Windows."""
    return name.startswith("/") or _DRIVE.match(name) is not None


def is_file(root: Path, name: str) -> bool:
    """Tell whether a file lies at a path below a folder."""
    try:
        return through_stored_links(root / name).is_file()
    except (OSError, ValueError):  # no file can have this name
        return False


def find_listed_files(names: Sequence[str], root: Path, path: Path) -> tuple[dict[str, str], list[DataNote]]:
    """Find the files of images that do not lie where the CSV names them.

    Names without the ending of an image, absolute paths elsewhere, or all names where none of them is a file, are looked for
    below the folder. One of both paths must be the end of the other, but for the ending: the CSV may name less than the
    path, or folders above its own.

    Args:
        names: Paths as ``relative`` returns them.
        root: Folder of the CSV.
        path: Path of the CSV, for messages.

    Returns:
        Files by name, for those that were found elsewhere; and notes.

    Raises:
        DataError: Several files may be meant.
    """
    lost = [name for name in names if is_elsewhere(name) or not is_file(root, name)]
    everything = len(lost) == len(names)
    wanted = [name for name in lost if everything or is_elsewhere(name) or not has_ending(name)]
    if not wanted:
        return {}, _missing(lost, names, root)
    found: dict[str, str] = {}
    close = _close(_images_below(root), wanted)
    home = _home(close.values())
    for name, files in close.items():
        likely = [file for file in files if str(PurePosixPath(file).parent) == home] if len(files) > 1 else files
        if len(files) > 1 and len(likely) != 1:
            raise DataError(
                f"{path}: '{name}' may be {some_names(files)}; expected one file of this name below the CSV's folder: "
                "write paths with folder and ending, or move the others away",
                code="E_DATA_TABLE_PATH",
            )
        if likely:
            found[name] = likely[0]
    notes = []
    if found:
        first = min(found)
        endings = Counter(PurePosixPath(file).suffix for name, file in found.items() if not has_ending(name))
        what = f"without an extension ({', '.join(sorted(endings))})" if endings else "with other folders"
        notes.append(
            note(
                "I_FILES_FOUND_BY_NAME",
                f"{counted(len(found), 'image')} {'is' if len(found) == 1 else 'are'} named {what}; the files were found by "
                f"name: {first} is {found[first]}",
            )
        )
    return found, [*notes, *_missing([name for name in lost if name not in found], names, root)]


def _close(files: Iterable[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the files that each name may mean; files in folders of masks only where there are no others.

    A file and a name are the same over the shorter one's length, the last part in any case. Each path is split once.
    """
    wanted = {name: _parts(name, has_ending(name)) for name in names}
    lengths = {len(parts) for _, parts in wanted.values()}
    whole: dict[_Parts, list[str]] = defaultdict(list)
    ends: dict[_Parts, list[str]] = defaultdict(list)  # of paths that are longer than a name
    for file in files:
        for with_ending, parts in (_parts(file, True), _parts(str(PurePosixPath(file).with_suffix("")), False)):
            whole[with_ending, parts].append(file)
            for length in lengths:
                if length < len(parts):
                    ends[with_ending, parts[-length:]].append(file)
    close = {}
    for name, (with_ending, parts) in wanted.items():
        found = {*ends.get((with_ending, parts), ())}
        for start in range(len(parts)):
            found.update(whole.get((with_ending, parts[start:]), ()))
        close[name] = [file for file in sorted(found) if not any(map(is_mask_folder, file.split("/")[:-1]))] or sorted(found)
    return close


def _parts(path: str, with_ending: bool) -> _Parts:
    *folders, last = PurePosixPath(path).parts
    return with_ending, (*folders, last.lower())


def _home(close: Collection[Sequence[str]]) -> str | None:
    """Return the folder that holds all names, each once, if just one does, such as ``train`` beside ``test``."""
    homes: Counter[str] = Counter()
    for files in close:
        here = Counter(str(PurePosixPath(file).parent) for file in files)
        homes.update(folder for folder, count in here.items() if count == 1)
    full = [folder for folder, count in homes.items() if count == len(close)]
    return full[0] if len(full) == 1 else None


def _missing(lost: Sequence[str], names: Sequence[str], root: Path) -> list[DataNote]:
    """Return a note on where the images may be, if none of them was found."""
    if not lost or len(lost) < len(names):
        return []
    text = f"none of the {counted(len(names), 'image')} is there: paths are relative to the CSV's folder"
    top = PurePosixPath(lost[0]).parts[0]
    if is_file(root, top) and top != lost[0]:
        text += f", where '{top}' is a file and no folder"
    if any(map(has_ending, lost)):
        text += f"; {lost[0]} was looked for, and no file below it is called so"
    else:
        text += f"; {lost[0]} was looked for, and no file below it is called so, with an extension such as .jpg or without"
    return [note("W_FILES_MISSING", text)]


def _images_below(root: Path) -> Iterator[str]:
    """Yield the images below a folder; none where it cannot be listed, or holds too much."""
    try:
        found = walk(root).files
    except DataError:
        return
    for file in found:
        if file.suffix.lower() in IMAGE_ENDINGS:
            yield file.relative_to(root).as_posix()
