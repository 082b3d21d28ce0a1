"""One data set out of several, as a small TOML file says::

    seed = 17
    held_out = ["../data/challenge/challenge.csv"]         # texts that none of the sources may bring into training

    [[sources]]
    name = "go-emotions"                                   # also the folder of a local copy
    reference = "hf:google-research-datasets/go_emotions"
    label_map = "go-emotions.toml"                         # paths are taken from the file's own folder
    corrections = "corrections/go-emotions.csv"
    at_most = { joy = 8000, neutral = 5000 }               # training rows a label, drawn at random

    [[sources]]
    name = "everyday"
    reference = "../data/everyday"
    repeat = 2                                             # times its training rows are taken

Corrections are a CSV file of ``text_sha256`` (the first 16 digits of the hash of the text in UTF-8) and ``label``: the label
that a text gets in place of its own; an empty one leaves the text out. They hold for training rows only, so that the figures of
the other splits stay those of the published data.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emotions_cli.data.dataset import TEST, TRAIN, VALIDATION, Dataset
from emotions_cli.data.load import DataRequest, load_dataset, with_validation
from emotions_cli.errors import DataError, StorageError, nearest
from emotions_cli.labels import LabelSet, Task
from emotions_cli.streams.atomic import whole_directory
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import ReadOptions, open_rows
from emotions_cli.streams.writers import file_writer

HASH_DIGITS = 16
TEXT_HASH, LABEL = "text_sha256", "label"
COLUMNS = ("text", "label", "source")


class Source(BaseModel):
    """One of the data sets that are mixed; see the module for what the keys mean."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(min_length=1)]
    reference: Annotated[str, Field(min_length=1)]
    label_map: str | None = None
    corrections: str | None = None
    at_most: Mapping[str, Annotated[int, Field(ge=0)]] = {}
    repeat: Annotated[int, Field(ge=1)] = 1
    validation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1


