"""What came out of a sweep: a line a trial for machines, and a page to look at."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from emotions_cli import __version__
from emotions_cli.metrics.judgement import LOWER_IS_BETTER
from emotions_cli.streams.atomic import whole_file
from emotions_cli.sweep.space import SECTION, Param, Range, Space, shown
from emotions_cli.sweep.study import State, TrialRecord

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

METRIC_NAMES: Mapping[str, str] = {
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "micro_f1": "micro-F1",
    "accuracy": "accuracy",
    "nll": "negative log-likelihood",
}
_BLUE, _ORANGE, _GREY = "#2457c5", "#d9480f", "#9aa5b1"


@dataclass(frozen=True)
class SweepReport:
    """What is known of a sweep.

    Attributes:
        study: Its name.
        data: What was trained on.
        base_model: What was trained.
        metric: What the trials were judged by.
        planned: How many trials there are to be.
        space: What was searched.
        trials: The best first.
        importances: Setting → share of 1; empty when too few trials tell.
    """

    study: str
    data: str
    base_model: str
    metric: str
    planned: int
    space: Space
    trials: Sequence[TrialRecord]
    importances: Mapping[str, float]

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial."""
        return next((trial for trial in self.trials if trial.state is State.COMPLETE), None)

    @property
    def by_number(self) -> list[TrialRecord]:
        """The trials in their own order."""
        return sorted(self.trials, key=lambda trial: trial.number)


def write_table(report: SweepReport, path: Path) -> None:
    """Write a CSV with a line a trial, by number: state, value, each parameter, seconds, beginning, folder, note.

    Raises:
        StorageError: It can't be written.
    """
    keys = [param.key for param in report.space]
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["trial", "state", report.metric, *keys, "seconds", "began", "folder", "note"])
        for trial in report.by_number:
            began = "" if trial.began is None else trial.began.isoformat(timespec="seconds")
            values = [trial.params.get(key, "") for key in keys]
            value = "" if trial.value is None else trial.value
            writer.writerow([trial.name, trial.state, value, *values, round(trial.seconds, 1), began, trial.folder, trial.note])


def write_page(report: SweepReport, path: Path) -> None:
    """Write a page that needs nothing else: best settings, course of the search, importances, each setting's effect, all trials.

    Raises:
        StorageError: It can't be written.
    """
    from plotly.offline import get_plotlyjs

    template = Template((resources.files("emotions_cli") / "assets" / "sweep.html").read_text(encoding="utf-8"))
    with whole_file(path) as part:
        part.write_text(
            template.substitute(
                title=escape(f"Search for the best settings: {report.study}"),
                subtitle=escape(
                    f"Trained on {report.data} from {report.base_model}; judged by the validation {_metric(report)}, "
                    f"{'lower' if report.metric in LOWER_IS_BETTER else 'higher'} is better."
                ),
                plotly=get_plotlyjs(),
                tiles="".join(_tiles(report)),
                sections="\n".join(f"<section>{section}</section>" for section in _sections(report)),
                footer=escape(f"emotions {__version__}. trials.csv holds these figures for machines."),
            ),
            encoding="utf-8",
        )


