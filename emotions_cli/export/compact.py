"""Both inference files of a model on one set of weights in 8 bits: a quarter of the size, for models that travel.

The fast graph multiplies the integers, the exact one turns them into fp32 when it is opened and computes in fp32. What the
model knows is in ``weights.safetensors`` alone, which holds, beside what is too small to matter, two kinds of tables:

* weights of products (inputs, outputs), a scale a column and, where channels were balanced, a factor a row;
* embeddings (words, channels) and the pooler (outputs, inputs), a scale a row.

How the parameters of the Hugging Face model lie in them is written in the file's metadata, so that training can start from
them: :mod:`emotions_cli.models.compact`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder, TokenIds
from emotions_cli.errors import ModelError
from emotions_cli.export.calibration import Floats
from emotions_cli.export.graph import Graph, attribute
from emotions_cli.export.quantize import find_products, quantize
from emotions_cli.models.bundle import COMPACT_FILE, FAST_FILE, ONNX_FILE
from emotions_cli.models.compact import METADATA_KEY, Layout, Origin, Stored

# smaller tensors stay in the graphs
LEAST_BYTES = 1024
# smaller tables of embeddings stay in fp32
LEAST_ROWS = 64
LARGEST = 127


def write_compact_files(
    source: Path, parameters: Mapping[str, Floats], folder: Path, encoder: Encoder, calibration: Sequence[TokenIds]
) -> None:
    """Write ``model.onnx``, ``model.fast.onnx`` and ``weights.safetensors``.

    Args:
        source: The fused fp32 ``.onnx`` file.
        parameters: Name → values of the Hugging Face model that it was made of.
        folder: Where the files go.
        encoder: The model's.
        calibration: Some hundred real texts, encoded, that fix the scales.

    Raises:
        ModelError: The graph has no products of this kind, or a parameter is found nowhere in it.
    """
    import onnx

    original = Graph(onnx.load(str(source)))
    products = find_products(original)
    if not products:
        raise ModelError("The model has no matrix products that could be stored in 8 bits.", "Use another base model.")
    fast = quantize(original, encoder, calibration)
    exact, stored = _exact(original, fast)
    for graph in (exact, fast):
        stored |= _store_tables(graph, original)
    layout = Layout(stored, _origins(original, parameters))
    tensors = _placed(folder, layout, {**exact.weights, **fast.weights}, exact, fast)
    for graph, name in ((exact, ONNX_FILE), (fast, FAST_FILE)):
        model = graph.to_model()
        _refer(model, tensors)
        onnx.save(model, str(folder / name))


def _exact(original: Graph, fast: Graph) -> tuple[Graph, dict[str, Stored]]:
    """Return the fp32 graph on the integers of the fast one, and how each matrix is stored."""
    from onnx import TensorProto, helper

    result = Graph(original.to_model())
    stored: dict[str, Stored] = {}
    added: list[Any] = []
    for product in find_products(result):
        matrix = str(product.node.input[1])
        name = f"{product.node.output[0]}_q"
        values, scales, balance = (f"{name}_{part}" for part in ("weights", "scales", "balance"))
        for part in (values, scales, balance):
            if part in fast.weights:
                result.weights[part] = fast.weights[part]
        balanced = balance in fast.weights
        stored[matrix] = Stored(values, scales, balance if balanced else None)
        # multiplications of constants: done once, when the file is opened
        added.append(helper.make_node("Cast", [values], [f"{name}_float"], to=TensorProto.FLOAT))
        added.append(helper.make_node("Mul", [f"{name}_float", scales], [f"{name}_scaled" if balanced else f"{name}_matrix"]))
        if balanced:
            result.weights["column_axis"] = np.array([1], dtype=np.int64)
            added.append(helper.make_node("Unsqueeze", [balance, "column_axis"], [f"{name}_rows"]))
            added.append(helper.make_node("Mul", [f"{name}_scaled", f"{name}_rows"], [f"{name}_matrix"]))
        product.node.input[1] = f"{name}_matrix"
    result.nodes = added + result.nodes
    return result, stored


def _store_tables(graph: Graph, original: Graph) -> dict[str, Stored]:
    """Store what is looked up, and the dense layer behind the encoder, with a scale a row; tables may have been halved before."""
    from onnx import TensorProto, helper

    stored: dict[str, Stored] = {}
    nodes = []
    for node in graph.nodes:
        name = next((str(value).removesuffix("_half") for value in node.input if _is_table(node, value, original)), None)
        if name is None:
            nodes.append(node)
            continue
        table = original.weights[name]
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / LARGEST
        values, rows = f"{name}_rows", f"{name}_row_scales"
        graph.weights[values] = np.rint(table / scales).astype(np.int8)
        graph.weights[rows] = scales.astype(np.float32)
        stored[name] = Stored(values, rows, None)
        out = node.output[0]
        if node.op_type == "Gather":
            ids = node.input[1]
            nodes.append(helper.make_node("Gather", [values, ids], [f"{out}_values"]))
            nodes.append(helper.make_node("Gather", [rows, ids], [f"{out}_scales"]))
            nodes.append(helper.make_node("Cast", [f"{out}_values"], [f"{out}_float"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{out}_float", f"{out}_scales"], [out]))
        else:
            nodes.append(helper.make_node("Cast", [values], [f"{out}_float"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{out}_float", rows], [f"{out}_matrix"]))
            node.input[1] = f"{out}_matrix"
            nodes.append(node)
    graph.nodes = nodes
    return stored


def _is_table(node: Any, value: str, original: Graph) -> bool:
    table = original.weights.get(str(value).removesuffix("_half"))
    wanted = (node.op_type == "Gather" and attribute(node, "axis", 0) == 0) or (
        node.op_type == "Gemm" and attribute(node, "transB", 0) == 1
    )
    return wanted and table is not None and table.ndim == 2 and len(table) >= LEAST_ROWS and table.dtype == np.float32


def _origins(graph: Graph, parameters: Mapping[str, Floats]) -> dict[str, Origin]:
    """Find every parameter in the tensors of the fp32 graph: as it is, turned, or as some of the columns."""
    used = {name for node in graph.nodes for name in node.input}
    tensors = {name: array for name, array in graph.weights.items() if name in used and array.dtype == np.float32}
    origins: dict[str, Origin] = {}
    for parameter, values in parameters.items():
        found = next((origin for name, array in tensors.items() if (origin := _place(name, array, values)) is not None), None)
        if found is None:
            raise ModelError(
                f"Parameter {parameter} is not in the model's ONNX file as it is.", "This architecture can't be stored in 8 bits."
            )
        origins[parameter] = found
    return origins


def _place(name: str, array: Floats, values: Floats) -> Origin | None:
    if array.shape == values.shape and np.array_equal(array, values):
        return Origin(name, None, turned=False)
    turned = values.T
    if array.ndim != turned.ndim or array.shape[:-1] != turned.shape[:-1] or array.shape[-1] % turned.shape[-1]:
        return None
    width = turned.shape[-1]
    for start in range(0, array.shape[-1], width):
        if np.array_equal(array[..., start : start + width], turned):
            return Origin(name, (start, start + width), turned=values.ndim == 2)
    return None


def _placed(folder: Path, layout: Layout, weights: Mapping[str, NDArray[Any]], *graphs: Graph) -> Mapping[str, tuple[int, int]]:
    """Write the tensors of all graphs once; return name → (offset in the file, bytes) of those that the graphs refer to."""
    from safetensors.numpy import save_file

    used = {name for graph in graphs for node in graph.nodes for name in node.input}
    large = {name for name in used if name in weights and weights[name].nbytes >= LEAST_BYTES}
    whole = {origin.tensor for origin in layout.parameters.values() if origin.tensor not in layout.stored}
    parts = {name for part in layout.stored.values() for name in (part.values, part.scales, part.balance) if name}
    tensors = {name: np.ascontiguousarray(weights[name]) for name in sorted(large | whole | parts)}
    path = folder / COMPACT_FILE
    save_file(tensors, str(path), metadata={METADATA_KEY: json.dumps(asdict(layout), sort_keys=True)})
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    return {name: (8 + length + header[name]["data_offsets"][0], tensors[name].nbytes) for name in large}


def _refer(model: Any, tensors: Mapping[str, tuple[int, int]]) -> None:
    """Let a model's tensors point into the file of weights."""
    from onnx import TensorProto

    for tensor in model.graph.initializer:
        if tensor.name not in tensors:
            continue
        offset, length = tensors[tensor.name]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", COMPACT_FILE), ("offset", str(offset)), ("length", str(length))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
