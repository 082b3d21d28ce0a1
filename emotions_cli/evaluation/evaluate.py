"""Run a model over a labelled split and judge it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emotions_cli.data.dataset import ALL, TEST, TRAIN, VALIDATION, Dataset, Examples
from emotions_cli.errors import DataError
from emotions_cli.inference import Classifier, Prediction
from emotions_cli.inference.prediction import make_predictions
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import BoolArray, FloatArray
from emotions_cli.metrics.judgement import Judgement, judge


@dataclass(frozen=True)
class Evaluation:
    """A model's answers to a split, and how good they are.

    Attributes:
        split: The split's name.
        labels: Labels that are judged, in the order of all arrays of the judgement.
        judgement: The metrics.
        predictions: One a text.
        truth: The true labels of each text.
        notes: What the labels of model and data don't share, a sentence each.
        answers: Labels that the model could answer.
    """

    split: str
    labels: LabelSet
    judgement: Judgement
    predictions: Sequence[Prediction]
    truth: Sequence[tuple[str, ...]]
    notes: tuple[str, ...]
    answers: tuple[str, ...]


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    *,
    split: str | None = None,
    answers: Sequence[str] | None = None,
    ece_bins: int = 15,
) -> Evaluation:
    """Judge a model on a split of labelled data.

    The model answers as it does in :meth:`Classifier.predict`. Labels that only the data has count as missed. An answer that
    the data has no rows for is wrong in single-label data; of multi-label data only the labels are judged that it has.

    Args:
        classifier: The model.
        dataset: The data.
        split: Which split; by default test, else validation, else all rows.
        answers: Labels the model may answer, see :meth:`Classifier.limited`. By default those of the data when they are
            several and a single-label model knows them all and more, else all of the model's.
        ece_bins: Bins of the expected calibration error.

    Raises:
        DataError: No such split, a task that is not the model's, or no label in common.
        UsageError: The model can't be limited to these answers.
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
    # with a single label left every answer would be right
    fewer = len(dataset.labels) > 1 and set(dataset.labels) < set(classifier.labels)
    narrowed = answers is None and dataset.task is Task.SINGLE_LABEL and fewer
    notes = []
    if narrowed:
        ruled_out = [label for label in classifier.labels if label not in dataset.labels]
        notes.append(f"The data has no label {', '.join(ruled_out)}: the model may not answer so; --labels all lets it.")
        answers = dataset.labels.names
    elif answers is not None and set(answers) < set(classifier.labels):
        notes.append(f"The model may only answer {', '.join(label for label in classifier.labels if label in answers)}.")
    if answers is not None:
        classifier = classifier.limited(answers)
    allowed = classifier.labels.names
    if not set(allowed) & set(dataset.labels):
        raise DataError(
            f"Model and data share no label (model: {_listed(allowed)}; data: {_listed(dataset.labels.names)}).",
            "Bring the data's labels to the model's with --label-map.",
        )
    only_model = [label for label in allowed if label not in dataset.labels]
    labels = dataset.labels if dataset.task is Task.MULTI_LABEL else LabelSet((*dataset.labels, *only_model))
    known = np.array([label in allowed for label in labels])
    targets = np.zeros((len(examples), len(labels)), dtype=np.bool_)
    targets[:, : len(dataset.labels)] = examples.targets
    scores = _in_order(classifier, classifier.scores(examples.texts), labels, known)
    judgement = judge(
        scores,
        targets,
        labels.names,
        dataset.task,
        thresholds=_thresholds(classifier, labels),
        known=known,
        ece_bins=ece_bins,
    )
    names = np.array(labels.names)
    predictions = make_predictions(examples.texts, scores, judgement.answers, labels.names)
    truth = [tuple(names[row].tolist()) for row in targets]
    notes += _notes(dataset, examples, allowed, only_model)
    return Evaluation(name, labels, judgement, predictions, truth, tuple(notes), allowed)


def choose_split(dataset: Dataset, wanted: str | None) -> str:
    """Return the split to judge on: the wanted one, else test, validation, or all rows of a single file."""
    if wanted in {TRAIN, VALIDATION, TEST} and tuple(dataset.splits) == (ALL,):
        # one file is all there is: it is whatever split the user says it is
        return ALL
    if wanted is not None:
        return wanted
    return next((name for name in (TEST, VALIDATION, ALL) if name in dataset.splits), next(iter(dataset.splits)))


def _in_order(classifier: Classifier, scores: FloatArray, labels: LabelSet, known: BoolArray) -> FloatArray:
    """Bring scores into the order of ``labels``; 0 for those that are no possible answer."""
    columns = classifier.labels.ids()
    ordered = np.zeros((len(scores), len(labels)))
    for i, label in enumerate(labels):
        if known[i]:
            ordered[:, i] = scores[:, columns[label]]
    return ordered


def _thresholds(classifier: Classifier, labels: LabelSet) -> FloatArray | None:
    if classifier.manifest.thresholds is None:
        return None
    by_name = dict(zip(classifier.labels, classifier.manifest.thresholds, strict=True))
    return np.array([by_name.get(label, 1.0) for label in labels])


def _notes(dataset: Dataset, examples: Examples, allowed: Sequence[str], only_model: Sequence[str]) -> Iterator[str]:
    support = dict(zip(dataset.labels, examples.support.tolist(), strict=True))
    if only_model:
        fate = "are wrong here" if dataset.task is Task.SINGLE_LABEL else "are not judged"
        yield f"The data has no label {', '.join(only_model)}: such answers of the model {fate}."
    if unseen := [label for label, count in support.items() if count == 0]:
        yield f"The split has no text labelled {', '.join(unseen)}."
    if missed := [label for label in dataset.labels if label not in allowed]:
        count = sum(support[label] for label in missed)
        yield f"The model does not answer {', '.join(missed)}: {count:,} labels of the data count as missed."


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:8]) + (", …" if len(labels) > 8 else "")
