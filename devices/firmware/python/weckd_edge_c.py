"""Python binding of the C library through ctypes alone: an example of a binding, and a way to try the library.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

_TEXT = 128
_MESSAGE = 256
_REASONS = 10
_GEOMETRY, _BUSY = -16, -17
_NV12 = 3
_PIXEL_BYTES = (3, 3, 1, 1, 2)

USES = ("counted", "repeated", "refused", "not_needed")
"""What an examination makes of a frame, by ``weckd_use``."""


class Options(ctypes.Structure):
    """``weckd_options``; a field that is left out is zero, and zero is the default."""

    _fields_ = [
        ("public_key_pem", ctypes.c_char_p),
        ("min_version", ctypes.c_uint64),
        ("backend", ctypes.c_char_p),
        ("precision", ctypes.c_char_p),
        ("library", ctypes.c_char_p),
        ("cache_dir", ctypes.c_char_p),
        ("threads", ctypes.c_uint32),
        ("max_source_width", ctypes.c_uint32),
        ("max_source_height", ctypes.c_uint32),
        ("memory", ctypes.c_void_p),
        ("memory_bytes", ctypes.c_size_t),
        ("clock_ns", ctypes.c_void_p),
        ("clock_context", ctypes.c_void_p),
        ("message", ctypes.c_char_p),
        ("reserved", ctypes.c_uint64 * 4),
    ]


class Contract(ctypes.Structure):
    """``weckd_contract``."""

    _fields_ = [
        ("frame_width", ctypes.c_uint32),
        ("frame_height", ctypes.c_uint32),
        ("input_width", ctypes.c_uint32),
        ("input_height", ctypes.c_uint32),
        ("classes", ctypes.c_uint32),
        ("format", ctypes.c_uint32),
        ("version", ctypes.c_uint64),
        ("model_bytes", ctypes.c_uint64),
        ("confidence_threshold", ctypes.c_double),
        ("signature", ctypes.c_int),
        ("passed", ctypes.c_uint8),
        ("synthetic", ctypes.c_uint8),
        ("has_guard", ctypes.c_uint8),
        ("name", ctypes.c_char * _TEXT),
        ("device", ctypes.c_char * _TEXT),
        ("id", ctypes.c_char * 65),
    ]


class Model(ctypes.Structure):
    """``weckd_model``: what an open bundle runs."""

    _fields_ = [
        ("backend", ctypes.c_char_p),
        ("backend_version", ctypes.c_char_p),
        ("precision", ctypes.c_char_p),
        ("tolerance", ctypes.c_double),
        ("chosen_here", ctypes.c_uint8),
        ("takes_frame", ctypes.c_uint8),
    ]


class Sizes(ctypes.Structure):
    """``weckd_sizes``."""

    _fields_ = [
        ("frame_width", ctypes.c_uint32),
        ("frame_height", ctypes.c_uint32),
        ("input_width", ctypes.c_uint32),
        ("input_height", ctypes.c_uint32),
        ("classes", ctypes.c_uint32),
        ("max_source_width", ctypes.c_uint32),
        ("max_source_height", ctypes.c_uint32),
        ("model_bytes", ctypes.c_uint64),
    ]


class Frame(ctypes.Structure):
    """``weckd_frame``."""

    _fields_ = [
        ("pixels", ctypes.c_void_p),
        ("chroma", ctypes.c_void_p),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("stride_bytes", ctypes.c_uint32),
        ("chroma_stride_bytes", ctypes.c_uint32),
        ("format", ctypes.c_int),
        ("matrix", ctypes.c_int),
        ("roi_x", ctypes.c_uint32),
        ("roi_y", ctypes.c_uint32),
        ("roi_width", ctypes.c_uint32),
        ("roi_height", ctypes.c_uint32),
        ("fit", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    ]


class Quality(ctypes.Structure):
    """``weckd_quality``."""

    _fields_ = [
        ("sharpness", ctypes.c_double),
        ("contrast", ctypes.c_double),
        ("dark_fraction", ctypes.c_double),
        ("bright_fraction", ctypes.c_double),
    ]


class Result(ctypes.Structure):
    """``weckd_result``."""

    _fields_ = [
        ("decision", ctypes.c_int32),
        ("prediction", ctypes.c_int32),
        ("probability", ctypes.c_float),
        ("reason", ctypes.c_int),
        ("guard", ctypes.c_int),
        ("quality", Quality),
        ("ood_score", ctypes.c_double),
        ("front_end_ns", ctypes.c_uint64),
        ("guard_ns", ctypes.c_uint64),
        ("network_ns", ctypes.c_uint64),
        ("decision_ns", ctypes.c_uint64),
    ]


class ExamFrameResult(ctypes.Structure):
    """``weckd_exam_frame``."""

    _fields_ = [
        ("use", ctypes.c_int),
        ("reason", ctypes.c_int),
        ("prediction", ctypes.c_int32),
        ("probability", ctypes.c_float),
        ("quality", Quality),
        ("ood_score", ctypes.c_double),
        ("front_end_ns", ctypes.c_uint64),
        ("guard_ns", ctypes.c_uint64),
        ("network_ns", ctypes.c_uint64),
        ("has_seen_enough", ctypes.c_uint8),
    ]


class ExamResult(ctypes.Structure):
    """``weckd_exam_decision``."""

    _fields_ = [
        ("decision", ctypes.c_int32),
        ("prediction", ctypes.c_int32),
        ("probability", ctypes.c_double),
        ("reason", ctypes.c_int),
        ("has_seen_enough", ctypes.c_uint8),
        ("seen", ctypes.c_uint64),
        ("counted", ctypes.c_uint64),
        ("repeated", ctypes.c_uint64),
        ("refused", ctypes.c_uint64),
        ("refused_by", ctypes.c_uint64 * _REASONS),
    ]


class WeckdCError(Exception):
    """A call failed; ``status`` is a ``weckd_status``."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction for one frame.

    Attributes:
        decision: The label; None where the model abstains ("unable to analyze").
        probabilities: Probability of each label, 0..1.
        reason: Why the model abstains, in words.
        quality: Image quality of the frame; zeros where the bundle has no input guard.
        ood_score: Squared distance of the frame from the training frames; negative where the bundle has no input guard.
    """

    decision: str | None
    probabilities: dict[str, float]
    reason: str
    quality: Quality
    ood_score: float


@dataclass(frozen=True, kw_only=True)
class ExamFrame:
    """What an examination makes of one frame.

    Attributes:
        use: ``counted``, ``repeated``, ``refused`` or ``not_needed``.
        reason: Why the frame is refused, in words; None where it is not.
        label: Most probable label of this frame alone; None where there is none.
        quality: Image quality of the frame; zeros where the bundle has no input guard, or nobody looked.
        has_seen_enough: Whether no later frame changes the decision.
    """

    use: str
    reason: str | None
    label: str | None
    quality: Quality
    has_seen_enough: bool


@dataclass(frozen=True, kw_only=True)
class ExamDecision:
    """The decision of an examination, or what its frames say so far.

    Attributes:
        decision: The label; None: "unable to analyze".
        probabilities: Probability of each label, 0..1; zeros where no frame is evidence.
        reason: Why there is no decision, in words.
        counted: Number of frames that count.
        repeated: Number of frames that are nearly the last counted one over again.
        refused: Number of refused frames by reason, in words.
        has_seen_enough: Whether no later frame changes the decision.
    """

    decision: str | None
    probabilities: dict[str, float]
    reason: str
    counted: int
    repeated: int
    refused: dict[str, int]
    has_seen_enough: bool


class Bundle:
    """An open bundle; use it in one thread at a time.

    Args:
        library: Path of ``libweckd_edge.so``.
        folder: Folder of the bundle.
        options: Fields of ``Options``, as keyword arguments.

    Raises:
        WeckdCError: The bundle cannot be opened.
    """

    def __init__(self, library: str, folder: str, /, **options: object) -> None:
        self._lib = load(library)
        self._handle = ctypes.c_void_p()
        message = ctypes.create_string_buffer(_MESSAGE)
        given = Options(message=ctypes.cast(message, ctypes.c_char_p), **options)
        status = self._lib.weckd_open(folder.encode(), ctypes.byref(given), ctypes.byref(self._handle))
        if status:
            raise self._error(status, message.value)
        self.contract: Contract = _copy(self._lib.weckd_contract_of(self._handle).contents)
        self.model: Model = _copy(self._lib.weckd_model_of(self._handle).contents)
        self.labels = [self._lib.weckd_label(self._handle, i).decode() for i in range(self.contract.classes)]

    def selftest(self) -> None:
        """Run the golden frames.

        Raises:
            WeckdCError: A prediction differs from the bundle's by more than its tolerance.
        """
        self._require(self._lib.weckd_selftest(self._handle, None))

    def frame_buffer(self) -> ctypes.Array[Any]:
        """Return the bundle's own frame, for a camera to write into: ``[frame_height, frame_width, 3]``, flat.

        The buffer takes a whole frame of RGB or BGR. Every other frame and the self-test overwrite it, and it belongs to the
        bundle: it must not be used after ``close``.
        """
        frame = ctypes.c_uint8 * (self.contract.frame_height * self.contract.frame_width * 3)
        found: ctypes.Array[Any] = frame.from_address(self._lib.weckd_frame_buffer(self._handle))
        return found

    def classify(self, pixels: bytes | ctypes.Array[Any], **frame: int) -> Prediction:
        """Classify one frame.

        Args:
            pixels: Bytes of the frame, or the filled buffer of ``frame_buffer``.
            frame: Fields of ``Frame``; width and height are the contract's where they are left out.

        Raises:
            WeckdCError: The frame does not fit, has fewer bytes than its fields say, or lies in the bundle's own frame as
                neither RGB nor BGR.
        """
        result = Result()
        probabilities = (ctypes.c_float * self.contract.classes)()
        given = self._frame(pixels, frame)
        self._require(
            self._lib.weckd_classify(
                self._handle, ctypes.byref(given), ctypes.byref(result), probabilities, self.contract.classes
            )
        )
        return Prediction(
            decision=None if result.decision < 0 else self.labels[result.decision],
            probabilities=dict(zip(self.labels, probabilities, strict=True)),
            reason=self._reason(result.reason),
            quality=result.quality,
            ood_score=result.ood_score,
        )

    def begin_exam(self) -> None:
        """Begin an examination: frames of one ear that end in one decision.

        Raises:
            WeckdCError: One was begun already.
        """
        self._require(self._lib.weckd_exam_begin(self._handle))

    def add_to_exam(self, pixels: bytes | ctypes.Array[Any], **frame: int) -> ExamFrame:
        """Add the next frame of the examination, as ``classify`` takes it.

        Raises:
            WeckdCError: No examination was begun, or the frame does not fit; the examination is as it was.
        """
        result = ExamFrameResult()
        given = self._frame(pixels, frame)
        self._require(self._lib.weckd_exam_add(self._handle, ctypes.byref(given), ctypes.byref(result), None, 0))
        return ExamFrame(
            use=USES[result.use],
            reason=self._reason(result.reason) if result.reason else None,
            label=None if result.prediction < 0 else self.labels[result.prediction],
            quality=result.quality,
            has_seen_enough=bool(result.has_seen_enough),
        )

    def decide_exam(self) -> ExamDecision:
        """Decide by the frames so far; more may follow.

        Raises:
            WeckdCError: No examination was begun.
        """
        result, count = ExamResult(), self.contract.classes
        probabilities = (ctypes.c_double * count)()
        self._require(self._lib.weckd_exam_decide(self._handle, ctypes.byref(result), probabilities, count))
        return ExamDecision(
            decision=None if result.decision < 0 else self.labels[result.decision],
            probabilities=dict(zip(self.labels, probabilities, strict=True)),
            reason=self._reason(result.reason),
            counted=result.counted,
            repeated=result.repeated,
            refused={self._reason(code): frames for code, frames in enumerate(result.refused_by) if frames},
            has_seen_enough=bool(result.has_seen_enough),
        )

    def reset_exam(self) -> None:
        """End the examination, if there is one, and forget its frames."""
        self._require(self._lib.weckd_exam_reset(self._handle))

    def close(self) -> None:
        """Release the bundle and its memory."""
        self._lib.weckd_close(self._handle)
        self._handle = ctypes.c_void_p()

    def _frame(self, pixels: bytes | ctypes.Array[Any], frame: dict[str, int]) -> Frame:
        size = {"width": self.contract.frame_width, "height": self.contract.frame_height}
        held: Any = pixels if isinstance(pixels, ctypes.Array) else ctypes.c_char_p(pixels)
        given = Frame(pixels=ctypes.cast(held, ctypes.c_void_p), **{**size, **frame})
        expected, found = _frame_bytes(given), memoryview(pixels).nbytes
        if found < expected:
            raise self._error(_GEOMETRY, f"frame: expected {expected} bytes, got {found}".encode())
        return given

    def _reason(self, code: int) -> str:
        text: bytes = self._lib.weckd_reason_text(code)
        return text.decode()

    def _require(self, status: int) -> None:
        if status:
            # Another thread, which is inside a call, may be writing the message.
            raise self._error(status, b"" if status == _BUSY else self._lib.weckd_message(self._handle))

    def _error(self, status: int, message: bytes) -> WeckdCError:
        text: str = self._lib.weckd_status_text(status).decode()
        return WeckdCError(status, f"{text}: {message.decode(errors='replace')}" if message else text)


def _copy(struct: Any) -> Any:
    """Return a struct that owns its fields and texts, and so outlives the bundle."""
    return type(struct)(**{name: getattr(struct, name) for name, _ in struct._fields_})


def _frame_bytes(frame: Frame) -> int:
    """Return the bytes that a frame has, to the end of its last row; where it names its chroma, those of its luma."""
    height: int = frame.height
    row: int = frame.width * _PIXEL_BYTES[frame.format] if frame.format in range(len(_PIXEL_BYTES)) else 0
    stride: int = frame.stride_bytes or row
    if frame.format != _NV12 or frame.chroma:
        return stride * (height - 1) + row
    chroma_stride: int = frame.chroma_stride_bytes or stride
    return stride * height + chroma_stride * (height // 2 - 1) + row


def load(library: str) -> ctypes.CDLL:
    """Load the library and declare its functions' types."""
    lib = ctypes.CDLL(library)
    for name in ("weckd_status_text", "weckd_message", "weckd_label", "weckd_reason_text"):
        getattr(lib, name).restype = ctypes.c_char_p
    lib.weckd_message.argtypes = [ctypes.c_void_p]
    lib.weckd_label.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.weckd_contract_of.argtypes = [ctypes.c_void_p]
    lib.weckd_contract_of.restype = ctypes.POINTER(Contract)
    lib.weckd_model_of.argtypes = [ctypes.c_void_p]
    lib.weckd_model_of.restype = ctypes.POINTER(Model)
    lib.weckd_frame_buffer.argtypes = [ctypes.c_void_p]
    lib.weckd_frame_buffer.restype = ctypes.c_void_p
    lib.weckd_close.argtypes = [ctypes.c_void_p]
    lib.weckd_close.restype = None
    lib.weckd_selftest.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.weckd_memory_bytes.restype = ctypes.c_size_t
    lib.weckd_classify.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(Frame),
        ctypes.POINTER(Result),
        ctypes.c_void_p,
        ctypes.c_uint32,
    ]
    lib.weckd_exam_begin.argtypes = lib.weckd_exam_reset.argtypes = [ctypes.c_void_p]
    lib.weckd_exam_add.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(Frame),
        ctypes.POINTER(ExamFrameResult),
        ctypes.c_void_p,
        ctypes.c_uint32,
    ]
    lib.weckd_exam_decide.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(ExamResult),
        ctypes.c_void_p,
        ctypes.c_uint32,
    ]
    return lib


def memory_bytes(library: str, **sizes: int) -> int:
    """Return the bytes of the block that a device needs: the same on every machine with 64-bit pointers."""
    return int(load(library).weckd_memory_bytes(ctypes.byref(Sizes(**sizes))))
