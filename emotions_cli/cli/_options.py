"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_DATA = "Data"


class DataFormat(StrEnum):
    """Formats of labelled data."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


SettingsOpt = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="Settings file (default: settings.toml, if there).", show_default=False),
]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Set any other setting; 'emotions config show' lists them."),
]
DataOpt = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="REF",
        help="sample, a file, a glob, a folder of splits, or hf:NAME, hf:NAME:CONFIG@REVISION.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
TextColumnOpt = Annotated[
    str | None, typer.Option("--text-column", metavar="NAME", help="Column with the texts.", rich_help_panel=_DATA)
]
LabelColumnOpt = Annotated[
    str | None, typer.Option("--label-column", metavar="NAME", help="Column with the labels.", rich_help_panel=_DATA)
]
LabelSeparatorOpt = Annotated[
    str | None,
    typer.Option("--label-separator", metavar="TEXT", help="Splits a cell into several labels.", rich_help_panel=_DATA),
]
LabelMapOpt = Annotated[
    Path | None,
    typer.Option("--label-map", metavar="FILE", help="TOML file that renames, merges or drops labels.", rich_help_panel=_DATA),
]
InputFormatOpt = Annotated[
    DataFormat | None,
    typer.Option(
        "--input-format", help="Format of the data files (default: by extension).", rich_help_panel=_DATA, show_default=False
    ),
]
ModelOpt = Annotated[
    str | None, typer.Option("--model", "-m", metavar="REF", help="Model: builtin (the default), a run's folder or a bundle's.")
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print JSON.")]
