"""What computes logits: ONNX Runtime in fp32, or in 8-bit integers with close calls handed over to fp32."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder, TokenIds
from emotions_cli.errors import ModelError
from emotions_cli.metrics.decisions import FloatArray
from emotions_cli.models.bundle import Manifest
from emotions_cli.runtime.cpu import multiplies_int8

Logits = NDArray[np.float32]


class Precision(StrEnum):
    """Arithmetic of inference."""

    AUTO = "auto"
    FP32 = "fp32"
    FAST = "fast"


class Backend(Protocol):
    """Computes logits of encoded texts; :class:`emotions_cli.runtime.session.OnnxModel` is one."""

    def logits_of(self, encoder: Encoder, tokens: Sequence[TokenIds], *, batch_tokens: int) -> Logits:
        """Return (texts, labels), in order.

        Args:
            encoder: Pads.
            tokens: The texts.
            batch_tokens: Most tokens a forward pass, padding included.
        """
        ...


class HandingOver:
    """The fast model, and the exact one for the texts that the fast one can't decide with certainty.

    Why this and no other runtime: ``benchmarks/README.md`` has the figures, on two cores with AVX-512 VNNI and MiniLM-L6. It is
    as fast as CTranslate2's int8 (which answers 98.0 % of texts as fp32 does where the model is out of its depth, this
    99.96 %), faster than OpenVINO's bf16 (99.7 %), and adds nothing to what is installed (146 and 180 MB). Its integers have
    fixed scales, so that answers do not depend on neighbours, order or threads; see :mod:`emotions_cli.export.quantize`.

    Args:
        fast: The model in integers.
        exact: Opens the model in fp32; called when it is first needed.
        margins: Says how far, in logits, each text of some logits is from another answer.
        close_call: Margin under which a text is handed over.
    """

    def __init__(
        self, fast: Backend, exact: Callable[[], Backend], margins: Callable[[FloatArray], FloatArray], close_call: float
    ) -> None:
        self._fast = fast
        self._open_exact = exact
        self._exact: Backend | None = None
        self._opening = threading.Lock()
        self._margins = margins
        self._close_call = close_call

    def deciding_by(self, margins: Callable[[FloatArray], FloatArray]) -> HandingOver:
        """Return one on the same models whose close calls are other ones."""
        return HandingOver(self._fast, self._opened, margins, self._close_call)

    def _opened(self) -> Backend:
        with self._opening:
            self._exact = self._exact or self._open_exact()
            return self._exact

    def logits_of(self, encoder: Encoder, tokens: Sequence[TokenIds], *, batch_tokens: int) -> Logits:
        """See :class:`Backend`. Close calls of all texts are computed together: a batch of two costs as much as one of ten."""
        logits = self._fast.logits_of(encoder, tokens, batch_tokens=batch_tokens)
        (close,) = np.nonzero(self._margins(logits.astype(np.float64)) < self._close_call)
        if len(close):
            logits[close] = self._opened().logits_of(encoder, [tokens[i] for i in close.tolist()], batch_tokens=batch_tokens)
        return logits


def choose_precision(wanted: Precision, manifest: Manifest) -> tuple[Precision, str]:
    """Decide between fp32 and fast.

    Returns:
        The precision, and a sentence that says why.

    Raises:
        ModelError: ``fast`` is wanted, and the model has no fast file or this CPU can't compute with it.
    """
    if wanted is Precision.FP32:
        return Precision.FP32, "fp32, as asked for"
    if manifest.fast is None:
        if wanted is Precision.FAST:
            raise ModelError("The model has no fast file.", "Make it: emotions export --model MODEL --to fast")
        return Precision.FP32, "fp32: the model has no fast file (emotions export --to fast makes it)"
    if not multiplies_int8():
        if wanted is Precision.FAST:
            raise ModelError("This CPU has no 8-bit products (VNNI or dot product).", "Use --precision fp32, or auto.")
        return Precision.FP32, "fp32: this CPU gains nothing from 8-bit integers"
    return Precision.FAST, f"fast: 8-bit integers, texts within {manifest.fast.close_call:.2f} logits of another answer in fp32"
