"""The chain is trained, link by link; with ``--links auto``, its links are chosen first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from weckd_edge.artifacts import DatasetIndex, Link
from weckd_edge.config import BuildConfig, LinkConfig, TeacherConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage
from weckd_edge.devices.runtime.stored_predictions import predict_once
from weckd_edge.pipeline.auto_chain import CANDIDATES, CandidateTimings, pick_chain, time_candidates
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import TrainedChain, TrainedNetwork
from weckd_edge.pipeline.outside_teachers import open_teachers, teachers_of

if TYPE_CHECKING:
    from weckd_edge.train.run_logging.base import RunLogger


@contextmanager
def open_build_run(ctx: BuildContext) -> Iterator[RunLogger]:
    """Open the logger that ``[train] log`` asks for, for the curves of the links and for the bundle.

    Raises:
        MissingDependency: The logger's library is not installed, or is broken.
    """
    from weckd_edge.train.run_logging.open_run import open_run

    with open_run(ctx.out.name, ctx.config, ctx.workspace.root) as run:
        yield run


def check_strategy(config: BuildConfig) -> None:
    """Refuse settings that the strategy does not use.

    Raises:
        ConfigError: The strategy is unknown, or does not train the link, or use the unlabelled images or the teachers, that
            are named.
    """
    from weckd_edge.train.distill.strategies import TEACHERS_SUFFIX, UNLABELLED_SUFFIX, find_strategy, links_of

    strategy = find_strategy(config.distill.strategy)
    names = [f"M{number}" for number in range(1, len(links_of(strategy, len(config.link))) + 1)] if config.link else []
    if names and config.select.link.startswith("M") and config.select.link not in names:
        raise ConfigError(
            f"select.link = '{config.select.link}': distill.strategy = '{strategy.name}' trains {', '.join(names)} alone; "
            "name one of them, or 'last'",
            code="E_CONFIG_CHOICE",
        )
    seen = UNLABELLED_SUFFIX if strategy.unlabelled else ""
    if config.distill.teachers and not strategy.outside:
        raise ConfigError(
            f"distill.teachers names teachers from outside the chain, but distill.strategy = '{strategy.name}' does not "
            f"learn from them; write '{strategy.name.partition('+')[0]}{TEACHERS_SUFFIX}{seen}', or leave them out",
            code="E_CONFIG_CONFLICT",
        )
    if config.data.unlabelled and not strategy.unlabelled:
        raise ConfigError(
            f"data.unlabelled names a folder, but distill.strategy = '{strategy.name}' shows no link an image without a "
            f"label; name a strategy that does, such as 'guided{UNLABELLED_SUFFIX}', or leave the folder out",
            code="E_CONFIG_CONFLICT",
        )


def choose_links(ctx: BuildContext, index: DatasetIndex) -> BuildContext:
    """Return the context with links that are chosen by latency on this machine.

    Of processes that train together, the first times the candidates while the others wait.

    Raises:
        ConfigError: No candidate is within the limit, or there are too few candidates.
        ModelError: A candidate cannot be created or compiled.
    """
    from weckd_edge.train.distill.loop.distributed import is_first, of_first

    links, line = of_first(_pick_links(ctx, index) if is_first() else ((), ""), ctx.config.train)
    ctx.progress.note(line)
    return replace(ctx, config=replace(ctx.config, link=links))


def _pick_links(ctx: BuildContext, index: DatasetIndex) -> tuple[tuple[LinkConfig, ...], str]:
    """Time the candidates; return the links, and a sentence on why these."""
    stage = ctx.step(
        "time-candidates",
        CandidateTimings,
        key_of(
            {
                "candidates": CANDIDATES,
                "labels": len(index.labels),
                "input": ctx.config.input,
                "images": [[r.height, r.width] for r in index.images],
                "threads": ctx.config.bench.threads,
                "host": ctx.machine.host,
            },
            "weckd_edge.pipeline.auto_chain",
        ),
        lambda _: time_candidates(index, ctx.root, ctx.config, ctx.progress, host=ctx.machine.host),
    )
    timings = stage.artifact
    limit_ms = ctx.limits.max_latency_p90_ms if ctx.on_device else None
    links = pick_chain(timings, limit_ms, len(ctx.config.link))
    times = {
        candidate.link.model + str(candidate.link.input_size): candidate.int8_ns / 1e6
        for candidate in (*timings.candidates, *timings.left_out)  # a link before the last one may take a pruned one's place
    }
    chain = " > ".join(f"{x.model} at {x.input_size} px ({times[x.model + str(x.input_size)]:.2f} ms)" for x in links)
    fit = "the fastest last, as no latency limit can be judged here"
    if limit_ms is not None:
        fit = f"the last within {limit_ms:g} ms"
    return links, f"links: {chain}; int8 times on {timings.host}, {fit}"


def settle_links(ctx: BuildContext) -> BuildContext:
    """Return the context with links that either start from pretrained weights or do not; what is missing is said.

    Raises:
        ModelError: A network cannot be made.
    """
    from weckd_edge.train.distill.loop.distributed import of_first
    from weckd_edge.train.networks.available_weights import settle_weights

    settled = of_first(settle_weights(ctx.config.link), ctx.config.train)
    if settled.missing:
        ctx.progress.warn(settled.missing)
    return replace(ctx, config=replace(ctx.config, link=settled.links), missing_weights=settled.missing)


def train_chain(ctx: BuildContext, index: DatasetIndex, run: RunLogger | None = None) -> TrainedChain:
    """Train the links, each as a step of its own, or take them from the workspace.

    Args:
        ctx: The build.
        index: The data set.
        run: Logger of the build's curves; None logs nothing.

    Raises:
        WeckdError: A network cannot be created, or the settings contradict each other.
    """
    from weckd_edge.train.distill.chain import (
        advise_sizes,
        advise_weights,
        equal_links,
        make_trainer,
        plan_chain,
        train_build,
    )
    from weckd_edge.train.distill.loop.distributed import count_processes
    from weckd_edge.train.quantize_aware.finetune import refine_for_int8
    from weckd_edge.train.run_logging.base import NO_RUN_LOGGER

    plans = plan_chain(index, ctx.config)
    repeated = equal_links(ctx.config)
    for line in (*repeated, *advise_sizes(ctx.config), *advise_weights(ctx.config)):
        ctx.progress.note(line)
    teachers = open_teachers(ctx.config, [ctx.config.distill.strategy])
    trainer = make_trainer(ctx.workspace, ctx.root, index, plans, ctx.progress, ctx.config.data.unlabelled, teachers)
    trainer.logger = NO_RUN_LOGGER if run is None else run
    chain = train_build(trainer, plans, ctx.config, teachers)
    if chain.outside is not None:
        for network in chain.outside.teaching.networks:
            ctx.note_step(f"train {network.artifact.name}", network.seconds, reused=network.reused)
        made = chain.outside.teaching.soft_labels
        ctx.note_step("soft labels", made.seconds, reused=made.reused)
    alone_link = chain.baseline if chain.outside is None else chain.outside.alone or chain.baseline
    taught = chain.links if chain.set_aside is None else (*chain.links[:-1], chain.set_aside.link)
    for link in (*taught, *([alone_link] if alone_link else [])):
        ctx.note_step(f"train {link.artifact.name}", link.seconds, reused=link.reused)

    def what_int8_depends_on(at: int) -> object:
        before = chain.links[at - 1].artifact.weights.sha256 if at else None
        settings = [ctx.config.train.identity(), ctx.config.distill.identity(), ctx.config.distill.strategy]
        return [before, *settings, [image.pixels_sha256 for image in index.unlabelled]]

    def train_for_int8(at: int) -> TrainedNetwork:
        link = refine_for_int8(trainer, plans, ctx.config, chain.links, at, ctx.target)
        ctx.note_step(f"train {link.artifact.name}", link.seconds, reused=link.reused)
        return torch_network(ctx, link)

    alone = count_processes() == 1  # a launcher's other processes end with the chain
    return TrainedChain(
        networks=tuple(
            torch_network(ctx, link, partial(train_for_int8, at), what_int8_depends_on(at))
            if alone
            else torch_network(ctx, link)
            for at, link in enumerate(chain.links)
        ),
        baseline=chain.baseline.artifact if chain.baseline else None,
        labels_used=chain.labels_used,
        outside=None if chain.outside is None else chain.outside.record,
        notes=(
            *([ctx.missing_weights] if ctx.missing_weights else []),
            *repeated,
            *([] if chain.set_aside is None else [chain.set_aside.reason]),
        ),
    )


def trained_settings(config: BuildConfig, chain: TrainedChain) -> tuple[tuple[str, LinkConfig | TeacherConfig], ...]:
    """Return name and settings of each link that a build trained, and of each teacher from outside that taught."""
    from weckd_edge.train.distill.strategies import find_strategy, links_of

    if not config.link:
        return ()  # an imported network
    positions = links_of(find_strategy(config.distill.strategy), len(config.link))
    teachers = teachers_of(config) if chain.outside is not None and chain.outside.used else ()
    return (
        *((f"M{number}", config.link[at]) for number, at in enumerate(positions, start=1)),
        *((f"teacher {number}", teacher) for number, teacher in enumerate(teachers, start=1)),
    )


def torch_network(
    ctx: BuildContext,
    link: Stage[Link],
    train_for_int8: Callable[[], TrainedNetwork] | None = None,
    int8_training: object = None,
) -> TrainedNetwork:
    """Return a trained link as the record that later steps take."""
    from weckd_edge.compile.export.onnx_export import export_onnx
    from weckd_edge.train.distill.evaluate import as_trained, frame_predictor, predict_records
    from weckd_edge.train.networks.models import load_link

    artifact, folder = link.artifact, link.folder
    return TrainedNetwork(
        link=link,
        name_in_reports="torch fp32",
        export=lambda out, cast_first: export_onnx(
            load_link(artifact, folder).backbone,
            artifact.input,
            artifact.labels,
            artifact.weights.sha256,
            out,
            cast_first=cast_first,
        ),
        modules=("weckd_edge.compile.export.onnx_export", "weckd_edge.train.distill.evaluate"),
        predictor=lambda: frame_predictor(artifact, folder),
        predict=lambda images: predict_once(
            ctx.workspace,
            as_trained(artifact.network_sha256, artifact.input),
            images,
            lambda: predict_records(load_link(artifact, folder), artifact.input, images),
        ),
        module=lambda: load_link(artifact, folder).backbone,
        train_for_int8=train_for_int8,
        int8_training=int8_training,
    )
