"""Everything a build can be told, as frozen dataclasses read from TOML.

Each class refuses what contradicts itself when it is made, so that a wrong setting is one line before any work starts.
Each module here holds some of the tables; everything is imported from ``weckd_edge.config`` itself.
"""

from weckd_edge.config.build import BuildConfig, load_config
from weckd_edge.config.compiling import BenchConfig, GateConfig, QuantizeConfig, SelftestConfig, ShipConfig, VerifyConfig
from weckd_edge.config.data import DataConfig, InputConfig
from weckd_edge.config.evidence import BandConfig, CardConfig, PrevalenceConfig, ProbesConfig, ReportConfig
from weckd_edge.config.refusing import AbstainConfig, GuardConfig
from weckd_edge.config.training import DEFAULT_LINKS, DistillConfig, LinkConfig, QuantizeAwareConfig, TrainConfig

__all__ = [
    "DEFAULT_LINKS",
    "AbstainConfig",
    "BandConfig",
    "BenchConfig",
    "BuildConfig",
    "CardConfig",
    "DataConfig",
    "DistillConfig",
    "GateConfig",
    "GuardConfig",
    "InputConfig",
    "LinkConfig",
    "PrevalenceConfig",
    "ProbesConfig",
    "QuantizeAwareConfig",
    "QuantizeConfig",
    "ReportConfig",
    "SelftestConfig",
    "ShipConfig",
    "TrainConfig",
    "VerifyConfig",
    "load_config",
]
