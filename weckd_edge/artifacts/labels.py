"""Class names in the order of the labels."""

from __future__ import annotations

from collections.abc import Iterable

from weckd_edge.core.errors import ConfigError


class Labels(tuple[str, ...]):
    """Class names in their order: an image's label, and an output of a network, is an index into them.

    In JSON it is the list of the names.
    """

    __slots__ = ()

    def name(self, index: int) -> str:
        """Return the class name at an index."""
        return self[index]

    def indices(self, names: Iterable[str]) -> list[int]:
        """Return the index of each class name.

        Raises:
            ValueError: A name is no class.
        """
        return [self.index(name) for name in names]

    def with_order(self, names: Iterable[str]) -> Labels:
        """Return the same classes in the order of a network's outputs.

        Raises:
            ConfigError: The names are not the same classes.
        """
        ordered = Labels(names)
        missing, unknown = sorted(set(self) - set(ordered)), sorted(set(ordered) - set(self))
        if missing or unknown:
            parts = [
                *([f"the data set's {', '.join(missing)} is not among the network's"] if missing else []),
                *([f"the network's {', '.join(unknown)} is not in the data set"] if unknown else []),
            ]
            raise ConfigError(
                f"labels: {'; '.join(parts)}; expected the same {len(self)} classes ({', '.join(self)}), in the order of "
                "the network's outputs",
                code="E_CONFIG_CLASSES",
            )
        return ordered
