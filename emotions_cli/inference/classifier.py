"""A model that is ready to answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from emotions_cli.encoding import CONFIG_FILE, TOKENIZER_FILE, Encoder, TokenIds, batches_by_length
from emotions_cli.errors import BundleCorrupt
from emotions_cli.inference.backends import Backend, OnnxBackend
from emotions_cli.inference.prediction import Prediction, make_predictions
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import BoolArray, best_label, over_thresholds
from emotions_cli.metrics.probabilities import FloatArray, probabilities
from emotions_cli.models.bundle import ONNX_FILE, Bundle, Manifest
from emotions_cli.models.ref import open_model

DEFAULT_BATCH_SIZE = 32
# another machine's arithmetic moves a probability by less than this
PROBE_TOLERANCE = 2e-3


class Classifier:
    """Answers texts with labels and scores. Make one with :meth:`open` or :func:`emotions_cli.load`."""

    def __init__(self, manifest: Manifest, encoder: Encoder, backend: Backend, *, batch_size: int = DEFAULT_BATCH_SIZE) -> None:
        self.manifest = manifest
        self._encoder = encoder
        self._backend = backend
        self._batch_size = batch_size

    @classmethod
    def open(cls, reference: str | Path, *, batch_size: int = DEFAULT_BATCH_SIZE, threads: int = 0) -> Classifier:
        """Open a model and check that it answers its probes as it did when it was saved.

        Args:
            reference: A bundle's folder or a run's.
            batch_size: Texts a forward pass.
            threads: CPU threads; 0 takes as many as the process may use.

        Raises:
            ModelError: There is no such model, or it can't be opened.
            BundleCorrupt: A file has changed, or a probe is answered differently.
        """
        bundle = open_model(reference)
        _check_complete(bundle)
        backend = OnnxBackend(bundle.onnx_file, threads=threads)
        classifier = cls(bundle.manifest, bundle.encoder(), backend, batch_size=batch_size)
        classifier._check_probes(bundle)
        return classifier

    @property
    def labels(self) -> LabelSet:
        """The labels it can answer, in the order of all scores."""
        return LabelSet(self.manifest.labels)

    @property
    def task(self) -> Task:
        """Whether it answers one label or several."""
        return self.manifest.task

    def predict(self, texts: Iterable[str], *, min_score: float = 0.0) -> list[Prediction]:
        """Answer texts, in order.

        Args:
            texts: Any strings, also empty ones.
            min_score: An answer with a lower score becomes ``uncertain`` (0 to 1).

        Raises:
            TypeError: A single string, whose characters would be taken for texts, or something that is no string.
        """
        texts = _checked(texts)
        tokens = self._encoder.encode(texts)
        scores = self._scores(tokens)
        return make_predictions(
            texts,
            scores,
            self._answers(scores),
            self.manifest.labels,
            cut_tokens=[t.cut for t in tokens],
            min_score=min_score,
        )

    def scores(self, texts: Iterable[str]) -> FloatArray:
        """Return the probability of every label for every text: (texts, labels)."""
        return self._scores(self._encoder.encode(_checked(texts)))

    def _scores(self, tokens: Sequence[TokenIds]) -> FloatArray:
        logits = np.zeros((len(tokens), len(self.manifest.labels)), dtype=np.float32)
        for batch in batches_by_length([len(t) for t in tokens], self._batch_size):
            logits[batch] = self._backend.logits(self._encoder.pad([tokens[i] for i in batch]))
        return probabilities(logits, self.task, self.manifest.temperature)

    def _answers(self, scores: FloatArray) -> BoolArray:
        if self.task is Task.MULTI_LABEL:
            return over_thresholds(scores, np.asarray(self.manifest.thresholds))
        return best_label(scores)

    def _check_probes(self, bundle: Bundle) -> None:
        probes = bundle.manifest.probes
        tokens = self._encoder.encode([probe.text for probe in probes])
        for probe, found, scores in zip(probes, tokens, self._scores(tokens), strict=True):
            if found.ids != probe.ids:
                raise BundleCorrupt(
                    f"Model '{bundle.path}' splits {probe.text!r} into other tokens than when it was saved.",
                    "Install the version of tokenizers that its emotions.json names, or train again.",
                )
            shift = float(np.abs(scores - probe.scores).max())
            if not shift <= PROBE_TOLERANCE:
                raise BundleCorrupt(
                    f"Model '{bundle.path}' scores {probe.text!r} differently than when it was saved (by up to {shift:.3f}).",
                    "Install the version of onnxruntime that its emotions.json names, or train again.",
                )


def _check_complete(bundle: Bundle) -> None:
    for name in (ONNX_FILE, TOKENIZER_FILE, CONFIG_FILE):
        if name not in bundle.manifest.files:
            raise BundleCorrupt(f"The manifest of model '{bundle.path}' does not list {name}.", "Fetch or train the model again.")
    if not bundle.manifest.probes:
        raise BundleCorrupt(f"The manifest of model '{bundle.path}' has no probes.", "Fetch or train the model again.")


def _checked(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts is a string: give a list of strings, such as [text]")
    listed = list(texts)
    wrong = next((i for i, text in enumerate(listed) if not isinstance(text, str)), None)
    if wrong is not None:
        raise TypeError(f"texts[{wrong}] is {type(listed[wrong]).__name__}, not a string")
    return listed
