"""``emotions evaluate``: judge a model on labelled texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotions_cli.cli._options import (
    DataOpt,
    InputFormatOpt,
    JsonOpt,
    LabelColumnOpt,
    LabelMapOpt,
    LabelSeparatorOpt,
    ModelOpt,
    SetOpt,
    SettingsOpt,
    TextColumnOpt,
)
from emotions_cli.cli._output import label_table, plain_table, print_json, say, stdout_console
from emotions_cli.cli._settings import data_request, open_classifier, resolve_settings, split_labels
from emotions_cli.errors import GateFailed
from emotions_cli.streams.formats import Format, writable_format

if TYPE_CHECKING:
    from emotions_cli.data import Dataset
    from emotions_cli.evaluation import Evaluation
    from emotions_cli.inference import Classifier


def evaluate_command(
    model: ModelOpt = None,
    data: DataOpt = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Split to judge on (default: test, else validation, else all).")
    ] = None,
    text_column: TextColumnOpt = None,
    label_column: LabelColumnOpt = None,
    label_separator: LabelSeparatorOpt = None,
    label_map: LabelMapOpt = None,
    input_format: InputFormatOpt = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="A,B,…",
            help="Let the model answer only these; data: those of the data (the default if it knows them); all: its own.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write texts, true and predicted labels to this file.")
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", metavar="METRIC=LIMIT", help="Exit with 3 when a metric misses its limit; repeatable."),
    ] = None,
    as_json: JsonOpt = False,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
) -> None:
    """Judge a model on labelled texts: accuracy, F1, calibration, per label and overall."""
    from emotions_cli.data import load_dataset
    from emotions_cli.evaluation import Gate, evaluate

    gates = [Gate.parse(text) for text in fail_under or []]
    output_format = None if output is None else writable_format(output)
    resolved = resolve_settings(
        settings,
        assignments,
        data={
            "reference": data,
            "text_column": text_column,
            "label_column": label_column,
            "label_separator": label_separator,
            "label_map": label_map,
            "input_format": input_format,
        },
        inference={"model": model},
        evaluation={"split": split},
    ).settings
    inference = resolved.inference
    classifier = open_classifier(inference)
    dataset = load_dataset(data_request(resolved))
    say(dataset.notes)
    evaluation = evaluate(
        classifier,
        dataset,
        split=resolved.evaluation.split,
        answers=_answers(labels, classifier, dataset),
        ece_bins=resolved.evaluation.ece_bins,
    )
    say(evaluation.notes)
    if as_json:
        rest = {"split": evaluation.split, "answers": list(evaluation.answers), "notes": list(evaluation.notes)}
        print_json({**evaluation.judgement.to_json(), **rest})
    else:
        _print(evaluation, dataset.reference)
    if output is not None and output_format is not None:
        _write(evaluation, output, output_format)
    missed = [gate for gate in gates if not gate.passes(evaluation.judgement.overall)]
    if missed:
        values = evaluation.judgement.overall
        said = ", ".join(f"{gate.metric} is {values[gate.metric]:.4f}, the limit is {gate.limit:g}" for gate in missed)
        raise GateFailed(f"The model misses its gate: {said}.", "")


def _answers(labels: str | None, classifier: Classifier, dataset: Dataset) -> list[str] | None:
    if labels == "all" and labels not in classifier.labels:
        return list(classifier.labels)
    if labels == "data" and labels not in classifier.labels:
        # none in common: that is an error of its own
        return [label for label in classifier.labels if label in dataset.labels] or None
    return split_labels(labels)


def _print(evaluation: Evaluation, reference: str) -> None:
    from rich.markup import escape

    console = stdout_console()
    judgement = evaluation.judgement
    console.print(f"[bold]{escape(reference)}[/], split {evaluation.split}: {judgement.n:,} texts\n")
    overall = plain_table("metric", ">value")
    for name, value in judgement.overall.items():
        overall.add_row(name, f"{value:.4f}")
    console.print(overall)
    console.print(label_table(judgement))
    if judgement.confusion is None:
        return
    matrix = plain_table("true \\ answered", *(f">{escape(name)}" for name in judgement.names))
    for name, row in zip(judgement.names, judgement.confusion.tolist(), strict=True):
        matrix.add_row(escape(name), *(_shaded(count, sum(row)) for count in row))
    console.print(matrix)


def _shaded(count: int, of: int) -> str:
    """A cell whose background gets darker with its share of the row."""
    share = count / of if of else 0.0
    level = round(share * 8)
    if level == 0:
        return f"[dim]{count}[/]"
    # the blues of the 256-colour cube, light text on the dark ones
    shades = (17, 18, 19, 20, 26, 32, 38, 44)
    return f"[{'white' if level < 6 else 'black'} on color({shades[level - 1]})]{count:>4} [/]"


def _write(evaluation: Evaluation, path: Path, file_format: Format) -> None:
    from emotions_cli.answering.columns import AnswerColumns
    from emotions_cli.streams.writers import file_writer

    single = evaluation.judgement.confusion is not None
    columns = AnswerColumns(evaluation.labels.names, single, file_format, all_scores=True)
    rows = [
        {"text": prediction.text, "label": columns.joined(truth), **columns.values(prediction, prediction.reason)}
        for prediction, truth in zip(evaluation.predictions, evaluation.truth, strict=True)
    ]
    with file_writer(path, file_format, ["text", "label", *columns.names]) as writer:
        writer.write(rows)
