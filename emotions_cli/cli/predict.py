"""``emotions predict``: answer texts, or every row of what is read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotions_cli.cli._options import ModelOpt, SetOpt, SettingsOpt
from emotions_cli.cli._output import say
from emotions_cli.cli._settings import open_classifier, resolve_settings, split_labels
from emotions_cli.errors import DataError, UsageError
from emotions_cli.streams.formats import Format, looks_like_file, writable_format
from emotions_cli.streams.rows import OnError

if TYPE_CHECKING:
    from emotions_cli.answering.columns import AnswerColumns
    from emotions_cli.streams.rows import ReadOptions, RowSource

_INPUT = "Input"
_OUTPUT = "Output"
_MODEL = "Model"


class OutputFormat(StrEnum):
    """Formats that are written."""

    TABLE = "table"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class PrecisionOption(StrEnum):
    """Arithmetic of inference."""

    AUTO = "auto"
    FP32 = "fp32"
    FAST = "fast"


class LongTextOption(StrEnum):
    """What happens to long texts."""

    HEAD = "head"
    WINDOW = "window"


def predict_command(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT…|FILE…|-]", help="Texts, or files and globs; '-' or nothing reads stdin.", show_default=False
        ),
    ] = None,
    model: ModelOpt = None,
    as_text: Annotated[
        bool, typer.Option("--text", help="Take every argument as a text, never as a file.", rich_help_panel=_INPUT)
    ] = False,
    text_column: Annotated[
        str | None,
        typer.Option("--text-column", metavar="NAME|N", help="Column with the texts, by name or number.", rich_help_panel=_INPUT),
    ] = None,
    input_format: Annotated[
        Format | None,
        typer.Option("--input-format", help="By default by name, then by content.", show_default=False, rich_help_panel=_INPUT),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter", metavar="CHAR", help="Between the cells of CSV; by default found out.", rich_help_panel=_INPUT
        ),
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The first row of CSV is data; columns are named 1, 2, …", rich_help_panel=_INPUT)
    ] = False,
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of the input.", rich_help_panel=_INPUT)] = "utf-8",
    on_error: Annotated[
        OnError, typer.Option("--on-error", help="What becomes of rows that can't be read.", rich_help_panel=_INPUT)
    ] = OnError.STOP,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", metavar="FILE", help="Write rows that can't be read here.", rich_help_panel=_INPUT),
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option("--format", "-f", help="By default the input's.", show_default=False, rich_help_panel=_OUTPUT),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to this file; it appears when whole.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an output that was stopped.", rich_help_panel=_OUTPUT)
    ] = False,
    top_k: Annotated[
        int, typer.Option("--top-k", min=0, help="Add the N best labels with their scores.", rich_help_panel=_OUTPUT)
    ] = 0,
    all_scores: Annotated[bool, typer.Option("--scores", help="Add the score of every label.", rich_help_panel=_OUTPUT)] = False,
    reasons: Annotated[
        bool,
        typer.Option("--reasons", help="Add a column that says why: empty, cut, undecodable, …", rich_help_panel=_OUTPUT),
    ] = False,
    prefix: Annotated[str, typer.Option("--prefix", help="Put before the names of new columns.", rich_help_panel=_OUTPUT)] = "",
    summary: Annotated[
        bool, typer.Option("--summary", help="Draw how often each emotion was answered, at the end.", rich_help_panel=_OUTPUT)
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="A,B,…", help="Let the model answer only these labels.", rich_help_panel=_MODEL),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score", help="Answers with a lower score become 'uncertain'.", show_default=False, rich_help_panel=_MODEL
        ),
    ] = None,
    long_text: Annotated[
        LongTextOption | None,
        typer.Option(
            "--long-text", help="Texts the model can't read whole: cut, or windows.", show_default=False, rich_help_panel=_MODEL
        ),
    ] = None,
    precision: Annotated[
        PrecisionOption | None,
        typer.Option(
            "--precision", help="fast: 8-bit integers, close calls in fp32.", show_default=False, rich_help_panel=_MODEL
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is chosen and why.")] = False,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
) -> None:
    """Answer texts with an emotion and a score; of a file every row, column and byte is kept."""
    choices = {"model": model, "min_score": min_score, "long_text": long_text, "precision": precision}
    resolved = resolve_settings(settings, assignments, inference=choices).settings
    inference = resolved.inference
    if sys.stdout is None and output is None:
        raise UsageError("Standard output is closed.", "Open it, or write to a file: --output answers.csv")
    if resume and output is None:
        raise UsageError("--resume goes on with a file.", "Name it with --output, as in the run that was stopped.")
    if rejects is not None and on_error is OnError.STOP:
        raise UsageError("--rejects collects rows that are passed over.", "Add --on-error skip, or keep.")
    if rejects is not None:
        _refuse_overwriting(rejects, [] if as_text else inputs or [], output)
    from emotions_cli.answering.columns import AnswerColumns
    from emotions_cli.cli._delivery import Delivery, Rejects, deliver
    from emotions_cli.data.columns import choose_column
    from emotions_cli.labels import Task
    from emotions_cli.streams.rows import ReadOptions
    from emotions_cli.streams.sniffing import TEXT_NAMES

    collected = Rejects(rejects)
    options = ReadOptions(
        input_format, encoding, _character(delimiter), False if no_header else None, text_column, on_error, collected.write
    )
    with _open_input(inputs or [], options, as_text=as_text) as source:
        wanted = _by_number(text_column, source)
        # rows of JSON Lines may have other fields than the first one
        only_one = source.format is not Format.JSONL
        column, note = choose_column(source.columns, source.name, wanted, TEXT_NAMES, "text", only_one=only_one)
        say(source.notes)
        if note and source.format is not Format.TEXT:
            say([note])
        file_format = _output_format(output_format, output, source.format)
        classifier = open_classifier(inference, labels=split_labels(labels))
        if verbose:
            say([classifier.why])
        columns = AnswerColumns(
            classifier.labels.names,
            classifier.task is Task.SINGLE_LABEL,
            file_format or Format.JSONL,
            prefix,
            top_k,
            all_scores,
            reasons,
        )
        _refuse_taken(columns, source)
        deliver(
            Delivery(source, classifier, column, columns, inference.min_score, file_format, output, resume, collected, summary),
            options,
        )


@contextmanager
def _open_input(inputs: list[str], options: ReadOptions, *, as_text: bool) -> Iterator[RowSource]:
    """Open what the arguments name: texts, files, or standard input."""
    from emotions_cli.answering.inputs import open_files
    from emotions_cli.streams.readers import read_stream, source_of_texts

    if as_text and not inputs:
        raise UsageError("--text needs a text.", 'For example: emotions predict --text "reviews.csv"')
    files = [] if as_text else [path for argument in inputs for path in _files(argument)]
    if files and len(files) < len(inputs):
        stray = next(argument for argument in inputs if not _files(argument))
        raise UsageError(f"'{files[0]}' is a file, '{stray}' is none.", "Give only files, or only texts (--text).")
    if files and files != [Path("-")]:
        if Path("-") in files:
            raise UsageError("Standard input and files can't be answered together.", "Join them first: cat a.csv b.csv | …")
        with open_files(files, options) as source:
            yield source
    elif inputs and not files:
        if options.file_format not in (None, Format.TEXT):
            raise UsageError(f"--input-format {options.file_format} goes with a file or stdin.", "Leave it out for texts.")
        yield source_of_texts(inputs)
    else:
        # a process may be started without any standard input
        if sys.stdin is None or (sys.stdin.isatty() and not files):
            raise UsageError("Nothing to predict.", 'Give texts or a file, or pipe them in: emotions predict "So happy for you!"')
        if sys.stdin is not sys.__stdin__:
            with read_stream(sys.stdin.buffer, options, "standard input") as source:
                yield source
            return
        # of its own: a thread that still waits in sys.stdin when the process ends would be a fatal error
        with open(0, "rb", buffering=0, closefd=False) as stream, read_stream(stream, options, "standard input") as source:
            yield source


def _files(argument: str) -> list[Path]:
    """Return the files an argument names, none when it is a text."""
    if argument == "-":
        return [Path("-")]
    try:
        path = Path(argument)
        if path.is_dir() and looks_like_file(argument):
            raise DataError(f"'{argument}' is a folder.", "Name its files, for example with a glob; a text is marked by --text.")
        if path.exists() and not path.is_dir():
            return [path]
        if looks_like_file(argument) and (found := _matches(argument)):
            return found
    except (OSError, ValueError):  # longer than any path, or with characters no path has
        return []
    if looks_like_file(argument):
        raise DataError(f"File '{argument}' is not there.", "Check the path; if it is a text, say so with --text.")
    return []


def _refuse_overwriting(rejects: Path, inputs: list[str], output: Path | None) -> None:
    """Raise when the rejects would be written over what is read, or over the answers."""
    if output is not None and output.resolve() == rejects.resolve():
        raise UsageError(f"--rejects and --output are both '{output}'.", "Choose another file for the rejects.")
    read = [path for argument in inputs for path in _files(argument) if path != Path("-")]
    if rejects.is_file() and any(path.samefile(rejects) for path in read):
        raise UsageError(f"--rejects '{rejects}' is one of the inputs.", "Choose another file for the rejects.")


def _matches(pattern: str) -> list[Path]:
    """Return the files a glob matches, for shells that leave globs alone."""
    import glob

    if not glob.has_magic(pattern):
        return []
    return sorted(Path(name) for name in glob.glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207


def _character(delimiter: str | None) -> str | None:
    """Read ``\\t`` and ``tab`` as what they mean."""
    named = {"\\t": "\t", "tab": "\t"}.get(delimiter or "", delimiter)
    if named is not None and (len(named) != 1 or named in '"\r\n'):
        raise UsageError(
            f"--delimiter {delimiter!r} is not one character that can stand between cells.",
            "For example: --delimiter ';' or --delimiter tab",
        )
    return named


def _by_number(text_column: str | None, source: RowSource) -> str | None:
    """Turn a column's number into its name, unless there is a column of that name."""
    if text_column is None or text_column in source.columns or not text_column.isdecimal():
        return text_column
    number = int(text_column)
    if not 1 <= number <= len(source.columns):
        raise DataError(f"'{source.name}' has no column {number}; it has {len(source.columns)}.", "Columns are counted from 1.")
    return source.columns[number - 1]


def _output_format(wanted: OutputFormat | None, output: Path | None, input_format: Format) -> Format | None:
    """Choose the output's format; ``None`` is a table."""
    if wanted is OutputFormat.TABLE:
        if output is not None:
            raise UsageError("A table can't be written to a file.", "Use --format csv, or an output that ends in .csv.")
        return None
    if wanted is not None:
        file_format = Format(wanted)
    elif output is not None:
        file_format = writable_format(output)
    elif sys.stdout.isatty():
        return None
    else:
        file_format = Format.TSV if input_format is Format.TEXT else input_format
    if file_format is Format.PARQUET and output is None and sys.stdout.isatty():
        raise UsageError("Parquet is no format for a terminal.", "Write it to a file: -o answers.parquet")
    return file_format


def _refuse_taken(columns: AnswerColumns, source: RowSource) -> None:
    taken = [name for name in columns.names if name in source.columns or columns.names.count(name) > 1]
    if taken:
        raise DataError(
            f"'{source.name}' already has a column '{taken[0]}'.", "Name the new ones apart, for example --prefix new_"
        )
