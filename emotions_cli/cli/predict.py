"""``emotions predict``: answer texts, or every row of a file."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotions_cli.cli._answers import answer_columns, answer_values
from emotions_cli.cli._options import ModelOpt, SetOpt, SettingsOpt
from emotions_cli.cli._output import plain_table, say, stdout_console
from emotions_cli.cli._settings import require_model, resolve_settings
from emotions_cli.errors import DataError, UsageError
from emotions_cli.streams.formats import Format, looks_like_file, require_format, writable_format

if TYPE_CHECKING:
    from emotions_cli.inference import Classifier, Prediction
    from emotions_cli.streams.readers import Row, RowSource

ROWS_AT_ONCE = 1024


class OutputFormat(StrEnum):
    """Formats that are written."""

    TABLE = "table"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def predict_command(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT…|FILE|-]", help="Texts, or one file; '-' or nothing reads stdin.", show_default=False),
    ] = None,
    model: ModelOpt = None,
    as_text: Annotated[bool, typer.Option("--text", help="Take every argument as a text, never as a file.")] = False,
    text_column: Annotated[str | None, typer.Option("--text-column", metavar="NAME", help="Column with the texts.")] = None,
    input_format: Annotated[
        Format | None, typer.Option("--input-format", help="Format of the input.", show_default=False)
    ] = None,
    output_format: Annotated[
        OutputFormat | None, typer.Option("--format", "-f", help="Format of the output.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file instead of stdout.")
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="Add the N best labels with their scores.")] = 0,
    all_scores: Annotated[bool, typer.Option("--scores", help="Add the score of every label.")] = False,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Answers with a lower score become 'uncertain'.", show_default=False)
    ] = None,
    prefix: Annotated[str, typer.Option("--prefix", help="Put before the names of the new columns.")] = "",
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
) -> None:
    """Answer texts with an emotion and a score; of a file every row and column is kept."""
    resolved = resolve_settings(settings, assignments, inference={"model": model, "min_score": min_score}).settings
    inference = resolved.inference
    reference = require_model(inference.model)
    with _open_input(inputs or [], as_text, input_format) as source:
        from emotions_cli.data.columns import TEXT_NAMES, choose_column
        from emotions_cli.inference import Classifier

        column, note = choose_column(source.columns, source.name, text_column, TEXT_NAMES, "text")
        if note and source.format is not Format.TEXT:
            say([note])
        file_format = _output_format(output_format, output, source.format)
        classifier = Classifier.open(reference, batch_size=inference.batch_size, threads=inference.threads)
        answer = Answer(classifier, column, file_format, inference.min_score, prefix, top_k, all_scores)
        answer.check_columns(source)
        _write(source, answer, file_format, output)
        if answer.cut:
            say([f"{answer.cut:,} texts are longer than {classifier.manifest.max_length} tokens; their ends were not read"])


@contextmanager
def _open_input(inputs: list[str], as_text: bool, input_format: Format | None) -> Iterator[RowSource]:
    """Open what the arguments name: texts, a file, or standard input."""
    from emotions_cli.streams.readers import RowSource, open_rows, read_stream

    if as_text and not inputs:
        raise UsageError("--text needs a text.", 'For example: emotions predict --text "reviews.csv"')
    files = [] if as_text else [argument for argument in inputs if argument == "-" or _is_file(argument)]
    if files and len(inputs) > 1:
        raise UsageError(f"'{files[0]}' is a file and stands beside other arguments.", "Give one file, or only texts (--text).")
    if files and files[0] != "-":
        path = Path(files[0])
        with open_rows(path, input_format or require_format(path)) as source:
            yield source
    elif inputs and not files:
        if input_format not in (None, Format.TEXT):
            raise UsageError(f"--input-format {input_format} goes with a file or stdin.", "Leave it out for texts.")
        yield RowSource("arguments", Format.TEXT, ("text",), iter([{"text": text} for text in inputs]))
    else:
        if sys.stdin.isatty() and not files:
            raise UsageError("Nothing to predict.", 'Give texts or a file, or pipe them in: emotions predict "So happy for you!"')
        with read_stream(sys.stdin.buffer, input_format or Format.TEXT, "standard input") as source:
            yield source


def _is_file(argument: str) -> bool:
    try:
        path = Path(argument)
        if path.is_dir() and looks_like_file(argument):
            raise DataError(f"'{argument}' is a folder.", "Name a file in it; if it is a text, say so with --text.")
        if path.exists() and not path.is_dir():
            return True
    except OSError:  # longer than any path, or with characters no path has
        return False
    if looks_like_file(argument):
        raise DataError(f"File '{argument}' is not there.", "Check the path; if it is a text, say so with --text.")
    return False


def _output_format(wanted: OutputFormat | None, output: Path | None, input_format: Format) -> Format | None:
    """Choose the output's format; ``None`` is a table."""
    if wanted is not None:
        if wanted is OutputFormat.TABLE:
            return None
        return Format(wanted)
    if output is not None:
        return writable_format(output)
    if sys.stdout.isatty():
        return None
    return Format.TSV if input_format is Format.TEXT else input_format