class Mixture(BaseModel):
    """What is mixed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: Annotated[int, Field(ge=0)] = 17
    held_out: list[str] = []
    sources: Annotated[list[Source], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Mixture:
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources have the same name")
        return self


@dataclass(frozen=True)
class MixedText:
    """A row of the mixture: a text, its label, and the source it comes from."""

    text: str
    label: str
    source: str


@dataclass(frozen=True)
class Mixed:
    """A mixture.

    Attributes:
        splits: ``train`` and ``validation``.
        notes: What was left out or corrected, a sentence each.
    """

    splits: Mapping[str, Sequence[MixedText]]
    notes: Sequence[str]

    def counts(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """Return (split, source) → label → rows."""
        table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for split, rows in self.splits.items():
            for row in rows:
                table[split, row.source][row.label] += 1
        return table

    @property
    def labels(self) -> LabelSet:
        """All labels, in the customary order."""
        return LabelSet.in_customary_order({row.label for rows in self.splits.values() for row in rows})


def read_mixture(path: Path) -> Mixture:
    """Read a mixture's file; its paths become relative to the working directory.

    Raises:
        DataError: The file is missing, is not TOML, or does not have the form above.
    """
    try:
        mixture = Mixture.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"Mixture '{path}' is not there.", "Check the path.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"Mixture '{path}' can't be read: {error}", _FORM) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(f"Mixture '{path}': {f'{key}: ' if key else ''}{first['msg']}.", _FORM) from error
    return mixture.model_copy(
        update={
            "held_out": [_placed_reference(reference, path.parent) for reference in mixture.held_out],
            "sources": [_placed(source, path.parent) for source in mixture.sources],
        }
    )


def _placed(source: Source, folder: Path) -> Source:
    def place(name: str | None) -> str | None:
        return None if name is None else str(folder / name)

    reference = _placed_reference(source.reference, folder)
    return source.model_copy(
        update={"reference": reference, "label_map": place(source.label_map), "corrections": place(source.corrections)}
    )


def _placed_reference(reference: str, folder: Path) -> str:
    return reference if ":" in reference or reference == "sample" else str(folder / reference)


def mix(mixture: Mixture, *, copies: Path | None = None, token: str | None = None) -> Mixed:
    """Load all sources and put them together.

    A training text that also stands in a validation or test split or in held-out data is left out, whatever its punctuation,
    symbols and case, and so is one that has different labels in different rows; of equal rows of one source one is kept.

    Args:
        mixture: What to mix.
        copies: Folder with local copies: a folder in it that has a source's name is read in place of its reference.
        token: Access token for the Hub.

    Raises:
        DataError: A source can't be read, has several labels a text, lacks a label that a limit or a correction names, or a file
            of corrections is malformed.
    """
    train: list[tuple[Source, list[MixedText]]] = []
    validation: list[MixedText] = []
    notes: list[str] = []
    rng = np.random.default_rng(mixture.seed)
    if copies is not None and not copies.is_dir():
        raise DataError(f"Folder '{copies}' with local copies is not there.", "Check --copies.")
    test: list[MixedText] = []
    for source in mixture.sources:
        dataset = _load(source, mixture.seed, copies, token)
        notes += [f"{source.name}: {note}" for note in dataset.notes]
        _check_limits(source, dataset.labels)
        rows = _rows(dataset, TRAIN, source)
        if source.corrections is not None:
            rows, said = _corrected(rows, Path(source.corrections), dataset.labels)
            notes.append(f"{source.name}: {said}")
        train.append((source, rows))
        validation += _rows(dataset, VALIDATION, source)
        test += _rows(dataset, TEST, source) if TEST in dataset.splits else []
    kept_apart = [row.text for row in (*validation, *test)]
    for reference in mixture.held_out:
        dataset = load_dataset(DataRequest(reference, token=token))
        kept_apart += [text for examples in dataset.splits.values() for text in examples.texts]
    unfit, said_of_unfit = _unfit(train, kept_apart)
    notes += said_of_unfit
    mixed = []
    for source, rows in train:
        kept = {_key(row.text): row for row in rows if _key(row.text) not in unfit}
        mixed += _at_most(list(kept.values()), source.at_most, rng) * source.repeat
    return Mixed({TRAIN: mixed, VALIDATION: validation}, notes)


def write_mixed(mixed: Mixed, folder: Path) -> None:
    """Write ``train.jsonl`` and ``validation.jsonl``, with columns text, label and source, in the place of what stood there.

    Raises:
        StorageError: The folder holds something else, or the disk refuses.
    """
    names = {f"{split}.jsonl": rows for split, rows in mixed.splits.items()}
    other = next((file.name for file in folder.iterdir() if file.name not in names), None) if folder.is_dir() else None
    if other is not None or (folder.exists() and not folder.is_dir()):
        raise StorageError(f"'{folder}' holds something else ({other or 'it is a file'}).", "Choose another --output.")
    with whole_directory(folder) as part:
        for name, rows in names.items():
            with file_writer(part / name, Format.JSONL, COLUMNS) as writer:
                writer.write([{"text": row.text, "label": row.label, "source": row.source} for row in rows])


def text_hash(text: str) -> str:
    """Return the name of a text in a file of corrections."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]


def _load(source: Source, seed: int, copies: Path | None, token: str | None) -> Dataset:
    copy = None if copies is None else copies / source.name
    reference = str(copy) if copy is not None and copy.is_dir() else source.reference
    label_map = None if source.label_map is None else Path(source.label_map)
    dataset = load_dataset(DataRequest(reference, label_map=label_map, token=token))
    if dataset.task is not Task.SINGLE_LABEL:
        raise DataError(
            f"Source '{source.name}' has several labels a text; a mixture has one.", "Bring it there with a label_map."
        )
    if reference != source.reference:
        dataset = replace(dataset, reference=source.reference, notes=(f"read from {reference}", *dataset.notes))
    return with_validation(dataset, source.validation_fraction, seed)


