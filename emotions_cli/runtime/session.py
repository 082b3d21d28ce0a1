"""Models in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder, IntArray, TokenIds, batches_by_tokens
from emotions_cli.errors import ModelError
from emotions_cli.runtime.cpu import usable_cpus

# The fused kernel is not vectorised: addition and normalisation apart are 7 times faster (0.45 s against 0.06 s of 2.2 s).
# It would be put in again at every start.
UNWANTED_FUSIONS = ("SkipLayerNormFusion",)


class OnnxModel:
    """A model whose first output is what is asked for.

    Small batches are computed side by side, each by one thread: for models of this size that is a fifth faster than large
    ones that all threads work on together, since what a batch needs stays in a core's cache and nobody waits for anybody.

    Args:
        model: An ``.onnx`` file, or a serialised model.
        threads: Batches computed at a time; 0 takes as many as there are CPUs for the process.
        together: Let all threads work on each batch instead: for large batches that come one by one.

    Raises:
        ModelError: ONNX Runtime can't open it.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 0, together: bool = False) -> None:
        import onnxruntime

        self._threads = threads or usable_cpus()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads if together else 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # threads that wait by spinning take the cores from those that read, tokenise and write
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(UNWANTED_FUSIONS),
            )
        except Exception as error:  # onnxruntime's own exceptions share no public base
            name = f"'{model}'" if isinstance(model, Path) else "The model"
            raise ModelError(f"{name} can't be opened: {error}", "Fetch or train the model again.") from error
        self.inputs = tuple(node.name for node in self._session.get_inputs())

    def run(self, batch: Mapping[str, IntArray]) -> list[NDArray[Any]]:
        """Return all outputs for ``input_ids``, ``attention_mask``, ``token_type_ids`` of (texts, tokens) each."""
        return [np.asarray(output) for output in self._session.run(None, {name: batch[name] for name in self.inputs})]

    def logits(self, batch: Mapping[str, IntArray]) -> NDArray[np.float32]:
        """Return (texts, labels) of a padded batch; see :meth:`run`."""
        return self.run(batch)[0]

    def logits_of(self, encoder: Encoder, tokens: Sequence[TokenIds], *, batch_tokens: int) -> NDArray[np.float32]:
        """Return (texts, labels) of any number of encoded texts, in order.

        Args:
            encoder: Pads.
            tokens: The texts.
            batch_tokens: Most tokens a forward pass, padding included.
        """
        batches = batches_by_tokens([len(t) for t in tokens], batch_tokens)

        def compute(indices: IntArray) -> NDArray[np.float32]:
            return self.logits(encoder.pad([tokens[i] for i in indices]))

        if len(batches) > 1 and self._threads > 1:
            with ThreadPoolExecutor(self._threads, thread_name_prefix="compute") as pool:
                logits = list(pool.map(compute, batches))
        else:
            logits = [compute(indices) for indices in batches]
        ordered = np.empty((len(tokens), logits[0].shape[1] if logits else 0), dtype=np.float32)
        for indices, rows in zip(batches, logits, strict=True):
            ordered[indices] = rows
        return ordered
