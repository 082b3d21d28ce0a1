"""From records to answered records, window by window: reading, tokenising and computing at the same time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from emotions_cli.answering.ahead import SECONDS_FOR_A_PIPE, ReadAhead, one_ahead
from emotions_cli.inference import Classifier, Prediction
from emotions_cli.inference.classifier import EncodedTexts
from emotions_cli.metrics.probabilities import FloatArray
from emotions_cli.streams.jsonl import json_text
from emotions_cli.streams.rows import Record

# The first windows are small, so that the first rows are out soon; in large ones texts repeat, and are sorted by length
# with less padding. They follow from the rows alone: an output that goes on after a stop is cut at the same places.
FIRST_WINDOW = 64
LARGEST_WINDOW = 4096
GROWTH = 4
READ_AHEAD_ROWS = 2 * LARGEST_WINDOW
# rows may be a megabyte each
WINDOW_CHARACTERS = 4_000_000

MISSING = "missing"


@dataclass(frozen=True)
class AnsweredWindow:
    """Some consecutive rows.

    Attributes:
        records: As they were read.
        predictions: One a record.
        reasons: What to know about each, mostly ``None``: ``empty``, ``missing`` (no such field), ``cut``, ``undecodable``,
            ``unreadable``.
    """

    records: Sequence[Record]
    predictions: Sequence[Prediction]
    reasons: Sequence[str | None]


def answer_records(
    records: Iterable[Record],
    classifier: Classifier,
    column: str,
    *,
    min_score: float,
    live: bool,
    windows_done: int = 0,
    stop: Callable[[], bool] | None = None,
) -> Generator[AnsweredWindow]:
    """Answer records in windows, in order. Close it when it is left before its end: it has threads.

    Args:
        records: The rows.
        classifier: The model.
        column: Which column holds the text.
        min_score: Answers with a lower score become ``uncertain``.
        live: Answer what is there rather than wait for a whole window.
        windows_done: Windows that were answered before; ``records`` begin behind them.
        stop: Asked now and then; when it says yes, no further window is answered.
    """
    ahead = ReadAhead(
        records, room=READ_AHEAD_ROWS, weigh=_characters, most_weight=WINDOW_CHARACTERS, seconds_to_end=SECONDS_FOR_A_PIPE
    )

    def encoded() -> Iterator[tuple[list[Record], EncodedTexts]]:
        for size in islice(window_sizes(), windows_done, None):
            window = ahead.take(size, all_of_them=not live)
            if not window:
                return
            yield window, classifier.encode([text_of(record, column) for record in window])

    def computed() -> Iterator[tuple[list[Record], EncodedTexts, FloatArray]]:
        for window, texts in one_ahead(encoded()):
            yield window, texts, classifier.compute(texts)

    with closing(one_ahead(computed(), stop=stop)) as windows, closing(ahead):
        for window, texts, scores in windows:
            predictions = classifier.decide(texts, scores, min_score=min_score)
            reasons = [_reason(record, column, answer) for record, answer in zip(window, predictions, strict=True)]
            yield AnsweredWindow(window, predictions, reasons)


def window_sizes() -> Iterator[int]:
    """Yield the most rows of each window."""
    size = FIRST_WINDOW
    while True:
        yield size
        size = min(size * GROWTH, LARGEST_WINDOW)


def text_of(record: Record, column: str) -> str:
    """Return a record's text; values that are no strings as they would be written."""
    value: Any = record.cells.get(column)
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        # Parquet of other systems has texts without saying that they are
        return value.decode("utf-8", "replace")
    return "" if value is None else json_text(value)


def _characters(record: Record) -> int:
    if record.raw is not None:
        return len(record.raw)
    return sum(len(value) for value in record.cells.values() if isinstance(value, str))


def _reason(record: Record, column: str, answer: Prediction) -> str | None:
    if record.problem == "unreadable":
        return record.problem
    if column not in record.cells:
        return MISSING
    return answer.reason or record.problem
