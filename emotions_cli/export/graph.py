"""ONNX graphs, read and rewritten: fused kernels, weights in place, and nothing computed that is not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MICROSOFT = "com.microsoft"

# compute each token by itself: what the first token becomes does not depend on the others
_BY_TOKEN = frozenset(
    {"LayerNormalization", "SkipLayerNormalization", "BiasGelu", "Gelu", "FastGelu", "Add", "Mul", "Div", "Erf", "Tanh", "MatMul"}
)


class Graph:
    """A graph as a list of nodes in order and a mapping of weights; :meth:`to_model` makes an ONNX model of it again."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self._model = model
        self.nodes: list[Any] = list(model.graph.node)
        self.weights: dict[str, NDArray[Any]] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.outputs = tuple(output.name for output in model.graph.output)
        for node in self.nodes:
            # where in the source code of the model a node comes from: longer than the graph
            del node.metadata_props[:]

    def producers(self) -> Mapping[str, Any]:
        """Map every computed value to its node."""
        return {output: node for node in self.nodes for output in node.output}

    def to_model(self, extra_outputs: Sequence[str] = ()) -> Any:
        """Return an ONNX model of what the outputs need, and nothing else."""
        import onnx
        from onnx import helper, numpy_helper

        outputs = list(self._model.graph.output) + [helper.make_empty_tensor_value_info(name) for name in extra_outputs]
        needed = {output.name for output in outputs}
        nodes = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        weights = [numpy_helper.from_array(array, name) for name, array in self.weights.items() if name in needed]
        graph = helper.make_graph(nodes[::-1], self._model.graph.name or "model", self._model.graph.input, outputs, weights)
        versions = {opset.domain: opset.version for opset in self._model.opset_import} | {MICROSOFT: 1}
        opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="emotions-cli")
        model.ir_version = min(self._model.ir_version, onnx.IR_VERSION)
        return model


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """Return a node's attribute."""
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def fused(program: Any) -> Graph:
    """Return a graph whose attention, activations and normalisations are single kernels of ONNX Runtime.

    Args:
        program: What ``torch.onnx.export`` returns.
    """
    import onnx_ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    result = optimize_for_ort(onnx_ir.from_proto(onnx_ir.to_proto(program.model)))
    model = result[0] if isinstance(result, tuple) else result
    graph = Graph(onnx_ir.to_proto(model))
    _fold_weights(graph)
    _first_token_only(graph)
    _split_layer_norms(graph)
    return graph


def _fold_weights(graph: Graph) -> None:
    """Join and turn weights now, not at every start."""
    kept = []
    for node in graph.nodes:
        if node.op_type in {"Concat", "Transpose"} and node.input and all(name in graph.weights for name in node.input):
            arrays = [graph.weights[name] for name in node.input]
            whole = np.concatenate(arrays, attribute(node, "axis")) if node.op_type == "Concat" else None
            turned = arrays[0].transpose(attribute(node, "perm")) if whole is None else whole
            graph.weights[node.output[0]] = np.ascontiguousarray(turned)
        else:
            kept.append(node)
    graph.nodes = kept


def _first_token_only(graph: Graph) -> None:
    """After the last attention, compute only the token that the classifier reads: an eighth of the work of six layers.

    The classifier's input is taken from position 0. That choice is moved up through everything that treats each token by
    itself.
    """
    from onnx import helper

    producers = graph.producers()
    choice = next(
        (
            node
            for node in graph.nodes
            if node.op_type == "Gather"
            and attribute(node, "axis", 0) == 1
            and node.input[1] in graph.weights
            and graph.weights[node.input[1]].shape == ()
            and int(graph.weights[node.input[1]]) == 0
        ),
        None,
    )
    if choice is None:
        return
    whole = _needed_whole(graph, choice)
    added: list[Any] = []
    first: dict[str, str] = {}

    def first_of(name: str) -> str:
        if name in graph.weights or not name:
            return name
        if name not in first:
            node = producers.get(name)
            alone = f"{name}_first"
            if node is not None and name not in whole and _treats_tokens_apart(graph, node):
                inputs = [first_of(value) for value in node.input]
                copy = helper.make_node(node.op_type, inputs, [alone], domain=node.domain)
                copy.attribute.extend(node.attribute)
                added.append(copy)
            else:
                added.append(helper.make_node("Gather", [name, choice.input[1]], [alone], axis=1))
            first[name] = alone
        return first[name]

    chosen = first_of(choice.input[0])
    added.append(helper.make_node("Identity", [chosen], list(choice.output)))
    place = next(i for i, node in enumerate(graph.nodes) if node is choice)
    graph.nodes[place : place + 1] = added


def _treats_tokens_apart(graph: Graph, node: Any) -> bool:
    return node.op_type in _BY_TOKEN and (node.op_type != "MatMul" or node.input[1] in graph.weights)


def _needed_whole(graph: Graph, choice: Any) -> set[str]:
    """Return the values of which more than the first token is used, by anything but the choice."""
    whole = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node is not choice and (not _treats_tokens_apart(graph, node) or whole.intersection(node.output)):
            whole.update(node.input)
    return whole


def _split_layer_norms(graph: Graph) -> None:
    """Write the fused addition and normalisation as two: see :data:`emotions_cli.runtime.session.UNWANTED_FUSIONS`."""
    from onnx import helper

    used = {name for node in graph.nodes for name in node.input}
    nodes = []
    for node in graph.nodes:
        if node.op_type != "SkipLayerNormalization" or any(name in used for name in node.output[1:]):
            nodes.append(node)
            continue
        value, skip, gamma, beta, bias = [*node.input, "", ""][:5]
        out = node.output[0]
        if bias:
            nodes.append(helper.make_node("Add", [value, bias], [f"{out}_biased"]))
            value = f"{out}_biased"
        nodes.append(helper.make_node("Add", [value, skip], [f"{out}_sum"]))
        weights = [name for name in (gamma, beta) if name]
        epsilon = attribute(node, "epsilon", 1e-12)
        nodes.append(helper.make_node("LayerNormalization", [f"{out}_sum", *weights], [out], axis=-1, epsilon=epsilon))
    graph.nodes = nodes
