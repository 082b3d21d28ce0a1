"""Labelled rows from files: one, a glob of several, or a folder with one a split."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotions_cli.data.columns import Columns, choose_columns, label_parser
from emotions_cli.data.dataset import ALL, TEST, TRAIN, VALIDATION, Coder, LabelledTexts
from emotions_cli.data.mapped import arrow_copy, column_of, is_large, mapped_texts
from emotions_cli.errors import DataError
from emotions_cli.streams.formats import Format, format_of, require_format, uncompressed_name
from emotions_cli.streams.readers import ReadOptions, Row, open_rows

SPLIT_FILE_STEMS = {
    TRAIN: ("train", "training"),
    VALIDATION: ("validation", "valid", "val", "dev"),
    TEST: ("test",),
}


@dataclass(frozen=True)
class LabelledRows:
    """Rows of one or more files.

    Attributes:
        rows: In the order of the files.
        several: Whether a row may have several labels, or none.
        notes: Which columns were guessed, and what else was found out by looking.
    """

    rows: LabelledTexts
    several: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FileOptions:
    """How files are read: format, columns and separator; ``None`` leaves the choice to the file."""

    file_format: Format | None = None
    text_column: str | None = None
    label_column: str | None = None
    label_separator: str | None = None


def split_files(reference: str) -> Mapping[str, list[Path]]:
    """Find the files behind a reference: split name → files; a file or a glob is one split named ``all``.

    Raises:
        DataError: Nothing is there, or a folder has no file that is named after a split.
    """
    path = Path(reference)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return {ALL: [path]}
    if not glob.has_magic(reference):
        raise DataError(
            f"Data '{reference}' is not there.", "Check the path, from the working directory; a Hub data set is written hf:NAME."
        )
    found = sorted(Path(name) for name in glob.glob(reference, recursive=True) if Path(name).is_file())  # noqa: PTH207
    if not found:
        raise DataError(f"No file matches '{reference}'.", "Check the pattern; it is taken from the working directory.")
    return {ALL: found}


def _folder(folder: Path) -> Mapping[str, list[Path]]:
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and format_of(file) not in {None, Format.TEXT}]
    splits: dict[str, list[Path]] = {}
    for split, stems in SPLIT_FILE_STEMS.items():
        named = [file for file in files if uncompressed_name(file).stem.lower() in stems]
        if len(named) > 1:
            raise DataError(
                f"Folder '{folder}' has several files for the {split} split: {', '.join(file.name for file in named)}.",
                "Keep one, or name one file as the data.",
            )
        if named:
            splits[split] = named
    if not splits:
        raise DataError(
            f"Folder '{folder}' has no train, validation or test file (csv, tsv, jsonl, parquet).",
            "Name the files train.csv, validation.csv, test.csv, or give one file.",
        )
    return splits


def read_labelled(path: Path, options: FileOptions, cache: Path | None = None) -> LabelledRows:
    """Read a file's rows.

    The texts of a large Parquet file stay on the disk: a copy of them, as Arrow, is made once in the folder ``cache``.

    Raises:
        DataError: The file or a column is missing, the file has no rows, or a row has no label.
        StorageError: The copy can't be written.
    """
    file_format = options.file_format or require_format(path)
    if file_format is Format.TEXT:
        raise DataError(f"'{path}' has texts but no labels.", "Labelled data is csv, tsv, jsonl or parquet.")
    if cache is not None and file_format is Format.PARQUET and is_large(path):
        return _read_mapped(path, options, cache)
    # in a row that is too long the label could be any cell: here it is an error
    reading = ReadOptions(file_format, text_column=options.text_column, mend_long=False)
    with open_rows(path, reading) as source:
        notes = tuple(source.notes)
        columns = choose_columns(source.columns, source.name, options.text_column, options.label_column)
        cells = [_cells(row, columns, source.name, number) for number, row in enumerate(source.rows, start=1)]
    if not cells:
        raise DataError(f"'{path}' has no rows.", "Give it at least one row below its header.")
    coder, several = _coded(path, (label for _, label in cells), options.label_separator)
    texts = ["" if text is None else str(text) for text, _ in cells]
    return LabelledRows(coder.labelled(texts), several, (*notes, *columns.notes))


def _read_mapped(path: Path, options: FileOptions, cache: Path) -> LabelledRows:
    with open_rows(path, ReadOptions(Format.PARQUET)) as source:
        columns = choose_columns(source.columns, source.name, options.text_column, options.label_column)
    copy = arrow_copy(path, columns.text, columns.label, cache)
    coder, several = _coded(path, column_of([copy], columns.label), options.label_separator)
    note = f"the texts of {path} are read from a copy on the disk: {copy}"
    return LabelledRows(coder.labelled(mapped_texts([copy], columns.text)), several, (*columns.notes, note))


def _coded(path: Path, cells: Iterable[Any], separator: str | None) -> tuple[Coder, bool]:
    """Parse label cells, and say whether a row may have several labels."""
    begun, rest = itertools.tee(cells)
    parse, several = label_parser(next((label for label in begun if label not in (None, "")), None), separator)
    del begun
    coder = Coder()
    for number, label in enumerate(rest, start=1):
        names = parse(label)
        if names is None:
            kind = "no list of labels" if several else "no label but a list"
            what = "no label" if label is None or not str(label).strip() else f"the label {label!r}, which is {kind}"
            raise DataError(f"'{path}' row {number} has {what}.", "Label every row, or remove those without one.")
        coder.add(names)
    return coder, several


def _cells(row: Row, columns: Columns, name: str, number: int) -> tuple[Any, Any]:
    if columns.text not in row:
        raise DataError(f"'{name}' row {number} has no '{columns.text}'.", "Give every row the same fields.")
    if isinstance(row[columns.text], bytes):
        raise DataError(f"'{name}' has texts that are no UTF-8.", "Write them as strings.")
    return row[columns.text], row.get(columns.label)
