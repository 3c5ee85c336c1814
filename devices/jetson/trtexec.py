"""Command lines of ``trtexec`` that build and time an engine by hand, by TensorRT version.

An option that a version does not know ends trtexec, and TensorRT 11 counts other things by default than 10 does. So each
version gets its own lines, and times measured by them are comparable: CUDA graph, spin wait, no copies between host and
device. Options from sampleOptions.cpp of the release branches 8.5, 8.6, 10.3, 10.13, 10.16 and 11.1.
"""

from __future__ import annotations

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.jetson.recipe import BuildPlan, TensorRTRecipe, plans_for
from weckd_edge.devices.jetson.version_rules import version_tuple

TRTEXEC_FILE = "trtexec.txt"


def trtexec_lines(recipe: TensorRTRecipe, version: str) -> tuple[tuple[str, ...], str]:
    """Return the lines that build an engine, in the order in which to try them, and the line that times one.

    Args:
        recipe: The recipe; its graphs' files lie in the folder in which the line is typed.
        version: Version of TensorRT, such as ``10.3.0``.

    Raises:
        DeviceError: The version is not in the recipe's table, or there is no graph for it.
    """
    found = version_tuple(version)
    comparable = [] if found >= (11, 0) else ["--useCudaGraph", "--useSpinWait", "--noDataTransfers"]
    bench = ["--loadEngine=model.engine", *comparable, "--warmUp=500", "--duration=10", "--exportTimes=times.json"]
    builds = tuple(_build_line(recipe, plan, found) for plan in plans_for(recipe, version))
    return builds, " ".join(["trtexec", *bench])


def _build_line(recipe: TensorRTRecipe, plan: BuildPlan, found: tuple[int, ...]) -> str:
    options = [
        f"--onnx={plan.graph.name}",
        "--saveEngine=model.engine",
        f"--memPoolSize=workspace:{recipe.workspace_mib}",
        f"--timingCacheFile={recipe.timing_cache}",
        *_types(plan, found),
        "--buildOnly" if found < (8, 6) else "--skipInference",
        "--profilingVerbosity=detailed",
        "--exportLayerInfo=layers.json",
    ]
    return " ".join(["trtexec", *options])


def _types(plan: BuildPlan, found: tuple[int, ...]) -> list[str]:
    if "STRONGLY_TYPED" in plan.attempt.network_flags and found < (11, 0):
        return ["--stronglyTyped"]
    return [f"--{name.lower()}" for name in plan.attempt.builder_flags]


def describe_by_hand(recipe: TensorRTRecipe) -> str:
    """Return the lines of every version in the recipe's table, as the text of ``trtexec.txt``."""
    lines = [
        "How to build the engine by hand, on the device itself, with model.onnx copied here. weckd-edge finalize does this",
        "and tests the result; these lines are for where it cannot run (JetPack 5 has Python 3.8). Where a line that builds",
        "fails, try the next. Test what you build so: the golden frames and their predictions are in selftest/.",
        "",
    ]
    for rule in recipe.rules:
        lines.append(f"TensorRT {rule.since} up to (not including) {rule.below}:")
        try:
            builds, bench = trtexec_lines(recipe, f"{rule.since}.0")
            lines += [f"    {line}" for line in (*builds, bench)]
        except DeviceError as err:
            lines.append(f"    not possible: {err}")
    return "\n".join(lines) + "\n"
