"""A head on the mean of all tokens: padding does not count, and every file and command knows how the model was built."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import load_split, run_training
from transformers import AutoModel

from emotions_cli import load
from emotions_cli.labels import LabelSet, Task
from emotions_cli.models.ref import open_model
from emotions_cli.runtime.cpu import multiplies_int8
from emotions_cli.training.base_models import find_base_model
from emotions_cli.training.build import build_model
from emotions_cli.training.export import export_compact

LABELS = LabelSet(("joy", "anger"))


def test_it_is_the_mean_of_the_tokens_that_are_no_padding(tiny_base: Path) -> None:
    model, tokenizer = build_model(find_base_model(str(tiny_base)), LABELS, Task.SINGLE_LABEL, 48, "mean")
    model.eval()
    inputs = tokenizer(["so glad you came", "angry"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits
        hidden = AutoModel.from_pretrained(tiny_base).eval()(**inputs).last_hidden_state
    for row, mask, states in zip(logits, inputs["attention_mask"], hidden, strict=True):
        expected = model.mean_classifier(states[mask.bool()].mean(dim=0))
        assert torch.allclose(row, expected, atol=1e-5)


@pytest.fixture(scope="module")
def averaged(tiny_base: Path, easy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pooling") / "run"
    finished = run_training(load_split(easy_data), tiny_base, folder, pooling="mean")
    assert finished.judgement.overall["accuracy"] == 1.0
    return Path(finished.model)


def test_its_inference_files_answer_as_it_does(averaged: Path) -> None:
    assert json.loads((averaged / "config.json").read_text(encoding="utf-8"))["emotions_pooling"] == "mean"
    classifier = load(averaged, precision="fp32")
    texts = ["so glad and happy", "furious about the bill", "afraid of the dark, very scared tonight"]
    assert [answer.label for answer in classifier.predict(texts)] == ["joy", "anger", "fear"]
    together, alone = classifier.scores(texts), np.concatenate([classifier.scores([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5


def test_training_goes_on_from_it_as_it_was_built(averaged: Path, tiny_base: Path) -> None:
    labels = open_model(averaged).labels
    base = find_base_model(str(averaged))
    again, _ = build_model(base, labels, Task.SINGLE_LABEL, 48)
    assert type(again).__name__ == "MeanPoolingForSequenceClassification"
    weights = dict(again.named_parameters())["mean_classifier.weight"]
    other, _ = build_model(base, LABELS, Task.SINGLE_LABEL, 48)
    assert other.mean_classifier.out_features == 2
    assert not torch.equal(other.mean_classifier.weight[0], weights[0])
    first, _ = build_model(base, labels, Task.SINGLE_LABEL, 48, "own")
    assert type(first).__name__ == "BertForSequenceClassification"
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(first.base_model.state_dict()[name], again.base_model.state_dict()[name])


def test_transformers_opens_its_encoder(averaged: Path) -> None:
    model, _ = build_model(find_base_model(str(averaged)), open_model(averaged).labels, Task.SINGLE_LABEL, 48)
    encoder = AutoModel.from_pretrained(averaged, add_pooling_layer=False)
    for name, values in model.base_model.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], values)


@pytest.mark.skipif(not multiplies_int8(), reason="this CPU has no 8-bit products")
def test_it_can_be_stored_in_8_bits(averaged: Path, tmp_path: Path) -> None:
    export_compact(open_model(averaged), tmp_path / "small", dataset=None)
    texts = ["so glad and happy", "furious about the bill", "afraid of the dark"]
    assert np.abs(load(tmp_path / "small").scores(texts) - load(averaged).scores(texts)).max() < 0.02
    again, _ = build_model(find_base_model(str(tmp_path / "small")), open_model(averaged).labels, Task.SINGLE_LABEL, 48)
    assert type(again).__name__ == "MeanPoolingForSequenceClassification"
