"""From PyTorch to ``model.onnx``: the same numbers in fp32, in fewer and faster kernels."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emotions_cli.errors import ModelError
from emotions_cli.export.graph import fused
from emotions_cli.runtime.session import OnnxModel

# (texts, tokens) at which the exported file must agree with PyTorch; a dimension of 1 is the usual victim of tracing
CHECKED_SHAPES = ((1, 1), (7, 3), (64, 128))
LARGEST_DIFFERENCE = 1e-3
OPSET = 18
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def export_onnx(model: Any, path: Path, *, max_length: int) -> None:
    """Write logits as a function of token ids, for any number of texts and tokens, checked against PyTorch.

    Kernels are fused where the architecture is one that ONNX Runtime knows; a fused graph that does not compute what the
    model does is left for the plain one.

    Args:
        model: A sequence classifier of transformers, on the CPU.
        path: The file to write.
        max_length: Longest input in tokens.

    Raises:
        ModelError: The exported file does not compute what the model does.
    """
    import onnx

    model.eval()
    program = _program(model, max_length)
    difference = float("inf")
    with contextlib.suppress(ModelError), _quiet():
        candidate = fused(program).to_model()
        difference = _difference(model, candidate.SerializeToString(), max_length)
    if difference <= LARGEST_DIFFERENCE:
        onnx.save(candidate, str(path))
        return
    program.save(str(path), external_data=False)
    difference = _difference(model, path, max_length)
    if not difference <= LARGEST_DIFFERENCE:
        raise ModelError(
            f"The exported model differs from the trained one by {difference:.2g} in a logit.",
            "Choose another base model; the trained weights are in the run's folder.",
        )


def _program(model: Any, max_length: int) -> Any:
    import torch
    from torch.export import Dim

    accepted = inspect.signature(model.forward).parameters
    names = [name for name in INPUTS if name in accepted]
    with _quiet(), torch.inference_mode():
        return torch.onnx.export(
            model,
            kwargs={name: torch.ones((2, min(8, max_length)), dtype=torch.int64) for name in names},
            input_names=names,
            output_names=["logits"],
            dynamic_shapes={name: {0: Dim("texts"), 1: Dim("tokens")} for name in names},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )


def _difference(model: Any, exported: Path | bytes, max_length: int) -> float:
    """Return the largest difference of a logit between the exported model and PyTorch, over several shapes."""
    import torch

    runnable = OnnxModel(exported)
    rng = np.random.default_rng(0)
    largest = 0.0
    for texts, tokens in CHECKED_SHAPES:
        shape = (texts, min(tokens, max_length))
        lengths = rng.integers(1, shape[1] + 1, size=(texts, 1))
        arrays = {
            "input_ids": rng.integers(0, model.config.vocab_size, size=shape),
            "attention_mask": (np.arange(shape[1]) < lengths).astype(np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        with torch.inference_mode():
            expected = model(**{name: torch.from_numpy(arrays[name]) for name in runnable.inputs}).logits.numpy()
        difference = float(np.abs(runnable.logits(arrays) - expected).max())
        # NaN compares as neither: it must not look like agreement
        largest = max(largest, difference if np.isfinite(difference) else float("inf"))
    return largest


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which reports its inner life on three channels."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
