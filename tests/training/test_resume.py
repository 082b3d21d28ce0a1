"""A run that was killed or stopped anywhere ends as if nothing had happened, and never goes on as another run."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import write_easy
from resuming import After, assert_equal_runs, assert_killed_at, assert_same_end, job_of, trained_by

from emotions_cli.errors import ModelError, StorageError, TrainingError, TrainingStopped
from emotions_cli.models.bundle import Bundle
from emotions_cli.training import Evaluated, Finished, Finishing, Note, Resume, Resumed, Step, train
from emotions_cli.training.run_folder import RunFolder


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_was_not(
    dropping_base: Path, easy_data: Path, whole: Path, tmp_path: Path
) -> None:
    dice = random.Random(17)
    made, saved = "Progress.made", "Parts.write_state"
    places: list[list[object]] = [
        [made, "call", 1],
        ["logits_of", "call", 1],
        [saved, "return", 1],
        [made, "return", dice.randint(1, 5)],
        ["probabilities", "call", 1],
        ["Parts._write_accelerator_state", "call", 1],
        ["Progress.judged", "return", 1],
        ["_digest", "call", 2],
        [made, "return", dice.randint(1, 3)],
        ["Checkpoints._remove_old", "call", 1],
        ["save_weights", "call", 1],
        ["Checkpoints._remove", "call", 1],
        ["JsonlTracker.log", "return", dice.randint(2, 3)],
        ["write_model_files", "return", 1],
        ["write_manifest", "return", 1],
        ["Checkpoints.clear", "call", 1],
    ]
    assert_killed_at(places, tmp_path / "run", dropping_base, easy_data)
    assert_equal_runs(tmp_path / "run", whole)


@pytest.mark.parametrize("at", [1, 3, 4, 7, 12])
def test_a_run_that_is_stopped_after_a_step_goes_on(
    at: int, dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    job = job_of(dropping_base, easy_data, tmp_path / "run")
    with pytest.raises(TrainingStopped, match=rf"Stopped after step {at} of 12; all is saved") as caught:
        After(at).follow(job)
    assert "--resume" in caught.value.hint
    assert not job.folder.finished
    events = trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES))
    (resumed,) = (event for event in events if isinstance(event, Resumed))
    assert resumed.step == at
    assert [event.number for event in events if isinstance(event, Step)] == list(range(at + 1, 13))
    # a stop at the step of an evaluation comes before it
    assert [event.step for event in events if isinstance(event, Evaluated)] == [step for step in (4, 8, 12) if step >= at]
    assert_same_end(tmp_path / "run", course)


def test_a_stop_during_an_evaluation_ends_it_between_two_batches(
    dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    # once after the step, and once more by the evaluation
    stop = After(8, times=2)
    with pytest.raises(TrainingStopped, match="Stopped after step 8"):
        stop.follow(job_of(dropping_base, easy_data, tmp_path / "run"))
    assert [event.step for event in stop.events if isinstance(event, Evaluated)] == [4]
    trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES))
    assert_same_end(tmp_path / "run", course)


def test_the_last_two_checkpoints_and_the_best_are_kept(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, easy_data, tmp_path / "run", checkpoint_steps=1, epochs=6, learning_rate=0.03, patience=4)
    best = 0
    for event in train(job):
        if isinstance(event, Step) and event.number > 3:
            kept = set(job.folder.checkpoints.steps())
            assert {event.number - 1, event.number - 2} | ({best} - {0}) <= kept
            # the one before the newest may know another best
            assert len(kept) <= 4
        if isinstance(event, Evaluated) and event.improved:
            best = event.step
    assert not job.folder.checkpoints.steps()


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl", "checkpoint.json"]
)
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_checkpoint_is_left_out(
    name: str, damage: str, dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    _stop_at(7, dropping_base, easy_data, folder.path)
    assert folder.checkpoints.steps()[:2] == [7, 6]
    file = folder.checkpoints.at(7) / name
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        middle = len(content) // 2
        file.write_bytes(
            content[:middle] if damage == "cut" else content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
    checkpoint, notes = folder.checkpoints.newest()
    assert checkpoint is not None
    assert checkpoint.progress.step == 6
    assert "is damaged" in notes[0]
    assert "step-000000007" in notes[0]


def _stop_at(at: int, base: Path, data: Path, folder: Path, **training: object) -> None:
    """Train with a checkpoint after every step, and stop after one."""
    with pytest.raises(TrainingStopped):
        After(at).follow(job_of(base, data, folder, checkpoint_steps=1, **training))


def test_it_goes_on_from_the_newest_whole_one(dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    _stop_at(7, dropping_base, easy_data, folder.path)
    (folder.checkpoints.at(7) / "optimizer.bin").write_bytes(b"")
    events = trained_by(job_of(dropping_base, easy_data, folder.path, resume=Resume.AUTO))
    assert any(isinstance(event, Note) and "optimizer.bin changed" in event.text for event in events)
    assert next(event.step for event in events if isinstance(event, Resumed)) == 6
    assert_same_end(folder.path, course)


def test_a_checkpoint_that_was_being_replaced_is_put_back(
    dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingStopped):
        After(3).follow(job_of(dropping_base, easy_data, tmp_path / "run"))
    (only,) = (tmp_path / "run" / "checkpoints").iterdir()
    # as a process leaves it that is killed while it saves the same step again
    aside = only.with_name(f".{only.name}.abc.old")
    aside.mkdir()
    only.rename(aside / only.name)
    events = trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES))
    assert any(isinstance(event, Resumed) and event.step == 3 for event in events)
    assert_same_end(tmp_path / "run", course)
    assert not aside.exists()


def test_without_a_whole_one_auto_begins_anew_and_yes_does_not(
    dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    _stop_at(2, dropping_base, easy_data, folder.path)
    for step in folder.checkpoints.steps():
        (folder.checkpoints.at(step) / "model.safetensors").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"No checkpoint of .* is whole\..*model\.safetensors changed"):
        trained_by(job_of(dropping_base, easy_data, folder.path, resume=Resume.YES))
    events = trained_by(job_of(dropping_base, easy_data, folder.path, resume=Resume.AUTO))
    assert any(isinstance(event, Note) and "begins anew" in event.text for event in events)
    assert_same_end(folder.path, course)


def test_the_best_weights_must_be_whole_too(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    _stop_at(7, dropping_base, easy_data, folder.path)
    (folder.checkpoints.at(4) / "model.safetensors").write_bytes(b"")
    checkpoint, notes = folder.checkpoints.newest()
    assert checkpoint is None
    assert all("step-000000004" in note for note in notes)


def test_auto_begins_where_there_is_nothing_and_yes_refuses(
    dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="has no checkpoint to go on from"):
        trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES))
    assert not (tmp_path / "run").exists()
    assert isinstance(trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.AUTO))[-1], Finishing)
    assert_same_end(tmp_path / "run", course)


def test_other_settings_are_refused_and_all_are_named(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    _stop_at(3, dropping_base, easy_data, tmp_path / "run")
    changed = job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.AUTO, epochs=5, seed=4, allow_changed=True)
    with pytest.raises(TrainingError, match=r"training\.epochs was 4 and is 5; training\.seed was 3 and is 4"):
        list(train(changed))


def test_other_data_is_refused(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    _stop_at(3, dropping_base, easy_data, tmp_path / "run")
    other = write_easy(tmp_path / "other")
    text = (other / "train.csv").read_text(encoding="utf-8")
    (other / "train.csv").write_text(text.replace("what a happy day", "what a happy year"), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"data was sha256:\w+… and is sha256"):
        trained_by(job_of(dropping_base, other, tmp_path / "run", resume=Resume.YES, allow_changed=True))
    # the same rows elsewhere are the same data
    (other / "train.csv").write_text(text, encoding="utf-8")
    assert isinstance(trained_by(job_of(dropping_base, other, tmp_path / "run", resume=Resume.YES))[-1], Finishing)


def test_another_base_model_of_the_same_name_is_refused(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    base = tmp_path / "base"
    shutil.copytree(dropping_base, base)
    _stop_at(3, base, easy_data, tmp_path / "run")
    weights = load_file(base / "model.safetensors")
    save_file({name: torch.zeros_like(value) for name, value in weights.items()}, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(TrainingError, match="base model was"):
        trained_by(job_of(base, easy_data, tmp_path / "run", resume=Resume.YES))


def test_harmless_changes_go_on_when_allowed(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    _stop_at(3, dropping_base, easy_data, tmp_path / "run")
    changed = job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES, patience=9, eval_steps=6)
    with pytest.raises(TrainingError, match=r"training\.eval_steps was 4 and is 6; training\.patience was 0 and is 9") as caught:
        list(train(changed))
    assert "--allow-changed" in caught.value.hint
    events = trained_by(replace(changed, allow_changed=True))
    assert any(isinstance(event, Note) and event.text.startswith("changed: training.eval_steps") for event in events)
    assert [event.step for event in events if isinstance(event, Evaluated)] == [6, 12]


def test_how_often_is_saved_is_no_setting_of_the_run(dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path) -> None:
    _stop_at(5, dropping_base, easy_data, tmp_path / "run")
    trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES, checkpoint_steps=5))
    assert_same_end(tmp_path / "run", course)


def test_a_run_can_be_finished_with_the_best_so_far(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    _stop_at(3, dropping_base, easy_data, folder)
    with pytest.raises(TrainingError, match="was not evaluated yet"):
        trained_by(job_of(dropping_base, easy_data, folder, resume=Resume.YES, finish=True))
    with pytest.raises(TrainingStopped):
        After(6).follow(job_of(dropping_base, easy_data, folder, resume=Resume.YES))
    *_, finished = train(job_of(dropping_base, easy_data, folder, resume=Resume.YES, finish=True))
    assert isinstance(finished, Finished)
    assert (finished.best_step, finished.steps, finished.stopped_early) == (4, 6, True)
    assert Bundle.open(folder / "model").manifest.metrics["validation"]["n"] == 6


def test_a_run_whose_patience_ran_out_ends_the_same(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    recipe = {"learning_rate": 0.5, "eval_steps": 1, "patience": 2}
    trained_by(job_of(dropping_base, easy_data, tmp_path / "whole", **recipe))
    last = json.loads((tmp_path / "whole" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])["step"]
    assert last < 12
    _stop_at(last - 1, dropping_base, easy_data, tmp_path / "run", **recipe)
    trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES, **recipe))
    assert_same_end(tmp_path / "run", tmp_path / "whole")


def test_lost_lines_are_noticed(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    _stop_at(3, dropping_base, easy_data, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"metrics\.jsonl' lacks lines"):
        trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES))


def test_two_processes_do_not_train_one_run(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    first = train(job_of(dropping_base, easy_data, tmp_path / "run", checkpoint_steps=1))
    while not isinstance(next(first), Evaluated):
        pass
    for resume in (Resume.YES, Resume.AUTO):
        with pytest.raises(TrainingError, match="is being trained by another process"):
            trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=resume))
    *_, finished = first
    assert isinstance(finished, Finished)


def test_a_run_that_was_cut_off_is_replaced_only_by_force(
    dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    _stop_at(3, dropping_base, easy_data, tmp_path / "run", seed=9)
    job = job_of(dropping_base, easy_data, tmp_path / "run")
    with pytest.raises(TrainingError, match="holds a run that was cut off") as caught:
        list(train(job))
    assert "--resume" in caught.value.hint
    trained_by(replace(job, force=True))
    assert_same_end(tmp_path / "run", course)


def test_a_checkpoint_that_can_not_be_written_leaves_the_earlier_ones(
    dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    job = job_of(dropping_base, easy_data, tmp_path / "run", checkpoint_steps=1)
    events = train(job)
    while not (isinstance(event := next(events), Step) and event.number == 4):
        pass
    job.folder.checkpoints.folder.rename(tmp_path / "aside")
    job.folder.checkpoints.folder.touch()
    with pytest.raises(StorageError, match="step-000000004"):
        list(events)
    job.folder.checkpoints.folder.unlink()
    (tmp_path / "aside").rename(job.folder.checkpoints.folder)
    trained_by(job_of(dropping_base, easy_data, tmp_path / "run", resume=Resume.YES))
    assert_same_end(tmp_path / "run", course)


def test_a_base_model_that_is_gone_is_named(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    _stop_at(3, dropping_base, easy_data, tmp_path / "run")
    with pytest.raises(ModelError, match="is not there"):
        trained_by(job_of(tmp_path / "gone", easy_data, tmp_path / "run", resume=Resume.YES))
