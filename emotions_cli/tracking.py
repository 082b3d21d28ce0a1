"""Where the numbers of a run go while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from emotions_cli.streams.atomic import storage_errors


class Tracker(Protocol):
    """Receives what a run measures: ``start``, then ``log`` any number of times, then ``finish``, come what may."""

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin a run that is described by plain values."""

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Take the values measured at an optimiser step."""

    def finish(self) -> None:
        """End the run; called exactly once, also after an error."""


class JsonlTracker:
    """Writes one JSON object a line, flushed at once so that the file can be followed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[str] | None = None

    def start(self, run: Mapping[str, Any]) -> None:
        with storage_errors(self._path):
            self._stream = self._path.open("w", encoding="utf-8", newline="\n")
        self._write({"event": "start", **run})

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        self._write({"step": step, **values})

    def finish(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _write(self, values: Mapping[str, Any]) -> None:
        if self._stream is None:
            raise RuntimeError("log before start")
        with storage_errors(self._path):
            self._stream.write(json.dumps(values, ensure_ascii=False) + "\n")
            self._stream.flush()
