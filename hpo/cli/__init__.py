"""The command `hpo`: parse, call one function, print. Commands import what they need, so that help is quick."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

import hpo

# name: (module, the first sentence of its help): `hpo --help` imports none of the modules
COMMANDS = {
    "launch": ("launch", "Create or continue a study and work on it with local processes."),
    "worker": ("run", "Work on a study in this process, from anywhere: it needs the database and the data alone."),
    "init": ("init", "Write a first study file for rows: task, columns, lengths and ranges are guessed."),
    "check": ("check", "Check a study file completely and print the resolved study."),
    "rank-models": (
        "rank_models",
        "Rank the models that a study searches before any is trained, and queue the promising ones first.",
    ),
    "enqueue": ("run", "Queue a point of your own, on top of the budget."),
    "pause": ("control", "Let workers give back a study's trials, or one of them, and wait until it is resumed."),
    "resume": ("control", "Undo a pause or a stop."),
    "stop": ("control", "Let workers give back a study's trials, and end."),
    "cancel": ("control", "End trials as failed at once, or all that a study has left."),
    "requeue": ("control", "Queue finished trials again with the same parameters, on top of the budget."),
    "rename": ("run", "Give a study another name; its trials keep their numbers."),
    "copy": ("run", "Make a new study that searches the same, with the same budget."),
    "delete": ("run", "Remove a study with all its trials from the database."),
    "studies": ("read", "List the studies of the database."),
    "status": ("read", "How a study stands: its counts, what runs where, the best so far."),
    "watch": ("watch", "Show a study as it runs, from anywhere, without touching it."),
    "workers": ("read", "The workers that run a trial now, on all machines; one that waits for a trial is not listed."),
    "trials": ("read", "All trials of a study."),
    "show": ("read", "One trial: parameters, settings, attempts and learning curve."),
    "best": ("read", "The best complete trial: its parameters and the metrics of its best evaluation."),
    "errors": ("errors", "What a study's model gets wrong: mistakes to read, confused classes, slices, calibration."),
    "export": ("export", "Write all trials to a file, or to MLflow."),
    "cost": ("cost", "What a study has cost in hours, on what, what became of it, and what is left to do."),
    "plot": ("plot", "Draw a study: history, curves, importance, slice, parallel, contour, timeline, cost."),
    "report": ("report", "Write all that is known of a study as one page of HTML, to keep, print or pass on."),
    "logs": ("read", "What this machine's workers wrote, in order of time."),
    "dashboard": ("serve", "Serve optuna-dashboard until Ctrl-C."),
    "doctor": ("doctor", "Look at what hpo needs of this machine, and say what mends what is wrong."),
    "cache": ("cache", "What trials need not compute again: states of frozen blocks, and tokens, on this machine."),
    "promote": (
        "promote",
        "Retrain the best configurations with fresh seeds, test them once, and write the winner's model.",
    ),
    "compare": ("compare", "Compare promoted studies and simple rules on the same test rows."),
    "predict": ("promote", "Label the rows of a file with a model that `hpo promote` wrote."),
    "db": ("db", "The database: the embedded server, or the one that HPO_DATABASE_URL names."),
}


class Lazy(click.Group):
    """A group whose commands stand in modules that are imported when they are called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"hpo.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, without importing them, or the options."""
        found = [CompletionItem(name, help=said) for name, (_, said) in COMMANDS.items() if name.startswith(incomplete)]
        return found if not incomplete.startswith("-") else super().shell_complete(ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest command named."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"no such command: {args[0]}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", metavar="DIR", help="Where the embedded server and the logs live.  [env: HPO_HOME]")
@click.option(
    "--database-url", metavar="URL", help="A PostgreSQL server of your own, without password.  [env: HPO_DATABASE_URL]"
)
@click.version_option(hpo.__version__, prog_name="hpo")
@click.pass_context
def group(context: click.Context, home: str | None, database_url: str | None) -> None:
    """Hyperparameter optimization for transfer learning.

    A study file says what is fine-tuned and what is searched; worker processes share the study in PostgreSQL.

    Example: hpo launch --study bert-news --workers 2
    """
    from hpo import config

    if database_url:
        from hpo.database import refuse_password

        refuse_password(database_url)
    context.obj = config.load(home=home, database_url=database_url)


def main(arguments: list[str] | None = None) -> None:
    """Run `hpo`; exit codes: 0 done, 1 an error to act on (one line), 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no reason to fail
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    from hpo.errors import HpoError

    try:
        code: Any = group.main(arguments, prog_name="hpo", standalone_mode=False)
        sys.stdout.flush()  # a pipe that is closed by now is noticed here, not when Python ends
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except HpoError as error:
        _complain(str(error))
        return 1
    except Exception as error:
        line = _database_line(error)
        if line is None:
            raise
        _complain(line)
        return 1
    return code if isinstance(code, int) else 0


def _complain(line: str) -> None:
    from hpo.tables import printable

    click.echo(f"Error: {printable(line)}", err=True)


def _database_line(error: Exception) -> str | None:
    """What a lost or refused database says; None for anything else, which is a bug of ours."""
    if "sqlalchemy" not in sys.modules and "psycopg2" not in sys.modules:
        return None
    from hpo.database import explain, is_refusal

    return f"the database: {explain(error)}" if is_refusal(error) else None
