"""How far a long answer is: rows a second and the time left, on a terminal only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from emotions_cli.streams.rows import Record, RowSource


class RowProgress:
    """A live line on stderr, drawn when that is a terminal to which no answers go.

    Args:
        source: Knows how many of its bytes were read.
        rows: Rows done by an earlier run.
        to_stdout: Whether the answers go to stdout.
    """

    def __init__(self, source: RowSource, *, rows: int = 0, to_stdout: bool = True) -> None:
        self._source = source
        self._before = rows
        self._rows = rows
        self._read = rows
        self._bar: Any = None
        source.records = self._counted(source.records)
        if sys.stderr.isatty() and not (to_stdout and sys.stdout.isatty()):
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            from emotions_cli.cli._output import stderr_console

            known = source.size is not None
            shape = [BarColumn(bar_width=24), TimeRemainingColumn()] if known else [SpinnerColumn(), TimeElapsedColumn()]
            text = TextColumn("{task.fields[rows]:,} rows, {task.fields[speed]:,.0f} rows/s")
            self._bar = Progress(text, *shape, console=stderr_console(), transient=True)
            self._task = self._bar.add_task("rows", total=source.size, rows=rows, speed=0.0)

    def __enter__(self) -> RowProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, rows: int) -> None:
        """Take note of answered rows."""
        self._rows += rows
        if self._bar is not None:
            seconds = self._bar.tasks[self._task].elapsed or 1e-9
            # rows are read ahead of the answers: of the bytes as many count as of the rows
            done = self._source.position() * self._rows / max(self._read, 1) if self._source.size is not None else None
            self._bar.update(self._task, completed=done, rows=self._rows, speed=(self._rows - self._before) / seconds)

    def _counted(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            self._read += 1
            yield record
