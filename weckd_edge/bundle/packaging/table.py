"""The package formats, as a literal table that needs no import of the formats themselves."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from weckd_edge.bundle.packaging.base import Write
from weckd_edge.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class FormatRow:
    """One package format.

    Attributes:
        module: Module of the format's ``write``.
        help: Description in one line.
        suffix: Usual end of the file's name.
        tool: Program that makes the package; None where none is needed.
        package: Debian package of the tool.
        signs: Key that signs the update: ``certificate`` (with its key), ``key``, or None where it cannot be signed.
        must_sign: Whether the update must be signed.
    """

    module: str
    help: str
    suffix: str
    tool: str | None = None
    package: str | None = None
    signs: str | None = None
    must_sign: bool = False


FORMATS = {
    "tar": FormatRow(
        module="weckd_edge.bundle.packaging.tar_format",
        help="A plain tar, the same bytes each time; what weckd-update installs.",
        suffix=".tar",
    ),
    "rauc": FormatRow(
        module="weckd_edge.bundle.packaging.rauc_format",
        help="A RAUC bundle (verity) with one image for a slot.",
        suffix=".raucb",
        tool="rauc",
        package="rauc",
        signs="certificate",
        must_sign=True,
    ),
    "swupdate": FormatRow(
        module="weckd_edge.bundle.packaging.swupdate_format",
        help="An SWUpdate file (.swu) that hands the tar to weckd-update.",
        suffix=".swu",
        tool="openssl",
        package="openssl",
        signs="certificate",
    ),
    "mender": FormatRow(
        module="weckd_edge.bundle.packaging.mender_format",
        help="A Mender artifact for the update module weckd-bundle.",
        suffix=".mender",
        tool="mender-artifact",
        package="mender-artifact",
        signs="key",
    ),
}


def find_format(name: str) -> FormatRow:
    """Return a format's row in the table.

    Raises:
        ConfigError: There is no such format.
    """
    row = FORMATS.get(name)
    if row is None:
        raise ConfigError(f"no update format '{name}'{did_you_mean(name, FORMATS)}", code="E_CONFIG_CHOICE")
    return row


def load_writer(row: FormatRow) -> Write:
    """Import a format's module and return its ``write``."""
    write: Write = importlib.import_module(row.module).write
    return write
