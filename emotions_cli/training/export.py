"""A trained model becomes the files that inference opens."""

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
from emotions_cli.models.bundle import ONNX_FILE
from emotions_cli.training.base_models import WEIGHTS_FILE
from emotions_cli.training.build import save_weights

# (texts, tokens) at which the exported file must agree with PyTorch; a dimension of 1 is the usual victim of tracing
CHECKED_SHAPES = ((1, 1), (7, 3), (64, 128))
LARGEST_DIFFERENCE = 1e-3
OPSET = 18
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def write_model_files(model: Any, tokenizer: Any, folder: Path, *, max_length: int) -> None:
    """Write a Hugging Face folder with an ONNX file beside the weights.

    Raises:
        ModelError: The exported file does not compute what the model does.
        OSError: The disk refuses.
    """
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_weights(model, folder / WEIGHTS_FILE)
    export_onnx(model, folder / ONNX_FILE, max_length=max_length)


def export_onnx(model: Any, path: Path, *, max_length: int) -> None:
    """Export logits as a function of token ids, for any number of texts and tokens, and check it against PyTorch.

    Raises:
        ModelError: The exported file does not compute what the model does.
    """
    import torch
    from torch.export import Dim

    model.eval()
    accepted = inspect.signature(model.forward).parameters
    names = [name for name in INPUTS if name in accepted]
    example = {name: torch.ones((2, min(8, max_length)), dtype=torch.int64) for name in names}
    shapes = {name: {0: Dim("texts"), 1: Dim("tokens")} for name in names}
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            model,
            kwargs=example,
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        program.save(str(path), external_data=False)
    _compare(model, path, names, max_length)


def _compare(model: Any, path: Path, names: list[str], max_length: int) -> None:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for texts, tokens in CHECKED_SHAPES:
        shape = (texts, min(tokens, max_length))
        lengths = rng.integers(1, shape[1] + 1, size=(texts, 1))
        arrays = {
            "input_ids": rng.integers(0, model.config.vocab_size, size=shape),
            "attention_mask": (np.arange(shape[1]) < lengths).astype(np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        with torch.inference_mode():
            expected = model(**{name: torch.from_numpy(arrays[name]) for name in names}).logits.numpy()
        (found,) = session.run(None, {name: arrays[name] for name in names})
        difference = float(np.abs(found - expected).max())
        if not difference <= LARGEST_DIFFERENCE:
            raise ModelError(
                f"The exported model differs from the trained one by {difference:.2g} in a logit.",
                "Choose another base model; the trained weights are in the run's folder.",
            )


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
