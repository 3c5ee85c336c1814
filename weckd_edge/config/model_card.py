"""Settings ``[model_card]``: what the builder states for the model card."""

from __future__ import annotations

from dataclasses import dataclass, fields

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCardConfig:
    """Statements for the model card and the SBOM that only the builder can make; they are copied as they are.

    What is left out appears as "not stated by the builder".

    Attributes:
        owner: Person or organisation responsible for the model.
        contact: Contact for questions, such as a mail address.
        licence: Licence of the model.
        intended_use: Purpose of the model.
        intended_users: Intended users of the model.
        out_of_scope: Uses that the model is not made for, one entry each.
        data_origin: Origin of the images: sites, devices, years, how they were labelled.
        data_owner: Holder of the images.
        data_licence: Terms under which the images may be used.
        ethical: Ethical considerations: consent, privacy, who could be harmed and how.
        caveats: Further cautions for users, one entry each.
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
            check_setting(
                all(text.strip() for text in texts),
                f"{item.name} is empty; write a text, or remove it",
                code="E_CONFIG_VALUE",
            )
