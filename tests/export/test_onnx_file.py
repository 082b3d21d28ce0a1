"""Exported files compute what the model does, for encoders of several families and any shape of batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from emotions_cli.errors import ModelError
from emotions_cli.export.onnx_file import export_onnx

SIZES = {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def _model(family: str) -> Any:
    import transformers

    torch.manual_seed(0)
    if family == "distilbert":
        config = transformers.DistilBertConfig(vocab_size=99, dim=16, n_layers=1, n_heads=2, hidden_dim=32, num_labels=3)
        return transformers.DistilBertForSequenceClassification(config)
    if family == "roberta":
        config = transformers.RobertaConfig(**SIZES, max_position_embeddings=140, type_vocab_size=1, num_labels=3)
        return transformers.RobertaForSequenceClassification(config)
    config = transformers.ElectraConfig(**SIZES, embedding_size=16, num_labels=3)
    return transformers.ElectraForSequenceClassification(config)


@pytest.mark.parametrize(("family", "inputs"), [("distilbert", 2), ("roberta", 3), ("electra", 3)])
def test_encoders_of_several_families(family: str, inputs: int, tmp_path: Path) -> None:
    model = _model(family).eval()
    path = tmp_path / "model.onnx"
    export_onnx(model, path, max_length=128)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    assert len(names) == inputs
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    for shape in ((1, 1), (3, 17), (40, 2)):
        ids = np.random.default_rng(1).integers(5, 99, size=shape)
        arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        with torch.inference_mode():
            expected = model(**{name: torch.from_numpy(arrays[name]) for name in names}).logits.numpy()
        (found,) = session.run(["logits"], {name: arrays[name] for name in names})
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_export_that_does_not_compute_the_model_is_refused(tmp_path: Path) -> None:
    class Drifting(torch.nn.Module):
        """Answers differently each time it is asked."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = _model("electra")
            self.config = self.inner.config
            self.calls = 0

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            self.calls += 1
            answer = self.inner(input_ids=input_ids, attention_mask=attention_mask)
            answer.logits = answer.logits + self.calls
            return answer

    with pytest.raises(ModelError, match="differs from the trained one"):
        export_onnx(Drifting(), tmp_path / "model.onnx", max_length=128)
