"""``weckd-edge demo``: a local page that answers images with a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.console.output import HELP, json_option, print_json, print_message
from weckd_edge.cli.options import PATH, THREADS, min_version_option, owner_key_option

_INTERRUPTED = 130


@click.command("demo", context_settings=HELP)
@click.argument("bundle", type=PATH)
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; the default is this machine.")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--backend", help="Run with this one: openvino, onnxruntime or tensorrt; the default is the best that is here."
)
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Processor threads.")
@owner_key_option
@min_version_option
@json_option
def command(
    bundle: Path,
    port: int,
    host: str,
    open_browser: bool,
    backend: str | None,
    threads: int,
    key: Path | None,
    min_version: int,
    as_json: bool,
) -> int:
    """Classify images with a BUNDLE on a page in your browser: drop a file, choose one, or use the camera.

    Prints the page's address and serves it until Ctrl-C. Images stay on this machine; none is written or logged.
    """
    from weckd_edge.devices.demo.server import DemoServer
    from weckd_edge.devices.demo.session import DemoSession

    with (
        DemoSession(bundle, backend=backend, threads=threads, key=key, min_version=min_version) as session,
        DemoServer(session, host=host, port=port) as server,
    ):
        if not server.is_local:
            print_message(
                f"warning: anyone who reaches {host} over the network can send images to this page, and read their answers"
            )
            print_message("the camera works only on this machine's own address, as browsers ask for https elsewhere")
        if as_json:
            print_json({"bundle": str(bundle), "url": server.url})
        else:
            click.echo(server.url)
        print_message("Ctrl-C ends it")
        if open_browser:
            click.launch(server.url)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            print_message("stopped")
    return _INTERRUPTED
