"""A trained model answers as it was taught, in any company, and refuses to be something else than what was saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import EASY

from emotions_cli import Classifier, Prediction, load
from emotions_cli.errors import BundleCorrupt, ModelError
from emotions_cli.models.bundle import MANIFEST_FILE, Manifest, write_manifest


@pytest.fixture(scope="module")
def classifier(trained: Path) -> Classifier:
    return load(trained)


def test_it_answers_what_it_was_taught(classifier: Classifier) -> None:
    texts = [text for group in EASY.values() for text in group]
    truth = [label for label, group in EASY.items() for _ in group]
    predictions = classifier.predict(texts)
    assert all(isinstance(p, Prediction) for p in predictions)
    assert [p.text for p in predictions] == texts
    assert np.mean([p.label == label for p, label in zip(predictions, truth, strict=True)]) >= 0.9


def test_scores_are_probabilities_of_all_labels(classifier: Classifier) -> None:
    (prediction,) = classifier.predict(["so happy"])
    assert list(prediction.scores) == list(classifier.labels)
    assert sum(prediction.scores.values()) == pytest.approx(1.0)
    assert prediction.score == max(prediction.scores.values())
    best = prediction.top(2)
    assert best[0] == (prediction.label, prediction.score)
    assert best[0][1] >= best[1][1]


def test_an_answer_does_not_depend_on_its_neighbours(classifier: Classifier) -> None:
    texts = ["so happy", "", "the noise scares me and I hate this mess " * 3, "🙂", "afraid"]
    together = classifier.scores(texts)
    alone = np.concatenate([classifier.scores([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_texts_no_answers(classifier: Classifier) -> None:
    assert classifier.predict([]) == []
    assert classifier.scores([]).shape == (0, 3)


def test_a_low_score_is_uncertain(classifier: Classifier) -> None:
    (prediction,) = classifier.predict(["so happy"], min_score=1.0)
    assert prediction.labels == ("uncertain",)
    assert prediction.score < 1.0


def test_tokens_that_do_not_fit_are_counted(classifier: Classifier) -> None:
    short, long = classifier.predict(["so happy", "happy " * 100])
    assert short.cut_tokens == 0
    assert long.cut_tokens == 100 - (classifier.manifest.max_length - 2)


def test_multi_label_answers_are_those_over_their_thresholds(trained_multi: Path) -> None:
    classifier = load(trained_multi / "model")
    thresholds = dict(zip(classifier.labels, classifier.manifest.thresholds or (), strict=True))
    predictions = classifier.predict(["so glad and happy, so angry now", "so glad and happy", "room four is upstairs"])
    for prediction in predictions:
        over = {label for label, score in prediction.scores.items() if score >= thresholds[label]}
        assert set(prediction.labels) == over
        assert list(prediction.labels) == sorted(over, key=lambda label: -prediction.scores[label])
    assert set(predictions[0].labels) == {"joy", "anger"}
    assert predictions[2].labels == ()
    assert predictions[2].label is None
    assert predictions[2].score == max(predictions[2].scores.values())


def _rewrite(folder: Path, change: dict[str, object]) -> None:
    content = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    write_manifest(folder, Manifest.from_json({**content, **change}, folder))


def test_a_probe_that_scores_differently_is_named(trained_copy: Path) -> None:
    _rewrite(trained_copy / "model", {"temperature": 3.9})
    with pytest.raises(BundleCorrupt, match=r"scores .* differently"):
        load(trained_copy)


def test_a_probe_with_other_tokens_is_named(trained_copy: Path) -> None:
    content = json.loads((trained_copy / "model" / MANIFEST_FILE).read_text(encoding="utf-8"))
    content["probes"][0]["ids"][1] += 1
    _rewrite(trained_copy / "model", {"probes": content["probes"]})
    with pytest.raises(BundleCorrupt, match="into other tokens"):
        load(trained_copy)


def test_an_onnx_file_that_is_none_is_an_error(trained_copy: Path) -> None:
    (trained_copy / "model" / "model.onnx").write_bytes(b"no model")
    _rewrite(trained_copy / "model", {})
    with pytest.raises(ModelError, match="can't be opened"):
        load(trained_copy, precision="fp32")


def test_a_single_string_is_not_taken_for_its_characters(classifier: Classifier) -> None:
    with pytest.raises(TypeError, match="give a list of strings"):
        classifier.predict("so happy")
    with pytest.raises(TypeError, match=r"texts\[1\] is NoneType"):
        classifier.predict(["so happy", None])
    assert len(classifier.predict(text for text in ("so happy", "afraid"))) == 2


def test_half_a_surrogate_pair_is_answered(classifier: Classifier) -> None:
    assert classifier.predict(["so happy \ud83d"])[0].label == "joy"


def test_a_changed_manifest_is_named(trained_copy: Path) -> None:
    path = trained_copy / "model" / MANIFEST_FILE
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace('"anger"', '"wrath"'), encoding="utf-8")
    with pytest.raises(BundleCorrupt, match=r"emotions.json has changed"):
        load(trained_copy)


def test_a_manifest_without_probes_or_files_is_refused(trained_copy: Path) -> None:
    _rewrite(trained_copy / "model", {"probes": []})
    with pytest.raises(BundleCorrupt, match="has no probes"):
        load(trained_copy)
    (trained_copy / "model" / "model.onnx").unlink()
    _rewrite(trained_copy / "model", {})
    with pytest.raises(BundleCorrupt, match=r"does not list model\.onnx"):
        load(trained_copy)
