"""A sweep from its first trial to the best one's bundle: repeatable, resumable, bounded."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import untraced
from sweeping import PARAMS, job_of, records_of, results_of, searched, tracker_of

from emotions_cli.errors import ModelError, TrainingError, TrainingStopped
from emotions_cli.settings.model import WandbSettings
from emotions_cli.settings.sources import resolve
from emotions_cli.sweep import (
    Concluding,
    State,
    SweepEvent,
    SweepFolder,
    SweepJob,
    SweepNote,
    SweepPlan,
    Trained,
    TrialBegan,
    TrialEnded,
    sweep,
)
from emotions_cli.sweep.space import with_params
from emotions_cli.sweep.study import best_of
from emotions_cli.tracking import Ending
from emotions_cli.training import Evaluated, Finishing, Step, TrainingJob, train
from emotions_cli.training.run_folder import RunFolder


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Matrices this small gain nothing from threads, which wait for each other for ever on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def undisturbed(dropping_base: Path, easy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepJob:
    """The sweep that nobody stopped, its model not written."""
    job = job_of(dropping_base, easy_data, tmp_path_factory.mktemp("whole") / "sweep")
    searched(job)
    return job


def _kill_at(places: list[list[object]], folder: Path, base: Path, data: Path, **options: object) -> None:
    """Sweep in processes that kill themselves, one after the other, and in one more to the end."""
    plan = {"folder": str(folder), "base": str(base), "data": str(data), "places": places, "options": options}
    command = [sys.executable, str(Path(__file__).with_name("killed_sweep.py")), json.dumps(plan)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=untraced())
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"killed": places, "finished": True}


@pytest.mark.skipif(os.name == "nt", reason="no fork on Windows")
def test_a_sweep_that_is_killed_anywhere_ends_as_if_nothing_had_happened(
    undisturbed: SweepJob, dropping_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    places: list[list[object]] = [
        ["SweepStudy.agree", "call", 1],
        ["SweepStudy.begin", "return", 1],
        # between the values of a trial
        ["Range.suggest", "return", 1],
        # in the middle of its run, judged but not saved
        ["SweepStudy.report", "return", 1],
        ["Checkpoints.save", "return", 1],
        ["SweepStudy.end", "call", 1],
        ["SweepStudy.end", "return", 1],
        ["write_page", "call", 2],
    ]
    _kill_at(places, folder, dropping_base, easy_data)

    job = job_of(dropping_base, easy_data, folder)
    assert results_of(job) == results_of(undisturbed)
    # the settings of the best repeat it
    best = best_of(records_of(job), "nll")
    assert best is not None
    assert [path.parent.name for path in folder.rglob("checkpoints")] == [best.name]
    settings = resolve(file=folder / "best.toml", environment={}).settings
    run = RunFolder(tmp_path / "again")
    values = []
    with closing(train(TrainingJob(job.dataset, settings, run, tracker_of(run, settings.wandb)))) as events:
        for event in events:
            if isinstance(event, Evaluated):
                values.append(event.value)
            if isinstance(event, Finishing):
                break
    assert min(values) == best.value


def test_a_stop_saves_the_running_trial_and_the_sweep_goes_on_with_it(
    undisturbed: SweepJob, dropping_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    job = job_of(dropping_base, easy_data, tmp_path / "sweep")
    told: list[SweepEvent] = []

    def asked() -> bool:
        newest = told[-1] if told else None
        return isinstance(newest, Trained) and newest.number == 1 and isinstance(newest.event, Step) and newest.event.number == 2

    with pytest.raises(TrainingStopped, match=r"Trial 0001: Stopped after step 2 of \d+; all is saved") as raised:
        told.extend(sweep(replace(job, stop=asked)))
    assert raised.value.hint == f"Go on: emotions sweep --resume --output {job.folder}"
    again = job_of(dropping_base, easy_data, tmp_path / "sweep")
    began = [event for event in searched(again) if isinstance(event, TrialBegan)]
    assert [(event.number, event.resumed) for event in began] == [(1, True), (2, False), (3, False), (4, False), (5, False)]
    assert results_of(again) == results_of(undisturbed)


def test_only_the_best_and_the_running_trial_have_checkpoints(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    job = job_of(dropping_base, easy_data, tmp_path / "sweep", trials=4)
    most = 0
    best = None
    with closing(sweep(job)) as events:
        for event in events:
            kept = {path.parent.name for path in (tmp_path / "sweep").rglob("checkpoints")}
            if isinstance(event, Trained) and isinstance(event.event, Evaluated):
                most = max(most, len(kept))
            if isinstance(event, TrialEnded):
                best = event.best
                assert best is not None
                assert kept == {best.name}
            if isinstance(event, Concluding):
                break
    assert most == 2
    # what they measured stays
    assert len(list((tmp_path / "sweep" / "trials").glob("*/metrics.jsonl"))) == 4


@pytest.fixture(scope="module")
def pruning(dropping_base: Path, easy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepJob, dict[str, Ending]]:
    """A sweep of which some trials fall behind, and what the trackers of the trials were told in the end."""
    endings: dict[str, Ending] = {}
    job = job_of(dropping_base, easy_data, tmp_path_factory.mktemp("pruned") / "sweep", **PRUNED)
    searched(replace(job, tracker=_listening(endings)))
    return job, endings


PRUNED: dict[str, Any] = {"params": ["training.learning_rate=1e-6..2e-2:log", "training.batch_size=6,9"], "trials": 8}


class _Listener:
    """A tracker that also keeps how its run ended."""

    def __init__(self, real: Any, keep: Callable[[Ending], None]) -> None:
        self._real = real
        self._keep = keep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def finish(self, ending: Ending) -> None:
        self._keep(ending)
        self._real.finish(ending)


def _listening(endings: dict[str, Ending]) -> Callable[[RunFolder, WandbSettings], Any]:
    def tracked(run: RunFolder, wandb: WandbSettings) -> Any:
        return _Listener(tracker_of(run, wandb), lambda ending: endings.update({run.path.name: ending}))

    return tracked


def test_trials_that_fall_behind_are_given_up(
    pruning: tuple[SweepJob, dict[str, Ending]], dropping_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    job, endings = pruning
    pruned = [trial for trial in records_of(job) if trial.state is State.PRUNED]
    assert pruned
    assert all(max(trial.reports) < 1000 for trial in pruned)
    assert "fell behind after 50% of its run" in {trial.note for trial in pruned}
    # nothing went wrong in them
    assert len(endings) == 8
    assert set(endings.values()) == {Ending.DONE}
    whole = job_of(dropping_base, easy_data, tmp_path / "whole", **PRUNED, prune=False)
    searched(whole)
    assert {trial.state for trial in records_of(whole)} == {State.COMPLETE}
    # the same values up to the first that was given up
    first = pruned[0].number
    assert [t.params for t in records_of(job)[: first + 1]] == [t.params for t in records_of(whole)[: first + 1]]


@pytest.mark.skipif(os.name == "nt", reason="no fork on Windows")
def test_a_trial_that_is_killed_while_it_is_given_up_is_given_up_all_the_same(
    pruning: tuple[SweepJob, dict[str, Ending]], dropping_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    first = next(trial.number for trial in records_of(pruning[0]) if trial.state is State.PRUNED)
    places: list[list[object]] = [
        # reported, but its last checkpoint is of a step before
        ["_Outcome.give_up", "return", 1],
        # saved, not ended
        ["SweepStudy.end", "call", 1],
        # given up by what was reported, not ended
        ["_Outcome.give_up", "return", 1],
    ]
    _kill_at(places, tmp_path / "sweep", dropping_base, easy_data, **PRUNED, checkpoint_steps=1)
    job = job_of(dropping_base, easy_data, tmp_path / "sweep", **PRUNED)
    assert results_of(job) == results_of(pruning[0])
    assert records_of(job)[first].note.startswith("fell behind after")


def test_trials_that_diverge_count_as_given_up(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, easy_data, tmp_path / "sweep", params=["training.learning_rate=1e-3,1e30"], trials=6)
    endings: dict[str, Ending] = {}
    searched(replace(job, tracker=_listening(endings)))
    by_rate = {trial.params["learning_rate"]: trial for trial in reversed(records_of(job))}
    assert by_rate[1e-3].state is State.COMPLETE
    assert by_rate[1e30].state is State.PRUNED
    assert "diverged: The" in " ".join(trial.note for trial in records_of(job))
    assert endings == {
        by_rate[1e-3].name: Ending.DONE,
        **{trial.name: Ending.FAILED for trial in records_of(job) if trial.note.startswith("diverged")},
    }

    alone = job_of(tiny_base, easy_data, tmp_path / "alone", params=["training.learning_rate=1e30,1e31"], trials=2)
    with pytest.raises(TrainingError, match="No trial of 'study' came to its end"):
        searched(alone)


def test_a_trial_with_the_values_of_an_earlier_one_is_not_run_again(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, easy_data, tmp_path / "sweep", params=["training.batch_size=6,9"], trials=5)
    searched(job)
    trials = records_of(job)
    assert len(trials) == 5
    assert {trial.state for trial in trials} == {State.COMPLETE}
    assert len(list((tmp_path / "sweep" / "trials").iterdir())) == 2
    assert sum(trial.note.startswith("same values as trial 000") for trial in trials) == 3
    assert len({(trial.params["batch_size"], trial.value) for trial in trials}) == 2


class _Hungry:
    """A tracker under which the device has no more memory."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def log(self, *_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


