"""One data set out of several, as a small TOML file says::

    seed = 17

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
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emotions_cli.data.dataset import TRAIN, VALIDATION, Dataset
from emotions_cli.data.load import DataRequest, load_dataset, with_validation
from emotions_cli.errors import DataError
from emotions_cli.labels import LabelSet, Task
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import ReadOptions, open_rows

HASH_DIGITS = 16
TEXT_HASH, LABEL = "text_sha256", "label"


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
    return mixture.model_copy(update={"sources": [_placed(source, path.parent) for source in mixture.sources]})


def _placed(source: Source, folder: Path) -> Source:
    def place(name: str | None) -> str | None:
        return None if name is None else str(folder / name)

    reference = source.reference
    if ":" not in reference and reference != "sample":
        reference = str(folder / reference)
    return source.model_copy(
        update={"reference": reference, "label_map": place(source.label_map), "corrections": place(source.corrections)}
    )


def mix(mixture: Mixture, *, copies: Path | None = None, token: str | None = None) -> Mixed:
    """Load all sources and put them together.

    A training text that also stands in a validation split is left out, and so is one that has different labels in different
    rows; of equal rows of one source one is kept.

    Args:
        mixture: What to mix.
        copies: Folder with local copies: a folder in it that has a source's name is read in place of its reference.
        token: Access token for the Hub.

    Raises:
        DataError: A source can't be read, has several labels a text, or a file of corrections is malformed.
    """
    train: list[tuple[Source, list[MixedText]]] = []
    validation: list[MixedText] = []
    notes: list[str] = []
    rng = np.random.default_rng(mixture.seed)
    for source in mixture.sources:
        dataset = _load(source, mixture.seed, copies, token)
        notes += [f"{source.name}: {note}" for note in dataset.notes]
        rows = _rows(dataset, TRAIN, source)
        if source.corrections is not None:
            rows, said = _corrected(rows, Path(source.corrections))
            notes.append(f"{source.name}: {said}")
        train.append((source, rows))
        validation += _rows(dataset, VALIDATION, source)
    unfit, said_of_unfit = _unfit(train, validation)
    notes += said_of_unfit
    mixed = []
    for source, rows in train:
        kept = {_key(row.text): row for row in rows if _key(row.text) not in unfit}
        mixed += _at_most(list(kept.values()), source.at_most, rng) * source.repeat
    return Mixed({TRAIN: mixed, VALIDATION: validation}, notes)


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
    return replace(with_validation(dataset, source.validation_fraction, seed), reference=source.reference)


def _rows(dataset: Dataset, split: str, source: Source) -> list[MixedText]:
    part = dataset.split(split)
    names = dataset.labels.names
    return [
        MixedText(text, names[label], source.name)
        for text, label in zip(part.texts, part.label_ids.tolist(), strict=True)
        if text.strip()
    ]


def _corrected(rows: list[MixedText], path: Path) -> tuple[list[MixedText], str]:
    corrections = _read_corrections(path)
    kept, changed, dropped = [], 0, 0
    for row in rows:
        label = corrections.get(text_hash(row.text), row.label)
        changed += label not in {row.label, ""}
        dropped += label == ""
        if label:
            kept.append(replace(row, label=label))
    return kept, f"{changed:,} training rows have a corrected label, {dropped:,} are left out"


def _read_corrections(path: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    with open_rows(path, ReadOptions(Format.CSV, text_column=TEXT_HASH)) as source:
        if missing := {TEXT_HASH, LABEL} - set(source.columns):
            raise DataError(f"Corrections '{path}' have no column {missing.pop()}.", f"Its columns are {TEXT_HASH} and {LABEL}.")
        for row in source.rows:
            found[str(row[TEXT_HASH])] = str(row[LABEL] or "").strip()
    return found


def _unfit(train: Iterable[tuple[Source, list[MixedText]]], validation: list[MixedText]) -> tuple[set[str], list[str]]:
    """Return the texts that must not be trained on, and what to say of them."""
    known = {_key(row.text) for row in validation}
    labels: dict[str, set[str]] = defaultdict(set)
    for _, rows in train:
        for row in rows:
            labels[_key(row.text)].add(row.label)
    leaked = labels.keys() & known
    contradictory = {key for key, said in labels.items() if len(said) > 1} - leaked
    notes = []
    if leaked:
        notes.append(f"{len(leaked):,} training texts stand in a validation split too and are left out of training")
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


_FORM = "A mixture holds [[sources]] tables, each with a name and a reference."
