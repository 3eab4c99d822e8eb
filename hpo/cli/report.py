"""The command `hpo report`: a study as one page."""

from __future__ import annotations

from pathlib import Path

import click

from hpo.cli import options
from hpo.config import Config
from hpo.errors import HpoError


@click.command()
@options.study
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="A .html file; STUDY-report.html.")
@click.pass_obj
def report(config: Config, study: str, out: Path | None) -> None:
    """Write all that is known of a study as one page of HTML, to keep, print or pass on.

    What was searched, how good the best is and how sure that is, what mattered, what the model gets wrong, where the
    time went, what failed, and how to do it again. It shows texts of the rows: mind who reads it.

    Example: hpo report -s bert-news --out report.html
    """
    from hpo import report as reading
    from hpo.cli import plot

    name = options.name_of(study)
    out = out or Path(f"{name}-report.html")
    options.check_out(out, ".html")
    plot.check_extra("report")
    from hpo.onepage import account, page
    from hpo.plots import draw

    with reading.read(config) as rows:
        found = account.gather(rows, name, config.data_root)
    pictures, missing = draw.svgs(found.story, plot.shares)
    try:
        out.write_text(page.html(found, pictures, missing), "utf-8")
    except OSError as error:
        raise HpoError(f"--out {out}: {error.strerror}") from None
    click.echo(out)
