"""The root command, and the one boundary where errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from emotions_cli import __version__
from emotions_cli.cli import config, data, evaluate, export, models, predict, sweep, train
from emotions_cli.cli._output import report
from emotions_cli.cli._training import TrainingCommand
from emotions_cli.errors import EXIT_INTERRUPTED, EXIT_OK, EmotionsError, StorageError
from emotions_cli.streams.atomic import DISK_FULL


class RootGroup(TyperGroup):
    """Prints errors raised on purpose as two lines, lets all others keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except EmotionsError as error:
            raise _reported(error) from error
        except BrokenPipeError:
            # the reader has seen enough
            _drop_stdout()
            raise typer.Exit(EXIT_OK) from None
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            # files are written through streams.atomic, which maps this itself: it was stdout
            _drop_stdout()
            full = StorageError(f"Standard output can't be written: {error.strerror}.", "Make room, or write to another place.")
            raise _reported(full) from error
        except KeyboardInterrupt:
            typer.echo("\nInterrupted.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None


def _reported(error: EmotionsError) -> typer.Exit:
    report(error)
    return typer.Exit(error.exit_code)


def _drop_stdout() -> None:
    """Forget what is buffered for stdout: the interpreter would try to write it at exit, and complain in its own way."""
    if sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, evaluate and run emotion classifiers on text.",
)
app.command("predict")(predict.predict_command)
app.command("train", cls=TrainingCommand)(train.train_command)
app.command("sweep", cls=TrainingCommand)(sweep.sweep_command)
app.command("evaluate")(evaluate.evaluate_command)
app.command("export")(export.export_command)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emotions {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, evaluate and run emotion classifiers on text."""
