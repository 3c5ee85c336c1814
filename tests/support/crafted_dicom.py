"""DICOM files of any kind, made by pydicom: what describes the pixels, and a person whom no output may name."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME, PATIENT, BORN = "Quetzalcoatlus^Marigold", "MRN-7741-ZULU", "19471103"
"""Name, number and date of birth of the person in the header of each file."""

PLAIN = "1.2.840.10008.1.2.1"
RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
JPEG, LOSSLESS_JPEG, MPEG = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.102"
DEFLATED, BIG_ENDIAN, IMPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"


def dataset(pixels: NDArray[Any] | None, photometric: str = "", *, patient: str = PATIENT, **attributes: Any) -> Any:
    """Return pydicom's data set with these pixels, ``[H, W]``, ``[H, W, 3]`` or with a number of frames before it."""
    import pydicom

    made = pydicom.Dataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.7741"
    made.PatientName, made.PatientID, made.PatientBirthDate = NAME, patient, BORN
    made.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.{sum(patient.encode())}"
    if pixels is not None:
        colour = pixels.shape[-1] == 3
        shape = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
        made.Rows, made.Columns = shape
        frames = pixels.shape[0] if pixels.ndim == (4 if colour else 3) else 1
        if frames > 1:
            made.NumberOfFrames = frames
        made.SamplesPerPixel = 3 if colour else 1
        attributes = {"PhotometricInterpretation": photometric or ("RGB" if colour else "MONOCHROME2"), **attributes}
        made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
        made.PixelRepresentation = int(pixels.dtype.kind == "i")
        if colour:
            made.PlanarConfiguration = 0
        data = pixels.tobytes()
        made.PixelData = data + bytes(len(data) % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in attributes.items():
            setattr(made, name, value)
    if "BitsStored" in made and "HighBit" not in made:
        made.HighBit = made.BitsStored - 1
    return made


def saved(made: Any, syntax: str = PLAIN) -> bytes:
    """Return a data set as the bytes of a file, its pixels compressed where the transfer syntax says so and they are not."""
    import pydicom

    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.UID(PLAIN)
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax in (RLE, JPEG_LS, JPEG_2000) and made.PixelData[:4] != b"\xfe\xff\0\xe0":
            made.compress(syntax, generate_instance_uid=False)
        made.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
        if "PixelData" in made:
            made["PixelData"].VR = "OB" if made.BitsAllocated == 8 and syntax != BIG_ENDIAN else "OW"
            made["PixelData"].is_undefined_length = syntax not in (PLAIN, DEFLATED, BIG_ENDIAN, IMPLICIT)
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


def dicom(pixels: NDArray[Any] | None, photometric: str = "", syntax: str = PLAIN, **attributes: Any) -> bytes:
    """Return the bytes of a DICOM file with these pixels."""
    return saved(dataset(pixels, photometric, **attributes), syntax)


def encapsulated(frames: list[bytes]) -> bytes:
    """Return compressed frames as the value of an element."""
    from pydicom.encaps import encapsulate

    made: bytes = encapsulate(frames)
    return made


def gradient(height: int = 30, width: int = 40, top: int = 255, kind: str = "u1") -> NDArray[Any]:
    """Return greys from 0 to ``top``, ``[height, width]``."""
    return np.linspace(0, top, height * width).reshape(height, width).astype(kind)


def colours(height: int = 64, width: int = 80, seed: int = 0) -> NDArray[np.uint8]:
    """Return smooth colours, ``[height, width, 3]``."""
    from PIL import Image

    cells = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC))
