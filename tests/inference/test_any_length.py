"""Texts of any length: windows over long ones, each different text computed once, blank ones not answered."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import EASY

from emotions_cli import Classifier, load
from emotions_cli.encoding import Encoder, TokenIds
from emotions_cli.inference.backends import Logits
from emotions_cli.inference.classifier import LongText
from emotions_cli.models.bundle import ONNX_FILE
from emotions_cli.models.ref import open_model
from emotions_cli.runtime.session import OnnxModel

BLANK = ["", " ", "\t\n", "\u00a0\u2003", "\r\n"]
SHORT = [text for group in EASY.values() for text in group]


class Counting:
    """A backend that remembers the texts it was asked for."""

    def __init__(self, inner: OnnxModel) -> None:
        self.inner = inner
        self.asked: list[TokenIds] = []

    def logits_of(self, encoder: Encoder, tokens: Sequence[TokenIds], *, batch_tokens: int) -> Logits:
        self.asked += tokens
        return self.inner.logits_of(encoder, tokens, batch_tokens=batch_tokens)


def counting(reference: Path, long_text: LongText = LongText.HEAD) -> tuple[Classifier, Counting]:
    bundle = open_model(reference)
    backend = Counting(OnnxModel(bundle.path / ONNX_FILE))
    return Classifier(bundle.manifest, bundle.encoder(), backend, long_text=long_text), backend


@pytest.fixture(scope="module")
def windows(trained: Path) -> Classifier:
    return load(trained, precision="fp32", long_text="window")


@pytest.fixture(scope="module")
def heads(trained: Path) -> Classifier:
    return load(trained, precision="fp32")


def test_short_texts_are_answered_as_ever(windows: Classifier, heads: Classifier) -> None:
    np.testing.assert_allclose(windows.scores(SHORT), heads.scores(SHORT), atol=1e-9)
    assert [p.labels for p in windows.predict(SHORT)] == [p.labels for p in heads.predict(SHORT)]
    exactly = "happy " * (heads.manifest.max_length - 2)
    np.testing.assert_allclose(windows.scores([exactly]), heads.scores([exactly]), atol=1e-9)


def test_a_long_text_is_the_mean_of_its_windows_by_length(trained: Path, windows: Classifier) -> None:
    encoder = open_model(trained).encoder()
    text = " ".join(["so happy and glad"] * 20 + ["furious about the bill"] * 25)
    (pieces,) = encoder.encode_windows([text])
    words = encoder.max_length - 2
    shared = encoder.max_length // 4
    assert len(pieces) > 3
    assert [len(piece) for piece in pieces[:-1]] == [encoder.max_length] * (len(pieces) - 1)
    for before, after in itertools.pairwise(pieces):
        assert before.ids[1:-1][-shared:] == after.ids[1:-1][:shared]
    # each piece has its own special tokens, and together they hold every word
    whole = pieces[0].ids[1:-1] + tuple(i for piece in pieces[1:] for i in piece.ids[1:-1][shared:])
    assert len(whole) == 180
    assert whole[:words] == encoder.encode([text])[0].ids[1:-1]
    model = OnnxModel(open_model(trained).path / ONNX_FILE)
    logits = np.concatenate([model.logits(encoder.pad([piece])) for piece in pieces]).astype(np.float64)
    scaled = np.exp(logits / windows.manifest.temperature)
    lengths = np.array([len(piece) for piece in pieces])
    expected = np.average(scaled / scaled.sum(axis=1, keepdims=True), axis=0, weights=lengths)
    (found,) = windows.scores([text])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.sum() == pytest.approx(1.0)


def test_windows_keep_their_texts_apart(windows: Classifier) -> None:
    long, other = "so happy and glad " * 30, "scared, afraid of the dark " * 40
    texts = ["very scared", long, "", other, long, "so angry now"]
    together = windows.scores(texts)
    for text, scores in zip(texts, together, strict=True):
        np.testing.assert_allclose(windows.scores([text])[0], scores, atol=1e-5)
    assert [p.label for p in windows.predict(texts)] == ["fear", "joy", None, "fear", "joy", "anger"]


def test_nothing_is_cut_by_windows(windows: Classifier, heads: Classifier) -> None:
    text = "so happy " * 200
    (prediction,) = windows.predict([text])
    assert (prediction.cut_tokens, prediction.reason) == (0, None)
    (prediction,) = heads.predict([text])
    assert (prediction.cut_tokens, prediction.reason) == (400 - 46, "cut")


def test_windows_read_what_the_head_does_not(windows: Classifier, heads: Classifier) -> None:
    text = "so happy and glad " * 12 + "scared, afraid, the noise scares me, afraid to go " * 40
    assert heads.predict([text])[0].label == "joy"
    assert windows.predict([text])[0].label == "fear"


def test_windows_of_a_multi_label_model(trained_multi: Path) -> None:
    classifier = load(trained_multi, long_text="window")
    text = "so glad and happy " * 30
    (prediction,) = classifier.predict([text])
    thresholds = dict(zip(classifier.labels, classifier.manifest.thresholds or (), strict=True))
    assert set(prediction.labels) == {name for name, score in prediction.scores.items() if score >= thresholds[name]}
    assert "joy" in prediction.labels


@pytest.mark.parametrize("long_text", ["head", "window"])
def test_a_text_of_a_megabyte_is_answered(trained: Path, long_text: str) -> None:
    text = "so happy and glad " * 60_000
    assert len(text) > 1_000_000
    (prediction,) = load(trained, long_text=long_text).predict([text])
    assert prediction.label == "joy"
    assert prediction.cut_tokens == (0 if long_text == "window" else 240_000 - 46)


@pytest.mark.parametrize("long_text", list(LongText))
def test_a_repeated_text_is_computed_once(trained: Path, long_text: LongText) -> None:
    classifier, backend = counting(trained, long_text)
    texts = ["so happy", "afraid", "so happy", "", "afraid", "", "so happy", "afraid "]
    predictions = classifier.predict(texts)
    assert len(backend.asked) == 4
    assert [p.text for p in predictions] == texts
    assert [p.label for p in predictions] == ["joy", "fear", "joy", None, "fear", None, "joy", "fear"]
    assert classifier.scores(texts).shape == (8, 3)
    assert len(backend.asked) == 8
    classifier.predict([])
    assert len(backend.asked) == 8


def test_a_repeated_long_text_is_computed_once_in_windows(trained: Path) -> None:
    classifier, backend = counting(trained, LongText.WINDOW)
    classifier.predict(["so happy " * 100])
    once = len(backend.asked)
    assert once > 3
    classifier.predict(["so happy " * 100] * 5)
    assert len(backend.asked) == 2 * once


@pytest.mark.parametrize("model", ["trained", "trained_multi"])
@pytest.mark.parametrize("long_text", ["head", "window"])
def test_a_blank_text_has_no_label(model: str, long_text: str, request: pytest.FixtureRequest) -> None:
    classifier = load(request.getfixturevalue(model), long_text=long_text)
    predictions = classifier.predict([*BLANK, "so happy"])
    for prediction in predictions[:-1]:
        assert prediction.labels == ()
        assert prediction.label is None
        assert prediction.score == 0.0
        assert set(prediction.scores.values()) == {0.0}
        assert (prediction.reason, prediction.cut_tokens) == ("empty", 0)
    assert predictions[-1].reason is None
    assert "joy" in predictions[-1].labels


def test_a_blank_text_is_not_uncertain_but_empty(heads: Classifier) -> None:
    (blank, sure) = heads.predict(["", "so happy"], min_score=1.0)
    assert blank.labels == ()
    assert sure.labels == ("uncertain",)


@pytest.mark.parametrize(
    "text", ["null", "NA", "nan", "None", "🙂", "\0", "a\0b", "\u202eabc", "שלום", "0", "#REF!", "\ufeff", "."]
)
def test_every_other_text_is_answered(heads: Classifier, text: str) -> None:
    (prediction,) = heads.predict([text])
    assert prediction.label in heads.labels
    assert 0 < prediction.score <= 1


def test_encoding_ahead_and_answering_later_is_the_same(heads: Classifier) -> None:
    texts = [*SHORT, "so happy " * 99, "", SHORT[0]]
    encoded = heads.encode(texts)
    assert heads.decide(encoded, heads.compute(encoded), min_score=0.5) == heads.predict(texts, min_score=0.5)
