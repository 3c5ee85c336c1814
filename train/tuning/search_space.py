"""Settings that a search tries, each with its range, and where it has an effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from weckd_edge.config import BuildConfig
from weckd_edge.train.distill.strategies import Strategy


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchedSetting:
    """Setting that a search tries.

    Attributes:
        name: Name of the setting with its table, such as ``train.learning_rate``.
        low: Lowest value.
        high: Highest value.
        log: Whether small and large values are tried alike often on a logarithmic scale.
        step: Distance of the values that are tried; None tries any.
        matters: Whether it has an effect with a strategy.
    """

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    matters: Callable[[Strategy], bool]

    def suggest(self, trial: Any, lowest: float) -> float:
        """Return the value that Optuna proposes for a trial, at least ``lowest``."""
        low = max(self.low, lowest)
        value: float = trial.suggest_float(self.name, low, max(self.high, low), log=self.log, step=self.step)
        return value


def _always(strategy: Strategy) -> bool:
    return True


def _is_taught(strategy: Strategy) -> bool:
    return strategy.teachers != "none" or strategy.outside


def _sees_unlabelled(strategy: Strategy) -> bool:
    return strategy.unlabelled


SPACE = (
    SearchedSetting(name="train.learning_rate", low=3e-4, high=6e-3, log=True, matters=_always),
    SearchedSetting(name="train.ema", low=0.0, high=0.5, step=0.1, matters=_always),
    SearchedSetting(name="distill.distill_weight", low=0.3, high=0.95, matters=_is_taught),
    SearchedSetting(name="distill.temperature_start", low=1.0, high=8.0, matters=_is_taught),
    SearchedSetting(name="distill.mixup", low=0.0, high=0.5, step=0.1, matters=_is_taught),
    SearchedSetting(name="distill.unlabelled_per_labelled", low=0.5, high=4.0, log=True, matters=_sees_unlabelled),
)


def suggest(trial: Any, strategy: Strategy, config: BuildConfig) -> dict[str, float]:
    """Return the values that Optuna proposes for a trial, by the names of the settings that matter to the strategy."""
    lowest = {"distill.temperature_start": config.distill.temperature_end}
    return {one.name: one.suggest(trial, lowest.get(one.name, one.low)) for one in SPACE if one.matters(strategy)}


def with_values(config: BuildConfig, values: Mapping[str, float]) -> BuildConfig:
    """Return settings with these values in the place of their own."""
    for table in ("train", "distill"):
        own = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{table}.")}
        config = replace(config, **{table: replace(getattr(config, table), **own)})
    return config


def as_toml(values: Mapping[str, float]) -> str:
    """Return values as a settings file that holds them alone."""
    tables: dict[str, list[str]] = {}
    for name, value in values.items():
        table, _, key = name.partition(".")
        tables.setdefault(table, []).append(f"{key} = {value!r}")
    return "\n\n".join("\n".join([f"[{table}]", *lines]) for table, lines in tables.items()) + "\n"
