"""A model that is ready to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from emotions_cli.encoding import CONFIG_FILE, TOKENIZER_FILE, Encoder, IntArray, TokenIds
from emotions_cli.errors import BundleCorrupt
from emotions_cli.inference.backends import Backend, HandingOver, Precision, choose_precision
from emotions_cli.inference.prediction import Prediction, make_predictions
from emotions_cli.labels import LabelSet, Task, check_answers
from emotions_cli.metrics.decisions import BoolArray, best_label, decision_margins, over_thresholds
from emotions_cli.metrics.probabilities import FloatArray, probabilities
from emotions_cli.models.bundle import COMPACT_FILE, FAST_FILE, ONNX_FILE, Bundle, Manifest
from emotions_cli.models.ref import open_model
from emotions_cli.runtime.session import OnnxModel

DEFAULT_BATCH_TOKENS = 512
# another machine's arithmetic moves a probability by less than this
PROBE_TOLERANCE = 2e-3


class LongText(StrEnum):
    """What happens to a text that is longer than the model reads."""

    HEAD = "head"
    WINDOW = "window"


@dataclass(frozen=True)
class EncodedTexts:
    """Texts ready to be computed, each different one once.

    Attributes:
        texts: The texts, in order.
        which: For each text its place among the different ones: (texts,).
        pieces: Token ids; a long text may have several pieces.
        owners: For each piece the different text it belongs to: (pieces,), ascending.
        cut: For each different text the tokens that will not be read.
    """

    texts: Sequence[str]
    which: IntArray
    pieces: Sequence[TokenIds]
    owners: IntArray
    cut: Sequence[int]


class Classifier:
    """Answers texts with labels and scores. Make one with :meth:`open` or :func:`emotions_cli.load`.

    Attributes:
        manifest: What the bundle says about itself; of a :meth:`limited` one with the labels that it may answer alone.
        precision: What it computes in, fp32 or fast.
        why: A sentence on the choice.
    """

    def __init__(
        self,
        manifest: Manifest,
        encoder: Encoder,
        backend: Backend,
        *,
        precision: Precision = Precision.FP32,
        why: str = "",
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        long_text: LongText = LongText.HEAD,
        columns: IntArray | None = None,
    ) -> None:
        self._columns = np.arange(len(manifest.labels)) if columns is None else columns
        self.manifest = manifest
        self.precision = precision
        self.why = why
        self._encoder = encoder
        self._backend = backend
        self._batch_tokens = batch_tokens
        self._long_text = long_text

    @classmethod
    def open(
        cls,
        reference: str | Path,
        *,
        precision: Precision | str = Precision.AUTO,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        long_text: LongText | str = LongText.HEAD,
        threads: int = 0,
        labels: Sequence[str] | None = None,
    ) -> Classifier:
        """Open a model and check that it answers its probes as it did when it was saved.

        Args:
            reference: ``builtin``, a bundle's folder or a run's.
            precision: ``fp32``, ``fast`` (8-bit integers, close calls in fp32), or ``auto``: fast where model and CPU can.
            batch_tokens: Most tokens a forward pass, padding included.
            long_text: ``head`` cuts long texts, ``window`` reads them in overlapping pieces and averages the scores.
            threads: CPU threads; 0 takes as many as the process may use.
            labels: The only labels it may answer; of a single-label model their probabilities are scaled up to 1.

        Raises:
            ModelError: There is no such model, it can't be opened, or not in this precision.
            UsageError: It has no such label, or nothing is left to choose between.
            BundleCorrupt: A file has changed, or a probe is answered differently.
            ValueError: No such precision or way with long texts, no room in a batch, or less than no threads.
        """
        if batch_tokens < 1 or threads < 0:
            raise ValueError(
                f"batch_tokens is {batch_tokens} and threads {threads}: there is at least 1 token, and 0 threads means all"
            )
        bundle = open_model(reference, verify=False)
        manifest = bundle.manifest
        _check_complete(bundle)
        chosen, why = choose_precision(Precision(precision), manifest)
        with ThreadPoolExecutor(1) as pool:
            # also of a file that is needed only for close calls: better now than in the middle of a long input
            onnx_file = pool.submit(bundle.checked, ONNX_FILE)
            weights = pool.submit(bundle.checked, COMPACT_FILE) if COMPACT_FILE in manifest.files else None
            for name in (CONFIG_FILE, TOKENIZER_FILE):
                bundle.checked(name)
            encoder = bundle.encoder()
            probes = encoder.encode([probe.text for probe in manifest.probes])
            _check_probe_tokens(bundle, probes)
            if weights is not None:
                weights.result()

            def exact() -> OnnxModel:
                model = OnnxModel(onnx_file.result(), threads=threads)
                _check_probe_scores(bundle, encoder, model, probes, [probe.scores for probe in manifest.probes])
                return model

            backend: Backend
            if chosen is Precision.FAST and manifest.fast is not None:
                fast = OnnxModel(bundle.checked(FAST_FILE), threads=threads)
                _check_probe_scores(bundle, encoder, fast, probes, manifest.fast.probe_scores)
                onnx_file.result()
                backend = HandingOver(fast, exact, _margins(manifest, np.arange(len(manifest.labels))), manifest.fast.close_call)
            else:
                backend = exact()
        whole = cls(
            manifest,
            encoder,
            backend,
            precision=chosen,
            why=why,
            batch_tokens=batch_tokens,
            long_text=LongText(long_text),
        )
        return whole if labels is None else whole.limited(labels)

    def limited(self, labels: Sequence[str]) -> Classifier:
        """Return a classifier on the same open model that may answer only some of its labels.

        Args:
            labels: Which, in any order; of a single-label model their probabilities are scaled up to 1.

        Raises:
            UsageError: It has no such label, or nothing is left to choose between.
        """
        check_answers(labels, self.manifest.labels, self.task)
        kept = np.array([i for i, label in enumerate(self.manifest.labels) if label in labels], dtype=np.int64)
        thresholds = None if self.manifest.thresholds is None else tuple(self.manifest.thresholds[i] for i in kept)
        manifest = replace(self.manifest, labels=tuple(self.manifest.labels[i] for i in kept), thresholds=thresholds)
        columns, backend = self._columns[kept], self._backend
        return Classifier(
            manifest,
            self._encoder,
            backend.deciding_by(_margins(manifest, columns)) if isinstance(backend, HandingOver) else backend,
            precision=self.precision,
            why=self.why,
            batch_tokens=self._batch_tokens,
            long_text=self._long_text,
            columns=columns,
        )

    @property
    def labels(self) -> LabelSet:
        """The labels it can answer, in the order of all scores."""
        return LabelSet(self.manifest.labels)

    @property
    def task(self) -> Task:
        """Whether it answers one label or several."""
        return self.manifest.task

    @property
    def reading(self) -> str:
        """What decides how texts are cut and computed together, in a word."""
        return f"{self._long_text}, {self._batch_tokens} tokens a batch"

    def predict(self, texts: Iterable[str], *, min_score: float = 0.0) -> list[Prediction]:
        """Answer texts, in order. A text of nothing but white space gets no label; its ``reason`` is ``empty``.

        Args:
            texts: Any strings, also empty ones.
            min_score: An answer with a lower score becomes ``uncertain`` (0 to 1).

        Raises:
            TypeError: A single string, whose characters would be taken for texts, or something that is no string.
        """
        encoded = self.encode(texts)
        return self.decide(encoded, self.compute(encoded), min_score=min_score)

    def scores(self, texts: Iterable[str]) -> FloatArray:
        """Return the probability of every label for every text, also for empty ones: (texts, labels)."""
        encoded = self.encode(texts)
        return self.compute(encoded)[encoded.which]

    def encode(self, texts: Iterable[str]) -> EncodedTexts:
        """Do the part of :meth:`predict` that needs no model, so that it can be done ahead in another thread."""
        listed = _checked(texts)
        places: dict[str, int] = {}
        which = np.array([places.setdefault(text, len(places)) for text in listed], dtype=np.int64)
        different = list(places)
        if self._long_text is LongText.HEAD:
            pieces = self._encoder.encode(different)
            return EncodedTexts(listed, which, pieces, np.arange(len(pieces)), [piece.cut for piece in pieces])
        windows = self._encoder.encode_windows(different)
        owners = np.repeat(np.arange(len(windows)), [len(pieces) for pieces in windows])
        return EncodedTexts(listed, which, [piece for pieces in windows for piece in pieces], owners, [0] * len(windows))

    def decide(self, encoded: EncodedTexts, scores: FloatArray, *, min_score: float = 0.0) -> list[Prediction]:
        """Do the part of :meth:`predict` that follows :meth:`compute`."""
        return make_predictions(
            encoded.texts,
            scores[encoded.which],
            self._answers(scores)[encoded.which],
            self.manifest.labels,
            cut_tokens=[encoded.cut[i] for i in encoded.which],
            min_score=min_score,
        )

    def compute(self, encoded: EncodedTexts) -> FloatArray:
        """Run the model, the part of :meth:`predict` that takes the time: probabilities (different texts, labels)."""
        pieces = encoded.pieces
        if not pieces:
            return np.zeros((0, len(self.manifest.labels)))
        logits = self._backend.logits_of(self._encoder, pieces, batch_tokens=self._batch_tokens)
        scores = probabilities(logits[:, self._columns], self.task, self.manifest.temperature)
        if len(pieces) == len(encoded.cut):
            return scores
        # windows: a mean by length, so that a short last piece does not count as much as a full one
        weights = np.array([len(piece) for piece in pieces], dtype=np.float64)[:, None]
        starts = np.flatnonzero(np.diff(encoded.owners, prepend=-1))
        return np.asarray(np.add.reduceat(scores * weights, starts) / np.add.reduceat(weights, starts))

    def _answers(self, scores: FloatArray) -> BoolArray:
        if self.task is Task.MULTI_LABEL:
            return over_thresholds(scores, np.asarray(self.manifest.thresholds))
        return best_label(scores)


def _margins(manifest: Manifest, columns: IntArray) -> Callable[[FloatArray], FloatArray]:
    """Say how far texts are from another answer among some columns of the logits, whose labels a manifest has."""
    return lambda logits: decision_margins(logits[:, columns], manifest.task, manifest.temperature, manifest.thresholds)


def _check_complete(bundle: Bundle) -> None:
    for name in (ONNX_FILE, TOKENIZER_FILE, CONFIG_FILE):
        if name not in bundle.manifest.files:
            raise BundleCorrupt(f"The manifest of model '{bundle.path}' does not list {name}.", "Fetch or train the model again.")
    if not bundle.manifest.probes:
        raise BundleCorrupt(f"The manifest of model '{bundle.path}' has no probes.", "Fetch or train the model again.")


def _check_probe_tokens(bundle: Bundle, found: Sequence[TokenIds]) -> None:
    for probe, tokens in zip(bundle.manifest.probes, found, strict=True):
        if tokens.ids != probe.ids:
            raise BundleCorrupt(
                f"Model '{bundle.path}' splits {probe.text!r} into other tokens than when it was saved.",
                "Install the version of tokenizers that its emotions.json names, or train again.",
            )


def _check_probe_scores(
    bundle: Bundle, encoder: Encoder, model: OnnxModel, probes: list[TokenIds], expected: Sequence[Sequence[float]]
) -> None:
    manifest = bundle.manifest
    logits = model.logits_of(encoder, probes, batch_tokens=DEFAULT_BATCH_TOKENS)
    for probe, found, saved in zip(
        manifest.probes, probabilities(logits, manifest.task, manifest.temperature), expected, strict=True
    ):
        shift = float(np.abs(found - saved).max())
        if not shift <= PROBE_TOLERANCE:
            raise BundleCorrupt(
                f"Model '{bundle.path}' scores {probe.text!r} differently than when it was saved (by up to {shift:.3f}).",
                "Install the version of onnxruntime that its emotions.json names, or train again.",
            )


def _checked(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts is a string: give a list of strings, such as [text]")
    listed = list(texts)
    wrong = next((i for i, text in enumerate(listed) if not isinstance(text, str)), None)
    if wrong is not None:
        raise TypeError(f"texts[{wrong}] is {type(listed[wrong]).__name__}, not a string")
    return listed
