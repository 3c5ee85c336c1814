"""Command lines of ``trtexec`` that build and time an engine by hand, by TensorRT version.

An option that a version does not know ends trtexec, and TensorRT 11 counts other things by default than 10 does. So each
version gets its own lines, and times measured by them are comparable: CUDA graph, spin wait, no copies between host and
device. Options from sampleOptions.cpp of the release branches 8.5, 8.6, 10.3, 10.13, 10.16 and 11.1.
"""

from __future__ import annotations

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.jetson.recipe import BuildPlan, TensorRTRecipe, plan_for, version_tuple

TRTEXEC_FILE = "trtexec.txt"


def trtexec_lines(recipe: TensorRTRecipe, version: str) -> tuple[str, str]:
    """Return the line that builds an engine and the line that times it.

    Args:
        recipe: The recipe; its graph's file lies in the folder in which the line is typed.
        version: Version of TensorRT, such as ``10.3.0``.

    Raises:
        DeviceError: The version is not in the recipe's table, or there is no graph for it.
    """
    plan = plan_for(recipe, version)
    found = version_tuple(version)
    build = [
        f"--onnx={plan.graph.name}",
        "--saveEngine=model.engine",
        f"--memPoolSize=workspace:{recipe.workspace_mib}",
        f"--timingCacheFile={recipe.timing_cache}",
        *_types(plan, found),
        "--buildOnly" if found < (8, 6) else "--skipInference",
        "--profilingVerbosity=detailed",
        "--exportLayerInfo=layers.json",
    ]
    comparable = [] if found >= (11, 0) else ["--useCudaGraph", "--useSpinWait", "--noDataTransfers"]
    bench = ["--loadEngine=model.engine", *comparable, "--warmUp=500", "--duration=10", "--exportTimes=times.json"]
    return " ".join(["trtexec", *build]), " ".join(["trtexec", *bench])


def _types(plan: BuildPlan, found: tuple[int, ...]) -> list[str]:
    if "STRONGLY_TYPED" in plan.network and found < (11, 0):
        return ["--stronglyTyped"]
    return [f"--{name.lower()}" for name in plan.builder]


def describe_by_hand(recipe: TensorRTRecipe) -> str:
    """Return the lines of every version in the recipe's table, as the text of ``trtexec.txt``."""
    lines = [
        "How to build the engine by hand, on the device itself, with model.onnx copied here. weckd-edge finalize does this",
        "and tests the result; these lines are for where it cannot run (JetPack 5 has Python 3.8). Test what you build so:",
        "the golden frames and their predictions are in selftest/.",
        "",
    ]
    for rule in recipe.rules:
        lines.append(f"TensorRT {rule.since} up to (not including) {rule.below}:")
        try:
            lines += [f"    {line}" for line in trtexec_lines(recipe, f"{rule.since}.0")]
        except DeviceError as err:
            lines.append(f"    not possible: {err}")
    return "\n".join(lines) + "\n"
