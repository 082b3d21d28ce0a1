"""The columns that an answer becomes: ``emotion`` and ``score``, a score a label, the best labels in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emotions_cli.streams.formats import Format

if TYPE_CHECKING:
    from emotions_cli.inference import Prediction

LABEL_SEPARATOR = "|"


def answer_columns(labels: Sequence[str], *, prefix: str, top_k: int, all_scores: bool) -> list[str]:
    """Name the new columns, in order."""
    pairs = [f"{prefix}{kind}_{rank}" for rank in range(1, min(top_k, len(labels)) + 1) for kind in ("emotion", "score")]
    scores = [f"{prefix}score_{label}" for label in labels] if all_scores else []
    return [f"{prefix}emotion", f"{prefix}score", *pairs, *scores]


def answer_values(
    prediction: Prediction, file_format: Format | None, *, single: bool, prefix: str, top_k: int, all_scores: bool
) -> dict[str, Any]:
    """Return the value of every new column for one answer."""
    values: dict[str, Any] = {
        f"{prefix}emotion": joined_labels(prediction.labels, file_format, single=single),
        f"{prefix}score": _rounded(prediction.score),
    }
    for rank, (label, score) in enumerate(prediction.top(top_k), start=1):
        values[f"{prefix}emotion_{rank}"] = label
        values[f"{prefix}score_{rank}"] = _rounded(score)
    if all_scores:
        values.update({f"{prefix}score_{label}": _rounded(score) for label, score in prediction.scores.items()})
    return values


def joined_labels(labels: Sequence[str], file_format: Format | None, *, single: bool) -> str | list[str]:
    """Put labels in one cell: the label, a list where the format has lists, else joined by ``|``."""
    if not single and file_format in {Format.JSONL, Format.PARQUET}:
        return list(labels)
    return LABEL_SEPARATOR.join(labels)


def _rounded(score: float) -> float:
    return round(score, 6)
