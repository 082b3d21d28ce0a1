"""The page of a sweep: whole in itself, and safe whatever is in it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from emotions_cli.sweep import State, TrialRecord, parse_space
from emotions_cli.sweep.report import SweepReport, duration, write_page, write_table
from emotions_cli.sweep.study import ranked

SPACE = parse_space(["training.learning_rate=1e-5..1e-3:log", "training.base_model=a</script><b>,b", "training.epochs=1..4:1"])


def _trial(number: int, value: float | None, state: State = State.COMPLETE, **more: object) -> TrialRecord:
    params = {"learning_rate": 1e-5 * (number + 1), "base_model": "a</script><b>", "epochs": 2}
    reports = {} if value is None else {500: value}
    trial = TrialRecord(number + 1, number, state, value, params, "here", "host:/sweep", reports, 61.0 * number, "")
    return replace(trial, **more)


def _report(*trials: TrialRecord) -> SweepReport:
    importances = {"learning_rate": 0.75, "epochs": 0.25} if len(trials) > 2 else {}
    return SweepReport("a & b", "data <x>", "base", "macro_f1", 9, SPACE, ranked(trials, "macro_f1"), importances)


def test_a_page_needs_nothing_else_and_escapes_what_it_shows(tmp_path: Path) -> None:
    trials = (_trial(0, 0.5), _trial(1, 0.7), _trial(2, 0.2, State.PRUNED, note="fell <behind>"), _trial(3, None, State.RUNNING))
    write_page(_report(*trials), tmp_path / "sweep.html")
    page = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "<title>Search for the best settings: a &amp; b</title>" in page
    assert "0.7000" in page
    assert "trial 0001" in page
    assert "fell &lt;behind&gt;" in page
    for chart in ("history", "importances", "slices"):
        assert f'id="{chart}"' in page
    # nothing is fetched
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    # the page's own, the library's and one a chart; none that a value has closed
    own = page.replace(page[page.index("<script>") : page.index("</script>") + 9], "", 1)
    assert own.count("</script>") == own.count("<script") == 3
    assert "a</script>" not in own


def test_pages_of_sweeps_that_have_just_begun(tmp_path: Path) -> None:
    write_page(_report(), tmp_path / "none.html")
    write_page(_report(_trial(0, None, State.RUNNING, params={})), tmp_path / "running.html")
    write_page(_report(_trial(0, 0.1, State.PRUNED)), tmp_path / "pruned.html")
    for name in ("none", "running", "pruned"):
        assert "No trial is complete yet" in (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    write_page(_report(_trial(0, 0.5)), tmp_path / "one.html")
    assert "Too few trials are complete" in (tmp_path / "one.html").read_text(encoding="utf-8")


def test_a_table_has_exact_values(tmp_path: Path) -> None:
    write_table(_report(_trial(1, 0.7), _trial(0, 1 / 3), _trial(2, None, State.RUNNING, params={})), tmp_path / "trials.csv")
    lines = (tmp_path / "trials.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "trial,state,macro_f1,learning_rate,base_model,epochs,seconds,began,folder,note"
    assert lines[1] == "0000,complete,0.3333333333333333,1e-05,a</script><b>,2,0.0,,host:/sweep,"
    assert lines[3] == "0002,running,,,,,122.0,,host:/sweep,"


def test_times_are_for_people() -> None:
    assert [duration(s) for s in (0.4, 48, 700, 11_100)] == ["0 s", "48 s", "12 min", "3 h 05 min"]
