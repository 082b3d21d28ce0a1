"""A model in ONNX Runtime: what can't be opened is named, and batches come back in the order of the texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emotions_cli.errors import ModelError
from emotions_cli.models.bundle import ONNX_FILE
from emotions_cli.models.ref import open_model
from emotions_cli.runtime.session import OnnxModel


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"model\.onnx' can't be opened") as raised:
        OnnxModel(tmp_path / "model.onnx")
    assert raised.value.hint
    with pytest.raises(ModelError, match=r"^The model can't be opened"):
        OnnxModel(b"no model")


@pytest.mark.parametrize("batch_tokens", [1, 30, 10_000])
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_logits_come_in_the_order_of_the_texts(trained: Path, batch_tokens: int, threads: int) -> None:
    bundle = open_model(trained)
    encoder = bundle.encoder()
    model = OnnxModel(bundle.path / ONNX_FILE, threads=threads)
    tokens = encoder.encode(["so happy", "very scared of the noise, the dark, and you", "", "angry at you", "a mess " * 30])
    found = model.logits_of(encoder, tokens, batch_tokens=batch_tokens)
    alone = np.concatenate([model.logits(encoder.pad([t])) for t in tokens])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, alone, atol=1e-4)


def test_no_texts_have_no_logits(trained: Path) -> None:
    bundle = open_model(trained)
    assert OnnxModel(bundle.path / ONNX_FILE).logits_of(bundle.encoder(), [], batch_tokens=9).shape == (0, 0)