def test_a_trial_without_enough_memory_counts_as_given_up(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, easy_data, tmp_path / "sweep", params=["training.batch_size=6,9"], trials=4)

    def tracked(run: Any, wandb: Any) -> Any:
        large = run.settings.parent.name == "0000"
        return _Hungry(tracker_of(run, wandb)) if large else tracker_of(run, wandb)

    searched(replace(job, tracker=tracked))
    first, *others = records_of(job)
    assert first.state is State.PRUNED
    assert first.note == "out of memory: CUDA out of memory. Tried to allocate 2 GiB."
    assert State.COMPLETE in {trial.state for trial in others}


def test_a_trial_whose_model_can_t_be_built_counts_as_given_up(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    params = ["training.max_length=48,128"]
    job = job_of(tiny_base, easy_data, tmp_path / "sweep", params=params, trials=5, epochs=1)
    searched(job)
    trials = records_of(job)
    by_length = {trial.params["max_length"]: trial for trial in trials}
    assert by_length[48].state is State.COMPLETE
    assert by_length[128].state is State.PRUNED
    assert "can't be trained: Base model" in " ".join(trial.note for trial in trials)
    assert "reads at most 64 tokens, not 128" in " ".join(trial.note for trial in trials)

    # one of two that can't be read at all
    broken = tmp_path / "broken"
    shutil.copytree(tiny_base, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    params = [f"training.base_model={broken},{tiny_base}"]
    job = job_of(tiny_base, easy_data, tmp_path / "some", params=params, trials=4, epochs=1)
    searched(job)
    assert {(trial.params["base_model"] == str(broken), trial.state) for trial in records_of(job)} == {
        (True, State.PRUNED),
        (False, State.COMPLETE),
    }


@pytest.mark.parametrize(
    ("params", "training", "said"),
    [
        (["training.batch_size=6,9"], {"max_length": 128}, "reads at most 64 tokens, not 128"),
        (["training.max_length=96..128"], {}, "reads at most 64 tokens, not 96"),
        (["training.base_model=/nope,{base}"], {}, r"--param training\.base_model: Base model folder '/nope' is not there"),
        (["training.batch_size=6,9"], {"teachers": ["/nope"]}, "/nope"),
    ],
)
def test_what_no_trial_could_be_trained_with_ends_a_sweep_before_it_begins(
    params: list[str], training: dict[str, Any], said: str, tiny_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    params = [param.format(base=tiny_base) for param in params]
    with pytest.raises(ModelError, match=said):
        searched(job_of(tiny_base, easy_data, tmp_path / "sweep", params=params, **training))
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 3}, "training.epochs was 2 and is 3"),
        ({"patience": 1}, "training.patience was 0 and is 1"),
        (
            {"params": ["training.learning_rate=1e-4..1e-2:log"]},
            r"training.learning_rate was searched in 0.0001..0.02:log and is searched in 0.0001..0.01:log",
        ),
        ({"params": ["training.learning_rate=1e-4..2e-2:log"]}, r"training.batch_size was searched in 6,9 and is 6[;.]"),
        (
            {"params": [*PARAMS, "training.schedule=linear,cosine"]},
            r"training.schedule was linear and is searched in linear,cosine\.",
        ),
    ],
)
def test_other_settings_or_parameters_are_refused(
    change: dict[str, Any], said: str, undisturbed: SweepJob, dropping_base: Path, easy_data: Path
) -> None:
    job = job_of(dropping_base, easy_data, undisturbed.folder.path, **change)
    with pytest.raises(TrainingError, match=said):
        next(sweep(job))


