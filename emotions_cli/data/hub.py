"""Labelled rows from the Hugging Face Hub, through the ``datasets`` library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotions_cli.data.columns import Columns, choose_columns, label_parser
from emotions_cli.data.dataset import Coder, LabelledTexts
from emotions_cli.data.files import LabelledRows
from emotions_cli.data.mapped import LARGE_ROWS, mapped_texts
from emotions_cli.errors import DataError
from emotions_cli.extras import require
from emotions_cli.hub_client import NO_NETWORK, exception_chain, prepare_hub_client

PREFIX = "hf:"
COMMIT = re.compile(r"[0-9a-f]{40}")

# The configuration and commit that are read when the reference names none: known to work, never moving.
PINNED = {
    "dair-ai/emotion": ("split", "cab853a1dbdf4c42c2b3ef2173804746df8825fe"),
    "google-research-datasets/go_emotions": ("simplified", "add492243ff905527e67aeb8b80c082af02207c3"),
}


@dataclass(frozen=True)
class HubReference:
    """``hf:NAME[:CONFIG][@REVISION]``, taken apart."""

    name: str
    config: str | None
    revision: str | None

    @classmethod
    def parse(cls, reference: str) -> HubReference:
        """Take a reference apart and fill in what is pinned.

        Raises:
            DataError: It has no name.
        """
        rest, _, revision = reference.removeprefix(PREFIX).partition("@")
        name, _, config = rest.partition(":")
        if not name:
            raise DataError(f"'{reference}' names no data set.", "Write hf:owner/name, for example hf:dair-ai/emotion.")
        pinned_config, pinned_revision = PINNED.get(name, (None, None))
        return cls(name, config or pinned_config, revision or pinned_revision)


def read_hub(
    reference: HubReference, *, text_column: str | None, label_column: str | None, token: str | None
) -> tuple[Mapping[str, LabelledRows], tuple[str, ...]]:
    """Download (or take from the cache) all splits of a Hub data set.

    Returns:
        Split name → rows, and the names of its labels in the order the Hub gives them (empty when it gives none).

    Raises:
        DataError: The Hub can't be reached, or has no such data set, configuration or revision.
        DependencyMissing: The ``train`` extra is not installed.
    """
    require("train", "Reading data from the Hub")
    import datasets

    prepare_hub_client()

    try:
        loaded = datasets.load_dataset(
            reference.name, reference.config, revision=reference.revision, token=token, download_mode="reuse_dataset_if_exists"
        )
    except Exception as error:  # the client lets exceptions of its HTTP and file layers through
        raise _explain(reference, error) from error
    _check_revision(reference, loaded)
    splits = {}
    names: tuple[str, ...] = ()
    for split, table in loaded.items():
        columns = choose_columns(table.column_names, f"{PREFIX}{reference.name}", text_column, label_column)
        feature = table.features[columns.label]
        class_label = getattr(feature, "feature", feature)
        names = tuple(getattr(class_label, "names", ()) or ())
        splits[str(split)] = LabelledRows(_rows(table, columns, names), class_label is not feature, columns.notes)
    return splits, names


def _check_revision(reference: HubReference, loaded: Mapping[Any, Any]) -> None:
    """Raise when the cache gave another commit than the one asked for, as the client does without a network."""
    files = [Path(file["filename"]) for table in loaded.values() for file in table.cache_files]
    if COMMIT.fullmatch(reference.revision or "") and any(file.parent.name != reference.revision for file in files):
        raise _unreachable(reference)


def _rows(table: Any, columns: Columns, names: tuple[str, ...]) -> LabelledTexts:
    """Take texts and labels out of a table; those of a large one stay on the disk."""
    files = [Path(file["filename"]) for file in table.cache_files]
    first = next((cell for cell in _cells(table, columns.label) if cell is not None), None)
    parse, _ = label_parser(first, None)
    coder = Coder()
    for number, cell in enumerate(_cells(table, columns.label), start=1):
        labels = parse(cell)
        # the Hub writes -1 where a row has no label
        if labels is None or (names and any(int(label) < 0 for label in labels)):
            raise DataError(f"Row {number} has no label.", "Choose another data set or label column.")
        coder.add(tuple(names[int(label)] for label in labels) if names else labels)
    if files and len(table) >= LARGE_ROWS and str(table.features[columns.text].dtype) == "string":
        return coder.labelled(mapped_texts(files, columns.text))
    return coder.labelled(["" if text is None else str(text) for text in _cells(table, columns.text)])


def _cells(table: Any, column: str) -> Iterator[Any]:
    for chunk in table.data.column(column).chunks:
        yield from chunk.to_pylist()


def _unreachable(reference: HubReference) -> DataError:
    return DataError(
        f"The Hugging Face Hub can't be reached for '{PREFIX}{reference.name}', and it is not in the cache.",
        "Without a network use --data sample, or a file: --data reviews.csv",
    )


def _explain(reference: HubReference, error: Exception) -> DataError:
    place = f"'{PREFIX}{reference.name}'"
    kinds = {type(cause).__name__ for cause in exception_chain(error)}
    if kinds & NO_NETWORK:
        return _unreachable(reference)
    if "DatasetNotFoundError" in kinds:
        return DataError(
            f"The Hub has no data set {place}, or not at that revision, or it is private.",
            "Check the name; for a private one set EMOTIONS_HUB__TOKEN.",
        )
    summary = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(
        f"{place} can't be read: {summary[0]}", "Check name, configuration and revision: hf:NAME[:CONFIG][@REVISION]"
    )
