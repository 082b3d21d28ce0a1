"""A small bundle: weights in 8 bits, once, and both ways of computing and training start from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import load_split, run_training
from safetensors.numpy import load_file
from typer.testing import Result

from emotions_cli import load
from emotions_cli.errors import BundleCorrupt, ModelError
from emotions_cli.export import fast_file
from emotions_cli.models.bundle import CARD_FILE, COMPACT_FILE, FAST_FILE, ONNX_FILE, WEIGHTS_FILE
from emotions_cli.models.compact import read_parameters
from emotions_cli.models.ref import open_model
from emotions_cli.runtime.cpu import multiplies_int8
from emotions_cli.training.base_models import find_base_model
from emotions_cli.training.build import build_model
from emotions_cli.training.export import export_compact

pytestmark = pytest.mark.skipif(not multiplies_int8(), reason="this CPU has no 8-bit products")

Emotions = Callable[..., Result]
TEXTS = ["so glad and happy", "furious about the bill 😡", "afraid of the dark", "we laughed about the mess"]


@pytest.fixture(scope="module")
def small(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "model"
    export_compact(open_model(trained), folder, dataset=None)
    return folder


def test_it_has_one_file_of_weights_and_no_other(small: Path, trained: Path) -> None:
    files = {file.name for file in small.iterdir()}
    assert {COMPACT_FILE, ONNX_FILE, FAST_FILE} <= files
    assert WEIGHTS_FILE not in files
    whole = open_model(trained).path
    assert sum((small / name).stat().st_size for name in (COMPACT_FILE, ONNX_FILE, FAST_FILE)) < 0.5 * (
        (whole / WEIGHTS_FILE).stat().st_size + (whole / ONNX_FILE).stat().st_size
    )


@pytest.mark.parametrize("precision", ["fp32", "fast"])
def test_it_answers_as_the_bundle_it_was_made_of(small: Path, trained: Path, precision: str) -> None:
    answers = load(small, precision=precision)
    assert np.abs(answers.scores(TEXTS) - load(trained, precision="fp32").scores(TEXTS)).max() < 0.02


def test_the_parameters_come_back(small: Path, trained: Path) -> None:
    found = read_parameters(small / COMPACT_FILE)
    expected = load_file(str(open_model(trained).path / WEIGHTS_FILE))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape
        assert np.sqrt(((found[name] - values) ** 2).mean()) <= 0.05 * max(values.std(), 1e-6) + 1e-6


def test_training_starts_from_it(small: Path, easy_data: Path, tmp_path: Path) -> None:
    base = find_base_model(str(small))
    data = load_split(easy_data)
    model, _ = build_model(base, data.labels, data.task, 48)
    state = model.state_dict()
    assert all(np.array_equal(state[name].numpy(), values) for name, values in read_parameters(small / COMPACT_FILE).items())
    finished = run_training(data, small, tmp_path / "run", epochs=1, fast_file=False)
    assert finished.judgement.overall["accuracy"] > 0.9


def test_another_head_starts_fresh(small: Path) -> None:
    from emotions_cli.labels import LabelSet, Task

    model, _ = build_model(find_base_model(str(small)), LabelSet(("up", "down")), Task.SINGLE_LABEL, 48)
    assert model.classifier.out_features == 2
    name = "bert.encoder.layer.0.output.dense.weight"
    assert np.array_equal(model.state_dict()[name].numpy(), read_parameters(small / COMPACT_FILE)[name])


def test_a_whole_bundle_can_be_made_of_it(small: Path, emotions: Emotions, tmp_path: Path) -> None:
    result = emotions("export", "--to", "onnx", "--model", small, "--output", "whole")
    assert result.exit_code == 0, result.stderr
    whole = load("whole")
    assert np.abs(whole.scores(TEXTS) - load(small, precision="fp32").scores(TEXTS)).max() < 2e-3
    assert (tmp_path / "whole" / WEIGHTS_FILE).exists()
    assert not (tmp_path / "whole" / COMPACT_FILE).exists()


def test_its_files_are_not_made_again_alone(small: Path, emotions: Emotions) -> None:
    refused = emotions("export", "--to", "fast", "--model", small, "--output", "other")
    assert refused.exit_code == 1
    assert "weights in 8 bits" in refused.stderr


def test_a_card_goes_with_it_and_is_shown(trained: Path, emotions: Emotions, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("# A model\n\nIt answers three labels.\n", encoding="utf-8")
    made = emotions("export", "--to", "compact", "--model", trained, "--output", "small", "--card", "card.md")
    assert made.exit_code == 0, made.stderr
    assert (tmp_path / "small" / CARD_FILE).exists()
    shown = emotions("models", "show", "small")
    assert "joy, anger, fear" in shown.stdout
    assert "It answers three labels." in shown.stdout
    plain = emotions("models", "show", "small", "--json")
    assert '"labels"' in plain.stdout


def test_it_never_replaces_the_bundle_it_is_made_of(trained: Path, emotions: Emotions) -> None:
    before = sorted(file.name for file in (trained / "model").iterdir())
    refused = emotions("export", "--to", "compact", "--model", trained, "--output", trained / "model")
    assert refused.exit_code == 1
    assert "would be lost" in refused.stderr
    assert sorted(file.name for file in (trained / "model").iterdir()) == before


def test_several_labels_a_text_work_as_well(trained_multi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # so small a model would not pass the gate on the sample's texts, which are far from what it learned
    for name, value in {"LEAST_SAME_LABEL_STORED": 0.9, "LARGEST_SCORE_DIFFERENCE": 0.05, "MOST_HANDED_OVER": 1.0}.items():
        monkeypatch.setattr(fast_file, name, value)
    export_compact(open_model(trained_multi), tmp_path / "small", dataset=None)
    answers = load(tmp_path / "small", labels=["anger"]).predict(["so angry now, so scared tonight"])
    assert answers[0].labels == ("anger",)
    assert np.abs(load(tmp_path / "small").scores(TEXTS) - load(trained_multi).scores(TEXTS)).max() < 0.05


def test_weights_that_do_not_fit_are_told(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small, copy)
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 128}), encoding="utf-8")
    with pytest.raises(ModelError, match="of this model's size"):
        build_model(find_base_model(str(copy)), open_model(small).labels, open_model(small).manifest.task, 48)


def test_changed_weights_are_noticed(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small, copy)
    content = bytearray((copy / COMPACT_FILE).read_bytes())
    content[-1] ^= 1
    (copy / COMPACT_FILE).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=COMPACT_FILE):
        load(copy)


def test_what_is_no_file_of_weights_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BundleCorrupt, match="weights in 8 bits"):
        read_parameters(tmp_path / "w.safetensors")


def test_a_small_bundle_is_made_of_a_whole_one_elsewhere(small: Path, trained: Path, emotions: Emotions) -> None:
    assert emotions("export", "--to", "compact", "--model", trained).exit_code == 2
    assert emotions("export", "--to", "onnx", "--model", trained, "--card", "x.md", "--output", "o").exit_code == 2
    with pytest.raises(ModelError, match=WEIGHTS_FILE):
        export_compact(open_model(small), Path("again"), dataset=None)
