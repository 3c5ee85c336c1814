"""Kinds of files by their first bytes, so that an error can name what a file is that is not read as an image."""

from __future__ import annotations

import re

from weckd_edge.devices.images.headers import Claims

HEAD_BYTES = 1024
"""Number of a file's first bytes that its kind is found from."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2")
_AVIF_BRANDS = (b"avif", b"avis")

_NO_CLAIMS = Claims()

_PICTURES: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "DICOM"),
    *((0, mark, "DICOM without the 128 bytes and DICM before it") for mark in (b"\x08\0\x05\0CS", b"\x02\0\0\0UL")),
    (0, b"8BPS", "PSD (Photoshop)"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"%PDF", "PDF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (0, b"II*\0\x10\0\0\0CR", "CR2 (a camera's raw data)"),
    (0, b"FUJIFILMCCD-RAW", "RAF (a camera's raw data)"),
    (0, b"IIRO", "ORF (a camera's raw data)"),
    (0, b"IIU\0", "RW2 (a camera's raw data)"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"FLIF", "FLIF"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"SIMPLE  =", "FITS"),
    (344, b"n+1\0", "NIfTI"),
    (344, b"ni1\0", "NIfTI"),
    (0, b"NRRD000", "NRRD"),
    (0, b"ObjectType =", "MetaImage"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"\0\0\2\0", "CUR"),
    (0, b"icns", "ICNS"),
    (0, b"gimp xcf", "XCF (GIMP)"),
    (0, b"\x59\xa6\x6a\x95", "Sun raster"),
    (0, b"\x01\xda", "SGI"),
    (0, b"\x0a\x05\x01\x08", "PCX"),
    (0, b"AT&TFORM", "DjVu"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
)
"""Formats of pictures that are not read here: offset in the file, bytes there, and name."""

_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"RIFF", "WebP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)
"""First bytes of the formats that are read here, and their names."""

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", "a git-lfs pointer; run 'git lfs pull' to get what it stands for"),
    (0, b"/annex/objects/", "a git-annex pointer; run 'git annex get' to get what it stands for"),
    (0, b"\0\x05\x16\x07", "a file that macOS keeps beside another one"),
    (0, b"\0\0\0\1Bud1", "a file in which macOS keeps a folder's view"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file, such as Thumbs.db or an old Office document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"MATLAB 5.0", "a MATLAB file"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"\x1a\x45\xdf\xa3", "a film (Matroska or WebM)"),
    (0, b"\0\0\1\xba", "a film (MPEG)"),
    (0, b"\0\0\1\xb3", "a film (MPEG)"),
    (0, b"ID3", "sound (MP3)"),
)


def begins_as_picture(head: bytes) -> bool:
    """Tell whether a file's first bytes are those of a picture, whether or not it can be read here."""
    return _beginning(head) is not None or picture_kind_of(head) not in (None, "TGA")  # a TGA has no mark of its own


def describe_file(head: bytes, claims: Claims = _NO_CLAIMS) -> str:
    """Return the kind of a file that no decoder takes, in words, with what to do about it.

    Args:
        head: The file's first ``HEAD_BYTES``, or all of it.
        claims: Claims of the file's head.
    """
    begins = _beginning(head)
    if begins == "TIFF" and (claims.bits not in (1, 8) or claims.numbers):
        numbers = f"{claims.numbers} " if claims.numbers else ""
        return f"a TIFF of {numbers}values of {claims.bits} bits in this form is not read; save it as PNG of 8 or 16 bits"
    picture = picture_kind_of(head)
    if picture is not None:
        return f"{picture} is not read; convert it to {'PNG' if picture.startswith('DICOM') else 'JPEG or PNG'}"
    kind = file_kind_of(head) if begins in ("WebP", "BMP", None) else None
    if kind is not None:
        return f"not an image but {kind}"
    return f"damaged header (it begins as {begins} does)" if begins else "not an image (unknown format)"


def _beginning(head: bytes) -> str | None:
    return next((name for beginning, name in _BEGINNINGS if head.startswith(beginning)), None)


def picture_kind_of(head: bytes) -> str | None:
    """Return the format of a picture that has no decoder of its own here, such as "DICOM"; None of anything else.

    Args:
        head: The file's first ``HEAD_BYTES``, or all of it.
    """
    brands = _brands(head)
    if any(brand in _AVIF_BRANDS for brand in brands):
        return "AVIF"
    if any(brand in _HEIF_BRANDS for brand in brands):
        return "HEIC"
    if brands and brands[0].startswith(b"cr"):
        return "CR3 (a camera's raw data)"
    found = "TGA" if _is_tga(head) else _named(head, _PICTURES)
    if found is None and re.match(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]", head, re.S):
        return "SVG"
    return found


def file_kind_of(head: bytes) -> str | None:
    """Return the kind of a file that is no picture, such as "an HTML page"; None where it is not known.

    Args:
        head: The file's first ``HEAD_BYTES``, or all of it.
    """
    if not head:
        return "an empty file"
    brands = _brands(head)
    if brands or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "a film"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "sound"
    found = _named(head, _OTHERS)
    if found is not None:
        return found
    if not any(head):
        return "zeros and nothing else; was a copy or a download cut off?"
    return _text(head)


def _named(head: bytes, table: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((name for at, magic, name in table if head[at : at + len(magic)] == magic), None)


def _brands(head: bytes) -> list[bytes]:
    """Return the brands of a file of the MP4 family; empty for any other file."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]


def _is_tga(head: bytes) -> bool:
    """Tell whether a head is that of a TGA, which begins with no mark of its own."""
    if len(head) < 18:
        return False
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    return (
        head[1] in (0, 1)
        and head[2] in (1, 2, 3, 9, 10, 11)
        and head[16] in (8, 15, 16, 24, 32)
        and head[17] & 0xC0 == 0
        and min(width, height) > 0
        and (head[1] == 1) == (head[2] in (1, 9))
        and (head[1] == 1 or not any(head[3:8]))
    )


def _text(head: bytes) -> str | None:
    for mark, coding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"", "utf-8")):
        if head.startswith(mark):
            text = head[len(mark) :].decode(coding, "ignore").lstrip("\ufeff")
            break
    plain = text.lstrip().lower()
    if len(text.encode("utf-8", "ignore")) < 0.9 * len(head) and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    if not plain or any(not (char.isprintable() or char.isspace()) for char in text):
        return None
    if plain.startswith(("<!doctype html", "<html", "<head", "<body")) or "<html" in plain[:400]:
        return "an HTML page; was it saved in place of a file that could not be downloaded?"
    if plain.startswith("<"):
        return "XML"
    return "JSON" if plain[0] in "{[" else "text"
