"""The model in 8-bit integers: close to fp32, and the same to the bit in any company."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import EASY

from emotions_cli.data.load import sample_texts
from emotions_cli.encoding import Encoder
from emotions_cli.export.calibration import Activations, watch
from emotions_cli.export.graph import Graph
from emotions_cli.export.quantize import Product, Scaling, choose_scaling, find_products, quantize
from emotions_cli.models.bundle import ONNX_FILE
from emotions_cli.models.ref import open_model
from emotions_cli.runtime.cpu import multiplies_int8
from emotions_cli.runtime.session import OnnxModel

TEXTS = [text for group in EASY.values() for text in group] + sample_texts()[:120] + ["", "🙂", "happy " * 100]


@pytest.fixture(scope="module")
def encoder(trained: Path) -> Encoder:
    return open_model(trained).encoder()


@pytest.fixture(scope="module")
def graph(trained: Path) -> Graph:
    return Graph(onnx.load(str(open_model(trained).path / ONNX_FILE)))


@pytest.fixture(scope="module")
def small(graph: Graph, encoder: Encoder) -> Graph:
    return quantize(graph, encoder, encoder.encode(sample_texts()[120:420]))


@pytest.fixture(scope="module")
def fast_file(small: Graph) -> bytes:
    content: bytes = small.to_model().SerializeToString()
    return content


def test_products_are_those_of_the_layers(graph: Graph) -> None:
    products = find_products(graph)
    assert Counter(product.node.op_type for product in products) == {"Attention": 2, "MatMul": 6}
    assert {product.weights.shape for product in products} == {(32, 96), (32, 32), (32, 64), (64, 32)}
    # of the first third of the nodes, those of the feed-forward part
    assert [product.two_steps for product in products] == [False, False, True, False, False, False, False, False]
    assert all(product.value for product in products)
    # what stands behind the last layer stays as it was: the pooler and the head
    named = {product.node.input[1] for product in products}
    left = [node for node in graph.nodes if node.op_type in {"MatMul", "Gemm"} and node.input[1] not in named]
    assert all(graph.weights[node.input[1]].shape in {(32, 3), (3, 32), (32, 32)} for node in left)


def test_a_graph_without_products_has_none(graph: Graph) -> None:
    bare = Graph(graph.to_model())
    bare.nodes = [node for node in bare.nodes if node.op_type not in {"MatMul", "Attention"}]
    assert find_products(bare) == []


def test_the_graph_it_is_made_from_stays(graph: Graph, encoder: Encoder, small: Graph) -> None:
    assert "QAttention" not in {node.op_type for node in graph.nodes}
    kinds = Counter(node.op_type for node in small.nodes)
    assert kinds["QAttention"] == 2
    assert kinds["MatMulIntegerToFloat"] == 7  # six, and a second one for the product of two steps
    assert "Attention" not in kinds
    assert sum(array.nbytes for array in small.weights.values() if array.dtype == np.int8) > 10_000


@pytest.mark.skipif(not multiplies_int8(), reason="8-bit products need not be exact on this CPU")
def test_it_agrees_with_fp32(graph: Graph, fast_file: bytes, encoder: Encoder) -> None:
    tokens = encoder.encode(TEXTS)
    exact = OnnxModel(graph.to_model().SerializeToString()).logits_of(encoder, tokens, batch_tokens=500)
    fast = OnnxModel(fast_file).logits_of(encoder, tokens, batch_tokens=500)
    assert np.mean(exact.argmax(axis=1) == fast.argmax(axis=1)) >= 0.97
    assert np.sqrt(((exact - fast) ** 2).mean()) < 0.03 * exact.std()
    assert not np.array_equal(exact, fast)


@pytest.mark.skipif(not multiplies_int8(), reason="8-bit products need not be exact on this CPU")
@pytest.mark.parametrize(("batch_tokens", "threads"), [(1, 1), (64, 2), (700, 1), (100_000, 3)])
def test_company_order_and_threads_change_no_bit(fast_file: bytes, encoder: Encoder, batch_tokens: int, threads: int) -> None:
    tokens = encoder.encode(TEXTS)
    alone = OnnxModel(fast_file, threads=1).logits_of(encoder, tokens, batch_tokens=1)
    model = OnnxModel(fast_file, threads=threads)
    np.testing.assert_array_equal(model.logits_of(encoder, tokens, batch_tokens=batch_tokens), alone)
    order = np.random.default_rng(batch_tokens).permutation(len(tokens))
    shuffled = model.logits_of(encoder, [tokens[i] for i in order], batch_tokens=batch_tokens)
    np.testing.assert_array_equal(shuffled, alone[order])


def test_it_is_made_the_same_way_twice(graph: Graph, encoder: Encoder, fast_file: bytes) -> None:
    again = quantize(graph, encoder, encoder.encode(sample_texts()[120:420]))
    assert again.to_model().SerializeToString() == fast_file


def test_values_are_watched_at_real_tokens_only(graph: Graph, encoder: Encoder) -> None:
    products = find_products(graph)
    tokens = encoder.encode(["so happy", "afraid of the dark, afraid to go", "x"])
    seen = dict(watch(graph, {product.value: len(product.weights) for product in products}, encoder, tokens))
    assert list(seen) == list(dict.fromkeys(product.value for product in products))
    whole = sum(len(t) for t in tokens)
    assert seen[products[0].value].sample.shape == (whole, 32)
    # behind the choice of the first token there is a row a text
    assert seen[products[-1].value].sample.shape == (len(tokens), 64)
    for activations in seen.values():
        np.testing.assert_array_equal(activations.sample.min(axis=0), activations.low)
        np.testing.assert_array_equal(activations.sample.max(axis=0), activations.high)


def _made_up(*, outlier: float) -> tuple[np.ndarray, Activations]:
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(900, 40)).astype(np.float32)
    sample[:, 0] *= outlier
    weights = rng.normal(size=(40, 20)).astype(np.float32)
    return weights, Activations(sample, sample.min(axis=0), sample.max(axis=0))


def _error(product: Product, scaling: Scaling, sample: np.ndarray) -> float:
    divided = 1.0 if scaling.balance is None else scaling.balance
    weights = product.weights if scaling.balance is None else product.weights * scaling.balance[:, None]
    return float(((scaling.seen(sample / divided) @ weights - sample @ product.weights) ** 2).mean())


@pytest.mark.parametrize("outlier", [1.0, 60.0])
def test_two_steps_lower_the_error(outlier: float) -> None:
    weights, activations = _made_up(outlier=outlier)
    one, two = (Product(None, weights, two_steps) for two_steps in (False, True))
    single, double = choose_scaling(one, activations), choose_scaling(two, activations)
    assert not single.two_steps
    assert double.two_steps
    assert _error(two, double, activations.sample) < 1e-3 * _error(one, single, activations.sample)


def test_a_channel_of_large_values_is_balanced() -> None:
    weights, activations = _made_up(outlier=60.0)
    product = Product(None, weights, two_steps=False)
    chosen = choose_scaling(product, activations)
    assert chosen.balance is not None
    assert chosen.balance[0] > 4 * np.median(chosen.balance)
    low, high = float(activations.low.min()), float(activations.high.max())
    step = np.float32((high - low) / 255)
    plain = Scaling(None, step, round(-low / float(step)), two_steps=False)
    assert _error(product, chosen, activations.sample) < 0.1 * _error(product, plain, activations.sample)


def test_a_channel_that_never_spoke_does_no_harm() -> None:
    weights, activations = _made_up(outlier=0.0)
    scaling = choose_scaling(Product(None, weights, two_steps=False), activations)
    seen = scaling.seen(activations.sample / (1.0 if scaling.balance is None else scaling.balance))
    assert np.isfinite(seen).all()
