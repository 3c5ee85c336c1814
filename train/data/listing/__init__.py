"""List the images of a data set with their labels, from folders or from a CSV, laid out as people have them."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.config import DataConfig
from weckd_edge.core.errors import ConfigError, DataError
from weckd_edge.core.store import digest_of
from weckd_edge.train.data.listing.base import ListedImage, Listing, check_classes, stamp, utf8_path
from weckd_edge.train.data.listing.described import read_described, read_grouped
from weckd_edge.train.data.listing.folders import read_folder
from weckd_edge.train.data.listing.rows import read_csv
from weckd_edge.train.data.listing.system_files import walk_files
from weckd_edge.train.data.listing.tables import ENDINGS

__all__ = [
    "ListedImage",
    "Listing",
    "data_root",
    "fingerprint",
    "list_data",
    "list_images",
    "stamp",
    "utf8_path",
    "walk_files",
]

_DEFAULT = DataConfig()


def data_root(path: Path) -> Path:
    """Return the folder that image paths are relative to: the folder itself, or the one a CSV lies in.

    Raises:
        DataError: The folder or CSV does not exist.
    """
    try:
        if path.is_dir():
            return path
        exists = path.exists()
    except OSError as err:
        raise DataError(
            f"{path}: expected a folder of <label>/<image> or a CSV file ({err.strerror})", code="E_DATA_SOURCE"
        ) from err
    if not exists:
        raise DataError(
            f"{path}: expected a folder of <label>/<image> or a CSV file, found nothing there", code="E_DATA_SOURCE"
        )
    if path.suffix.lower() not in ENDINGS:
        raise DataError(
            f"{path}: expected a folder of <label>/<image> or a CSV file, got another kind of file", code="E_DATA_SOURCE"
        )
    return path.parent


def list_data(path: Path, config: DataConfig = _DEFAULT) -> Listing:
    """List a data set: its images sorted by path, and remarks on its layout.

    Args:
        path: A folder, or a CSV. A folder holds ``<label>/<image>`` (folders below a label count for it), or splits that do,
            ``<split>/<label>/<image>``, or labels that hold splits; all of it may lie in folders of its own. Splits are
            known by the words of their names, and by holding the same classes. Images without folders of classes may lie
            beside a table that names their classes, called as Hugging Face or Roboflow call it. A table in a folder of
            classes is read instead of it where its columns name images, classes, and groups or examinations. A CSV has a row
            for each image, with the columns of ``choose_columns``. Files of the system, files that are no images by their
            names, folders of masks and splits without labels are left out, with a note.
        config: Settings, of which the columns that the user named are used.

    Raises:
        ConfigError: Columns are named for a folder.
        DataError: Nothing is there, it is laid out otherwise, or there are fewer than two classes.
    """
    root = data_root(path)
    if not path.is_dir():
        listing = read_csv(path, config)
    else:
        described = read_described(root, config) or read_grouped(root, config)
        if described is None and config.names_columns:
            raise ConfigError(
                f"{path}: a folder has no columns; give a CSV, or leave the options that name columns out",
                code="E_CONFIG_OPTION_UNUSED",
            )
        listing = described or read_folder(root)
    if listing.images:
        check_classes(path, listing.images)
    elif not listing.bad_files:
        raise DataError(
            f"{path}: expected images of at least two classes, got none; one sub-folder for each class",
            code="E_DATA_FEW_CLASSES",
        )
    return Listing(
        images=tuple(sorted(listing.images, key=lambda image: image.path)),
        bad_files=tuple(sorted(listing.bad_files, key=lambda file: file.path)),
        notes=listing.notes,
    )


def list_images(path: Path, config: DataConfig = _DEFAULT) -> tuple[ListedImage, ...]:
    """List a data set's images, sorted by path, as ``list_data`` does."""
    return list_data(path, config).images


def fingerprint(path: Path, config: DataConfig = _DEFAULT) -> str:
    """Return a digest that changes when a file is added, removed, renamed, written (by its size and time) or labelled anew.

    Raises:
        DataError: The data set cannot be listed.
    """
    root = data_root(path)
    listing = list_data(path, config)
    return digest_of([[stamp(root, image.path) for image in listing.images], listing.images, listing.bad_files])
