"""What computes logits: a protocol, and ONNX Runtime behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import IntArray
from emotions_cli.errors import ModelError


class Backend(Protocol):
    """Computes logits of padded batches."""

    def logits(self, batch: Mapping[str, IntArray]) -> NDArray[np.float32]:
        """Return (texts, labels) for ``input_ids``, ``attention_mask``, ``token_type_ids`` of (texts, tokens) each."""


class OnnxBackend:
    """Runs an exported model on the CPU with ONNX Runtime, in fp32.

    Args:
        path: The ``.onnx`` file.
        threads: CPU threads; 0 takes as many as the process may use.

    Raises:
        ModelError: ONNX Runtime can't open the file.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cpus()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise ModelError(f"'{path}' can't be opened: {error}", "Fetch or train the model again.") from error
        self._inputs = [node.name for node in self._session.get_inputs()]

    def logits(self, batch: Mapping[str, IntArray]) -> NDArray[np.float32]:
        """See :class:`Backend`."""
        (result,) = self._session.run(None, {name: batch[name] for name in self._inputs})
        return np.asarray(result)


def usable_cpus() -> int:
    """Return the number of CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
