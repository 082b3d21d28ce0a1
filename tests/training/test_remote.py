"""A run on Google Cloud Storage: real clients, an emulator on loopback, and faults on the way to it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec.config
import pytest
from conftest import read_until
from resuming import After, assert_equal_runs, assert_killed_at, assert_same_end, job_of, trained_by
from servers.door import DROP, FORBID, HALF, OK, REFUSE
from servers.gcs import BUCKET, Store, running_store

from emotions_cli.errors import StorageError, TrainingError, TrainingStopped
from emotions_cli.models.bundle import Bundle
from emotions_cli.training import Finished, Note, Resume, Resumed, Step, train
from emotions_cli.training.remote import BEGUN, RemoteRun, uri_of
from emotions_cli.training.repeat import Recorded

URI = f"gs://{BUCKET}/runs/a"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Store]:
    with running_store() as store:
        yield store


@pytest.fixture
def store(emulator: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty bucket, for this process and those that it starts."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    monkeypatch.setenv("FSSPEC_GCS_TOKEN", "anon")
    monkeypatch.setitem(fsspec.config.conf, "gcs", {"token": "anon"})
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    emulator.calm()
    emulator.requests.clear()
    yield emulator
    emulator.calm()
    remote = RemoteRun.open(URI, Path("copies"))
    for name in remote._list():
        remote.files.rm_file(f"{remote.root}/{name}")


def _machine(tmp_path: Path, name: str, *, resume: bool = True) -> RemoteRun:
    """Start on a machine whose disk knows nothing of the run."""
    remote = RemoteRun.open(URI, tmp_path / name)
    remote.fetch(resume=resume)
    return remote


def _names() -> set[str]:
    return RemoteRun.open(URI, Path("copies"))._list()


def test_a_finished_run_lies_on_the_store_whole(
    store: Store, dropping_base: Path, easy_data: Path, whole: Path, tmp_path: Path
) -> None:
    remote = _machine(tmp_path, "one")
    *_, finished = train(job_of(dropping_base, easy_data, remote.folder.path, remote=remote))
    assert isinstance(finished, Finished)
    assert (finished.folder, finished.model) == (URI, f"{URI}/model")
    names = _names()
    assert {name.split("/")[0] for name in names} == {"settings.toml", "metrics.jsonl", "throughput.jsonl", "model"}
    for name in names:
        remote.files.get_file(f"{remote.root}/{name}", str(tmp_path / "fetched" / name))
    assert_equal_runs(tmp_path / "fetched", whole)
    bundle = Bundle.open(tmp_path / "fetched" / "model")
    recorded = Recorded.named(URI)
    assert recorded.weights == bundle.manifest.files["model.safetensors"]
    assert recorded.name == URI
    assert not recorded.doubts(job_of(dropping_base, easy_data, tmp_path / "repeated"))
    again = _machine(tmp_path, "two")
    assert again.folder.finished
    with pytest.raises(TrainingError, match=f"'{URI}' holds a finished run"):
        again.folder.refuse_if_taken(force=False)


def test_another_machine_goes_on(store: Store, dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path) -> None:
    first = _machine(tmp_path, "one")
    with pytest.raises(TrainingStopped, match="after step 7"):
        After(7).follow(job_of(dropping_base, easy_data, first.folder.path, remote=first))
    with pytest.raises(TrainingError, match="holds a run that was cut off"):
        _machine(tmp_path, "new", resume=False).folder.refuse_if_taken(force=False)
    second = _machine(tmp_path, "two")
    events = trained_by(job_of(dropping_base, easy_data, second.folder.path, remote=second, resume=Resume.YES))
    assert next(event.step for event in events if isinstance(event, Resumed)) == 7
    assert_same_end(second.folder.path, course)


def test_the_last_two_and_the_best_are_kept_there_too(store: Store, dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    remote = _machine(tmp_path, "one")
    with pytest.raises(TrainingStopped):
        After(11).follow(job_of(dropping_base, easy_data, remote.folder.path, remote=remote, checkpoint_steps=1), uploads=True)
    kept = remote.folder.checkpoints.steps()
    assert kept[:2] == [11, 10]
    assert remote._steps(_names()) == kept


def test_faults_on_the_way_are_overcome(store: Store, dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path) -> None:
    faults = iter([REFUSE, DROP, REFUSE])
    lock = threading.Lock()

    def plan(method: str, path: str) -> str:
        with lock:
            return next(faults, OK) if method == "POST" else OK

    store.plan = plan
    remote, stop = _machine(tmp_path, "one"), After(12)
    with pytest.raises(TrainingStopped):
        stop.follow(job_of(dropping_base, easy_data, remote.folder.path, remote=remote))
    assert not [event for event in stop.events if isinstance(event, Note)]
    assert next(faults, None) is None
    assert remote._steps(_names())[0] == 12
    halves = iter([HALF, HALF])
    store.plan = lambda method, path: next(halves, OK) if method == "GET" and "safetensors" in path else OK
    second = _machine(tmp_path, "two")
    assert next(halves, None) is None
    trained_by(job_of(dropping_base, easy_data, second.folder.path, remote=second, resume=Resume.YES))
    assert_same_end(second.folder.path, course)


def test_a_store_that_is_gone_stops_no_training_and_loses_no_model(
    store: Store, dropping_base: Path, easy_data: Path, whole: Path, tmp_path: Path
) -> None:
    remote = _machine(tmp_path, "one")
    # a place that can't be written to at the beginning is an error; this one goes later
    writes = itertools.count(1)
    store.plan = lambda method, _: FORBID if method in {"POST", "PUT"} and next(writes) > 2 else OK
    never = After(99)
    with pytest.raises(StorageError, match=URI) as caught:
        never.follow(job_of(dropping_base, easy_data, remote.folder.path, remote=remote, checkpoint_steps=1))
    seen = never.events
    assert str(remote.folder.model) in caught.value.hint
    assert "Storage Object User" in caught.value.hint
    assert any(isinstance(event, Note) and "Training goes on" in event.text for event in seen)
    assert [event.number for event in seen if isinstance(event, Step)] == list(range(1, 13))
    assert not any(name.endswith("checkpoint.json") for name in _names())
    Bundle.open(remote.folder.model)


def test_a_forced_run_forgets_the_one_before(
    store: Store, dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    first = _machine(tmp_path, "one")
    with pytest.raises(TrainingStopped):
        After(9).follow(job_of(dropping_base, easy_data, first.folder.path, remote=first, seed=8, checkpoint_steps=1))
    second = _machine(tmp_path, "two", resume=False)
    forced = replace(job_of(dropping_base, easy_data, second.folder.path, remote=second, checkpoint_steps=1), force=True)
    with pytest.raises(TrainingStopped):
        After(2).follow(forced, uploads=True)
    assert second._steps(_names()) == [2, 1]
    third = _machine(tmp_path, "three")
    trained_by(job_of(dropping_base, easy_data, third.folder.path, remote=third, resume=Resume.YES))
    assert_same_end(third.folder.path, course)


def test_a_forced_run_that_was_killed_at_once_is_not_finished(store: Store, tmp_path: Path) -> None:
    remote = RemoteRun.open(URI, tmp_path / "one")
    for name in ("settings.toml", "model/emotions.json", BEGUN, "checkpoints/step-000000003/model.safetensors"):
        remote.files.pipe_file(f"{remote.root}/{name}", b"{}")
    again = _machine(tmp_path, "two")
    assert not again.folder.finished
    again.folder.settings.write_bytes(b"")
    again.begin(0)
    assert _names() == {"settings.toml", "model/emotions.json", BEGUN}


def test_places_on_the_store(tmp_path: Path) -> None:
    (tmp_path / "gcs" / "bucket").mkdir(parents=True)
    assert uri_of("gs://bucket/runs/a") == "gs://bucket/runs/a"
    assert uri_of(f"{tmp_path}/gcs/bucket/runs/a", tmp_path / "gcs") == "gs://bucket/runs/a"
    assert uri_of(f"{tmp_path}/gcs/other/runs/a", tmp_path / "gcs") is None
    assert uri_of(f"{tmp_path}/gcs/bucket", tmp_path / "gcs") is None
    assert uri_of("runs/a") is None


def test_a_checkpoint_that_was_damaged_on_the_store_is_left_out(
    store: Store, dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path
) -> None:
    remote = _machine(tmp_path, "one")
    with pytest.raises(TrainingStopped):
        After(7).follow(job_of(dropping_base, easy_data, remote.folder.path, remote=remote, checkpoint_steps=1), uploads=True)
    remote.files.pipe_file(f"{remote.root}/checkpoints/step-000000007/optimizer.bin", b"half of")
    second = _machine(tmp_path, "two")
    events = trained_by(job_of(dropping_base, easy_data, second.folder.path, remote=second, resume=Resume.AUTO))
    assert next(event.step for event in events if isinstance(event, Resumed)) == 6
    assert_same_end(second.folder.path, course)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_machines_that_die_while_they_upload(
    store: Store, dropping_base: Path, easy_data: Path, whole: Path, tmp_path: Path
) -> None:
    put = "RemoteRun._put"
    places: list[list[object]] = [[put, "call", 7], [put, "return", 8]]
    places += [["RemoteRun.finish", "call", 1], ["RemoteRun._remove_all", "call", 2]]
    assert_killed_at(places, tmp_path / "machines", dropping_base, easy_data, uri=URI)
    fetched = RemoteRun.open(URI, tmp_path / "copies")
    for name in fetched._list():
        fetched.files.get_file(f"{fetched.root}/{name}", str(tmp_path / "fetched" / name))
    assert_equal_runs(tmp_path / "fetched", whole)


def test_a_mounted_bucket_is_used(dropping_base: Path, easy_data: Path, course: Path, tmp_path: Path) -> None:
    (tmp_path / "gcs" / BUCKET).mkdir(parents=True)

    def machine(name: str) -> RemoteRun:
        remote = RemoteRun.open(URI, tmp_path / name, mounts=tmp_path / "gcs")
        remote.fetch(resume=True)
        return remote

    first = machine("one")
    with pytest.raises(TrainingStopped):
        After(5).follow(job_of(dropping_base, easy_data, first.folder.path, remote=first))
    assert (tmp_path / "gcs" / BUCKET / "runs/a/checkpoints/step-000000005/checkpoint.json").is_file()
    second = machine("two")
    trained_by(job_of(dropping_base, easy_data, second.folder.path, remote=second, resume=Resume.YES))
    assert_same_end(second.folder.path, course)


def test_a_folder_that_is_no_run_is_never_touched(store: Store, tmp_path: Path) -> None:
    remote = RemoteRun.open(URI, tmp_path / "run")
    remote.files.pipe_file(f"{remote.root}/thesis.txt", b"years of work")
    with pytest.raises(TrainingError, match="is not empty, and no run"):
        remote.fetch(resume=False)


def test_what_goes_wrong_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gs://nobody/runs/a") as caught:
        RemoteRun.open("gs://nobody/runs/a", tmp_path / "run").fetch(resume=True)
    assert "bucket" in caught.value.hint
    for uri in ("gs://", "gs://bucket", "gs://bucket/"):
        with pytest.raises(TrainingError, match="names no folder in a bucket"):
            RemoteRun.open(uri, tmp_path / "run")


def test_the_command_trains_on_the_store_and_says_that_it_did(
    store: Store, tiny_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    arguments = ["train", "--data", str(easy_data), "--base-model", str(tiny_base), "--max-length", "48", "--precision", "fp32"]
    arguments += ["--set", "training.fast_file=false", "-o", URI, "--resume", "auto"]
    command = [sys.executable, "-m", "emotions_cli", *arguments]
    with subprocess.Popen(
        [*command, "--epochs", "30000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        read_until(process, "epoch 3, step")
        process.terminate()
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 75
    assert "all is saved" in rest
    (tmp_path / "elsewhere").mkdir()
    for more, said in ((["--resume", "yes", "--finish"], "going on behind step"), ([], f"finished already: {URI}/model")):
        result = subprocess.run(
            [*command, *more], capture_output=True, text=True, cwd=tmp_path / "elsewhere", timeout=60, check=False
        )
        assert result.returncode == 0, result.stderr
        assert said in result.stderr
        assert "Traceback" not in result.stderr
    # all of it is on the store
    assert not any((tmp_path / "elsewhere" / "runs" / ".remote").glob("*/model/*.safetensors"))
