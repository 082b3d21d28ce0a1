"""``emotions export``: inference files of a bundle made again, and bundles of classifiers of other making."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import EASY
from typer.testing import Result

from emotions_cli import load
from emotions_cli.export import fast_file
from emotions_cli.models.bundle import FAST_FILE, MANIFEST_FILE, ONNX_FILE, Bundle
from emotions_cli.models.ref import open_model
from emotions_cli.runtime.cpu import multiplies_int8
from emotions_cli.streams.hashing import sha256_of

Emotions = Callable[..., Result]

needs_int8 = pytest.mark.skipif(not multiplies_int8(), reason="this CPU has no 8-bit products to check a fast file with")
TEXTS = [text for group in EASY.values() for text in group]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.iterdir()}


@pytest.fixture
def folder(trained_copy: Path) -> Path:
    """A bundle that a test may change."""
    return trained_copy / "model"


@pytest.fixture
def foreign(trained: Path, tmp_path: Path) -> Path:
    """The trained model as anyone's Hugging Face folder: no manifest, no inference files."""
    place = tmp_path / "foreign"
    shutil.copytree(trained / "model", place)
    for name in (MANIFEST_FILE, ONNX_FILE, FAST_FILE):
        (place / name).unlink(missing_ok=True)
    return place


def set_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")


@needs_int8
def test_a_fast_file_is_made_in_place(emotions: Emotions, folder: Path) -> None:
    before = Bundle.open(folder).manifest
    scores = load(folder, precision="fp32").scores(TEXTS)
    result = emotions("export", "--model", folder, "--to", "fast")
    assert result.exit_code == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first == f"fast: {folder}"
    found = re.fullmatch(
        r"on (\d+) held-out texts: (\d+\.\d\d)% answered as in fp32, scores (0\.\d{4}) apart in the mean; "
        r"(\d+\.\d)% were close calls and handed over to fp32",
        second,
    )
    assert found
    after = Bundle.open(folder).manifest
    assert after.fast is not None
    assert int(found[1]) == after.fast.texts
    assert float(found[2]) >= 99.5
    assert (after.labels, after.probes, after.created) == (before.labels, before.probes, before.created)
    assert load(folder).precision == "fast"
    np.testing.assert_array_equal(load(folder, precision="fp32").scores(TEXTS), scores)


@needs_int8
def test_a_fast_file_of_own_texts_elsewhere(emotions: Emotions, trained: Path, easy_data: Path) -> None:
    before = hashes(trained / "model")
    result = emotions("export", "--model", trained, "--to", "fast", "--output", "new/place", "--data", easy_data)
    assert result.exit_code == 0, result.stderr
    assert hashes(trained / "model") == before
    assert Bundle.open(Path("new/place")).manifest.fast is not None
    assert load("new/place").predict(["so happy"])[0].label == "joy"


@pytest.mark.parametrize("in_place", [True, False])
def test_the_fp32_file_is_made_again_from_the_weights(emotions: Emotions, folder: Path, in_place: bool) -> None:
    scores = load(folder, precision="fp32").scores(TEXTS)
    place = folder if in_place else Path("other")
    place.mkdir(exist_ok=True)  # an empty folder may be filled
    result = emotions("export", "--model", folder.parent, "--to", "onnx", *([] if in_place else ["-o", place]))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"onnx: {place}\n"
    np.testing.assert_allclose(load(place, precision="fp32").scores(TEXTS), scores, atol=1e-4)
    assert Bundle.open(place).manifest.fast == Bundle.open(folder).manifest.fast
    assert set(hashes(place)) == set(hashes(folder))
    assert [path.name for path in place.parent.iterdir() if path.name.startswith(".")] == []


def test_a_classifier_of_other_making_becomes_a_bundle(emotions: Emotions, trained: Path, foreign: Path) -> None:
    before = hashes(foreign)
    result = emotions("export", "--model", foreign, "--to", "onnx", "--output", "models/new")
    assert result.exit_code == 0, result.stderr
    assert hashes(foreign) == before
    bundle, original = open_model("models/new"), open_model(trained)
    assert bundle.manifest.labels == original.manifest.labels
    assert bundle.manifest.task == original.manifest.task
    assert bundle.manifest.max_length == original.manifest.max_length
    assert (bundle.manifest.temperature, bundle.manifest.thresholds, bundle.manifest.fast) == (1.0, None, None)
    assert bundle.manifest.base_model["sha256"] == sha256_of(foreign / "model.safetensors")
    new, old = load("models/new"), load(trained, precision="fp32")
    assert [p.labels for p in new.predict(TEXTS)] == [p.labels for p in old.predict(TEXTS)]
    # the same logits: only the temperature that training settled is not in a Hugging Face folder
    warmed = old.scores(TEXTS) ** original.manifest.temperature
    np.testing.assert_allclose(new.scores(TEXTS), warmed / warmed.sum(axis=1, keepdims=True), atol=1e-3)


@needs_int8
def test_a_classifier_of_other_making_gets_a_fast_file(emotions: Emotions, foreign: Path) -> None:
    result = emotions("export", "--model", foreign, "--to", "fast", "--output", "new")
    assert result.exit_code == 0, result.stderr
    assert "answered as in fp32" in result.stdout
    assert load("new").precision == "fast"
    assert load("new").predict(["so happy"])[0].label == "joy"


