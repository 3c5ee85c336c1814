"""Settings of a build: frozen dataclasses, read from TOML.

Each class refuses what contradicts itself when it is made, so that a wrong setting is one line before any work starts.
Each module here holds some of the tables; everything is imported from ``weckd_edge.config`` itself.
"""

from weckd_edge.config.abstain import AbstainConfig
from weckd_edge.config.audit import AuditConfig
from weckd_edge.config.base import paths_of
from weckd_edge.config.bench import BenchConfig
from weckd_edge.config.build import BuildConfig, exam_settings, load_config, stops_early, without_folders
from weckd_edge.config.data import DataConfig
from weckd_edge.config.distill import DistillConfig
from weckd_edge.config.exam import ExamConfig
from weckd_edge.config.gates import GateConfig
from weckd_edge.config.guard import GuardConfig
from weckd_edge.config.in_force import SettingInForce, settings_in_force, settings_toml
from weckd_edge.config.input import InputConfig
from weckd_edge.config.link import DEFAULT_LINKS, LinkConfig
from weckd_edge.config.model_card import ModelCardConfig
from weckd_edge.config.overrides import parse_setting, setting_names
from weckd_edge.config.quantize import QuantizeConfig
from weckd_edge.config.quantize_aware import QuantizeAwareConfig
from weckd_edge.config.report import BandConfig, PrevalenceConfig, ReportConfig
from weckd_edge.config.select import SelectConfig
from weckd_edge.config.selftest import SelftestConfig
from weckd_edge.config.teacher import TeacherConfig
from weckd_edge.config.train import TrainConfig
from weckd_edge.config.verify import VerifyConfig

__all__ = [
    "DEFAULT_LINKS",
    "AbstainConfig",
    "AuditConfig",
    "BandConfig",
    "BenchConfig",
    "BuildConfig",
    "DataConfig",
    "DistillConfig",
    "ExamConfig",
    "GateConfig",
    "GuardConfig",
    "InputConfig",
    "LinkConfig",
    "ModelCardConfig",
    "PrevalenceConfig",
    "QuantizeAwareConfig",
    "QuantizeConfig",
    "ReportConfig",
    "SelectConfig",
    "SelftestConfig",
    "SettingInForce",
    "TeacherConfig",
    "TrainConfig",
    "VerifyConfig",
    "exam_settings",
    "load_config",
    "parse_setting",
    "paths_of",
    "setting_names",
    "settings_in_force",
    "settings_toml",
    "stops_early",
    "without_folders",
]