def test_other_data_or_another_base_model_are_refused(
    undisturbed: SweepJob, tiny_base: Path, dropping_base: Path, easy_data: Path, easy_multi_data: Path
) -> None:
    with pytest.raises(TrainingError, match="data was sha256:"):
        next(sweep(job_of(dropping_base, easy_multi_data, undisturbed.folder.path)))
    with pytest.raises(TrainingError, match=r"training.base_model was"):
        next(sweep(job_of(tiny_base, easy_data, undisturbed.folder.path)))


def test_the_table_has_a_line_a_trial(undisturbed: SweepJob) -> None:
    with undisturbed.folder.table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    trials = records_of(undisturbed)
    assert [row["trial"] for row in rows] == [f"{i:04}" for i in range(6)]
    assert [float(row["nll"]) for row in rows] == [trial.value for trial in trials]
    assert [float(row["learning_rate"]) for row in rows] == [trial.params["learning_rate"] for trial in trials]
    assert {row["state"] for row in rows} <= {"complete", "pruned"}


def test_each_trial_is_a_run_of_one_group(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    seen = []

    def tracked(run: Any, wandb: Any) -> Any:
        seen.append((wandb.name, wandb.group))
        return tracker_of(run, wandb)

    job = job_of(tiny_base, easy_data, tmp_path / "sweep", params=["training.batch_size=6..9"], trials=2, epochs=1, study="ours")
    searched(replace(job, tracker=tracked))
    assert seen[:2] == [("trial-0000", "ours"), ("trial-0001", "ours")]


def test_checkpoints_that_are_gone_are_made_again(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, easy_data, tmp_path / "sweep", params=["training.batch_size=6,9"], trials=1, epochs=1)
    searched(job)
    job.folder.run("0000").checkpoints.clear()
    told = []
    with closing(sweep(job_of(tiny_base, easy_data, tmp_path / "sweep", params=["training.batch_size=6,9"], epochs=1))) as events:
        for event in events:
            told.append(event)
            if isinstance(event, Trained) and isinstance(event.event, Finishing):
                break
    assert SweepNote("the checkpoints of trial 0000 are gone: it is trained again") in told
    assert job.folder.run("0000").checkpoints.steps()


@pytest.mark.parametrize("made", ["a run", "a file"])
def test_what_is_no_sweep_is_left_alone(made: str, tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    place = tmp_path / "taken"
    if made == "a file":
        place.write_text("mine", encoding="utf-8")
    else:
        place.mkdir()
        (place / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"is a file|is not empty, and no sweep"):
        next(sweep(job_of(tiny_base, easy_data, place)))


def test_an_earlier_sweep_is_replaced_by_force_alone(
    undisturbed: SweepJob, tiny_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    params = ["training.batch_size=6,9"]
    first = job_of(tiny_base, easy_data, tmp_path / "sweep", params=params, trials=2, epochs=1)
    searched(first)
    anew = replace(first, begin=True)
    with pytest.raises(TrainingError, match="holds a sweep"):
        next(sweep(anew))
    searched(replace(anew, force=True, plan=replace(anew.plan, trials=1)))
    assert len(records_of(anew)) == 1


def test_a_sweep_with_trials_in_a_shared_study_is_not_replaced(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    recipe: dict[str, Any] = {"params": ["training.batch_size=6,9"], "trials": 2, "epochs": 1, "storage": storage}
    first = job_of(tiny_base, easy_data, tmp_path / "sweep", **recipe)
    searched(first)
    before = sorted(tmp_path.rglob("*"))
    anew = replace(first, begin=True, force=True, plan=SweepPlan("study", first.plan.params, 3, True, storage))
    with pytest.raises(TrainingError, match=r"The study 'study' in .* has trials already") as raised:
        next(sweep(anew))
    assert "Choose another --study" in raised.value.hint
    assert sorted(tmp_path.rglob("*")) == before
    assert len(records_of(first)) == 2

    # one that began no trial yet leaves nothing there, other settings or not
    empty = replace(first, folder=SweepFolder(tmp_path / "other"), plan=replace(first.plan, study="theirs", place="other"))
    with closing(sweep(empty)) as events:
        next(events)
    other = replace(anew, plan=replace(anew.plan, study="theirs"), folder=empty.folder)
    other = replace(other, settings=with_params(other.settings, {"epochs": 2}))
    searched(other)
    assert {trial.place for trial in records_of(other)} == {other.plan.place}


def test_a_folder_is_one_process_s(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, easy_data, tmp_path / "sweep")
    with job.folder.held(), pytest.raises(TrainingError, match="is being trained by another process"):
        next(sweep(job))


def test_a_plan_that_can_t_be_read_is_an_error(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    with pytest.raises(TrainingError, match="holds no sweep"):
        folder.plan()
    folder.keep(SweepPlan("name", (), 1, True))
    assert folder.plan().study == "name"
    (tmp_path / "sweep.json").write_text('{"format": 9}', encoding="utf-8")
    with pytest.raises(TrainingError, match="another version"):
        folder.plan()
    (tmp_path / "sweep.json").write_text("{", encoding="utf-8")
    with pytest.raises(TrainingError, match="can't be read"):
        folder.plan()


def test_the_newest_sweep_with_trials_to_come_is_the_unfinished_one(tmp_path: Path) -> None:
    def newest() -> str | None:
        found = SweepFolder.newest_unfinished(tmp_path)
        return found and found.path.name

    assert newest() is None
    folder = SweepFolder(tmp_path / "sweep")
    folder.path.mkdir()
    plan = SweepPlan("name", (), 20, True)
    folder.keep(plan)
    assert newest() == "sweep"
    # also where another machine has the model
    folder.keep(replace(plan, concluded=20))
    assert newest() is None
    folder.keep(replace(plan, concluded=20, trials=40))
    (folder.path / "model").mkdir()
    (folder.path / "model" / "emotions.json").write_text("{}", encoding="utf-8")
    assert newest() == "sweep"
    with folder.held():
        assert newest() is None
    folder.keep(replace(plan, concluded=20, trials=10))
    assert newest() is None
    (folder.path / "sweep.json").write_text("{", encoding="utf-8")
    assert newest() is None


def test_a_password_is_written_nowhere(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    # SQLite ignores it
    storage = f"sqlite:///file:{tmp_path / 'shared.db'}?uri=true&password=s3cret"
    params = ["training.batch_size=6,9"]
    searched(job_of(tiny_base, easy_data, tmp_path / "sweep", params=params, trials=1, epochs=1, storage=storage))
    assert (tmp_path / "shared.db").exists()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if b"s3cret" in path.read_bytes()]


def test_a_machine_that_may_not_take_part_leaves_nothing(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    params = ["training.batch_size=6,9"]
    searched(job_of(tiny_base, easy_data, tmp_path / "one", params=params, trials=1, epochs=1, storage=storage))
    with pytest.raises(TrainingError, match=r"training.epochs was 1 and is 2"):
        searched(job_of(tiny_base, easy_data, tmp_path / "other", params=params, trials=1, epochs=2, storage=storage))
    assert not list((tmp_path / "other").iterdir())