@dataclass
class Answer:
    """Adds answers to rows.

    Attributes:
        cut: Texts so far that were longer than the model reads.
    """

    classifier: Classifier
    column: str
    file_format: Format | None
    min_score: float
    prefix: str
    top_k: int
    all_scores: bool
    cut: int = 0

    @property
    def columns(self) -> list[str]:
        """The new columns."""
        return answer_columns(self.classifier.labels.names, prefix=self.prefix, top_k=self.top_k, all_scores=self.all_scores)

    def check_columns(self, source: RowSource) -> None:
        """Raise when a new column would take the place of one of the input's."""
        taken = [column for column in self.columns if column in source.columns]
        if taken:
            raise DataError(
                f"'{source.name}' already has a column '{taken[0]}'.", "Name the new ones apart, for example --prefix new_"
            )

    def predict(self, rows: Sequence[Row]) -> list[Prediction]:
        """Answer the text of each row."""
        texts = ["" if row.get(self.column) is None else str(row[self.column]) for row in rows]
        predictions = self.classifier.predict(texts, min_score=self.min_score)
        self.cut += sum(prediction.cut_tokens > 0 for prediction in predictions)
        return predictions

    def extend(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows with the new columns."""
        return [{**row, **self._values(prediction)} for row, prediction in zip(rows, self.predict(rows), strict=True)]

    def _values(self, prediction: Prediction) -> dict[str, Any]:
        from emotions_cli.labels import Task

        return answer_values(
            prediction,
            self.file_format,
            single=self.classifier.task is Task.SINGLE_LABEL,
            prefix=self.prefix,
            top_k=self.top_k,
            all_scores=self.all_scores,
        )


def _write(source: RowSource, answer: Answer, file_format: Format | None, output: Path | None) -> None:
    from emotions_cli.streams.writers import file_writer, row_writer

    if file_format is None:
        if output is not None:
            raise UsageError("A table can't be written to a file.", "Use --format csv, or an output that ends in .csv.")
        _print_table(source, answer)
        return
    columns = [*source.columns, *answer.columns]
    if output is not None:
        with file_writer(output, file_format, columns, schema=source.schema) as writer:
            _each_chunk(source, lambda rows: writer.write(answer.extend(rows)))
        return
    if file_format is Format.PARQUET and sys.stdout.isatty():
        raise UsageError("Parquet is no format for a terminal.", "Write it to a file: -o answers.parquet")
    writer = row_writer(sys.stdout.buffer, file_format, columns, schema=source.schema)
    _each_chunk(source, lambda rows: writer.write(answer.extend(rows)))
    writer.close()


def _each_chunk(source: RowSource, use: Callable[[list[Row]], None]) -> None:
    while rows := list(itertools.islice(source.rows, ROWS_AT_ONCE)):
        use(rows)


def _print_table(source: RowSource, answer: Answer) -> None:
    """Draw answers; scores of further labels share one cell, best first, since a terminal has no room for more."""
    from rich.markup import escape

    shown = len(answer.classifier.labels) if answer.all_scores else answer.top_k
    table = plain_table(escape(answer.column), "emotion", ">score", *(["scores"] if shown else []))

    def add(rows: list[Row]) -> None:
        for prediction in answer.predict(rows):
            further = [escape(", ".join(f"{label} {score:.3f}" for label, score in prediction.top(shown)))] if shown else []
            emotion = escape(" + ".join(prediction.labels) or "-")
            table.add_row(escape(prediction.text), emotion, f"{prediction.score:.3f}", *further)

    _each_chunk(source, add)
    stdout_console().print(table)
