"""Quantization-aware distillation: the last link goes on learning, rounded as int8 will round it.

Its teacher is not rounded, and the loss is the distance from the teacher's answers (Xin et al. 2026, arXiv 2601.20088). What
comes out is a link like any other, of plain FP32 weights that lose less when they are calibrated and quantized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weckd_edge.artifacts import Link
from weckd_edge.config import BuildConfig
from weckd_edge.store import Stage
from weckd_edge.train.strategies import find_strategy, shares_of
from weckd_edge.train.trainer import Job, Planned, Trainer


def refine_for_int8(
    trainer: Trainer, plans: Sequence[Planned], config: BuildConfig, links: Sequence[Stage[Link]]
) -> Stage[Link]:
    """Train the last link of a chain a little further under int8 rounding, or find that done.

    It sees what its strategy lets the last link see: labels of its shares, and the pool without labels.

    Args:
        trainer: Of the chain.
        plans: The chain's networks.
        config: ``quantize_aware`` says how, ``train`` with what loop.
        links: What ``run_strategy`` returned for them.

    Returns:
        A link of the same network, called after it (``M3-int8``), its parent the teacher.
    """
    settings, strategy = config.quantize_aware, find_strategy(config.distill.strategy)
    link, last = links[-1], len(plans) - 1
    predecessor = links[-2] if len(links) > 1 else link
    return trainer.link(
        Job(
            name=f"{link.artifact.name}-int8",
            plan=plans[last],
            share=last,
            shares=shares_of(strategy, last, len(plans)),
            seed=config.seed * 1000 + len(links),
            train=replace(
                config.train,
                epochs=settings.epochs,
                learning_rate=settings.learning_rate,
                augment=settings.augment,
                # Half precision would round the steps of int8 once more.
                precision="32-true",
                compile=False,
            ),
            start=link,
            teachers=({"itself": link, "predecessor": predecessor}[settings.teacher],),
            pool=strategy.pool,
            distill=replace(
                config.distill,
                loss="kl",
                weight=settings.weight,
                temperature_start=1.0,
                temperature_end=1.0,
                attention=0.0,
                mixup=0.0,
                refine=0.0,
            ),
            rounded=True,
        )
    )
