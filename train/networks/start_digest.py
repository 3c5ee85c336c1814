"""Tell the weights that a network starts from apart from others, by their values."""

from __future__ import annotations

from dataclasses import replace

from weckd_edge.config import LinkConfig
from weckd_edge.core.store import sha256_bytes
from weckd_edge.train.networks.models import (
    CreatedStudent,
    create_student,
    has_pretrained_backbone,
    head_prefixes,
    weights_of,
)


def digest_of_start(config: LinkConfig, classes: int, created: CreatedStudent | None = None) -> str | None:
    """Return the SHA-256 of the weights that a network starts from, hexadecimal; None where they are drawn at random.

    It is of the tensors, not of the file or name that they come from, and of the whole network, before it is pruned. A
    classifier that is drawn at random is left out.

    Args:
        config: Settings of the link.
        classes: Number of classes.
        created: The network as these settings make it; None makes it here.

    Raises:
        ModelError: The network cannot be made.
    """
    if not has_pretrained_backbone(config):
        return None
    if created is None or config.width < 1:
        created = create_student(replace(config, width=1.0), classes)
    left_out = () if created.knows_classes else head_prefixes(created.student.backbone)
    return sha256_bytes(weights_of(created.student, left_out))
