"""The settings of a whole build, read from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weckd_edge.config.abstain import AbstainConfig
from weckd_edge.config.audit import AuditConfig
from weckd_edge.config.base import check_setting, map_paths
from weckd_edge.config.bench import BenchConfig
from weckd_edge.config.data import DataConfig
from weckd_edge.config.distill import DistillConfig
from weckd_edge.config.exam import ExamConfig
from weckd_edge.config.gates import GateConfig
from weckd_edge.config.guard import GuardConfig
from weckd_edge.config.input import InputConfig
from weckd_edge.config.link import DEFAULT_LINKS, LinkConfig
from weckd_edge.config.model_card import ModelCardConfig
from weckd_edge.config.overrides import with_settings
from weckd_edge.config.quantize import QuantizeConfig
from weckd_edge.config.quantize_aware import QuantizeAwareConfig
from weckd_edge.config.report import ReportConfig
from weckd_edge.config.select import SelectConfig
from weckd_edge.config.selftest import SelftestConfig
from weckd_edge.config.train import TrainConfig
from weckd_edge.config.verify import VerifyConfig
from weckd_edge.core.bounds import MAX_SEED
from weckd_edge.core.serialization import from_data
from weckd_edge.core.toml_file import read_toml


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """Settings of a whole build. Each attribute is a table of the TOML file; ``link`` is a list of tables.

    Attributes:
        seed: Seed of splits, weights, batches and synthetic images, 0 to 2,147,483,647.
        link: The chain, two links or more, largest first; empty where a model is imported.
        data: Data set, splits and labelled subsets.
        input: The camera frame.
        train: The training loop.
        distill: Distillation.
        quantize: Quantization.
        quantize_aware: Quantization-aware training of the last link.
        gates: Limits that the build must meet.
        bench: The latency measurement.
        select: Selection of the deployed link.
        selftest: The golden frames.
        verify: The comparison of backends.
        audit: The data audit.
        report: Contents of the report.
        guard: The input guard.
        abstain: Confidence that a decision needs.
        exam: The decision about an examination of several frames.
        model_card: Statements of the builder for the model card.
    """

    seed: int = 0
    link: tuple[LinkConfig, ...] = DEFAULT_LINKS
    data: DataConfig = DataConfig()
    input: InputConfig = InputConfig()
    train: TrainConfig = TrainConfig()
    distill: DistillConfig = DistillConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    quantize_aware: QuantizeAwareConfig = QuantizeAwareConfig()
    gates: GateConfig = GateConfig()
    bench: BenchConfig = BenchConfig()
    select: SelectConfig = SelectConfig()
    selftest: SelftestConfig = SelftestConfig()
    verify: VerifyConfig = VerifyConfig()
    audit: AuditConfig = AuditConfig()
    report: ReportConfig = ReportConfig()
    guard: GuardConfig = GuardConfig()
    abstain: AbstainConfig = AbstainConfig()
    exam: ExamConfig = ExamConfig()
    model_card: ModelCardConfig = ModelCardConfig()

    def __post_init__(self) -> None:
        check_setting(len(self.link) != 1, f"a chain needs at least two links, got {len(self.link)}")
        check_setting(0 <= self.seed <= MAX_SEED, f"seed = {self.seed}: expected 0 to {MAX_SEED}")
        number = int(self.select.link[1:]) if self.select.link[:1] == "M" else 1
        check_setting(
            not self.link or 1 <= number <= len(self.link),
            f"select.link = '{self.select.link}': the chain has the links M1 to M{len(self.link)}",
            code="E_CONFIG_CHOICE",
        )
        total = (self.data.labelled_fraction or 0.0) * len(self.link)
        check_setting(
            total <= 1 + 1e-9,
            f"labelled_fraction = {self.data.labelled_fraction} for each of {len(self.link)} links asks for {total:.0%} of "
            f"the training images; labelled subsets are disjoint, so at most {1 / max(1, len(self.link)):.3f} each",
            code="E_CONFIG_CONFLICT",
        )


def stops_early(config: BuildConfig) -> bool:
    """Return whether early stopping chooses the epoch of each link, on the validation images."""
    return bool(config.link) and config.train.patience > 0


def exam_settings(config: BuildConfig) -> ExamConfig:
    """Return the settings of examinations; with no threshold and no limit of their own they have those of ``[abstain]``."""
    exam, frames = config.exam, config.abstain
    if exam.threshold is not None or exam.max_group_error is not None:
        return exam
    if frames.max_group_error is None:
        return replace(exam, threshold=frames.threshold)
    return replace(exam, max_group_error=frames.max_group_error, confidence=frames.confidence, on_failure=frames.on_failure)


def load_config(path: Path | None, settings: Mapping[str, Any] = MappingProxyType({})) -> BuildConfig:
    """Read the settings of a build; every path in a file is taken from the file's own folder.

    Args:
        path: TOML file; None: the defaults.
        settings: Plain data by the names of settings, such as ``train.epochs``; they stand over those of the file. Paths
            among them are absolute.

    Raises:
        ConfigError: The file is missing, is not TOML, or a setting is unknown, wrong or contradictory.
    """
    return config_of({} if path is None else read_toml(path), path, settings)


def config_of(data: Mapping[str, Any], path: Path | None, settings: Mapping[str, Any]) -> BuildConfig:
    """Return the settings of a file's tables and of the command line, as ``load_config`` does.

    Args:
        data: What the file says; nothing where there is none.
        path: Path of the file; None: there is none.
        settings: Settings that stand over those of the file.

    Raises:
        ConfigError: A setting is unknown, wrong or contradictory.
    """
    name = "settings" if path is None else path.name
    where = f"{name} with those of the command line" if settings and path is not None else name
    config = from_data(BuildConfig, with_settings(data, settings), where=where)
    if path is None:
        return config
    check_setting(bool(config.link), f"{path.name}: a chain needs at least two links, got 0")
    return map_paths(config, lambda relative: str((path.parent / relative).resolve()))


def without_folders(config: BuildConfig) -> BuildConfig:
    """Return settings with only the last part of every path, because a bundle holds no folders of the build machine."""
    return map_paths(config, lambda path: Path(path).name)
