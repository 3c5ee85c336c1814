"""Settings of a bench: the one list that ``bench``, a build and a request to another machine share."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.devices.bench.load_generator.rules import Generator, Rules, find_rules


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchSettings:
    """Settings of a bench.

    Attributes:
        rules: Key of ``RULES``, which says how long the run lasts: ``mlperf``, ``mobile`` or ``quick``.
        queries: Number of timed queries; None takes the rules' own number and duration.
        warmup: Number of untimed queries before the timed ones; None takes the rules' own number.
        threads: Processor threads that one query may use.
        generator: Load generator that sends the queries.
    """

    rules: str = "quick"
    queries: int | None = None
    warmup: int | None = None
    threads: int = 1
    generator: Generator = "auto"

    def end_to_end_rules(self) -> Rules:
        """Return the rules of the end-to-end run.

        Raises:
            ConfigError: No rules have that name, or a number is out of range.
        """
        return find_rules(self.rules, queries=self.queries, warmup=self.warmup)

    def network_rules(self) -> Rules:
        """Return the rules by which the network alone is timed: always the quick ones.

        Raises:
            ConfigError: A number is out of range.
        """
        return find_rules("quick", queries=self.queries, warmup=self.warmup)


QUICK = BenchSettings()
"""Settings of a quick bench on one thread."""
