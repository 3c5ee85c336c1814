"""What the builder says of the model."""

from __future__ import annotations

from dataclasses import dataclass, fields

from weckd_edge.config.base import check


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCardConfig:
    """What only the builder can say of the model; it is written into the model card and the bill of materials as it is.

    What is left out stands there as "not stated by the builder".

    Attributes:
        owner: Who answers for the model.
        contact: Where to ask, such as a mail address.
        licence: Of the model itself.
        intended_use: What it is made for.
        intended_users: By whom it is to be used.
        out_of_scope: What it is not made for, one entry each.
        data_origin: Where the images are from: sites, devices, years, how they were labelled.
        data_owner: Who holds the images.
        data_licence: Under which terms they may be used.
        ethical: What was weighed: consent, privacy, who could be harmed and how.
        caveats: What else a user must know, one entry each.
    """

    owner: str | None = None
    contact: str | None = None
    licence: str | None = None
    intended_use: str | None = None
    intended_users: str | None = None
    out_of_scope: tuple[str, ...] = ()
    data_origin: str | None = None
    data_owner: str | None = None
    data_licence: str | None = None
    ethical: str | None = None
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            texts = value if isinstance(value, tuple) else () if value is None else (value,)
            check(
                all(text.strip() for text in texts),
                f"{item.name}: expected some words, got none; leave it out instead",
                code="E_CONFIG_VALUE",
            )
