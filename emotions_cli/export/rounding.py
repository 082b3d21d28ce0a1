"""Rounding weights to 8-bit integers so that the errors of a column cancel.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 127
# added to the diagonal, as a share of its mean: inputs that hardly vary would make the inverse explode
DAMPING = 0.01
BLOCK = 128

Weights = NDArray[np.floating[Any]]
Int8 = NDArray[np.int8]


def column_scales(weights: Weights) -> NDArray[np.float32]:
    """Return the step between two integers for every column: (columns,)."""
    return np.asarray(np.maximum(np.abs(weights).max(axis=0), 1e-8) / LARGEST, dtype=np.float32)


def round_to_nearest(weights: Weights, scales: NDArray[np.float32]) -> Int8:
    """Round every weight by itself."""
    return np.asarray(np.clip(np.rint(weights / scales), -LARGEST, LARGEST), dtype=np.int8)


def round_with_feedback(weights: Weights, scales: NDArray[np.float32], inputs: Weights) -> Int8:
    """Round row after row, spreading each row's error over the rows to come.

    Args:
        weights: (rows, columns).
        scales: (columns,); see :func:`column_scales`.
        inputs: What the weights are multiplied with, from real texts: (samples, rows).
    """
    rows = len(weights)
    hessian = np.asarray(inputs.T @ inputs, dtype=np.float64)
    hessian[np.diag_indices(rows)] += DAMPING * hessian.diagonal().mean() + 1e-12
    # rows that matter most are rounded first, while there are many left to make up for it
    order = np.argsort(-hessian.diagonal(), kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(hessian[order][:, order])).T
    left = np.asarray(weights[order], dtype=np.float64)
    rounded = np.zeros_like(left)
    for start in range(0, rows, BLOCK):
        end = min(start + BLOCK, rows)
        block, errors = left[start:end].copy(), np.zeros((end - start, left.shape[1]))
        for i in range(end - start):
            row = start + i
            rounded[row] = np.clip(np.rint(block[i] / scales), -LARGEST, LARGEST)
            errors[i] = (block[i] - rounded[row] * scales) / upper[row, row]
            block[i + 1 :] -= np.outer(upper[row, row + 1 : end], errors[i])
        left[end:] -= upper[start:end, end:].T @ errors
    return rounded[np.argsort(order)].astype(np.int8)
