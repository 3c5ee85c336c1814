"""The headline chart: accuracy of every link against its cost, and the deployed link."""

from __future__ import annotations

from weckd_edge.report import charts
from weckd_edge.report.evidence import BundleContents


def all_evaluated(contents: BundleContents) -> bool:
    """Tell whether every link was compiled and evaluated; else one met every limit before the larger ones came to it."""
    return len(contents.link_selection.links) == len(contents.chain.links)


def chain_chart(contents: BundleContents) -> str:
    """Draw accuracy against latency where every link was evaluated for selection, otherwise against MACs.

    The latency of the deployed link is the one that its gate was checked with. Links that were evaluated are drawn at their
    accuracy on validation images, others at their accuracy on test images.
    """
    links, baseline, deployed = contents.chain.links, contents.chain.baseline, contents.deployed
    evaluations = {link.name: link for link in contents.link_selection.links} if all_evaluated(contents) else {}
    known = bool(evaluations) and all(link.latency.p90_ns is not None for link in evaluations.values())
    checked_ns = _checked_latency(contents) if known else None
    points = []
    for link in links:
        found, is_deployed = evaluations.get(link.name), link is deployed
        time_ns = None if found is None else found.latency.p90_ns if known else found.build_machine_p90_ns
        if is_deployed and checked_ns is not None:
            time_ns = checked_ns
        points.append(
            charts.Point(
                name=f"{link.name}{f' {found.precision}' if found else ''}{', deployed' if is_deployed else ''}",
                cost=link.macs if time_ns is None else time_ns,
                accuracy=found.val_accuracy if found else link.test_accuracy,
                kind="deployed" if is_deployed else "link",
            )
        )
    if baseline is not None and not contents.chain.ends_in_baseline:
        alone = baseline.val_accuracy if evaluations else baseline.test_accuracy
        name = f"baseline{', FP32' if evaluations else ''}"
        points.append(charts.Point(name=name, cost=points[-1].cost, accuracy=alone, kind="baseline"))
    if not evaluations:
        return charts.accuracy_against_cost(points, "MACs of one image", "million", 1e6)
    how = contents.link_selection.links[-1].latency.label
    where = f"end-to-end latency, {'p90, ' if how == 'measured' else ''}{how} for {contents.manifest.device}"
    if not known:
        where = "end-to-end latency, p90, on the build machine"
    return charts.accuracy_against_cost(points, where, "ms", 1e6, images="validation")


def _checked_latency(contents: BundleContents) -> float | None:
    """Return the latency that the deployed link's gate was checked with, nanoseconds; None without such a gate."""
    values = [gate.value for gate in contents.manifest.gates if gate.name == "max_latency_p90_ms"]
    return next((value * 1e6 for value in values if value is not None), None)
