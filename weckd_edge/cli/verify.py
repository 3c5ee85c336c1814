"""``weckd-edge verify``: signature, digests and self-test of a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import AcceptedBundle, Output
from weckd_edge.cli.parsing.options import Command, takes
from weckd_edge.cli.parsing.parameter_types import PATH


@click.command("verify", cls=Command)
@click.argument("bundle", type=PATH)
@takes(trust=AcceptedBundle, output=Output)
def command(bundle: Path, trust: AcceptedBundle, output: Output) -> None:
    """Check a bundle's signature, every file's digest, and its golden frames with each model that runs here."""
    from weckd_edge.core.errors import BundleError
    from weckd_edge.devices.runtime.verify_bundle import verify_bundle

    result = verify_bundle(bundle, trust.key, trust.min_version)
    if output.as_json:
        print_json(result)
    elif result.digests_ok:
        rows = [
            (
                f"{test.backend} {test.precision}" + (" *" if test.runs else ""),
                test.frames,
                None if test.max_abs is None else f"{test.max_abs:.6f}",
                None if test.tolerance is None else f"{test.tolerance:g}",
                test.flips,
                None if test.int8 is None else str(test.int8),
                {True: "passed", False: "FAILED", None: "not run"}[test.passed],
                test.reason or "",
            )
            for test in result.selftest
        ]
        print_table(("model", "frames", "max difference", "allowed", "flips", "in int8", "self-test", "why"), rows)
        if result.running is not None:
            print_message(f"* predicts here: {result.running}")
        for test in result.selftest:
            if test.int8 is not None and test.int8.float_layers:
                print_message(f"{test.name}: {test.int8.sentence}")
        print_message(f"signature: {result.signature}; every file has the digest that the manifest names")
    if not result.passed:
        raise BundleError(str(result.problem), code=str(result.code))
