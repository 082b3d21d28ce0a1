"""The texts a fast file is made with, and those it is judged on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotions_cli.data.dataset import TRAIN, VALIDATION, Dataset
from emotions_cli.data.load import sample_texts

CALIBRATION_TEXTS = 640
HELD_OUT_TEXTS = 1_000
# of the calibration texts; without texts from elsewhere the scales would fit the training data alone
SHARE_OF_SAMPLE = 3 / 8


def texts_for_fast_file(dataset: Dataset | None) -> tuple[list[str], list[str]]:
    """Choose texts of the data, and for wider use of the bundled sample.

    Args:
        dataset: Its training texts calibrate, its validation texts judge; ``None`` leaves both to the sample.

    Returns:
        Texts for calibration, and held-out ones.
    """
    sample = sample_texts()
    calibration, held_out = sample[::2], sample[1::2]
    if dataset is None:
        return calibration, held_out
    sampled = round(CALIBRATION_TEXTS * SHARE_OF_SAMPLE)
    own = _spread(dataset.split(TRAIN).texts, CALIBRATION_TEXTS - sampled)
    return own + _spread(calibration, sampled), _spread(dataset.split(VALIDATION).texts, HELD_OUT_TEXTS) + held_out


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """Take texts at equal distances."""
    if len(texts) <= count:
        return list(texts)
    return [texts[i] for i in np.linspace(0, len(texts) - 1, count).astype(int)]
