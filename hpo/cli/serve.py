"""The command `hpo dashboard`."""

from __future__ import annotations

import socket

import click

from hpo.config import Config
from hpo.errors import HpoError

_HOST = "127.0.0.1"


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.pass_obj
def dashboard(config: Config, port: int) -> None:
    """Serve optuna-dashboard on 127.0.0.1 until Ctrl-C.

    Example: hpo dashboard --port 8080
    """
    from hpo.dashboard import serve
    from hpo.store import open_store

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise HpoError(f"port {port} on {_HOST}: {error.strerror}; choose another with --port") from None
    with open_store(config) as store:
        click.echo(f"http://{_HOST}:{port}/ (Ctrl-C ends it)", err=True)
        serve(store, _HOST, port)
