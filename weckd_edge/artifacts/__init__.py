"""What travels between the stages: small, frozen, schema-versioned records, written as JSON.

Paths in an artefact are relative to the folder it lies in, and nothing in it depends on when or where it was made
(times and measurements are kept apart in ``Measurement``), so that equal inputs give equal bytes.

Each module here describes one thing; everything is imported from ``weckd_edge.artifacts`` itself.
"""

from weckd_edge.artifacts.abstaining import (
    Abstention,
    CoveragePoint,
    FarKind,
    GuardRecord,
    ThresholdRecord,
)
from weckd_edge.artifacts.base import SCHEMA_VERSION, FileRef, Precision, Rate, Split, Target, Verdict
from weckd_edge.artifacts.chain import BuildRecord, ChainRecord, Link, StageTime
from weckd_edge.artifacts.data import BadFile, DatasetIndex, ImageRecord, UnlabelledImage
from weckd_edge.artifacts.frame import InputContract, crop_box, diagonal_positions
from weckd_edge.artifacts.graphs import BuiltModel, ExportedModel, QuantizedModel, Recalibration, Selection, Trial
from weckd_edge.artifacts.guarding import FrameGuard, QualityBars, QualityFigures
from weckd_edge.artifacts.manifest import GoldenFrames, Manifest, OperatingPoint
from weckd_edge.artifacts.measuring import (
    EarlyStop,
    Latency,
    LoadgenFigures,
    MachineRecord,
    MachineState,
    Measurement,
    PowerFigures,
)
from weckd_edge.artifacts.ship import Gate, LinkLatency, Shipping, WeighedLink
from weckd_edge.artifacts.verification import (
    ApartFrame,
    CalibrationCheck,
    CalibrationFigures,
    Estimate,
    ExecutedLayer,
    LayerParity,
    Parity,
    Parting,
    Prediction,
    ReliabilityBin,
    Verification,
)

__all__ = [
    "SCHEMA_VERSION",
    "Abstention",
    "ApartFrame",
    "BadFile",
    "BuildRecord",
    "BuiltModel",
    "CalibrationCheck",
    "CalibrationFigures",
    "ChainRecord",
    "CoveragePoint",
    "DatasetIndex",
    "EarlyStop",
    "Estimate",
    "ExecutedLayer",
    "ExportedModel",
    "FarKind",
    "FileRef",
    "FrameGuard",
    "Gate",
    "GoldenFrames",
    "GuardRecord",
    "ImageRecord",
    "InputContract",
    "Latency",
    "LayerParity",
    "Link",
    "LinkLatency",
    "LoadgenFigures",
    "MachineRecord",
    "MachineState",
    "Manifest",
    "Measurement",
    "OperatingPoint",
    "Parity",
    "Parting",
    "PowerFigures",
    "Precision",
    "Prediction",
    "QualityBars",
    "QualityFigures",
    "QuantizedModel",
    "Rate",
    "Recalibration",
    "ReliabilityBin",
    "Selection",
    "Shipping",
    "Split",
    "StageTime",
    "Target",
    "ThresholdRecord",
    "Trial",
    "UnlabelledImage",
    "Verdict",
    "Verification",
    "WeighedLink",
    "crop_box",
    "diagonal_positions",
]
