"""Train a link further under int8 rounding: quantization-aware distillation.

Its teacher is not rounded, and the loss is the distance from the teacher's predictions (Xin et al. 2026, arXiv 2601.20088).
The result is a link like any other, with plain FP32 weights that lose less when they are calibrated and quantized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weckd_edge.artifacts import Link, Target
from weckd_edge.config import BuildConfig
from weckd_edge.core.store import Stage
from weckd_edge.train.distill.link_plan import LinkPlan
from weckd_edge.train.distill.strategies import find_strategy, links_of, subsets_of
from weckd_edge.train.distill.trainer import LinkJob, Trainer


def refine_for_int8(
    trainer: Trainer, plans: Sequence[LinkPlan], config: BuildConfig, links: Sequence[Stage[Link]], at: int, target: Target
) -> Stage[Link]:
    """Train one link of a chain a little further under int8 rounding, or reuse it from an earlier run.

    It sees what the link saw: the labels of its subsets, and unlabelled images where the link was shown some.

    Args:
        trainer: Trainer of the chain.
        plans: Networks of the chain.
        config: Settings, of which ``quantize_aware`` and the loop of ``train`` are used.
        links: Trained links of the chain, as ``run_strategy`` returned them.
        at: Place of the link among ``links``, which are fewer than the chain's where the strategy leaves some out.
        target: Target whose form of the int8 graph it is trained for.

    Returns:
        Link of the same network, named after it (``M3-int8``), with the teacher as its parent.
    """
    settings, strategy = config.quantize_aware, find_strategy(config.distill.strategy)
    link, position = links[at], links_of(strategy, len(plans))[at]
    predecessor = links[at - 1] if at else link
    return trainer.link(
        LinkJob(
            name=f"{link.artifact.name}-int8",
            plan=plans[position],
            labelled_subset=position,
            labelled_subsets=subsets_of(strategy, position, len(plans)),
            seed=config.seed * 1000 + at + 1,
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
            unlabelled=link.artifact.images_used > link.artifact.labels_used,
            distill=replace(
                config.distill,
                loss="kl",
                distill_weight=settings.distill_weight,
                temperature_start=1.0,
                temperature_end=1.0,
                attention=0.0,
                mixup=0.0,
                label_only_fraction=0.0,
            ),
            rounded=target,
        )
    )
