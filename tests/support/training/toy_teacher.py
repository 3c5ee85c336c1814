"""A teacher from outside the chain: a toy network that has a classifier of its own."""

from __future__ import annotations

from support.training.toy_chain import TOY_LINKS
from weckd_edge.artifacts import NetworkInput
from weckd_edge.train.distill.outside.teacher import OutsideTeacher, torch_teacher
from weckd_edge.train.networks.models import create_student


def toy_teacher() -> OutsideTeacher:
    """Return the last toy link with random weights, as a teacher of dark and light images."""
    return torch_teacher(
        create_student(TOY_LINKS[-1], 2).student,
        NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        name="toy",
        identity=["toy"],
        outputs=2,
        labels=("dark", "light"),
        head="own",
    )
