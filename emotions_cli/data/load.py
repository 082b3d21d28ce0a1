"""From a reference to a data set: where the rows come from, their splits, labels and task."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import numpy as np

from emotions_cli.data import hub
from emotions_cli.data.dataset import ALL, TEST, TRAIN, VALIDATION, Dataset, LabelledTexts, hold_out, to_examples
from emotions_cli.data.files import FileOptions, LabelledRows, read_labelled, split_files
from emotions_cli.data.label_map import LabelMap, read_label_map
from emotions_cli.data.mapped import joined
from emotions_cli.errors import DataError
from emotions_cli.labels import LabelSet, Task

SAMPLE = "sample"


@dataclass(frozen=True)
class DataRequest:
    """What to load and how to read it.

    Attributes:
        reference: ``sample``, a file, a glob, a folder, or ``hf:NAME[:CONFIG][@REVISION]``.
        validation: File for the validation split beside a reference that is one file.
        test: File for the test split beside a reference that is one file.
        files: Format and columns.
        label_map: TOML file that renames, merges or drops labels.
        token: Access token for the Hub.
        cache: Folder for copies that can be mapped into memory; ``None`` reads large files into memory.
    """

    reference: str
    validation: str | None = None
    test: str | None = None
    files: FileOptions = field(default_factory=FileOptions)
    label_map: Path | None = None
    token: str | None = None
    cache: Path | None = None


def sample_folder() -> Path:
    """Return the folder of the bundled sample."""
    return Path(str(resources.files("emotions_cli") / "assets" / "sample"))


def sample_texts() -> list[str]:
    """Return the training texts of the bundled sample."""
    with (sample_folder() / "train.csv").open(encoding="utf-8", newline="") as stream:
        return [row["text"] for row in csv.DictReader(stream)]


def load_dataset(request: DataRequest) -> Dataset:
    """Load labelled texts.

    Raises:
        DataError: See the readers; also when single-label rows and lists of labels meet in one data set.
    """
    parts, known_names = _read(request)
    notes = list(dict.fromkeys(note for part in parts.values() for note in part.notes))
    rows = {split: part.rows for split, part in parts.items()}
    kinds = {part.several for part in parts.values()}
    if len(kinds) > 1:
        raise DataError(
            f"'{request.reference}' has lists of labels in one split and single labels in another.", "Use one form in all splits."
        )
    task = Task.MULTI_LABEL if kinds == {True} else Task.SINGLE_LABEL
    if request.label_map is not None:
        label_map = read_label_map(request.label_map)
        rows, task, more = _map_labels(rows, label_map)
        notes += more
        known_names = label_map.names
    found = {label for part in rows.values() for label in part.counts}
    if not found:
        raise DataError(f"'{request.reference}' has no labelled rows.", "Check the label column and the label map.")
    labels = LabelSet(known_names) if found <= set(known_names) else LabelSet.in_customary_order(found)
    splits = {split: to_examples(part, labels) for split, part in rows.items()}
    return Dataset(request.reference, labels, task, splits, tuple(notes))


def _read(request: DataRequest) -> tuple[Mapping[str, LabelledRows], tuple[str, ...]]:
    whole = request.reference == SAMPLE or request.reference.startswith(hub.PREFIX)
    if whole and (request.validation or request.test or request.files.file_format or request.files.label_separator):
        raise DataError(
            f"'{request.reference}' brings its own splits and format.",
            "Leave out --validation-data, --test-data, --input-format and --label-separator, or give a file.",
        )
    if request.reference.startswith(hub.PREFIX):
        return hub.read_hub(
            hub.HubReference.parse(request.reference),
            text_column=request.files.text_column,
            label_column=request.files.label_column,
            token=request.token,
        )
    if request.reference == SAMPLE:
        files, options = split_files(str(sample_folder())), FileOptions(text_column="text", label_column="label")
    else:
        files, options = split_files(request.reference), request.files
    parts = {
        split: _concatenated([read_labelled(path, options, request.cache) for path in paths]) for split, paths in files.items()
    }
    for split, reference in ((VALIDATION, request.validation), (TEST, request.test)):
        if reference is not None:
            if split in parts:
                raise DataError(f"'{request.reference}' has a {split} split already.", f"Leave out --{split}-data.")
            parts[split] = read_labelled(Path(reference), options, request.cache)
    if ALL in parts and len(parts) > 1:
        parts = {TRAIN: parts.pop(ALL), **parts}
    return parts, ()


def _concatenated(parts: list[LabelledRows]) -> LabelledRows:
    numbers: dict[tuple[str, ...], int] = {}
    codes = []
    for part in parts:
        places = [numbers.setdefault(labels, len(numbers)) for labels in part.rows.label_sets]
        codes.append(np.array(places, dtype=np.int32)[part.rows.codes])
    return LabelledRows(
        LabelledTexts(joined([part.rows.texts for part in parts]), tuple(numbers), np.concatenate(codes)),
        any(part.several for part in parts),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _map_labels(rows: Mapping[str, LabelledTexts], label_map: LabelMap) -> tuple[dict[str, LabelledTexts], Task, list[str]]:
    notes = label_map.notes(label for part in rows.values() for label in part.counts)
    mapped = {split: label_map.apply(part) for split, part in rows.items()}
    before, after = (sum(map(len, part.values())) for part in (rows, mapped))
    if after < before:
        notes.append(f"{label_map.path}: {before - after:,} of {before:,} rows do not map to the labels and are left out")
    return mapped, label_map.task, notes


def with_validation(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Return the data with a training and a validation split, holding rows out of the training split when there is none.

    Raises:
        DataError: There is nothing to train on.
    """
    splits = dict(dataset.splits)
    if ALL in splits:
        splits[TRAIN] = splits.pop(ALL)
    if TRAIN not in splits:
        raise DataError(f"'{dataset.reference}' has no train split.", "Add train.csv to the folder, or give one file.")
    if VALIDATION in splits:
        return replace(dataset, splits=splits)
    train, validation = hold_out(splits[TRAIN], fraction, seed)
    note = f"no validation split: {len(validation):,} of {len(splits[TRAIN]):,} training rows held out, stratified, seed {seed}"
    others = {name: part for name, part in splits.items() if name != TRAIN}
    return replace(dataset, splits={TRAIN: train, VALIDATION: validation, **others}, notes=(*dataset.notes, note))
