"""A DICOM file of one picture as Pillow's image: its size from the header, its pixels once they are asked for."""

from __future__ import annotations

import io
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from weckd_edge.artifacts import DataNote
from weckd_edge.core.errors import DataError, MissingDependency
from weckd_edge.core.optional_imports import is_installed, require
from weckd_edge.devices.images.dicom.codestreams import check_frame
from weckd_edge.devices.images.dicom.head import PLUGINS, Head, frames_of, read_head
from weckd_edge.devices.images.dicom.tables import level_table
from weckd_edge.devices.images.silence import silenced

Pixels = NDArray[np.uint8]

_ADVICE = "pip install 'weckd-edge[dicom]', or convert it to PNG"


class DicomImage(ImageFile.ImageFile):
    """A DICOM file of one picture.

    Attributes:
        notes: What made greys of the stored values; known once the image was loaded.
    """

    format = "DICOM"
    format_description = "DICOM"
    notes: tuple[DataNote, ...] = ()

    def _open(self) -> None:
        file = cast(BinaryIO, self.fp)
        self._head = open_head(file)
        if self._head.frames > 1:
            raise DataError(
                f"holds {self._head.frames} frames, which are an examination and no single image: name the file itself to "
                "'weckd-edge predict'; 'weckd-edge data extract' saves images of it",
                code="E_DATA_IMAGE_FRAMES",
            )
        self._size = (self._head.columns, self._head.rows)
        self._mode = "L" if self._head.photometric.startswith("MONOCHROME") else "RGB"
        self.tile = []  # none that Pillow decodes
        self._pending = True

    def load(self) -> Any:
        """Decode the pixels, once.

        Raises:
            DataError: The pixels are damaged, or cannot be decoded here.
        """
        if self._pending:
            encoded = next(frames_of(self._head), None)
            pixels, self.notes = decode_frame(self._head, 0, encoded)
            self.im = Image.fromarray(pixels).im
            self._pending = False
        return super().load()


def open_dicom(data: bytes) -> DicomImage:
    """Read a DICOM file's header and leave its pixels undecoded.

    Raises:
        DataError: The file holds no picture that is read here; the message quotes no text of the header.
    """
    try:
        return DicomImage(io.BytesIO(data))
    except (DataError, MemoryError):
        raise
    except Exception:  # its message may quote the header
        raise DataError("damaged header (it cannot be read)", code="E_DATA_IMAGE_DAMAGED") from None


def open_head(file: IO[bytes]) -> Head:
    """Read what a DICOM file says of its pixels, where there is a library that decodes them.

    Raises:
        DataError: The file holds no pixels that are read here, or the library is not installed.
    """
    if not is_installed("pydicom"):
        raise DataError(f"DICOM is not read here; {_ADVICE}", code="E_DATA_IMAGE_UNSUPPORTED")
    head = read_head(cast(BinaryIO, file))
    plugin = PLUGINS.get(head.source.transfer_syntax)
    try:
        # pydicom finds these by itself; here the line that installs them is known.
        if plugin == "pyjpegls":
            require("jpeg_ls", "read JPEG-LS in DICOM")
        elif plugin == "pylibjpeg":
            require("openjpeg", "read JPEG 2000 in DICOM")
    except MissingDependency as err:
        raise DataError(f"DICOM: {err}, or convert it to PNG", code="E_DATA_IMAGE_UNSUPPORTED") from err
    if plugin is not None and plugin not in _decoder(head).available_plugins:
        raise DataError(f"DICOM: its compression is not read here; {_ADVICE}", code="E_DATA_IMAGE_UNSUPPORTED")
    return head


def decode_frame(head: Head, frame: int, encoded: bytes | None) -> tuple[Pixels, tuple[DataNote, ...]]:
    """Decode one frame.

    Args:
        head: What the file's header says.
        frame: Number of the frame, from 0.
        encoded: Bytes of the frame where it is compressed, as ``frames_of`` yields them; else None.

    Returns:
        uint8 ``[H, W]`` of greys or ``[H, W, 3]``; and what made greys of the stored values.

    Raises:
        DataError: The frame is damaged; the message is a short reason.
    """
    levels, note = level_table(head, frame)
    if encoded is not None:
        plugin = PLUGINS[head.source.transfer_syntax]
        check_frame(encoded, plugin, head.rows, head.columns, head.samples, head.allocated // 8)
    stored = _stored_values(head, frame, encoded)
    shape = (head.rows, head.columns, 3)[: 2 if head.samples == 1 else 3]
    if stored.shape != shape or stored.dtype.itemsize * 8 > head.allocated:
        raise DataError("damaged: a frame of another shape than its header says", code="E_DATA_IMAGE_DAMAGED")
    notes = () if note is None else (note,)
    if head.samples == 3 and stored.dtype == np.uint8 and head.stored == 8:
        return np.ascontiguousarray(stored), notes
    return levels[stored.astype(f"u{stored.dtype.itemsize}")], notes


def _decoder(head: Head) -> Any:
    """Return pydicom's decoder.

    Raises:
        DataError: pydicom is installed and broken.
    """
    with silenced("pydicom"):
        try:
            pixels = require("pydicom.pixels", "read DICOM")
        except MissingDependency as err:
            raise DataError(
                f"DICOM is not read here, as pydicom is broken; {_ADVICE}", code="E_DATA_IMAGE_UNSUPPORTED"
            ) from err
        return pixels.get_decoder(head.source.transfer_syntax)


def _stored_values(head: Head, frame: int, encoded: bytes | None) -> NDArray[Any]:
    """Return a frame's values as they are stored, colours as RGB; by pydicom, which may raise anything on damaged bytes."""
    pixels = head.source.pixels
    decoder = _decoder(head)
    if encoded is None:
        file = head.source.file
        file.seek(pixels.place.start if pixels else 0)
        source: Any = file
        options: dict[str, Any] = {"index": frame, "number_of_frames": head.frames}
    else:
        encaps = require("pydicom.encaps", "read DICOM")
        source = encaps.encapsulate([encoded], has_bot=False)
        options = {"index": 0, "number_of_frames": 1, "decoding_plugin": PLUGINS[head.source.transfer_syntax]}
    try:
        with silenced("pydicom"):
            stored, _ = decoder.as_array(
                source,
                rows=head.rows,
                columns=head.columns,
                samples_per_pixel=head.samples,
                bits_allocated=head.allocated,
                bits_stored=head.stored,
                pixel_representation=int(head.signed),
                photometric_interpretation=head.photometric,
                planar_configuration=head.planar,
                pixel_keyword="PixelData",
                pixel_vr=pixels.vr if pixels else "OW",
                **options,
            )
    except MemoryError:
        raise
    except Exception:  # its message may quote the header
        raise DataError("damaged: a frame cannot be decoded", code="E_DATA_IMAGE_DAMAGED") from None
    found: NDArray[Any] = stored
    return found
