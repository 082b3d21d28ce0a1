"""``model.fast.onnx``: made from ``model.onnx`` and some texts, and kept only if it answers as that does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder
from emotions_cli.errors import FastFileRefused, ModelError
from emotions_cli.export.graph import Graph
from emotions_cli.export.quantize import find_products, quantize
from emotions_cli.labels import Task
from emotions_cli.metrics.decisions import FloatArray, best_label, decision_margins, over_thresholds
from emotions_cli.metrics.probabilities import probabilities
from emotions_cli.models.bundle import FastFile, Manifest
from emotions_cli.runtime.cpu import multiplies_int8
from emotions_cli.runtime.session import OnnxModel

Logits = NDArray[np.floating[Any]]

# a batch, padding included
JUDGED_TOKENS = 512
# what the file has to reach on texts it was not made with
LEAST_SAME_LABEL = 0.995
LARGEST_SCORE_DIFFERENCE = 0.01
# of texts without any handing over: weights alone are rounded, and a text on the border may fall to either side
LEAST_SAME_LABEL_STORED = 0.98
# with more texts handed over, the file would hardly be faster
MOST_HANDED_OVER = 0.35
# a text is handed over when its decision is nearer than this many standard deviations of the integers' error
SIGMAS = 5.0


def write_fast_file(
    source: Path, target: Path, encoder: Encoder, manifest: Manifest, *, calibration: Sequence[str], held_out: Sequence[str]
) -> FastFile:
    """Make the fast file of a bundle.

    Args:
        source: The fp32 ``.onnx`` file.
        target: The file to write.
        encoder: The bundle's.
        manifest: Its labels, task, temperature, thresholds and probes.
        calibration: Texts that fix the scales.
        held_out: Other texts, on which the file has to agree.

    Returns:
        What the manifest says about the file.

    Raises:
        FastFileRefused: This CPU can't check it, the model has no products for it, or it does not agree well enough.
    """
    import onnx

    refuse_without_int8()
    graph = Graph(onnx.load(str(source)))
    if not find_products(graph):
        raise FastFileRefused("the model has no matrix products that could be made faster")
    model = quantize(graph, encoder, encoder.encode(list(calibration))).to_model()
    found = compare(OnnxModel(model.SerializeToString()), OnnxModel(source), encoder, manifest, held_out)
    onnx.save(model, str(target))
    return found


def refuse_without_int8() -> None:
    """Raise :class:`FastFileRefused` where integers can't be checked."""
    if not multiplies_int8():
        raise FastFileRefused("this CPU has no 8-bit products (VNNI or dot product) to check it with")


def compare(fast: OnnxModel, exact: OnnxModel, encoder: Encoder, manifest: Manifest, held_out: Sequence[str]) -> FastFile:
    """Settle what a close call is, and see whether the integers then answer as the exact model does.

    Half of the texts settle it, the others judge.

    Args:
        fast: The model in integers.
        exact: The same in fp32.
        encoder: The bundle's.
        manifest: Its labels, task, temperature, thresholds and probes.
        held_out: Texts that the fast model was not made with.

    Raises:
        FastFileRefused: It does not agree well enough.
    """
    tokens = encoder.encode(list(held_out))
    exact_logits = exact.logits_of(encoder, tokens, batch_tokens=JUDGED_TOKENS)
    fast_logits = fast.logits_of(encoder, tokens, batch_tokens=JUDGED_TOKENS)
    # every second text settles what a close call is, the others judge it
    close_call = settle_close_call(exact_logits[::2], fast_logits[::2], manifest)
    found = agreement(exact_logits[1::2], fast_logits[1::2], manifest, close_call)
    refuse_unless_good(found)
    return replace(found, probe_scores=probe_scores(fast, encoder, manifest))


def probe_scores(model: OnnxModel, encoder: Encoder, manifest: Manifest) -> tuple[tuple[float, ...], ...]:
    """Return the probabilities that a model gives to the probes of a manifest."""
    probes = encoder.encode([probe.text for probe in manifest.probes])
    logits = model.logits_of(encoder, probes, batch_tokens=JUDGED_TOKENS)
    return tuple(tuple(row.tolist()) for row in probabilities(logits, manifest.task, manifest.temperature))


def settle_close_call(exact: Logits, fast: Logits, manifest: Manifest) -> float:
    """Return the margin in logits under which the integers' error (texts, labels) could change an answer."""
    noise = _margins(fast, manifest) - _margins(exact, manifest)
    return SIGMAS * float(np.sqrt((noise**2).mean()))


def _margins(logits: Logits, manifest: Manifest) -> FloatArray:
    return decision_margins(logits.astype(np.float64), manifest.task, manifest.temperature, manifest.thresholds)


def agreement(exact_logits: Logits, fast_logits: Logits, manifest: Manifest, close_call: float) -> FastFile:
    """Compare logits (texts, labels) of the fast file, close calls handed over, with those of fp32."""
    exact, fast = exact_logits.astype(np.float64), fast_logits.astype(np.float64)
    handed_over = _margins(fast, manifest) < close_call
    both = np.where(handed_over[:, None], exact, fast)
    expected, scores = (probabilities(logits, manifest.task, manifest.temperature) for logits in (exact, both))
    if manifest.task is Task.MULTI_LABEL:
        thresholds = np.asarray(manifest.thresholds)
        answers, expected_answers = over_thresholds(scores, thresholds), over_thresholds(expected, thresholds)
        difference = np.abs(scores - expected).max(axis=1)
    else:
        answers, expected_answers = best_label(scores), best_label(expected)
        difference = np.abs(scores - expected)[expected_answers]
    return FastFile(
        close_call=close_call,
        texts=len(exact),
        same_label=float((answers == expected_answers).all(axis=1).mean()),
        score_difference=float(difference.mean()),
        handed_over=float(handed_over.mean()),
        probe_scores=(),
    )


def refuse_unless_equal(small: OnnxModel, source: OnnxModel, encoder: Encoder, manifest: Manifest, texts: Sequence[str]) -> None:
    """Raise unless a model stored in 8 bits answers as the one that it was made of, each text by itself.

    Raises:
        ModelError: It does not agree well enough.
    """
    tokens = encoder.encode(list(texts))
    expected, found = (model.logits_of(encoder, tokens, batch_tokens=JUDGED_TOKENS) for model in (source, small))
    seen = agreement(expected, found, manifest, close_call=0.0)
    if not (seen.same_label >= LEAST_SAME_LABEL_STORED and seen.score_difference <= LARGEST_SCORE_DIFFERENCE):
        raise ModelError(
            f"In 8 bits the model gives the same label to {seen.same_label:.1%} of {seen.texts:,} texts, its scores differ by "
            f"{seen.score_difference:.4f} in the mean.",
            "Keep it in fp32.",
        )


def refuse_unless_good(found: FastFile) -> None:
    """Raise :class:`FastFileRefused` with the figure that is not good enough."""
    if not found.same_label >= LEAST_SAME_LABEL:
        raise FastFileRefused(f"it gives the same label to {found.same_label:.2%} of texts only")
    if not found.score_difference <= LARGEST_SCORE_DIFFERENCE:
        raise FastFileRefused(f"its scores differ by {found.score_difference:.4f} in the mean")
    if not found.handed_over <= MOST_HANDED_OVER:
        raise FastFileRefused(f"{found.handed_over:.0%} of texts are too close to decide with 8-bit integers")
