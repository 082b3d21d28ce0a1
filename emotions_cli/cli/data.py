"""``emotions data``: look at labelled data, find what is wrong with it, and mix several data sets into one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotions_cli.cli._options import (
    DataFormat,
    InputFormatOpt,
    JsonOpt,
    LabelColumnOpt,
    LabelMapOpt,
    LabelSeparatorOpt,
    SetOpt,
    SettingsOpt,
    TextColumnOpt,
)
from emotions_cli.cli._output import bar, plain_table, print_json, say, stdout_console
from emotions_cli.cli._settings import data_request, resolve_settings
from emotions_cli.errors import GateFailed

if TYPE_CHECKING:
    from emotions_cli.data import Dataset
    from emotions_cli.data.check import Finding
    from emotions_cli.data.summary import Summary
    from emotions_cli.encoding import Encoder

app = typer.Typer(no_args_is_help=True, help="Look at labelled data, find what is wrong with it, mix it.")

ReferenceArg = Annotated[str, typer.Argument(metavar="REF", help="sample, a file, a glob, a folder of splits, or hf:NAME.")]


@app.command("show")
def show_command(
    reference: ReferenceArg,
    text_column: TextColumnOpt = None,
    label_column: LabelColumnOpt = None,
    label_separator: LabelSeparatorOpt = None,
    label_map: LabelMapOpt = None,
    input_format: InputFormatOpt = None,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """Show sizes, label balance, lengths and examples."""
    from emotions_cli.data.summary import summarise

    columns = _columns(text_column, label_column, label_separator, label_map, input_format)
    dataset, encoder = _load(reference, settings, assignments, columns)
    summary = summarise(dataset, encoder)
    if as_json:
        print_json({"reference": reference, "task": str(dataset.task), "fingerprint": dataset.fingerprint(), **summary.to_json()})
        return
    _print_summary(dataset, summary)


@app.command("check")
def check_command(
    reference: ReferenceArg,
    text_column: TextColumnOpt = None,
    label_column: LabelColumnOpt = None,
    label_separator: LabelSeparatorOpt = None,
    label_map: LabelMapOpt = None,
    input_format: InputFormatOpt = None,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
    as_json: JsonOpt = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 when anything is found.")] = False,
) -> None:
    """Find empty, duplicated, contradictory, leaked and overlong texts, and labels with too few."""
    from emotions_cli.data.check import check_dataset

    columns = _columns(text_column, label_column, label_separator, label_map, input_format)
    dataset, encoder = _load(reference, settings, assignments, columns)
    if encoder is None:
        say(["lengths are not checked: that takes the base model's tokenizer, from 'emotions-cli[train,offline]' or a folder"])
    findings = check_dataset(dataset, encoder)
    if as_json:
        print_json({"reference": reference, "findings": [finding.to_json() for finding in findings]})
    else:
        _print_findings(dataset, findings)
    if strict and findings:
        raise GateFailed(f"'{reference}' has {len(findings)} findings.", "Mend them, or leave out --strict.")


@app.command("mix")
def mix_command(
    mixture: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file with the sources.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for train.jsonl and validation.jsonl.")],
    copies: Annotated[
        Path | None,
        typer.Option(
            "--copies",
            metavar="DIR",
            envvar="EMOTIONS_COPIES",
            help="Local copies of the sources, a folder each, read in place of the Hub.",
        ),
    ] = None,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
) -> None:
    """Make one data set out of several: relabelled, corrected, capped and repeated as a file says."""
    from emotions_cli.data.mixture import mix, read_mixture, write_mixed

    resolved = resolve_settings(settings, assignments).settings
    token = None if resolved.hub.token is None else resolved.hub.token.get_secret_value()
    mixed = mix(read_mixture(mixture), copies=copies, token=token)
    say(mixed.notes)
    write_mixed(mixed, output)
    table = plain_table("split", "source", *(f">{_escaped(label)}" for label in mixed.labels), ">all")
    for (split, source), counts in mixed.counts().items():
        table.add_row(split, _escaped(source), *(f"{counts[label]:,}" for label in mixed.labels), f"{sum(counts.values()):,}")
    stdout_console().print(table)


def _columns(
    text_column: str | None,
    label_column: str | None,
    label_separator: str | None,
    label_map: Path | None,
    input_format: DataFormat | None,
) -> dict[str, object]:
    return {
        "text_column": text_column,
        "label_column": label_column,
        "label_separator": label_separator,
        "label_map": label_map,
        "input_format": input_format,
    }


def _load(
    reference: str, settings: Path | None, assignments: list[str] | None, columns: dict[str, object]
) -> tuple[Dataset, Encoder | None]:
    from emotions_cli.data import load_dataset
    from emotions_cli.encoding import Encoder
    from emotions_cli.training.base_models import local_folder

    resolved = resolve_settings(settings, assignments, data={"reference": reference, **columns}).settings
    dataset = load_dataset(data_request(resolved))
    say(dataset.notes)
    folder = local_folder(resolved.training.base_model)
    encoder = None if folder is None else Encoder.from_folder(folder, max_length=resolved.training.max_length)
    return dataset, encoder


def _print_summary(dataset: Dataset, summary: Summary) -> None:
    console = stdout_console()
    console.print(f"[bold]{_escaped(dataset.reference)}[/]  {dataset.task}, {len(dataset.labels)} labels\n")
    sizes = plain_table("split", ">texts", *(f">p{p}" for p in (50, 90, 99)), f">longest, {summary.unit}")
    for split, size in summary.sizes.items():
        sizes.add_row(split, f"{size:,}", *(str(n) for n in summary.lengths[split].values()))
    console.print(sizes)
    balance = plain_table("label", *(f">{split}" for split in summary.sizes), "")
    totals = {label: sum(counts[label] for counts in summary.balance.values()) for label in dataset.labels}
    for label, total in sorted(totals.items(), key=lambda item: -item[1]):
        counts = [f"{counts[label]:,}" for counts in summary.balance.values()]
        balance.add_row(_escaped(label), *counts, f"[cyan]{bar(total / max(totals.values()))}[/]")
    console.print(balance)
    examples = plain_table("label", "for example")
    for label, texts in summary.examples.items():
        for i, text in enumerate(texts):
            examples.add_row(_escaped(label) if i == 0 else "", _escaped(text))
    console.print(examples)


def _print_findings(dataset: Dataset, findings: list[Finding]) -> None:
    console = stdout_console()
    if not findings:
        texts = sum(len(part) for part in dataset.splits.values())
        console.print(f"[green]Nothing found[/] in {texts:,} texts of {len(dataset.splits)} splits.")
        return
    table = plain_table("split", ">count", "finding", "for example")
    for finding in findings:
        table.add_row(finding.split, f"{finding.count:,}", finding.message, _escaped("\n".join(finding.examples[:3])))
    console.print(table)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
