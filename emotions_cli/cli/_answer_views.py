"""Answers as a person looks at them: a table, bars for one text, a chart of all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from emotions_cli.cli._output import bar, plain_table, stderr_console, stdout_console
from emotions_cli.labels import Task

if TYPE_CHECKING:
    from emotions_cli.answering.columns import AnswerColumns
    from emotions_cli.answering.tally import Tally
    from emotions_cli.answering.windows import AnsweredWindow
    from emotions_cli.inference import Prediction
    from emotions_cli.models.bundle import Manifest


class AnswerTable:
    """Draws windows of answers one below the other as one table; the text comes last, since it has no fixed width.

    Args:
        column: Name of the texts' column.
        columns: Which scores are wanted.
    """

    def __init__(self, column: str, columns: AnswerColumns) -> None:
        self._column = column
        self._columns = columns
        self._shown = len(columns.labels) if columns.all_scores else min(columns.top_k, len(columns.labels))
        self._begun = False

    def print(self, window: AnsweredWindow) -> None:
        """Draw a window."""
        from rich.markup import escape

        table = plain_table(
            "emotion", ">score", *(["scores"] if self._shown else []), *self._reason(), escape(visible(self._column))
        )
        table.show_header = not self._begun
        table.columns[0].min_width = max(map(len, (*self._columns.labels, "uncertain", "emotion")))
        table.columns[1].min_width = 5
        longest = 0
        for prediction, reason in zip(window.predictions, window.reasons, strict=True):
            emotion = escape(" + ".join(prediction.labels) or "-")
            score = f"{prediction.score:.3f}" if prediction.text.strip() else ""
            scores = ", ".join(f"{label} {value:.3f}" for label, value in prediction.top(self._shown))
            further = [escape(scores)] if self._shown else []
            table.add_row(
                emotion, score, *further, *([reason or ""] if self._columns.reasons else []), escape(visible(prediction.text))
            )
            longest = max(longest, len(prediction.text) + len(scores))
        console = stdout_console()
        if not sys.stdout.isatty():
            # a pipe is as wide as its longest row
            console.width = longest * 2 + 80
        console.print(table, end="" if self._begun else "\n" if not table.rows else "")
        self._begun = True

    def _reason(self) -> list[str]:
        return ["reason"] if self._columns.reasons else []


def visible(text: str) -> str:
    """Return a text without what would command the terminal rather than be shown on it."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def draw_bars(prediction: Prediction, manifest: Manifest) -> None:
    """Draw all labels of one text as bars, best first; those of the answer stand out."""
    from rich.markup import escape

    console = stdout_console()
    if not prediction.text.strip():
        console.print("[dim]The text is empty: there is nothing to answer.[/]")
        return
    thresholds = dict(zip(manifest.labels, manifest.thresholds or (), strict=False))
    apart = len(set(thresholds.values())) > 1
    width = max(map(len, manifest.labels))
    answered = prediction.labels or (("uncertain",) if manifest.task is Task.SINGLE_LABEL else ())
    console.print(
        f"[bold]{escape(' + '.join(answered) or 'none')}[/]  [dim]{escape(visible(prediction.text))}[/]\n", soft_wrap=True
    )
    for label, score in prediction.top(len(manifest.labels)):
        style = "bold cyan" if label in prediction.labels else "blue"
        over = f" [dim](from {thresholds[label]:.2f})[/]" if apart else ""
        console.print(f"  {escape(label):<{width}}  {score:5.3f}  [{style}]{bar(score)}[/]{over}")
    if prediction.cut_tokens:
        console.print(f"\n[dim]{prediction.cut_tokens:,} tokens at the end were not read.[/]")


def draw_summary(tally: Tally) -> None:
    """Draw how often each emotion was answered; to stderr when stdout is a pipe, which carries data only."""
    from rich.markup import escape

    console = stdout_console() if sys.stdout.isatty() else stderr_console()
    console.print(f"\n[bold]{tally.rows:,} texts[/]" + (f", {tally.empty:,} empty" if tally.empty else ""))
    if not tally.answered:
        return
    width = max(len(label) for label in tally.emotions)
    most = max(tally.emotions.values())
    for label, count in tally.emotions.most_common():
        share = f"{count / tally.answered:6.1%}"
        console.print(f"  {escape(label):<{width}}  {count:>{len(f'{most:,}')},}  {share}  [cyan]{bar(count / most)}[/]")
