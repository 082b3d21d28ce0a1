"""``emotions config``: what is set, where it comes from, and a file to start with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotions_cli.cli._options import JsonOpt, SetOpt, SettingsOpt
from emotions_cli.cli._output import plain_table, print_json, stdout_console
from emotions_cli.cli._settings import resolve_settings
from emotions_cli.errors import SettingsError

app = typer.Typer(no_args_is_help=True, help="Show settings and where they come from; write a settings file.")


@app.command("show")
def show_command(settings: SettingsOpt = None, assignments: SetOpt = None, as_json: JsonOpt = False) -> None:
    """Print every setting, its value and where the value comes from. Secrets are masked."""
    rows = list(resolve_settings(settings, assignments).rows())
    if as_json:
        print_json({f"{section}.{key}": {"value": value, "origin": origin} for section, key, value, origin in rows})
        return
    table = plain_table("setting", "value", "from")
    for section, key, value, origin in rows:
        style = "dim" if origin == "default" else None
        table.add_row(f"{section}.{key}", "-" if value is None else str(value), origin, style=style)
    stdout_console().print(table)


@app.command("init")
def init_command(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("settings.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write a settings file with every key, its meaning, its unit and its default."""
    from emotions_cli.settings.render import example_text
    from emotions_cli.streams.atomic import whole_file

    if path.exists() and not force:
        raise SettingsError(f"'{path}' is there already.", "Replace it with --force, or name another file.")
    with whole_file(path) as part:
        part.write_text(example_text(), encoding="utf-8")
    typer.echo(f"Wrote {path}", err=True)
