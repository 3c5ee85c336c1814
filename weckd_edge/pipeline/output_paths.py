"""Output paths are checked: no command writes into a data set that it reads, nor into a sealed bundle."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weckd_edge.bundle.reader import is_bundle
from weckd_edge.core.bounds import MAX_NAME, plain_name
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.files import describe_os_error

OutputKind = Literal["file", "folder", "bundle"]


@dataclass(frozen=True, slots=True)
class ReadPath:
    """A folder or file that a command reads.

    Attributes:
        what: Name in messages, such as ``the data set``.
        path: The folder or file; a folder is read with every folder below it.
    """

    what: str
    path: Path


def check_place(out: Path, sources: Iterable[ReadPath] = (), *, option: str = "--out", makes: OutputKind = "folder") -> None:
    """Refuse an output path that would change what is read, or a sealed bundle.

    Args:
        out: The folder or file that will be written or replaced; it need not exist.
        sources: Folders and files that are read. A file directly in a folder of images, beside its sub-folders, is no image.
        option: Option that named ``out``, for messages.
        makes: Kind of output: a ``bundle`` replaces an earlier one, a ``folder`` is added to.

    Raises:
        ConfigError: The path lies in a source or in a bundle, or a source would be replaced.
    """
    try:
        place = out.resolve()
        around = (place, *place.parents) if makes == "folder" else place.parents
        sealed = next((folder for folder in around if is_bundle(folder)), None)
        if sealed is not None:
            raise ConfigError(
                f"{option} {out}: lies in the sealed bundle {sealed}; choose a place outside it", code="E_CONFIG_OUT_PLACE"
            )
        for source in sources:
            _check_source(place, source, f"{option} {out}", makes)
    except (OSError, RuntimeError, ValueError) as err:  # RuntimeError: Python 3.10 to 3.12, for a circle of links
        reason = describe_os_error(err) if isinstance(err, OSError) else str(err)
        raise ConfigError(f"{option} {out}: {reason}", code="E_CONFIG_OUT_PLACE") from err


def _check_source(place: Path, source: ReadPath, before: str, makes: OutputKind) -> None:
    try:
        read = source.path.resolve()
        is_folder = read.is_dir()
    except (OSError, RuntimeError, ValueError):  # the reader of the source says what is wrong with it
        return
    if makes != "folder" and read.is_relative_to(place):
        raise ConfigError(
            f"{before}: {source.what} ({source.path}) lies there and would be replaced; choose another place",
            code="E_CONFIG_OUT_PLACE",
        )
    if not is_folder or not place.is_relative_to(read):
        return
    below = place.relative_to(read)
    if makes == "file" and len(below.parts) == 1:
        return
    raise ConfigError(
        f"{before}: lies in {source.what} ({source.path}), whose folders are read: the next run would take what is written "
        "there for images; choose a place outside it",
        code="E_CONFIG_OUT_PLACE",
    )


def normal_path(path: Path) -> Path:
    """Return an absolute path without ``.`` and ``..``, so that it has a name; a link is not followed."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def bundle_name(out: Path) -> str:
    """Return the name of the bundle in a folder: the folder's name, in letters that every update system takes.

    Raises:
        ConfigError: The folder's name has no such letter, or too many.
    """
    name = plain_name(normal_path(out).name)
    if not name:
        raise ConfigError(
            f"--out {out}: a bundle has the name of its folder, and no update system takes this name; expected at least one "
            "letter or digit of A to Z, a to z and 0 to 9",
            code="E_CONFIG_OUT_NAME",
        )
    if len(name) > MAX_NAME:
        raise ConfigError(
            f"--out {out}: a bundle has the name of its folder, expected at most {MAX_NAME} letters, found {len(name)}; "
            "choose a shorter name",
            code="E_CONFIG_OUT_NAME",
        )
    return name
