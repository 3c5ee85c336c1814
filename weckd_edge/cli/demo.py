"""``weckd-edge demo``: a local page that classifies images, and examinations, with a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click

from weckd_edge.cli.console.output import print_json, print_message
from weckd_edge.cli.parsing.option_groups import AcceptedBundle, Output, Runtime
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH, WholeNumber

_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(OptionGroup):
    """The address that the page is served at."""

    title: ClassVar[str] = "Page"
    port: int = option(
        "--port", default=8765, show_default=True, type=WholeNumber(0, 65535), help="Port; 0 takes a free one."
    )
    host: str = option(
        "--host", default="127.0.0.1", show_default=True, help="Address to listen on; the default is this machine alone."
    )
    open_browser: bool = option("--open", is_flag=True, help="Open the page in a browser.")


@click.command("demo", cls=Command)
@click.argument("bundle", type=PATH)
@takes(page=Page, runtime=Runtime, trust=AcceptedBundle, output=Output)
def command(bundle: Path, page: Page, runtime: Runtime, trust: AcceptedBundle, output: Output) -> int:
    """Classify with a BUNDLE on a page in your browser: one image, or an examination by a live camera or a video.

    Prints the page's address and serves it until Ctrl-C. Images and frames stay on this machine; none is written or logged.
    """
    from weckd_edge.devices.demo.server import DemoServer
    from weckd_edge.devices.demo.session import DemoSession

    with (
        DemoSession(
            bundle,
            backend=runtime.backend,
            precision=runtime.precision,
            threads=runtime.threads,
            key=trust.key,
            min_version=trust.min_version,
        ) as session,
        DemoServer(session, host=page.host, port=page.port) as server,
    ):
        if not server.is_local:
            print_message(
                f"warning: anyone who reaches {page.host} over the network can send it images and read the predictions"
            )
            where = "does not work at this address" if server.camera_url is None else f"works only at {server.camera_url}"
            print_message(f"the camera {where}, as browsers ask for https elsewhere; image and video files work anywhere")
        if output.as_json:
            print_json({"bundle": str(bundle), "url": server.url})
        else:
            click.echo(server.url)
        print_message("Ctrl-C ends it")
        if page.open_browser:
            click.launch(server.camera_url or server.url)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            print_message("stopped")
    return _INTERRUPTED
