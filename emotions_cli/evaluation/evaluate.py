"""Run a model over a labelled split and judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotions_cli.data.dataset import ALL, TEST, VALIDATION, Dataset
from emotions_cli.errors import DataError
from emotions_cli.inference import Classifier, Prediction
from emotions_cli.inference.prediction import make_predictions
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import FloatArray
from emotions_cli.metrics.judgement import Judgement, judge


@dataclass(frozen=True)
class Evaluation:
    """A model's answers to a split, and how good they are.

    Attributes:
        split: The split's name.
        labels: Labels of the data, which all arrays of the judgement are in the order of.
        judgement: The metrics.
        predictions: One a text, answers limited to the labels of the data.
        truth: The true labels of each text.
        notes: What the labels of model and data don't share, a sentence each.
    """

    split: str
    labels: LabelSet
    judgement: Judgement
    predictions: Sequence[Prediction]
    truth: Sequence[tuple[str, ...]]
    notes: tuple[str, ...]


def evaluate(classifier: Classifier, dataset: Dataset, *, split: str | None = None, ece_bins: int = 15) -> Evaluation:
    """Judge a model on a split of labelled data.

    The data decides what can be right: labels that only the model has are no possible answers (of a single-label model the
    others' probabilities are scaled up to 1), labels that only the data has count as missed.

    Args:
        classifier: The model.
        dataset: The data.
        split: Which split; by default test, else validation, else all rows.
        ece_bins: Bins of the expected calibration error.

    Raises:
        DataError: No such split, a task that is not the model's, or no label in common.
    """
    name = choose_split(dataset, split)
    examples = dataset.split(name)
    if not len(examples):
        raise DataError(f"Split '{name}' of '{dataset.reference}' has no rows.", "Name another one with --split.")
    if dataset.task is not classifier.task:
        raise DataError(
            f"The model is {classifier.task}, '{dataset.reference}' is {dataset.task} data.",
            "Choose data of the model's kind, or bring it there with --label-map.",
        )
    known = np.array([label in classifier.labels for label in dataset.labels])
    if not known.any():
        raise DataError(
            f"Model and data share no label (model: {_listed(classifier.labels)}; data: {_listed(dataset.labels)}).",
            "Bring the data's labels to the model's with --label-map.",
        )
    scores = _to_data_labels(classifier.scores(examples.texts), classifier, dataset.labels)
    thresholds = _data_thresholds(classifier, dataset.labels)
    judgement = judge(
        scores, examples.targets, dataset.labels.names, dataset.task, thresholds=thresholds, known=known, ece_bins=ece_bins
    )
    names = np.array(dataset.labels.names)
    predictions = make_predictions(examples.texts, scores, judgement.answers, dataset.labels.names)
    truth = [tuple(names[row].tolist()) for row in examples.targets]
    return Evaluation(name, dataset.labels, judgement, predictions, truth, _notes(classifier, dataset, name))


def choose_split(dataset: Dataset, wanted: str | None) -> str:
    """Return the split to judge on: the wanted one, else test, validation, or all rows of a single file."""
    if wanted is not None:
        # one file is all there is: it is whatever split the user says it is
        return ALL if tuple(dataset.splits) == (ALL,) else wanted
    return next((name for name in (TEST, VALIDATION, ALL) if name in dataset.splits), next(iter(dataset.splits)))


def _to_data_labels(scores: FloatArray, classifier: Classifier, labels: LabelSet) -> FloatArray:
    columns = classifier.labels.ids()
    reordered = np.stack([scores[:, columns[label]] if label in columns else np.zeros(len(scores)) for label in labels], axis=1)
    if classifier.task is Task.SINGLE_LABEL and not set(classifier.labels) <= set(labels):
        reordered /= np.maximum(reordered.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return reordered


def _data_thresholds(classifier: Classifier, labels: LabelSet) -> FloatArray | None:
    if classifier.manifest.thresholds is None:
        return None
    by_name = dict(zip(classifier.labels, classifier.manifest.thresholds, strict=True))
    return np.array([by_name.get(label, 1.0) for label in labels])


def _notes(classifier: Classifier, dataset: Dataset, split: str) -> tuple[str, ...]:
    notes = []
    if only_model := [label for label in classifier.labels if label not in dataset.labels]:
        notes.append(f"The data has no {', '.join(only_model)}: the model's answers are limited to the data's labels.")
    if only_data := [label for label in dataset.labels if label not in classifier.labels]:
        support = sum(int(dataset.split(split).support[dataset.labels.id_of(label)]) for label in only_data)
        notes.append(f"The model does not know {', '.join(only_data)}: these {support:,} labels of the data count as missed.")
    return tuple(notes)


def _listed(labels: LabelSet) -> str:
    return ", ".join(labels.names[:8]) + (", …" if len(labels) > 8 else "")
