"""Train one link with several processes, one for each GPU, as ``torchrun`` or SLURM starts them.

Each runs the same program. The first keeps the workspace that the user named; the others work in a folder of their own that
is thrown away, receive the links that the first has finished before, and take their part of every batch.
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
from weckd_edge.train.networks.models import Student

T = TypeVar("T")


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
    environment = _environment()
    return environment is None or environment.global_rank() == 0


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
    fabric.launch()
    return fabric


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
    """Run a stage as ``Workspace.stage`` does, with every process at the same point: all make it, or the first has it.

    Args:
        config: Settings of the loop, whose device tells how the processes communicate.
        workspace: Workspace of this process.
        name: Name of the stage.
        kind: Class of the artefact.
        key: Digest of everything the result depends on.
        make: Makes the artefact in a folder, as for ``Workspace.stage``.
    """
    if count_processes() == 1:
        return workspace.stage(name, kind, key, make)
    found = workspace.find(name, kind, key) if is_first() else None
    files: dict[str, bytes] = {}
    if found is not None:
        files = {ref.path: (found.folder / ref.path).read_bytes() for ref in refs_in(found.artifact)}
    received = fabric_for(config).broadcast((found.artifact, files) if found else None)
    if received is None:
        return workspace.stage(name, kind, key, make)

    def receive(folder: Path) -> T:
        artifact: T = received[0]
        for path, content in received[1].items():
            (folder / path).write_bytes(content)
        return artifact

    return workspace.stage(name, kind, key, receive)


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
