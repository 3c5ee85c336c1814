"""The command line, ``weckd-edge COMMAND``. Commands are a literal table, imported only when asked for."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
from typing import Any, NamedTuple, NoReturn

import click

import weckd_edge
from weckd_edge.cli.console.failing import Failure, describe_defect, explain
from weckd_edge.cli.console.output import HELP, Stdout, print_lines, print_message
from weckd_edge.core.errors import WeckdError, did_you_mean

logger = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130


class Entry(NamedTuple):
    """A command: the module that holds it, and its one line of help."""

    module: str
    help: str


COMMANDS = {
    "build": Entry(
        "weckd_edge.cli.build", "Train a chain of classifiers on labelled images, compile one, write a verified bundle."
    ),
    "compile": Entry("weckd_edge.cli.compile_model", "Compile a model that you have into a verified bundle."),
    "data": Entry("weckd_edge.cli.data", "Check, audit and split a data set; make a synthetic one."),
    "study": Entry("weckd_edge.cli.study", "Compare the chain with baselines over several seeds."),
    "tune": Entry("weckd_edge.cli.tune", "Tune learning rate and distillation on validation images."),
    "config": Entry("weckd_edge.cli.config", "Show every setting of a build, with its value and its origin."),
    "predict": Entry("weckd_edge.cli.predict", "Classify images with a bundle."),
    "evaluate": Entry("weckd_edge.cli.evaluate", "Measure a bundle on labelled images that its build has not seen."),
    "demo": Entry("weckd_edge.cli.demo", "Serve a local page that classifies images with a bundle."),
    "verify": Entry("weckd_edge.cli.verify", "Check a bundle's signature, digests and self-test."),
    "bench": Entry("weckd_edge.cli.bench", "Measure a bundle's latency, memory and energy, here or over ssh."),
    "estimate": Entry("weckd_edge.cli.estimate", "Estimate the latency of a model on a device that is not attached."),
    "finalize": Entry("weckd_edge.cli.finalize", "Let this device choose what it runs of a bundle."),
    "devices": Entry("weckd_edge.cli.devices", "List, show and detect device profiles."),
    "doctor": Entry("weckd_edge.cli.doctor", "Show what works on this machine, what is missing, how to install it."),
    "package": Entry("weckd_edge.cli.package", "Package a bundle for an update system: tar, RAUC, SWUpdate, Mender."),
    "report": Entry("weckd_edge.cli.report", "Write a bundle's report again, or the changes since another bundle."),
}


class LazyGroup(click.Group):
    """A group that lists its commands from the table, without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(entry.module).command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command '{args[0]}'{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


COMPLETION = """\b
The TAB key completes commands, options and values once your shell has run this line (in ~/.bashrc):
  eval "$(_WECKD_EDGE_COMPLETE=bash_source weckd-edge)"
zsh: the same with zsh_source, in ~/.zshrc; fish: _WECKD_EDGE_COMPLETE=fish_source weckd-edge | source"""


@click.group(cls=LazyGroup, context_settings={**HELP, "max_content_width": 110}, epilog=COMPLETION)
@click.version_option(weckd_edge.__version__, prog_name="weckd-edge")
@click.option("-v", "--verbose", is_flag=True, help="Print log lines to stderr.")
def cli(verbose: bool) -> None:
    """Train a chain of ever smaller image classifiers, compile one for a small device, and verify it.

    Start with: weckd-edge data check FOLDER, then weckd-edge build --data FOLDER --target cpu --out BUNDLE
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main(args: list[str] | None = None) -> None:
    """Run the command line; the one place where errors become exit codes.

    Exit codes: 0 done, 1 failed, 2 wrong request, 3 a gate was missed or a comparison was lost, 70 a defect of this
    software, 130 interrupted. Every failure prints one line with its code; ``-v`` shows the traceback of one that is not a
    ``WeckdError``. With ``--json``, code and message are on stdout too, unless a result was printed before. Where nobody
    reads the output any more, the exit code is 1 and nothing is printed.
    """
    _open_streams()
    stdout = Stdout(wants_json="--json" in (sys.argv[1:] if args is None else args))
    try:
        code: Any = cli.main(args=args, prog_name="weckd-edge", standalone_mode=False, obj=stdout)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        _leave("interrupted; run the same command again to resume", EXIT_INTERRUPTED)
    except click.ClickException as err:
        with contextlib.suppress(OSError):
            stdout.print_failure(Failure("E_USAGE", err.format_message()))
            err.show()
        _exit(err.exit_code)
    except WeckdError as err:
        _fail(Failure(err.code, str(err)), stdout, err.exit_code, err.lines)
    except BrokenPipeError:
        _exit(EXIT_FAILED)
    except Exception as err:
        failure = explain(err)
        if failure is None:
            report_defect(err, stdout)
        logger.info("where it failed", exc_info=err)
        _fail(failure, stdout, EXIT_FAILED)
    else:
        _exit(code if isinstance(code, int) else 0)


def report_defect(err: Exception, stdout: Stdout) -> NoReturn:
    """Exit with one line about an error that nobody has foreseen."""
    logger.info("where it failed", exc_info=err)
    _fail(describe_defect(err), stdout, EXIT_DEFECT)


def _fail(failure: Failure, stdout: Stdout, code: int, lines: tuple[str, ...] = ()) -> NoReturn:
    with contextlib.suppress(OSError):
        stdout.print_failure(failure)
    _leave(f"error[{failure.code}]: {failure.message}", code, lines)


def _open_streams() -> None:
    """Replace closed standard streams by /dev/null, so that no file that is opened later gets the number of one."""
    # The lowest free numbers are given out first: a file that is opened later must not become stdout or stderr.
    with contextlib.suppress(OSError):
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(handle, True)
        os.close(handle)
    if sys.stderr is None:  # closed before the start
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - open to the end
    if sys.stdout is None:  # closed before the start
        message = "stdout is closed, so that no result could be printed; send it to a file, or to /dev/null"
        _fail(Failure("E_SYSTEM_OUTPUT", message), Stdout(wants_json=False), EXIT_FAILED)
    # A name of a file that the terminal's encoding lacks is printed as an escape.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _leave(message: str, code: int, lines: tuple[str, ...] = ()) -> NoReturn:
    with contextlib.suppress(OSError):
        print_message(message)
        print_lines(lines)
    _exit(code)


def _exit(code: int) -> NoReturn:
    """Exit; drop what a full or closed stream still holds back, so that Python does not complain of it again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                handle = os.open(os.devnull, os.O_WRONLY)
                os.dup2(handle, stream.fileno())
                os.close(handle)
    sys.exit(code)