def duration(seconds: float) -> str:
    """Return a time for people: ``48 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def _metric(report: SweepReport) -> str:
    return METRIC_NAMES[report.metric]


def _tiles(report: SweepReport) -> Iterator[str]:
    def tile(value: str, meaning: str, kind: str = "") -> str:
        return f'<div class="tile {kind}"><b>{escape(value)}</b><span>{escape(meaning)}</span></div>'

    if report.best is not None and report.best.value is not None:
        yield tile(f"{report.best.value:.4f}", f"best {_metric(report)}, trial {report.best.name}", "best")
    ended = sum(trial.ended for trial in report.trials)
    yield tile(f"{ended:,} of {report.planned:,}", "trials done")
    yield tile(f"{sum(trial.state is State.PRUNED for trial in report.trials):,}", "given up early")
    yield tile(duration(sum(trial.seconds for trial in report.trials)), "of computing")


def _sections(report: SweepReport) -> Iterator[str]:
    best = report.best
    if best is not None:
        yield "<h2>Best values, and what was searched</h2>" + _table(
            ["setting", "best value", "searched"],
            [[SECTION + param.key, shown(best.params[param.key]), _searched(param)] for param in report.space],
        )
    else:
        yield "<h2>No trial is complete yet</h2>"
    if any(trial.value is not None for trial in report.trials):
        yield (
            "<h2>Course of the search</h2><p>Each point is a trial. The line is the best value so far; hollow points were "
            f"given up early.</p>{_drawn(_history(report), 'history', 380)}"
        )
    if report.importances:
        yield (
            "<h2>What matters</h2><p>How much of what tells the best trials from the others lies in each setting "
            "(PED-ANOVA).</p>"
            f"{_drawn(_importances(report), 'importances', 90 + 44 * len(report.importances))}"
        )
    elif len(report.space) > 1:
        yield "<h2>What matters</h2><p>Too few trials are complete to say how much each setting matters.</p>"
    if best is not None:
        rows = -(-len(report.space) // _slices_a_row(report))
        yield (
            "<h2>Setting by setting</h2><p>The same trials, laid out by the value of each setting.</p>"
            f"{_drawn(_slices(report), 'slices', 60 + 290 * rows)}"
        )
    keys = [param.key for param in report.space]
    yield "<h2>All trials</h2>" + _table(
        ["rank", "trial", _metric(report), *keys, "state", "time", "note"],
        [
            [
                str(rank) if trial.state is State.COMPLETE else "",
                trial.name,
                "" if trial.value is None else f"{trial.value:.4f}",
                *(shown(trial.params[key]) if key in trial.params else "" for key in keys),
                trial.state.value,
                duration(trial.seconds) if trial.ended else "",
                trial.note,
            ]
            for rank, trial in enumerate(report.trials, 1)
        ],
        ["best" if trial is best else trial.state.value for trial in report.trials],
    )


def _searched(param: Param) -> str:
    if not isinstance(param, Range):
        return ", ".join(map(shown, param.values))
    scale = ", logarithmic" if param.log else f", in steps of {param.step}" if param.step is not None else ""
    return f"{shown(param.low)} to {shown(param.high)}{scale}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str] | None = None) -> str:
    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(f"<{tag}>{escape(value)}</{tag}>" for value in values)

    lines = (f'<tr class="{kind}">{cells("td", row)}</tr>' for row, kind in zip(rows, kinds or [""] * len(rows), strict=True))
    return f'<div class="scroll"><table><tr>{cells("th", head)}</tr>{"".join(lines)}</table></div>'


def _drawn(figure: Figure, name: str, height: int) -> str:
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 24, "t": 24, "b": 52},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": "#16202c"},
        showlegend=False,
    )
    figure.update_xaxes(gridcolor="#eef1f5", zeroline=False, linecolor="#c6cfd9")
    figure.update_yaxes(gridcolor="#eef1f5", zeroline=False, linecolor="#c6cfd9")
    config = {"displayModeBar": False, "responsive": True, "plotlyServerURL": ""}
    drawn: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config)
    return drawn


def _points(report: SweepReport, trials: Sequence[TrialRecord], x: Sequence[Any]) -> Any:
    """Draw trials as points at some places: the best a star, those given up hollow."""
    from plotly.graph_objects import Scatter

    best = report.best
    return Scatter(
        x=x,
        y=[trial.value for trial in trials],
        mode="markers",
        text=[
            "<br>".join([f"trial {trial.name}, {trial.state.value}", *(f"{k} {shown(v)}" for k, v in trial.params.items())])
            for trial in trials
        ],
        hovertemplate="%{text}<br><b>%{y:.4f}</b><extra></extra>",
        marker={
            "size": [15 if trial is best else 9 for trial in trials],
            "symbol": [
                "star" if trial is best else "circle" if trial.state is State.COMPLETE else "circle-open" for trial in trials
            ],
            "color": [_ORANGE if trial is best else _BLUE if trial.state is State.COMPLETE else _GREY for trial in trials],
        },
    )


def _history(report: SweepReport) -> Figure:
    from plotly.graph_objects import Figure, Scatter

    judged = [trial for trial in report.by_number if trial.value is not None]
    pick = min if report.metric in LOWER_IS_BETTER else max
    so_far: list[float | None] = []
    for trial in judged:
        known = [value for value in so_far[-1:] if value is not None]
        known += [trial.value] if trial.state is State.COMPLETE and trial.value is not None else []
        so_far.append(pick(known, default=None))
    numbers = [trial.number for trial in judged]
    line = Scatter(x=numbers, y=so_far, mode="lines", line={"color": _ORANGE, "width": 2, "shape": "hv"}, hoverinfo="skip")
    figure = Figure([line, _points(report, judged, numbers)])
    figure.update_xaxes(title="trial", tickformat="d", **({"dtick": 1} if len(numbers) <= 20 else {}))
    figure.update_yaxes(title=_metric(report))
    return figure


def _importances(report: SweepReport) -> Figure:
    from plotly.graph_objects import Bar, Figure

    # drawn from below
    names, shares = list(report.importances)[::-1], list(report.importances.values())[::-1]
    bars = Bar(
        x=shares,
        y=names,
        orientation="h",
        marker={"color": _BLUE},
        text=[f"{share:.0%}" for share in shares],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure = Figure(bars)
    figure.update_xaxes(range=[0, max(shares) * 1.12], tickformat=".0%")
    figure.update_yaxes(automargin=True)
    return figure


def _slices_a_row(report: SweepReport) -> int:
    return 2 if len(report.space) == 4 else min(3, len(report.space))


def _slices(report: SweepReport) -> Figure:
    from plotly.subplots import make_subplots

    columns = _slices_a_row(report)
    rows = -(-len(report.space) // columns)
    figure = make_subplots(rows, columns, shared_yaxes=True, horizontal_spacing=0.04, vertical_spacing=0.25 / rows)
    judged = [trial for trial in report.by_number if trial.value is not None]
    for i, param in enumerate(report.space):
        row, column = i // columns + 1, i % columns + 1
        values = [trial.params[param.key] for trial in judged]
        numeric = isinstance(param, Range)
        figure.add_trace(_points(report, judged, values if numeric else list(map(shown, values))), row, column)
        axis: dict[str, Any] = {"title": param.key}
        if not isinstance(param, Range):
            axis |= {"type": "category", "categoryorder": "array", "categoryarray": list(map(shown, param.values))}
        elif param.log:
            axis |= {"type": "log", "tickformat": "~e", "nticks": 4}
        figure.update_xaxes(row=row, col=column, **axis)
        if column == 1:
            figure.update_yaxes(title=_metric(report), row=row, col=column)
    return figure
