"""The same model with its matrix products in 8-bit integers.

Every scale is fixed here, from real texts, and none is computed while the model runs: a text's answer can't depend on the
texts beside it, and integer sums are the same in any order. ONNX Runtime's own dynamic quantisation has one scale a batch
instead, which moves a score by up to 0.4; its static one, with a scale a tensor, changes four labels in a hundred. What makes
a fixed scale good enough:

* channels of an input are brought to about the same size, their weights grow instead (Xiao et al., "SmoothQuant", ICML 2023);
  how far, and where large values are cut off, is searched for each product by the error of its result;
* weights are rounded so that errors cancel (:mod:`emotions_cli.export.rounding`);
* the feed-forward products of the first third of the layers, whose errors travel furthest, read their inputs in two steps of
  8 bits, the second one what the first left over. That costs a second product there and halves the error of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder, TokenIds
from emotions_cli.export.calibration import Activations, Floats, watch
from emotions_cli.export.graph import MICROSOFT, Graph, attribute
from emotions_cli.export.rounding import column_scales, round_to_nearest, round_with_feedback

LEVELS = 255
MIDDLE = 128
# shares of the whole range that are tried, and how much of the difference between channels moves into the weights
CUTS = (1.0, 0.9, 0.8, 0.7, 0.5, 0.35)
COARSE_CUTS = (1.0, 0.6)
BALANCES = (0.0, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)
SEARCHED_TOKENS = 1_000
MASK = "attention_mask_int32"
# far below any logit of attention, as PyTorch masks
MASKED = -3.0e38


@dataclass(frozen=True)
class Product:
    """A product with constant weights.

    Attributes:
        node: A ``MatMul`` or a fused ``Attention``.
        weights: (inputs, outputs).
        two_steps: Whether its inputs are read in two steps.
    """

    node: Any
    weights: Floats
    two_steps: bool

    @property
    def value(self) -> str:
        """Name of its input."""
        return str(self.node.input[0])


@dataclass(frozen=True)
class Scaling:
    """How an input becomes integers: divided by ``balance`` (channels,), then ``round(x / step) + zero``."""

    balance: Floats | None
    step: np.float32
    zero: int
    two_steps: bool

    def seen(self, values: Floats) -> Floats:
        """Return what the product sees of balanced values (tokens, channels)."""
        first = _round_trip(values, self.step, self.zero)
        if not self.two_steps:
            return first
        return first + _round_trip(values - first, np.float32(self.step / LEVELS), MIDDLE)


def quantize(graph: Graph, encoder: Encoder, tokens: Sequence[TokenIds]) -> Graph:
    """Return a graph of 8-bit products.

    Args:
        graph: The fused fp32 graph; it stays as it is.
        encoder: Pads the texts.
        tokens: Some hundred real texts, encoded.
    """
    result = Graph(graph.to_model())
    products = find_products(result)
    channels = {product.value: product.weights.shape[0] for product in products}
    by_value = {product.value: [p for p in products if p.value == product.value] for product in products}
    replaced: dict[str, list[Any]] = {}
    for value, activations in watch(graph, channels, encoder, tokens):
        for product in by_value[value]:
            replaced[product.node.output[0]] = _integer_nodes(result, product, activations)
    nodes: list[Any] = []
    for node in result.nodes:
        nodes.extend(replaced.get(node.output[0], [node]))
    result.nodes = [_mask_node(), *nodes]
    _absorb_biases(result)
    _halve_embeddings(result)
    return result


def find_products(graph: Graph) -> list[Product]:
    """Find the products worth it, in order: all with constant weights but those behind the last layer."""
    nodes = [
        node
        for node in graph.nodes
        if node.op_type in {"MatMul", "Attention"} and node.input[1] in graph.weights and graph.weights[node.input[1]].ndim == 2
    ]
    products = []
    for place, node in enumerate(nodes):
        weights = graph.weights[node.input[1]]
        wide = node.op_type == "MatMul" and weights.shape[0] != weights.shape[1]
        products.append(Product(node, weights, wide and place < len(nodes) / 3))
    return products


def choose_scaling(product: Product, activations: Activations) -> Scaling:
    """Search for the scaling with the smallest squared error of the product's result."""
    sample = activations.sample[:: max(1, len(activations.sample) // SEARCHED_TOKENS)]
    exact = sample @ product.weights
    reach = np.maximum(np.abs(activations.low), np.abs(activations.high))
    best: tuple[float, float, float, float, Scaling] | None = None

    def attempt(balance: float, low_cut: float, high_cut: float) -> None:
        nonlocal best
        factors = _balance_factors(reach, product.weights, balance)
        divided = 1.0 if factors is None else factors
        low, high = (activations.low / divided).min() * low_cut, (activations.high / divided).max() * high_cut
        scaling = Scaling(factors, *_step_and_zero(low, high), product.two_steps)
        weights = product.weights if factors is None else product.weights * factors[:, None]
        scales = column_scales(weights)
        seen = scaling.seen(sample / divided) @ (round_to_nearest(weights, scales) * scales)
        error = float(((seen - exact) ** 2).mean())
        if best is None or error < best[0]:
            best = (error, balance, low_cut, high_cut, scaling)

    for balance in BALANCES:
        for cut in COARSE_CUTS[: 1 if product.two_steps else None]:
            attempt(balance, cut, cut)
    if best is not None and not product.two_steps:
        for cut in CUTS:
            attempt(best[1], best[2], cut)
        for cut in CUTS:
            attempt(best[1], cut, best[3])
    if best is None:
        raise ValueError("no balance was tried")
    return best[4]


def _balance_factors(reach: Floats, weights: Floats, balance: float) -> Floats | None:
    if balance == 0.0:
        return None
    # a channel that never spoke must not be blown up
    channels = np.maximum(reach, max(1e-2 * float(np.median(reach)), 1e-6))
    rows = np.maximum(np.abs(weights).max(axis=1), 1e-6)
    factors = channels**balance / rows ** (1.0 - balance)
    return np.asarray(factors / np.exp(np.log(factors).mean()), dtype=np.float32)


def _step_and_zero(low: float, high: float) -> tuple[np.float32, int]:
    low, high = min(low, 0.0), max(high, 0.0)
    step = np.float32(max((high - low) / LEVELS, 1e-8))
    return step, int(np.clip(np.rint(-low / step), 0, LEVELS))


def _round_trip(values: Floats, step: np.float32, zero: int) -> Floats:
    return np.asarray((np.clip(np.rint(values / step) + zero, 0, LEVELS) - zero) * step, dtype=np.float32)


def _integer_nodes(graph: Graph, product: Product, activations: Activations) -> list[Any]:
    """Return the nodes that take a product's place; their weights go into the graph."""
    from onnx import helper

    scaling = choose_scaling(product, activations)
    balanced = activations.sample if scaling.balance is None else activations.sample / scaling.balance
    weights = product.weights if scaling.balance is None else product.weights * scaling.balance[:, None]
    scales = column_scales(weights)
    name, nodes, value = f"{product.node.output[0]}_q", [], product.value

    def constant(suffix: str, array: NDArray[Any] | np.generic) -> str:
        graph.weights[f"{name}_{suffix}"] = np.asarray(array)
        return f"{name}_{suffix}"

    if scaling.balance is not None:
        nodes.append(helper.make_node("Mul", [value, constant("balance", 1.0 / scaling.balance)], [f"{name}_x"]))
        value = f"{name}_x"
    step, zero = constant("step", scaling.step), constant("zero", np.uint8(scaling.zero))
    rounded = constant("weights", round_with_feedback(weights, scales, scaling.seen(balanced)))
    column, no_zero = constant("scales", scales), constant("no_zero", np.zeros(len(scales), np.int8))
    nodes.append(helper.make_node("QuantizeLinear", [value, step, zero], [f"{name}_i"]))
    output = product.node.output[0]
    if product.node.op_type == "Attention":
        inputs = [f"{name}_i", rounded, product.node.input[2], step, column, MASK, zero, no_zero]
        heads = attribute(product.node, "num_heads")
        attention = helper.make_node("QAttention", inputs, [output], domain=MICROSOFT, num_heads=heads, mask_filter_value=MASKED)
        return [*nodes, attention]
    inputs = [f"{name}_i", rounded, step, column, zero, no_zero]
    if not product.two_steps:
        return [*nodes, helper.make_node("MatMulIntegerToFloat", inputs, [output], domain=MICROSOFT)]
    fine, middle = constant("fine_step", np.float32(scaling.step / LEVELS)), constant("middle", np.uint8(MIDDLE))
    rest = [f"{name}_r", rounded, fine, column, middle, no_zero]
    return [
        *nodes,
        helper.make_node("DequantizeLinear", [f"{name}_i", step, zero], [f"{name}_d"]),
        helper.make_node("Sub", [value, f"{name}_d"], [f"{name}_left"]),
        helper.make_node("QuantizeLinear", [f"{name}_left", fine, middle], [f"{name}_r"]),
        helper.make_node("MatMulIntegerToFloat", inputs, [f"{name}_first"], domain=MICROSOFT),
        helper.make_node("MatMulIntegerToFloat", rest, [f"{name}_second"], domain=MICROSOFT),
        helper.make_node("Add", [f"{name}_first", f"{name}_second"], [output]),
    ]


def _mask_node() -> Any:
    from onnx import TensorProto, helper

    return helper.make_node("Cast", ["attention_mask"], [MASK], to=TensorProto.INT32)


def _absorb_biases(graph: Graph) -> None:
    """Let integer products add the bias that follows them: it costs them nothing."""
    from onnx import helper

    users: dict[str, list[Any]] = {}
    for node in graph.nodes:
        for name in node.input:
            users.setdefault(name, []).append(node)
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        for i, name in enumerate(node.input):
            if name in renamed:
                node.input[i] = renamed[name]
        follower = users.get(node.output[0], [])
        absorbs = node.op_type == "MatMulIntegerToFloat" and len(node.input) == 6 and len(follower) == 1
        if absorbs and follower[0].op_type == "Add" and (bias := _bias_of(graph, follower[0], node.output[0])):
            node.input.append(bias)
            renamed[follower[0].output[0]] = node.output[0]
            users[node.output[0]] = users.get(follower[0].output[0], [])
        elif absorbs and follower[0].op_type == "BiasGelu":
            node.input.append(follower[0].input[1])
            follower[0].CopyFrom(helper.make_node("Gelu", [node.output[0]], list(follower[0].output), domain=MICROSOFT))
        if node.output[0] not in renamed:
            nodes.append(node)
    graph.nodes = nodes


def _bias_of(graph: Graph, add: Any, product: str) -> str | None:
    other = next((name for name in add.input if name != product), "")
    array = graph.weights.get(other)
    return other if array is not None and array.ndim == 1 else None


def _halve_embeddings(graph: Graph) -> None:
    """Store the table of words, most of the file, in 16 bits: it is only looked up."""
    from onnx import TensorProto, helper

    nodes = []
    for node in graph.nodes:
        table = graph.weights.get(node.input[0]) if node.op_type == "Gather" and node.input else None
        if table is None or table.ndim != 2 or table.size < 2**20 or table.dtype != np.float32:
            nodes.append(node)
            continue
        half = f"{node.input[0]}_half"
        graph.weights[half] = table.astype(np.float16)
        copy = helper.make_node("Gather", [half, node.input[1]], [f"{node.output[0]}_half"])
        copy.attribute.extend(node.attribute)
        nodes += [copy, helper.make_node("Cast", [f"{node.output[0]}_half"], [node.output[0]], to=TensorProto.FLOAT)]
    graph.nodes = nodes
