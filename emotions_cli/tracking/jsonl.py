"""What a run measures, as JSON Lines in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from emotions_cli.errors import TrainingError
from emotions_cli.streams.atomic import storage_errors
from emotions_cli.tracking.protocol import NOTHING, Ending


class JsonlTracker:
    """Writes one JSON object a line, flushed at once so that the file can be followed.

    What depends on the machine's pace goes to a file of its own: two equal runs have the same metrics, byte for byte.

    Args:
        path: What was measured.
        clock_path: How fast it went.
    """

    def __init__(self, path: Path, clock_path: Path) -> None:
        self._paths = {"metrics": path, "clock": clock_path}
        self._streams: dict[str, IO[bytes]] = {}

    def start(self, run: Mapping[str, Any], config: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        for name, path in self._paths.items():
            with storage_errors(path):
                self._streams[name] = path.open("wb") if state is None else _reopened(path, state[name])
        if state is None:
            self._write("metrics", {"event": "start", **run})

    def log(self, step: int, values: Mapping[str, Any], clock: Mapping[str, Any] = NOTHING) -> None:
        self._write("metrics", {"step": step, **values})
        if clock:
            self._write("clock", {"step": step, **clock})

    def state(self) -> Mapping[str, Any]:
        for name, stream in self._streams.items():
            with storage_errors(self._paths[name]):
                os.fsync(stream.fileno())
        return {name: stream.tell() for name, stream in self._streams.items()}

    def problems(self) -> Iterator[str]:
        """Nothing is hidden: a file that can't be written is an error."""
        return iter(())

    def hangs(self) -> bool:
        return False

    def conclude(self, values: Mapping[str, Any]) -> None:
        """The bundle beside the file says it."""

    def finish(self, ending: Ending) -> None:  # noqa: ARG002 - the lines say it
        while self._streams:
            self._streams.popitem()[1].close()

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        if name not in self._streams:
            raise RuntimeError("log before start")
        with storage_errors(self._paths[name]):
            self._streams[name].write(json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
            self._streams[name].flush()


def _reopened(path: Path, length: int) -> IO[bytes]:
    """Open a file to go on behind its first bytes."""
    if not path.exists() or path.stat().st_size < length:
        raise TrainingError(
            f"'{path}' lacks lines that were written before the checkpoint.",
            "Put the run's folder back as it was, or begin anew with --force.",
        )
    stream = path.open("r+b")
    stream.truncate(length)
    stream.seek(length)
    return stream
