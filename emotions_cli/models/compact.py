"""Weights in 8 bits, and the way back: the file that ``emotions export --to compact`` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from emotions_cli.errors import BundleCorrupt

METADATA_KEY = "emotions"


@dataclass(frozen=True)
class Stored:
    """A float tensor as integers.

    Attributes:
        values: Tensor of int8.
        scales: Tensor by which they are multiplied: a factor a column, or (rows, 1).
        balance: Tensor of a factor a row, where there is one.
    """

    values: str
    scales: str
    balance: str | None


@dataclass(frozen=True)
class Origin:
    """Where a parameter of the Hugging Face model is.

    Attributes:
        tensor: A key of :attr:`Layout.stored`, or a tensor of the file.
        columns: First and behind the last of the tensor's columns; ``None`` for all.
        turned: The parameter is (outputs, inputs), the tensor the other way round.
    """

    tensor: str
    columns: tuple[int, int] | None
    turned: bool


@dataclass(frozen=True)
class Layout:
    """What is where.

    Attributes:
        stored: Float tensor → its integers.
        parameters: Parameter → its tensor.
    """

    stored: Mapping[str, Stored]
    parameters: Mapping[str, Origin]


def read_parameters(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the parameters of the Hugging Face model, in fp32, from a file of weights in 8 bits.

    Raises:
        BundleCorrupt: The file is no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            layout = TypeAdapter(Layout).validate_python(json.loads((file.metadata() or {})[METADATA_KEY]))
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        floats = {name: _float(stored, tensors) for name, stored in layout.stored.items()}
        return {name: _parameter(origin, {**tensors, **floats}) for name, origin in layout.parameters.items()}
    except (SafetensorError, OSError, KeyError, ValueError, ValidationError) as error:
        raise BundleCorrupt(f"'{path}' can't be read as weights in 8 bits: {error}", "Fetch or train the model again.") from error


def _float(stored: Stored, tensors: Mapping[str, Any]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensors[stored.values].astype(np.float32) * tensors[stored.scales]
    return values if stored.balance is None else np.asarray(values * tensors[stored.balance][:, None], dtype=np.float32)


def _parameter(origin: Origin, tensors: Mapping[str, Any]) -> NDArray[np.float32]:
    array = tensors[origin.tensor]
    if origin.columns is not None:
        array = array[..., origin.columns[0] : origin.columns[1]]
    return np.ascontiguousarray(array.T if origin.turned else array, dtype=np.float32)
