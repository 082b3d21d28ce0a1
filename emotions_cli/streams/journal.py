"""How far an unfinished output is: a small JSON file that is replaced in one step."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emotions_cli.errors import UsageError

VERSION = 1


@dataclass
class Journal:
    """What is known of an unfinished output.

    Attributes:
        request: What decides over its content, as the caller names it.
        input: SHA-256 of the records it holds.
        rows: Their number.
        bytes: Length of the part; what stands behind is half a chunk.
        state: The caller's counters.
        rejects_bytes: Length of the caller's file of rejects.
        version: Of this format.
    """

    request: dict[str, Any]
    input: str = ""
    rows: int = 0
    bytes: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    rejects_bytes: int = 0
    version: int = VERSION

    def require_same(self, now: Journal, part: Path) -> None:
        """Raise unless both have the same request.

        Raises:
            UsageError: Names the keys that differ.
        """
        wanted = json.loads(json.dumps(now.request))
        keys = dict.fromkeys([*self.request, *wanted])
        differing = [key for key in keys if self.request.get(key) != wanted.get(key)]
        if differing:
            said = ", ".join(f"{key} {_short(self.request.get(key))} (now {_short(wanted.get(key))})" for key in differing)
            raise UsageError(f"The unfinished '{part}' was made with {said}.", "Start over without --resume.")


def read_journal(path: Path) -> tuple[Journal | None, str]:
    """Return the journal, or ``None`` and what is wrong with it."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, "there is nothing unfinished"
    except (OSError, ValueError):
        return None, "the journal of its unfinished part can't be read"
    if not isinstance(fields, dict) or fields.get("version") != VERSION:
        return None, "the journal of its unfinished part is of another version"
    types = {"request": dict, "input": str, "rows": int, "bytes": int, "state": dict, "rejects_bytes": int, "version": int}
    if fields.keys() != types.keys() or not all(isinstance(fields[key], kind) for key, kind in types.items()):
        return None, "the journal of its unfinished part can't be read"
    return Journal(**fields), ""


def write_journal(journal: Journal, path: Path) -> None:
    """Replace the journal by one that is on the disk."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as stream:
        json.dump(asdict(journal), stream)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
