"""Studies in a database: the same choices after a stop, as many trials as wanted, errors without passwords."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, get_ident
from typing import Any

import optuna
import pytest

from emotions_cli.errors import StorageError, TrainingError
from emotions_cli.sweep import StudyStorage, parse_space
from emotions_cli.sweep import storage as storage_module
from emotions_cli.sweep.study import State, SweepStudy, best_of, ranked

SPACE = parse_space(["training.learning_rate=1e-5..1e-3:log", "training.batch_size=8..64", "training.schedule=linear,cosine"])


def opened(path: Path, *, metric: str = "nll") -> closing[SweepStudy]:  # type: ignore[type-var]
    return SweepStudy.opened(StudyStorage.in_file(path), "study", metric, SPACE, 3)  # type: ignore[return-value]


def test_choices_depend_on_the_trials_before_alone(tmp_path: Path) -> None:
    def chosen(path: Path, *, anew: bool) -> list[object]:
        found: list[object] = []
        while len(found) < 14:
            with opened(path) as study:
                for _ in range(1 if anew else 14):
                    trial = study.begin("here", "here", 99)
                    assert trial is not None
                    trial = study.choose(trial)
                    found.append(dict(trial.params))
                    study.end(trial, State.COMPLETE, trial.params["learning_rate"] * 1e3 + trial.params["batch_size"])
        return found

    assert chosen(tmp_path / "once.db", anew=False) == chosen(tmp_path / "often.db", anew=True)


def test_values_that_were_kept_already_stay(tmp_path: Path) -> None:
    with opened(tmp_path / "whole.db") as study:
        trial = study.begin("here", "here", 9)
        assert trial is not None
        whole = study.choose(trial).params
    with opened(tmp_path / "cut.db") as study:
        trial = study.begin("here", "here", 9)
        assert trial is not None
        # a process that was killed behind the first one
        study.space, all_of_it = SPACE[:1], study.space
        assert len(study.choose(trial).params) == 1
        study.space = all_of_it
        assert study.choose(trial).params == whole


def test_no_more_trials_begin_than_wanted(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as one, opened(tmp_path / "study.db") as other:
        first, second = one.begin("one", "one", 3), other.begin("other", "other", 3)
        assert first is not None
        assert second is not None
        assert (first.number, second.number) == (0, 1)
        # one that runs counts: its machine goes on with it some day
        assert one.begin("one", "one", 2) is None
        third = other.begin("other", "other", 3)
        assert third is not None
        assert one.begin("one", "one", 3) is None
        assert [trial.place for trial in one.records()] == ["one", "other", "other"]


def test_of_two_machines_that_begin_the_last_trial_at_once_one_gives_way(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as one, opened(tmp_path / "study.db") as other:
        assert one.begin("one", "one", 2) is not None
        real = one.records
        seen = []

        def late() -> list[object]:
            # the other machine begins its trial right behind this one's look
            found = real()
            if not seen:
                seen.append(other.begin("other", "other", 2))
            return found

        one.records = late  # type: ignore[method-assign, assignment]
        assert one.begin("one", "one", 2) is None
        assert seen[0] is not None
        assert [trial.state for trial in other.records()] == [State.RUNNING, State.RUNNING, State.FAILED]
        # it takes no trial's place
        assert other.begin("other", "other", 3) is not None


def test_the_first_of_the_best_is_the_best(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as study:
        for value in (0.5, 0.3, 0.3, None):
            trial = study.begin("here", "here", 9)
            assert trial is not None
            study.choose(trial)
            study.report(trial, 500, 0.1)
            study.report(trial, 500, 7.0)
            study.end(trial, State.COMPLETE if value else State.PRUNED, value, "" if value else "fell behind")
        records = study.records()
        assert study.importances() == {}
    best = best_of(records, "nll")
    assert best is not None
    assert best.number == 1
    assert [trial.number for trial in ranked(records, "nll")] == [1, 2, 0, 3]
    assert [trial.number for trial in ranked(records, "accuracy")] == [0, 1, 2, 3]
    assert best_of(records[3:], "nll") is None
    # what was reported first stays
    assert records[3].value == 0.1


def test_a_study_of_something_else_is_left_alone(tmp_path: Path) -> None:
    theirs = optuna.create_study(storage=StudyStorage.in_file(tmp_path / "study.db").connect(), study_name="study")
    theirs.add_trial(optuna.trial.create_trial(value=1.0))
    with opened(tmp_path / "study.db") as study, pytest.raises(TrainingError, match="is no sweep"):
        study.agree("here", {"data": "x"})


def test_who_differs_from_earlier_participants_leaves_no_word(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as one, opened(tmp_path / "study.db") as other:
        one.agree("one", {"data": "x", "space": "searched in 1,2"})
        with pytest.raises(TrainingError, match=r"data was x and is y; space was searched in 1,2 and is 1\."):
            other.agree("other", {"data": "y", "space": "1"})
        other.agree("other", {"data": "x", "space": "searched in 1,2"})
        # nor is a word ever another one
        with pytest.raises(TrainingError, match="data was x and is y"):
            one.agree("one", {"data": "y", "space": "searched in 1,2"})
        one.agree("one", {"data": "x", "space": "searched in 1,2"})


def test_a_process_that_was_killed_before_it_looked_is_in_nobody_s_way(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as one, opened(tmp_path / "study.db") as killed, opened(tmp_path / "study.db") as third:
        one.agree("one", {"data": "x"})
        killed._say("killed", {"data": "y"})
        one.agree("one", {"data": "x"})
        assert one.begin("one", "one", 9) is not None
        third.agree("third", {"data": "x"})
        with pytest.raises(TrainingError, match="data was x and is y"):
            third.agree("fourth", {"data": "y"})


@pytest.mark.parametrize("words", [("x", "y"), ("x", "x")])
def test_of_machines_that_join_at_the_same_time_no_two_differ(words: tuple[str, str], tmp_path: Path) -> None:
    # each has said its word before any looks, and has looked before any takes it back
    spoken, both_looked = Barrier(2), Barrier(2)

    def join(word: str) -> bool:
        with opened(tmp_path / f"{'-'.join(words)}.db") as study:
            say = study._say

            def slowly(place: str, identity: Mapping[str, Any] | None) -> None:
                if identity is None:
                    both_looked.wait(20)
                say(place, identity)
                if identity is not None:
                    spoken.wait(20)

            study._say = slowly  # type: ignore[method-assign]
            try:
                study.agree(word + str(get_ident()), {"data": word})
            except TrainingError:
                return False
            return True

    with opened(tmp_path / f"{'-'.join(words)}.db"), ThreadPoolExecutor(2) as pool:
        joined = list(pool.map(join, words))
    assert joined == ([True, True] if words[0] == words[1] else [False, False])


def test_processes_that_join_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with opened(path):
        pass
    code = """