def test_several_labels_of_other_making_in_the_place_of_an_older_bundle(emotions: Emotions, trained: Path, foreign: Path) -> None:
    shutil.copytree(trained / "model", "new")
    (Path("new") / "old.txt").write_text("old", encoding="utf-8")
    set_config(foreign, problem_type="multi_label_classification")
    assert emotions("export", "--model", foreign, "--to", "onnx", "-o", "new").exit_code == 0
    assert not (Path("new") / "old.txt").exists()
    manifest = open_model("new").manifest
    assert (manifest.task, manifest.thresholds) == ("multi-label", (0.5, 0.5, 0.5))
    assert "joy" in load("new").predict(["so happy"])[0].labels


def test_a_model_of_other_making_needs_a_place(emotions: Emotions, foreign: Path) -> None:
    result = emotions("export", "--model", foreign, "--to", "onnx")
    assert result.exit_code == 2
    assert "is no bundle of this tool; a new one needs a place" in result.stderr
    assert "--output" in result.stderr


@needs_int8
@pytest.mark.parametrize(
    ("constant", "value", "message"),
    [
        ("LEAST_SAME_LABEL", 1.1, "of texts only"),
        ("LARGEST_SCORE_DIFFERENCE", -1.0, "in the mean"),
        ("MOST_HANDED_OVER", -1.0, "too close to decide"),
    ],
)
def test_a_refusal_keeps_the_bundle_as_it_was(
    emotions: Emotions, folder: Path, monkeypatch: pytest.MonkeyPatch, constant: str, value: float, message: str
) -> None:
    before = hashes(folder)
    monkeypatch.setattr(fast_file, constant, value)
    result = emotions("export", "--model", folder, "--to", "fast")
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("Error: The model gets no fast file: ")
    assert message in first
    assert "--precision fp32" in second
    assert hashes(folder) == before
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("taken", ["folder", "file", "run"])
def test_what_stands_in_the_way_is_not_lost(emotions: Emotions, trained_copy: Path, foreign: Path, taken: str) -> None:
    place = {"folder": Path("mine"), "file": Path("note.txt"), "run": trained_copy}[taken]
    if taken == "folder":
        place.mkdir()
        (place / "keep.txt").write_text("mine", encoding="utf-8")
    elif taken == "file":
        place.write_text("mine", encoding="utf-8")
    before = sorted(path.relative_to(place) for path in place.rglob("*"))
    for model in (trained_copy, foreign):
        result = emotions("export", "--model", model, "--to", "onnx", "--output", place)
        assert result.exit_code == 1
        assert ("is a file, not a folder" if taken == "file" else "is not empty, and no bundle") in result.stderr
        assert "Choose another --output" in result.stderr
    assert sorted(path.relative_to(place) for path in place.rglob("*")) == before
    if taken == "file":
        assert place.read_text(encoding="utf-8") == "mine"


def test_a_base_model_is_no_classifier(emotions: Emotions, tiny_base: Path) -> None:
    result = emotions("export", "--model", tiny_base, "--to", "onnx", "--output", "new")
    assert result.exit_code == 1
    assert "is no classifier: its configuration names no labels" in result.stderr
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "can't be read"),
        ("[]", "can't be read"),
        ('{"architectures": ["XForSequenceClassification"]}', "is no classifier"),
        ('{"architectures": ["XForSequenceClassification"], "id2label": {"a": "joy"}}', "can't be read"),
        ('{"architectures": ["XForSequenceClassification"], "id2label": {"0": "joy", "1": "joy"}}', "stands twice"),
        ('{"architectures": ["BertModel"], "id2label": {"0": "joy"}}', "is no classifier"),
        (
            '{"architectures": ["X"], "id2label": {"0": "a"}, "architectures": ["XForSequenceClassification"], '
            '"model_type": "nobody knows", "max_position_embeddings": null}',
            "can't be loaded",
        ),
    ],
)
def test_a_configuration_that_names_no_classifier(emotions: Emotions, foreign: Path, config: str, message: str) -> None:
    (foreign / "config.json").write_text(config, encoding="utf-8")
    result = emotions("export", "--model", foreign, "--to", "onnx", "--output", "new")
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert not Path("new").exists()


def test_what_is_no_model_at_all(emotions: Emotions, tmp_path: Path) -> None:
    Path("empty").mkdir()
    for reference, message in (("empty", "is no model"), ("nowhere", "is not there")):
        result = emotions("export", "--model", reference, "--to", "onnx", "--output", "new")
        assert result.exit_code == 1
        assert message in result.stderr
    assert emotions("export", "--model", "empty").exit_code == 2
    assert emotions("export", "--model", "empty", "--to", "tflite").exit_code == 2


def test_a_damaged_bundle_is_not_exported(emotions: Emotions, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"broken")
    before = hashes(folder)
    result = emotions("export", "--model", folder, "--to", "onnx")
    assert result.exit_code == 1
    assert "model.safetensors has changed" in result.stderr
    assert hashes(folder) == before
