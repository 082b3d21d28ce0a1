"""Rename, merge or drop labels, as a small TOML file says::

    task = "single-label"     # or "multi-label"; single-label when not given
    unlisted = "drop"         # or "keep": what happens to labels that stand nowhere below

    [labels]
    joy = ["amusement", "excitement", "joy"]
    anger = ["anger", "annoyance"]

With ``single-label`` a row counts when every one of its labels is listed and all of them become the same one; with
``multi-label`` a row keeps the labels that are listed, and counts when any is left.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from emotions_cli.data.dataset import LabelledTexts
from emotions_cli.errors import DataError, nearest
from emotions_cli.labels import Task


@dataclass(frozen=True)
class LabelMap:
    """What each label becomes.

    Attributes:
        path: The file it was read from.
        new_names: Old name → new name.
        task: What the mapped data is.
        keep_unlisted: Labels that are not listed stay as they are instead of being dropped.
    """

    path: Path
    new_names: Mapping[str, str]
    task: Task
    keep_unlisted: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The new names in the order of the file."""
        return tuple(dict.fromkeys(self.new_names.values()))

    def apply(self, rows: LabelledTexts) -> LabelledTexts:
        """Return the rows that count, with their new labels."""
        return rows.relabelled([self._mapped(labels) for labels in rows.label_sets])

    def _mapped(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        new = [self.new_names.get(label, label if self.keep_unlisted else None) for label in labels]
        if self.task is Task.SINGLE_LABEL:
            return (new[0],) if new and new[0] is not None and len(set(new)) == 1 else ()
        return tuple(dict.fromkeys(name for name in new if name is not None))

    def notes(self, found: Iterable[str]) -> list[str]:
        """Name the listed labels that the data lacks, and the ones of the data that the map drops.

        Raises:
            DataError: Not one of the data's labels is listed.
        """
        found = set(found)
        if not found & set(self.new_names):
            raise DataError(
                f"{self.path} lists none of the data's labels ({', '.join(sorted(found)[:8])}).",
                'Write new = ["old", …] below [labels], with the names of the data.',
            )
        absent = [f"'{name}'{nearest(name, found - set(self.new_names))}" for name in self.new_names if name not in found]
        notes = [f"{self.path}: the data has no label {', '.join(absent)}"] if absent else []
        dropped = sorted(found - set(self.new_names)) if not self.keep_unlisted else []
        if dropped:
            notes.append(f"{self.path}: labels not listed are dropped: {', '.join(dropped)}")
        return notes


def read_label_map(path: Path) -> LabelMap:
    """Read a label map.

    Raises:
        DataError: The file is missing, is not TOML, or does not have the form above.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"Label map '{path}' is not there.", "Check the path given to --label-map.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"Label map '{path}' can't be read: {error}", _FORM) from error
    unknown = sorted(set(content) - {"labels", "task", "unlisted"})
    if unknown:
        raise DataError(f"{path}: unknown key '{unknown[0]}'.{nearest(unknown[0], ('labels', 'task', 'unlisted'))}", _FORM)
    tables = content.get("labels")
    if not isinstance(tables, dict) or not tables:
        raise DataError(f"{path} has no [labels] table.", _FORM)
    if content.get("task", Task.SINGLE_LABEL) not in list(Task):
        raise DataError(f"{path}: task is 'single-label' or 'multi-label', not {content['task']!r}.", _FORM)
    if content.get("unlisted", "drop") not in ["drop", "keep"]:
        raise DataError(f"{path}: unlisted is 'drop' or 'keep', not {content['unlisted']!r}.", _FORM)
    new_names: dict[str, str] = {}
    for new, olds in tables.items():
        listed = olds if isinstance(olds, list) else [olds]
        for old in listed:
            if not isinstance(old, str):
                raise DataError(f"{path}: '{new}' lists {old!r}, which is not a label name.", _FORM)
            if new_names.get(old, new) != new:
                raise DataError(f"{path}: '{old}' is listed under both '{new_names[old]}' and '{new}'.", "List it once.")
            new_names[old] = new
    task = Task(content.get("task", Task.SINGLE_LABEL))
    return LabelMap(path, new_names, task, keep_unlisted=content.get("unlisted") == "keep")


_FORM = 'A label map holds a [labels] table with lines such as: joy = ["amusement", "joy"]'
