"""Train one link with several processes, one for each GPU, as ``torchrun`` or SLURM starts them.

Each runs the same program and takes its part of every batch. The first keeps the workspace that the user named, each other
one a folder of its own (``process_folders``). What any of them has finished before, all receive.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, distributed, nn

from weckd_edge.config import TrainConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.fingerprint import Key
from weckd_edge.core.store import Stage, Workspace, refs_in
from weckd_edge.train.distill.loop.fresh_store import fresh_store
from weckd_edge.train.distill.loop.process_folders import FOLDER, PATIENCE_S, workspaces_here
from weckd_edge.train.networks.models import Student

T = TypeVar("T")
S = TypeVar("S")


def _environment() -> ClusterEnvironment | None:
    for kind in (TorchElasticEnvironment, SLURMEnvironment):
        if kind.detect():
            try:
                return kind()
            except RuntimeError as err:
                raise ConfigError(str(err), code="E_CONFIG_DISTRIBUTED") from err
    return None


def count_processes() -> int:
    """Return the number of processes that train together."""
    environment = _environment()
    return environment.world_size() if environment else 1


def is_first() -> bool:
    """Tell whether this process keeps the results."""
    return rank() == 0


def rank() -> int:
    """Return the number of this process among those that train together, from 0."""
    environment = _environment()
    return 0 if environment is None else environment.global_rank()


def lock_patience_s() -> float:
    """Return how long a process waits for a workspace: one that a launcher started may follow one that is about to end."""
    return PATIENCE_S if _environment() else 0.0


def fabric_for(config: TrainConfig) -> Fabric:
    """Return Lightning's Fabric, which connects devices and processes, for this training's precision and device."""
    return _fabric(config.accelerator, config.precision)


@functools.cache
def _fabric(accelerator: str, precision: Any) -> Fabric:
    environment = _environment()
    size = environment.world_size() if environment else 1
    if environment is None or size == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    nodes = _nodes(environment)
    fabric = Fabric(accelerator=accelerator, devices=size // nodes, num_nodes=nodes, precision=precision, strategy="ddp")
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        store = fresh_store(environment.main_address, environment.main_port, rank(), size)
        backend = "nccl" if fabric.device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank(), world_size=size)
    fabric.launch()
    return fabric


def of_first(value: S, config: TrainConfig) -> S:
    """Return what the first process has found, where machines may find different things, such as times."""
    return value if count_processes() == 1 else fabric_for(config).broadcast(value)


def restart_scaler(fabric: Fabric) -> None:
    """Forget the factor by which half precision scaled the loss of the training before, so that each begins alike."""
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    if scaler is not None:
        scaler.load_state_dict(torch.amp.GradScaler(fabric.device.type).state_dict())


def _nodes(environment: ClusterEnvironment) -> int:
    if isinstance(environment, SLURMEnvironment):
        return int(os.environ.get("SLURM_NNODES", "1"))
    return environment.world_size() // int(os.environ["LOCAL_WORLD_SIZE"])


def check_batch(labelled: int, rest: int, config: TrainConfig) -> None:
    """Refuse a batch that cannot be dealt evenly to the processes and the parts of a step.

    Args:
        labelled: Number of images with a label in a batch.
        rest: Number of images without a label in a batch.
        config: Settings of the loop.

    Raises:
        ConfigError: The batch cannot be dealt evenly.
    """
    parts = count_processes() * config.accumulate
    if labelled % parts or rest % parts:
        halves = f"{labelled} labelled and {rest} unlabelled images" if rest else f"{labelled} images"
        raise ConfigError(
            f"train.batch = {config.batch}: {halves} cannot be divided evenly among {count_processes()} processes "
            f"with accumulate = {config.accumulate}; choose a multiple of {2 * parts}",
            code="E_CONFIG_DISTRIBUTED",
        )


def shared_stage(
    config: TrainConfig, workspace: Workspace, name: str, kind: type[T], key: Key, make: Callable[[Path], T]
) -> Stage[T]:
    """Run a stage as ``Workspace.stage`` does, with every process at the same point: all make it, or receive it.

    It is received where any of them, or one that ran on its machine before, has finished it.

    Args:
        config: Settings of the loop, whose device tells how the processes communicate.
        workspace: Workspace of this process.
        name: Name of the stage.
        kind: Class of the artefact.
        key: Digest of everything the result depends on.
        make: Makes the artefact in a folder, as for ``Workspace.stage``.
    """
    if count_processes() == 1 and not (workspace.root / FOLDER).is_dir():
        return workspace.stage(name, kind, key, make)
    found = next((stage for place in workspaces_here(workspace) if (stage := place.find(name, kind, key))), None)
    content: tuple[T, dict[str, bytes]] | None = None
    if found is not None:
        content = found.artifact, {ref.path: (found.folder / ref.path).read_bytes() for ref in refs_in(found.artifact)}
    received = take_best(fabric_for(config), content, 0 if content is None else 1)
    if received is None:
        return workspace.stage(name, kind, key, make)

    def receive(folder: Path) -> T:
        artifact, files = received
        for path, content in files.items():
            (folder / path).write_bytes(content)
        return artifact

    return workspace.stage(name, kind, key, receive)


def take_best(fabric: Fabric, own: S | None, worth: int) -> S | None:
    """Give every process what the process with the most has, the first one of several; None where none has anything.

    Args:
        fabric: The processes that train together.
        own: What this process has, to be sent as a pickle.
        worth: How much that is; 0 for nothing.
    """
    if fabric.world_size == 1:
        return own
    gathered = [torch.zeros(1, dtype=torch.long, device=fabric.device) for _ in range(fabric.world_size)]
    distributed.all_gather(gathered, torch.tensor([worth], device=fabric.device))
    worths = [int(each) for each in gathered]
    if not max(worths):
        return None
    best = worths.index(max(worths))
    return fabric.broadcast(own if fabric.global_rank == best else None, src=best)


def synchronised(student: Student, fabric: Fabric) -> Student:
    """Return a copy of a student whose batch norms take their statistics from all processes' images, as one would."""
    replica = copy.deepcopy(student)
    if fabric.device.type == "cuda":
        converted: Student = convert_sync_batchnorm(replica)  # type: ignore[no-untyped-call]  # timm is untyped
        return converted
    for module in replica.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.forward = functools.partial(_norm_of_all, module.forward, fabric.global_rank)  # type: ignore[method-assign]
    return replica


def _norm_of_all(norm: Callable[[Tensor], Tensor], rank: int, images: Tensor) -> Tensor:
    """Normalise this process's images ``[b, ...]`` among those of all: torch's own synchronised norm needs a GPU."""
    if not torch.is_grad_enabled():
        return norm(images)
    together: Tensor = _Gather.apply(images)
    return norm(together)[rank * len(images) : (rank + 1) * len(images)]


class _Gather(torch.autograd.Function):
    """Gathers all processes' images, in order, and sums the gradients of every process's loss on the way back."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        parts = [torch.empty_like(images) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, images.contiguous())
        ctx.count = len(images)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        start = distributed.get_rank() * ctx.count
        return gradient[start : start + ctx.count]
