"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

DATA, STOP_AND_GO_ON = "Data", "Stop and go on"


class DataFormat(StrEnum):
    """Formats of labelled data."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Resuming(StrEnum):
    """Whether to go on with a run."""

    NO = "no"
    YES = "yes"
    AUTO = "auto"


class Wandb(StrEnum):
    """Where W&B's client sends what is measured."""

    ONLINE = "online"
    OFFLINE = "offline"
    DISABLED = "disabled"


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
        rich_help_panel=DATA,
        show_default=False,
    ),
]
ValidationDataOpt = Annotated[
    str | None,
    typer.Option("--validation-data", metavar="FILE", help="File for the validation split.", rich_help_panel=DATA),
]
TextColumnOpt = Annotated[
    str | None, typer.Option("--text-column", metavar="NAME", help="Column with the texts.", rich_help_panel=DATA)
]
LabelColumnOpt = Annotated[
    str | None, typer.Option("--label-column", metavar="NAME", help="Column with the labels.", rich_help_panel=DATA)
]
LabelSeparatorOpt = Annotated[
    str | None,
    typer.Option("--label-separator", metavar="TEXT", help="Splits a cell into several labels.", rich_help_panel=DATA),
]
LabelMapOpt = Annotated[
    Path | None,
    typer.Option("--label-map", metavar="FILE", help="TOML file that renames, merges or drops labels.", rich_help_panel=DATA),
]
InputFormatOpt = Annotated[
    DataFormat | None,
    typer.Option(
        "--input-format", help="Format of the data files (default: by extension).", rich_help_panel=DATA, show_default=False
    ),
]
ModelOpt = Annotated[
    str | None, typer.Option("--model", "-m", metavar="REF", help="Model: builtin (the default), a run's folder or a bundle's.")
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def output_option(meaning: str) -> OptionInfo:
    """Declare ``--output`` of a command that works in a folder."""
    option: OptionInfo = typer.Option("--output", "-o", metavar="DIR", help=meaning)
    return option


def resume_option(meaning: str) -> OptionInfo:
    """Declare ``--resume``, which may stand alone."""
    option: OptionInfo = typer.Option(
        "--resume", metavar="[auto]", help=meaning, rich_help_panel=STOP_AND_GO_ON, show_default=False
    )
    return option


def wandb_option(meaning: str) -> OptionInfo:
    """Declare ``--wandb``, which may stand alone."""
    option: OptionInfo = typer.Option(
        "--wandb", metavar="[offline]", help=meaning, rich_help_panel=STOP_AND_GO_ON, show_default=False
    )
    return option
