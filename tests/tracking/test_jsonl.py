"""A run's numbers stand in a file as soon as they are measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotions_cli.errors import StorageError, TrainingError
from emotions_cli.tracking import Ending, JsonlTracker, Tracker


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_value_is_a_line_that_can_be_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tracker: Tracker = JsonlTracker(path, tmp_path / "throughput.jsonl")
    tracker.start({"data": "größer 🙂", "seed": 3}, {})
    assert lines(path) == [{"event": "start", "data": "größer 🙂", "seed": 3}]
    tracker.log(1, {"loss": 0.5})
    assert lines(path)[1:] == [{"step": 1, "loss": 0.5}]
    tracker.log(2, {"loss": 0.25, "note": "two\nlines"})
    assert lines(path)[2:] == [{"step": 2, "loss": 0.25, "note": "two\nlines"}]
    tracker.finish(Ending.DONE)
    assert len(lines(path)) == 3


def test_lines_end_alike_everywhere_and_show_letters_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tracker = JsonlTracker(path, tmp_path / "throughput.jsonl")
    tracker.start({"data": "größer"}, {})
    tracker.finish(Ending.DONE)
    assert path.read_bytes() == '{"event": "start", "data": "größer"}\n'.encode()


def test_nothing_is_logged_before_the_start_or_after_the_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tracker = JsonlTracker(path, tmp_path / "throughput.jsonl")
    with pytest.raises(RuntimeError, match="log before start"):
        tracker.log(1, {"loss": 0.5})
    assert not path.exists()
    tracker.start({}, {})
    tracker.finish(Ending.DONE)
    with pytest.raises(RuntimeError, match="log before start"):
        tracker.log(1, {"loss": 0.5})
    assert lines(path) == [{"event": "start"}]


def test_it_can_be_finished_without_a_start_and_twice(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path / "metrics.jsonl", tmp_path / "throughput.jsonl")
    tracker.finish(Ending.DONE)
    tracker.start({}, {})
    tracker.finish(Ending.DONE)
    tracker.finish(Ending.DONE)
    assert lines(tmp_path / "metrics.jsonl") == [{"event": "start"}]


def test_a_second_run_starts_its_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for seed in (1, 2):
        tracker = JsonlTracker(path, tmp_path / "throughput.jsonl")
        tracker.start({"seed": seed}, {})
        tracker.finish(Ending.DONE)
    assert lines(path) == [{"event": "start", "seed": 2}]


def test_a_file_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path / "nowhere" / "metrics.jsonl", tmp_path / "throughput.jsonl")
    with pytest.raises(StorageError, match=r"metrics\.jsonl' can't be written"):
        tracker.start({}, {})


def test_what_depends_on_the_pace_stands_apart(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path / "metrics.jsonl", tmp_path / "throughput.jsonl")
    tracker.start({}, {})
    tracker.log(1, {"loss": 0.5}, {"seconds": 0.1})
    tracker.log(1, {"accuracy": 0.5})
    tracker.finish(Ending.DONE)
    assert lines(tmp_path / "metrics.jsonl")[1:] == [{"step": 1, "loss": 0.5}, {"step": 1, "accuracy": 0.5}]
    assert lines(tmp_path / "throughput.jsonl") == [{"step": 1, "seconds": 0.1}]


def test_a_later_process_goes_on_where_the_state_was_taken(tmp_path: Path) -> None:
    paths = tmp_path / "metrics.jsonl", tmp_path / "throughput.jsonl"
    tracker = JsonlTracker(*paths)
    tracker.start({"seed": 3}, {})
    tracker.log(1, {"loss": 0.5}, {"seconds": 0.1})
    state = json.loads(json.dumps(tracker.state()))
    tracker.log(2, {"loss": 0.25}, {"seconds": 0.1})
    tracker.finish(Ending.STOPPED)
    later = JsonlTracker(*paths)
    later.start({"seed": 3}, {}, state)
    later.log(2, {"loss": 0.125}, {"seconds": 0.2})
    later.finish(Ending.DONE)
    assert lines(paths[0]) == [{"event": "start", "seed": 3}, {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.125}]
    assert lines(paths[1]) == [{"step": 1, "seconds": 0.1}, {"step": 2, "seconds": 0.2}]


def test_a_file_that_lost_lines_is_named(tmp_path: Path) -> None:
    paths = tmp_path / "metrics.jsonl", tmp_path / "throughput.jsonl"
    tracker = JsonlTracker(*paths)
    tracker.start({}, {})
    state = tracker.state()
    tracker.finish(Ending.DONE)
    paths[0].write_bytes(b"")
    with pytest.raises(TrainingError, match="lacks lines"):
        JsonlTracker(*paths).start({}, {}, state)
