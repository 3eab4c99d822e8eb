"""The command `hpo dashboard`."""

from __future__ import annotations

import secrets

import click

from hpo.config import Config


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--host-name", "names", multiple=True, metavar="NAME", help="Another name browsers may ask for it by.")
@click.option("--write", is_flag=True, help="Let the page change and delete studies; without it, it only shows.")
@click.option("--trust-header", metavar="HEADER", help="Who logged in, said by a reverse proxy, e.g. X-Remote-User.")
@click.option("--proxy", "proxies", multiple=True, metavar="ADDRESS", help="The address whose header is trusted.")
@click.pass_obj
def dashboard(
    config: Config,
    host: str,
    port: int,
    names: tuple[str, ...],
    write: bool,
    trust_header: str | None,
    proxies: tuple[str, ...],
) -> None:
    """Serve optuna-dashboard until Ctrl-C.

    It prints a link with a token that opens it. HPO_DASHBOARD_PASSWORD asks for a password instead, and so may a
    reverse proxy, named by --trust-header and --proxy.

    Example: hpo dashboard --port 8080
    """
    from hpo.dashboard import listen, serve
    from hpo.dashboard.access import decide
    from hpo.store import open_store

    token = secrets.token_urlsafe(32)
    access = decide(host, names, token, config.dashboard_password, trust_header, proxies, write)
    with listen(host, port) as listening, open_store(config) as store:
        at = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        click.echo(f"{at}{f'?token={token}' if access.token else ''} (Ctrl-C ends it)", err=True)
        serve(config, store, access, listening)
