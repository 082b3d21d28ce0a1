"""A whole run: what is in its folder, what it refuses, and what survives when it fails."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, load_split, run_steps, run_training, tiny_settings
from transformers import BertForSequenceClassification

from emotions_cli import load
from emotions_cli.data.dataset import Dataset, LabelledTexts, to_examples
from emotions_cli.errors import DataError, LossNotFinite, ModelError, TrainingError, TrainingStopped
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import LabelScores
from emotions_cli.models.bundle import Bundle
from emotions_cli.tracking import JsonlTracker
from emotions_cli.training import Evaluated, Event, Step, TrainingJob, train
from emotions_cli.training.base_models import find_base_model
from emotions_cli.training.build import build_model, classification_head
from emotions_cli.training.job import check_trainable
from emotions_cli.training.run_folder import RunFolder


def _digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def _metrics(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_finished_run_holds_bundle_settings_and_metrics(trained: Path) -> None:
    assert sorted(p.name for p in trained.iterdir()) == ["metrics.jsonl", "model", "settings.toml", "throughput.jsonl"]
    names = {p.name for p in (trained / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "model.onnx", "emotions.json"} <= names
    first, *rest = _metrics(trained)
    assert first["event"] == "start"
    evaluations = [line for line in rest if "validation" in line]
    steps = [line for line in rest if "loss" in line]
    assert len(evaluations) == TINY["epochs"]
    assert len(steps) == 3 * TINY["epochs"]
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_the_manifest_says_where_the_model_comes_from(trained: Path, tiny_base: Path, easy_data: Path) -> None:
    manifest = Bundle.open(trained / "model").manifest
    assert manifest.labels == ("joy", "anger", "fear")
    assert manifest.data["reference"] == str(easy_data)
    assert manifest.data["fingerprint"] == load_split(easy_data).fingerprint()
    assert manifest.data["splits"] == {"train": 18, "validation": 6}
    weights = (tiny_base / "model.safetensors").read_bytes()
    assert manifest.base_model["sha256"] == hashlib.sha256(weights).hexdigest()
    assert manifest.metrics["validation"]["n"] == 6
    assert len(manifest.probes) == 3


def test_plain_transformers_opens_the_bundle_and_agrees(trained: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = trained / "model"
    classifier = load(trained)
    texts = ["so happy", "angry at the noise, angry at you", "Voilà 🙂"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits / classifier.manifest.temperature
    np.testing.assert_allclose(classifier.scores(texts), torch.softmax(logits, dim=-1).numpy(), atol=1e-4)
    assert list(model.config.id2label.values()) == list(classifier.labels)


def test_the_bundle_holds_the_best_weights_of_the_run(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    # a rate that wrecks the model after a while: the last evaluation is not the best
    finished = run_training(load_split(easy_data), tiny_base, tmp_path / "run", epochs=8, learning_rate=0.03, metric="nll")
    values = [line["validation"]["nll"] for line in _metrics(tmp_path / "run") if "validation" in line]
    steps = [line["step"] for line in _metrics(tmp_path / "run") if "validation" in line]
    assert finished.best_step == steps[int(np.argmin(values))]
    classifier = load(tmp_path / "run")
    held_out = load_split(easy_data).split("validation")
    scores = classifier.scores(held_out.texts)
    untempered = np.log(scores) * classifier.manifest.temperature
    untempered = np.exp(untempered) / np.exp(untempered).sum(axis=1, keepdims=True)
    assert -np.log(untempered[held_out.targets]).mean() == pytest.approx(min(values), rel=1e-2)


def test_the_same_seed_gives_the_same_weights(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    data = load_split(easy_data)
    first, second, other = (
        run_steps(data, tiny_base, tmp_path / str(i), epochs=2, seed=seed)[1] for i, seed in enumerate((3, 3, 4))
    )
    assert first == second != other


def test_multi_label_thresholds_are_tuned_on_validation(trained_multi: Path, easy_multi_data: Path) -> None:
    manifest = Bundle.open(trained_multi / "model").manifest
    assert manifest.task is Task.MULTI_LABEL
    assert manifest.thresholds is not None
    assert len(manifest.thresholds) == 3
    held_out = load_split(easy_multi_data).split("validation")
    scores = load(trained_multi).scores(held_out.texts)
    tuned = LabelScores.of(scores >= np.array(manifest.thresholds), held_out.targets)
    fixed = LabelScores.of(scores >= 0.5, held_out.targets)
    assert tuned.macro_f1_all >= max(fixed.macro_f1_all, 0.9)
    assert tuned.macro_f1_all == pytest.approx(manifest.metrics["validation"]["macro_f1"], abs=1e-6)


def test_evaluation_every_few_steps_and_at_the_end(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    settings = tiny_settings(tiny_base, epochs=3, eval_steps=4, class_weights="balanced", patience=9)
    events = list(train(TrainingJob(load_split(easy_data), settings, run, JsonlTracker(run.metrics, run.throughput))))
    assert [event.step for event in events if isinstance(event, Evaluated)] == [4, 8, 9]
    assert [event.number for event in events if isinstance(event, Step)] == list(range(1, 10))


def test_a_finished_run_is_not_overwritten(trained_copy: Path, tiny_base: Path, easy_data: Path) -> None:
    before = _digests(trained_copy / "model")
    with pytest.raises(TrainingError, match="holds a finished run") as caught:
        run_training(load_split(easy_data), tiny_base, trained_copy)
    assert "--force" in caught.value.hint
    assert _digests(trained_copy / "model") == before


def test_a_run_that_was_cut_off_is_not_overwritten(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    events = train(TrainingJob(load_split(easy_data), tiny_settings(tiny_base), run, JsonlTracker(run.metrics, run.throughput)))
    assert any(isinstance(event, Evaluated) for event in events)
    next(events)
    events.close()
    assert run.checkpoints.steps()
    with pytest.raises(TrainingError, match="holds a run that was cut off"):
        run_training(load_split(easy_data), tiny_base, run.path)


def test_a_run_that_can_not_start_leaves_the_old_record(trained_copy: Path, easy_data: Path) -> None:
    record = (trained_copy / "settings.toml").read_bytes(), (trained_copy / "metrics.jsonl").read_bytes()
    run = RunFolder(trained_copy)
    job = TrainingJob(
        load_split(easy_data), tiny_settings(trained_copy / "nowhere"), run, JsonlTracker(run.metrics, run.throughput), force=True
    )
    with pytest.raises(ModelError, match="is not there"):
        list(train(job))
    assert record == ((trained_copy / "settings.toml").read_bytes(), (trained_copy / "metrics.jsonl").read_bytes())


def test_all_files_of_a_bundle_can_be_read_by_others(trained: Path) -> None:
    modes = {p.stat().st_mode & 0o777 for p in (trained / "model").iterdir()}
    assert len(modes) == 1


def test_a_stop_before_the_first_evaluation_makes_no_model(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    tracker = JsonlTracker(run.metrics, run.throughput)
    job = TrainingJob(load_split(easy_data), tiny_settings(tiny_base), run, tracker, stop=lambda: True)
    with pytest.raises(TrainingStopped, match="Stopped after step 1 of 60"):
        list(train(job))
    assert not run.model.exists()


def test_training_goes_on_from_a_run(trained: Path, tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    finished = run_training(load_split(easy_data), trained, tmp_path / "more", epochs=1, learning_rate=1e-6)
    assert finished.judgement.overall["accuracy"] == 1.0
    renamed = tmp_path / "renamed.csv"
    lines = (easy_data / "train.csv").read_text(encoding="utf-8").replace(",joy", ",delight")
    renamed.write_text(lines, encoding="utf-8")
    model, _ = build_model(find_base_model(str(trained)), load_split(renamed).labels, Task.SINGLE_LABEL, 48)
    kept, _ = build_model(find_base_model(str(trained)), load_split(easy_data).labels, Task.SINGLE_LABEL, 48)
    assert not torch.equal(classification_head(model).weight, classification_head(kept).weight)


def test_a_folder_that_is_no_run_is_never_touched(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="not empty, and no run"):
        run_training(load_split(easy_data), tiny_base, tmp_path / "thesis")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="is a file"):
        run_training(load_split(easy_data), tiny_base, tmp_path / "file")


def test_names_are_made_up_from_the_data(tmp_path: Path) -> None:
    name = RunFolder.named_after(tmp_path, "hf:dair-ai/emotion").path.name
    assert name.startswith("emotion-20")
    assert RunFolder.named_after(tmp_path, "data/My Reviews.csv").path.name.startswith("my-reviews-20")


def test_one_class_only_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\nnice,joy\ngood,joy\nfine,joy\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"All rows of .* have the label 'joy'"):
        check_trainable(load_split(tmp_path / "one.csv"))


def test_a_label_that_training_lacks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\nnice,joy\nbad,anger\n", encoding="utf-8")
    (tmp_path / "validation.csv").write_text("text,label\nnice,joy\nboo,fear\n", encoding="utf-8")
    with pytest.raises(DataError, match="no row labelled fear"):
        check_trainable(load_split(tmp_path))


def test_too_few_rows_are_an_error() -> None:
    labels = LabelSet(("joy", "fear"))
    empty = to_examples(LabelledTexts.of([]), labels)
    with pytest.raises(DataError, match="too few rows"):
        check_trainable(Dataset("d", labels, Task.SINGLE_LABEL, {"train": empty, "validation": empty}))


def test_a_loss_that_explodes_keeps_the_best_so_far(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    settings = tiny_settings(tiny_base)
    events = train(TrainingJob(load_split(easy_data), settings, run, JsonlTracker(run.metrics, run.throughput)))
    with pytest.raises(LossNotFinite, match=r"The best weights so far \(nll .* at step 3\) are in") as caught:
        _poison_after_first_evaluation(events)
    assert "--learning-rate" in caught.value.hint
    assert len(load(run.path).predict(["so happy"])) == 1
    assert not run.checkpoints.steps()


def _poison_after_first_evaluation(events: Iterator[Event]) -> None:
    """Let real weights go bad during a run: the next forward pass gives NaN."""
    models: list[torch.nn.Module] = []
    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, _: models.append(module) if isinstance(module, BertForSequenceClassification) else None
    )
    try:
        assert any(isinstance(event, Evaluated) for event in events)
        for _ in events:
            with torch.no_grad():
                next(models[-1].parameters()).fill_(float("nan"))
    finally:
        hook.remove()


def test_a_loss_that_explodes_at_once_leaves_nothing(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    with pytest.raises(LossNotFinite, match="became") as caught:
        run_training(load_split(easy_data), tiny_base, tmp_path / "run", learning_rate=1e30, max_grad_norm=1e30)
    assert "best weights" not in caught.value.message
    assert not (tmp_path / "run" / "model").exists()


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import run_steps, load_split, tiny_settings
from emotions_cli.errors import StorageError
from emotions_cli.tracking import JsonlTracker
from emotions_cli.training import Evaluated, Step, TrainingJob, train
from emotions_cli.training.run_folder import RunFolder

run = RunFolder(Path({run!r}))
settings = tiny_settings(Path({base!r}))
job = TrainingJob(load_split({data!r}), settings, run, JsonlTracker(run.metrics, run.throughput), force=True)
evaluated = False
try:
    for event in train(job):
        evaluated |= isinstance(event, Evaluated)
        if evaluated and isinstance(event, Step):
            # no file may grow beyond this any more, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
except StorageError as error:
    print(error.message)
    print(error.hint)
"""


def test_a_full_disk_leaves_the_old_model_and_the_best_weights(trained_copy: Path, tiny_base: Path, easy_data: Path) -> None:
    before = _digests(trained_copy / "model")
    script = FULL_DISK.format(
        tests=str(Path(__file__).parents[1]), run=str(trained_copy), base=str(tiny_base), data=str(easy_data)
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert re.search(r"checkpoints/step-\d+' can't be written", result.stdout), result.stderr
    assert "Make room on the disk" in result.stdout
    assert _digests(trained_copy / "model") == before
    (step,) = RunFolder(trained_copy).checkpoints.steps()
    assert (trained_copy / "checkpoints" / f"step-{step:09}" / "model.safetensors").stat().st_size > 50_000
    assert not list(trained_copy.glob(".*"))
    assert len(load(trained_copy).predict(["so happy"])) == 1


def test_without_the_extra_the_install_command_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import importlib.util as u; f = u.find_spec; "
        "u.find_spec = lambda n, *a: None if n == 'torch' else f(n, *a); "
        "from emotions_cli.__main__ import main; sys.argv = ['emotions', 'train', '--data', 'sample']; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert "Training needs torch" in result.stderr
    assert "pip install 'emotions-cli[train]'" in result.stderr
