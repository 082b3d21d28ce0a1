"""What the commands print: data to stdout, everything said about it to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from emotions_cli.errors import EmotionsError
    from emotions_cli.metrics.judgement import Judgement

BAR_WIDTH = 32
PIPE_WIDTH = 160
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def report(error: EmotionsError) -> None:
    """Say on stderr what is wrong, and what to do about it."""
    import typer

    typer.secho(f"Error: {error.message}", err=True, fg=typer.colors.RED)
    if error.hint:
        typer.echo(f"  → {error.hint}", err=True)


def stdout_console() -> Console:
    """A console for tables on stdout."""
    from rich.console import Console

    class StdoutConsole(Console):
        def on_broken_pipe(self) -> None:
            # rich would end the process with exit code 1: a reader that has seen enough is no error
            raise BrokenPipeError

    # a pipe is as wide as its longest row: tables are cut to a terminal's width only on one
    return StdoutConsole(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def stderr_console(*, quiet: bool = False) -> Console:
    """A console for notes and progress on stderr; a quiet one shows nothing."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, quiet=quiet)


def say(notes: Iterable[str]) -> None:
    """Print notes to stderr, a line each."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print plain values as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def plain_table(*columns: str, title: str | None = None) -> Table:
    """Make a table; columns that begin with ``>`` are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def label_table(judgement: Judgement, *, title: str | None = None) -> Table:
    """Make a table of precision, recall, F1 and support of each label."""
    from rich.markup import escape

    table = plain_table("label", ">precision", ">recall", ">F1", ">support", title=title)
    scores = judgement.labels
    for i, name in enumerate(judgement.names):
        values = (f"{column[i]:.3f}" for column in (scores.precision, scores.recall, scores.f1))
        table.add_row(escape(name), *values, f"{scores.support[i]:,}")
    return table


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """Draw a share of 1 as a bar of eighths of a character."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")