def _rows(dataset: Dataset, split: str, source: Source) -> list[MixedText]:
    part = dataset.split(split)
    names = dataset.labels.names
    return [
        MixedText(text, names[label], source.name)
        for text, label in zip(part.texts, part.label_ids.tolist(), strict=True)
        if text.strip()
    ]


def _check_limits(source: Source, labels: LabelSet) -> None:
    if unknown := next((label for label in source.at_most if label not in labels), None):
        raise DataError(
            f"Source '{source.name}' limits label '{unknown}', which it does not have.", f"It has: {', '.join(labels)}."
        )


def _corrected(rows: list[MixedText], path: Path, labels: LabelSet) -> tuple[list[MixedText], str]:
    corrections = _read_corrections(path, labels)
    kept, changed, dropped = [], 0, 0
    found: set[str] = set()
    for row in rows:
        name = text_hash(row.text)
        if name not in corrections:
            kept.append(row)
            continue
        found.add(name)
        label = corrections[name]
        changed += label not in {row.label, ""}
        dropped += label == ""
        if label:
            kept.append(replace(row, label=label))
    unused = len(corrections.keys() - found)
    said = f"{changed:,} training rows have a corrected label, {dropped:,} are left out"
    return kept, said + (f"; {unused:,} corrections are of other texts" if unused else "")


def _read_corrections(path: Path, labels: LabelSet) -> Mapping[str, str]:
    found: dict[str, str] = {}
    with open_rows(path, ReadOptions(Format.CSV, text_column=TEXT_HASH)) as source:
        if missing := sorted({TEXT_HASH, LABEL} - set(source.columns)):
            raise DataError(f"Corrections '{path}' have no column {missing[0]}.", f"Its columns are {TEXT_HASH} and {LABEL}.")
        for number, row in enumerate(source.rows, start=1):
            name, label = str(row[TEXT_HASH]), str(row[LABEL] or "").strip()
            if re.fullmatch(f"[0-9a-f]{{{HASH_DIGITS}}}", name) is None:
                raise DataError(f"Corrections '{path}' row {number}: '{name}' is no hash.", f"Write {HASH_DIGITS} digits of it.")
            if label and label not in labels:
                raise DataError(f"Corrections '{path}' row {number}: no label '{label}'.{nearest(label, labels)}", "")
            if found.setdefault(name, label) != label:
                raise DataError(f"Corrections '{path}' row {number}: {name} has two labels.", "List it once.")
    return found


def _unfit(train: Iterable[tuple[Source, list[MixedText]]], kept_apart: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return the texts that must not be trained on, and what to say of them."""
    known = {_words(text) for text in kept_apart}
    labels: dict[str, set[str]] = defaultdict(set)
    leaked = set()
    for _, rows in train:
        for row in rows:
            labels[_key(row.text)].add(row.label)
            if _words(row.text) in known:
                leaked.add(_key(row.text))
    contradictory = {key for key, said in labels.items() if len(said) > 1} - leaked
    notes = []
    if leaked:
        notes.append(f"{len(leaked):,} training texts stand in held-out data or another split too and are left out of training")
    if contradictory:
        notes.append(f"{len(contradictory):,} training texts have different labels in different rows and are left out")
    return leaked | contradictory, notes


def _at_most(rows: list[MixedText], limits: Mapping[str, int], rng: np.random.Generator) -> list[MixedText]:
    by_label: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_label[row.label].append(i)
    kept: list[int] = []
    for label, places in by_label.items():
        limit = limits.get(label, len(places))
        kept += places if len(places) <= limit else rng.choice(places, limit, replace=False).tolist()
    return [rows[i] for i in sorted(kept)]


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


def _words(text: str) -> str:
    # a text of symbols alone is what its symbols are
    return " ".join(re.findall(r"\w+", text.casefold())) or _key(text)


_FORM = "A mixture holds [[sources]] tables, each with a name and a reference."