import sys, time
from pathlib import Path
from emotions_cli.errors import TrainingError
from emotions_cli.sweep import StudyStorage, parse_space
from emotions_cli.sweep.study import SweepStudy
space = parse_space(["training.batch_size=8..64"])
with SweepStudy.opened(StudyStorage.in_file(Path(sys.argv[1])), "study", "nll", space, 3) as study:
    print("ready", flush=True)
    sys.stdin.readline()
    for attempt in range(10):
        try:
            study.agree(f"{sys.argv[2]}{attempt}", {"data": sys.argv[2]})
        except TrainingError:
            print("no", flush=True)
        else:
            print("yes", flush=True)
            break
"""
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), word], **options) for word in "xy"]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sum("yes" in answer for answer in answers) <= 1
    with opened(path) as study:
        assert len({identity["data"] for identity in study._identities().values()}) == sum("yes" in answer for answer in answers)


def test_a_password_is_neither_shown_nor_repeated() -> None:
    storage = StudyStorage.at("postgresql://me:s3cret@host/db?sslpassword=s3cret2")
    assert not storage.lacks_password
    assert StudyStorage.at(storage.shown).lacks_password
    assert storage.shown == "postgresql://me:***@host/db?sslpassword=***"
    assert "s3cret" in storage.url
    assert "s3cret" not in f"{storage} {storage!r} {storage.shown}"
    with pytest.raises(StorageError) as raised, storage.errors():
        raise RuntimeError("login with s3cret and s3cret2 failed\nand more")
    assert "login with *** and" in raised.value.message
    assert "s3cret" not in raised.value.message + raised.value.hint
    assert "more" not in raised.value.message
    assert not StudyStorage.at("sqlite:///study.db").lacks_password


@pytest.mark.parametrize(
    ("url", "said", "hint"),
    [
        ("my s3cret words", "--storage is no database URL", "sqlite:///FILE"),
        ("nosuchkind://me:s3cret@host/db", "it is of no known kind", "sqlite:///FILE"),
        ("oracle://me:s3cret@host/db", "is not installed", "Install the driver: pip install '"),
        ("sqlite:////no/such/folder/study.db", "unable to open database file", "permissions"),
    ],
)
def test_a_database_that_can_t_be_used_is_an_error_with_the_next_step(url: str, said: str, hint: str) -> None:
    with pytest.raises(StorageError) as raised:
        StudyStorage.at(url).connect()
    assert said in raised.value.message
    assert hint in raised.value.hint
    assert "s3cret" not in raised.value.message + raised.value.hint


def test_a_file_that_is_no_database_and_one_that_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.db").write_text("no database" * 99, encoding="utf-8")
    with pytest.raises(StorageError, match="file is not a database"):
        StudyStorage.in_file(tmp_path / "text.db").connect()
    monkeypatch.setattr(storage_module, "BUSY_SECONDS", 0.05)
    with opened(tmp_path / "study.db") as study:
        trial = study.begin("here", "here", 9)
        assert trial is not None
        with closing(sqlite3.connect(tmp_path / "study.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StorageError, match="database is locked") as raised:
                study.spent(trial, 1.0)
            assert "--resume" in raised.value.hint


def test_a_folder_with_odd_letters_holds_a_study(tmp_path: Path) -> None:
    odd = tmp_path / "a {b} %20 #c? é"
    odd.mkdir()
    with opened(odd / "study.db") as study:
        assert study.records() == []
    assert (odd / "study.db").exists()
