"""Rewritten graphs compute what PyTorch does, in fewer nodes, and fewer tokens behind the last attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from emotions_cli.export.graph import Graph, attribute, fused
from emotions_cli.export.onnx_file import _program, _quiet, export_onnx
from emotions_cli.runtime.session import OnnxModel

SIZES = {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
FAMILIES = ["bert", "distilbert", "roberta", "electra"]


def model_of(family: str) -> Any:
    import transformers

    torch.manual_seed(0)
    if family == "bert":
        return transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES, num_labels=3)).eval()
    if family == "distilbert":
        config = transformers.DistilBertConfig(vocab_size=99, dim=16, n_layers=2, n_heads=2, hidden_dim=32, num_labels=3)
        return transformers.DistilBertForSequenceClassification(config).eval()
    if family == "roberta":
        roberta = transformers.RobertaConfig(**SIZES, max_position_embeddings=140, type_vocab_size=1, num_labels=3)
        return transformers.RobertaForSequenceClassification(roberta).eval()
    electra = transformers.ElectraConfig(**SIZES, embedding_size=16, num_labels=3)
    return transformers.ElectraForSequenceClassification(electra).eval()


@pytest.fixture(scope="module")
def exported() -> Iterator[Any]:
    """Model, PyTorch's program and the rewritten graph of a family; each is made once."""
    made: dict[str, tuple[Any, Any, Graph]] = {}

    def of(family: str) -> tuple[Any, Any, Graph]:
        if family not in made:
            model = model_of(family)
            program = _program(model, 128)
            with _quiet():
                made[family] = (model, program, fused(program))
        return made[family]

    yield of
    made.clear()


def _batches() -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    for shape in ((1, 1), (1, 40), (5, 17), (33, 3)):
        lengths = rng.integers(1, shape[1] + 1, size=(shape[0], 1))
        yield {
            "input_ids": rng.integers(5, 99, size=shape),
            "attention_mask": (np.arange(shape[1]) < lengths).astype(np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }


@pytest.mark.parametrize("family", FAMILIES)
def test_rewriting_changes_no_logit(exported: Any, family: str) -> None:
    model, _, graph = exported(family)
    runnable = OnnxModel(graph.to_model().SerializeToString())
    for batch in _batches():
        with torch.inference_mode():
            expected = model(**{name: torch.from_numpy(batch[name]) for name in runnable.inputs}).logits.numpy()
        np.testing.assert_allclose(runnable.logits(batch), expected, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_has_fewer_nodes_than_pytorch_gives(exported: Any, family: str) -> None:
    _, program, graph = exported(family)
    plain = len(program.model_proto.graph.node)
    assert len(graph.to_model().graph.node) < plain


def test_bert_gets_the_fused_kernels(exported: Any) -> None:
    _, _, graph = exported("bert")
    kinds = Counter(node.op_type for node in graph.to_model().graph.node)
    assert kinds["Attention"] == 2
    assert "Softmax" not in kinds
    assert "SkipLayerNormalization" not in kinds
    assert kinds["LayerNormalization"] == 5
    assert {attribute(node, "num_heads") for node in graph.nodes if node.op_type == "Attention"} == {2}


@pytest.mark.parametrize("family", FAMILIES)
def test_behind_the_last_attention_only_the_first_token_is_computed(exported: Any, family: str) -> None:
    _, program, graph = exported(family)
    inferred = Graph(program.model_proto)
    model = graph.to_model()
    names = [name for node in model.graph.node for name in node.output]
    wide = [node.output[0] for node in model.graph.node if node.op_type in {"MatMul", "LayerNormalization", "Attention"}]
    batch = {
        "input_ids": np.full((3, 11), 7, dtype=np.int64),
        "attention_mask": np.ones((3, 11), dtype=np.int64),
        "token_type_ids": np.zeros((3, 11), dtype=np.int64),
    }
    values = OnnxModel(graph.to_model(wide).SerializeToString()).run(batch)[1:]
    whole = [name for name, value in zip(wide, values, strict=True) if value.shape[:2] == (3, 11)]
    first = [name for name, value in zip(wide, values, strict=True) if value.ndim == 2 and value.shape[0] == 3]
    # the rest of the last layer: after attention, two products of the feed-forward part and two normalisations
    assert len(first) >= 5
    assert max(map(names.index, whole)) < max(map(names.index, first))
    before = [node.output[0] for node in inferred.nodes if node.op_type in {"MatMul", "LayerNormalization"}]
    plain = OnnxModel(inferred.to_model(before).SerializeToString()).run(batch)[1:]
    assert len(whole) < sum(value.shape[:2] == (3, 11) for value in plain)


def test_a_graph_read_and_written_is_the_same(exported: Any) -> None:
    _, _, graph = exported("bert")
    once = graph.to_model()
    again = Graph(once).to_model()
    assert again.SerializeToString() == once.SerializeToString()
    onnx.checker.check_model(Graph(onnx.load_model_from_string(once.SerializeToString())).to_model(), full_check=False)


def test_what_is_not_needed_is_left_out(exported: Any) -> None:
    _, _, graph = exported("bert")
    loaded = Graph(graph.to_model())
    nodes, weights = len(loaded.nodes), len(loaded.weights)
    loaded.weights["idle"] = np.zeros(3, np.float32)
    loaded.nodes.append(onnx.helper.make_node("Identity", ["idle"], ["nobody"]))
    lean = Graph(loaded.to_model())
    assert (len(lean.nodes), len(lean.weights)) == (nodes, weights)
    assert "nobody" in Graph(loaded.to_model(["nobody"])).producers()


def test_a_trained_bundle_has_the_fused_kernels(trained: Path) -> None:
    graph = Graph(onnx.load(str(trained / "model" / "model.onnx")))
    assert Counter(node.op_type for node in graph.nodes)["Attention"] == 2


def test_a_graph_that_can_not_be_fused_is_written_plain(tmp_path: Path) -> None:
    class Mean(torch.nn.Module):
        """No encoder at all: nothing to fuse, no first token."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.words = torch.nn.Embedding(99, 16)
            self.head = torch.nn.Linear(16, 3)
            self.config = model_of("bert").config

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            from transformers.modeling_outputs import SequenceClassifierOutput

            mask = attention_mask.unsqueeze(-1).to(torch.float32)
            mean = (self.words(input_ids) * mask).sum(dim=1) / mask.sum(dim=1)
            return SequenceClassifierOutput(logits=self.head(mean))

    model = Mean().eval()
    export_onnx(model, tmp_path / "mean.onnx", max_length=64)
    ids = np.array([[5, 6, 7], [8, 9, 0]])
    mask = np.array([[1, 1, 1], [1, 1, 0]])
    with torch.inference_mode():
        expected = model(torch.from_numpy(ids), torch.from_numpy(mask)).logits.numpy()
    found = OnnxModel(tmp_path / "mean.onnx").logits({"input_ids": ids, "attention_mask": mask})
    np.testing.assert_allclose(found, expected, atol=1e-5)
