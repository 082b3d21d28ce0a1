"""What a base model is worth when there are few labelled texts.

    python benchmarks/few_shot.py --data REF --bases builtin sentence-transformers/all-MiniLM-L6-v2 [--label-map FILE]

Of each label 8, 32 and 128 training texts are drawn, five times; every base model is fine-tuned on the same ones with the same
settings (a fresh head on the mean of all tokens) for the same number of steps, and judged on the validation split as it stands at
the end: nothing is chosen by looking at it. Accuracy, mean over the draws, and the standard deviation between them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from emotions_cli.data import DataRequest, Dataset, load_dataset
from emotions_cli.data.dataset import TRAIN, VALIDATION, Examples
from emotions_cli.encoding import TokenTable
from emotions_cli.settings import TrainingSettings
from emotions_cli.training.base_models import find_base_model
from emotions_cli.training.batches import TrainingBatches
from emotions_cli.training.build import (
    build_accelerator,
    build_encoder,
    build_model,
    build_optimizer,
    build_schedule,
    seed_everything,
)
from emotions_cli.training.loop import steps_per_epoch, train_steps
from emotions_cli.training.loss import make_loss
from emotions_cli.training.validation import Validation

SHOTS = (8, 32, 128)
BATCH_SIZE = 16
LEAST_STEPS = 60
LEAST_EPOCHS = 6
JUDGED_TEXTS = 1_000


def draw(examples: Examples, shots: int, seed: int) -> Examples:
    """Draw the same number of texts of every label."""
    rng = np.random.default_rng((seed, shots))
    by_label = [np.flatnonzero(examples.label_ids == label) for label in range(examples.targets.shape[1])]
    return examples.take(np.concatenate([rng.choice(rows, shots, replace=False) for rows in by_label]))


def accuracy_of(base_name: str, dataset: Dataset, train: Examples, judged: Examples, seed: int) -> float:
    """Fine-tune a base model on some texts and judge it."""
    steps_an_epoch = math.ceil(len(train) / BATCH_SIZE)
    epochs = max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / steps_an_epoch))
    settings = TrainingSettings(base_model=base_name, epochs=epochs, batch_size=BATCH_SIZE, pooling="mean", seed=seed)
    seed_everything(seed)
    accelerator = build_accelerator(settings.device, settings.precision)
    model, tokenizer = build_model(
        find_base_model(base_name), dataset.labels, dataset.task, settings.max_length, settings.pooling
    )
    encoder = build_encoder(tokenizer, settings.max_length)
    batches = TrainingBatches(
        TokenTable.of(encoder.encoded(train.texts)), train.targets, encoder, batch_size=BATCH_SIZE, seed=seed
    )
    model, optimizer = accelerator.prepare(model, build_optimizer(model, settings, accelerator.device))
    for _ in train_steps(
        accelerator,
        model,
        batches,
        optimizer,
        build_schedule(optimizer.optimizer, settings, epochs * steps_per_epoch(len(batches), 1)),
        make_loss(dataset.task, label_smoothing=0.0, weights=None),
        epochs=epochs,
        accumulation_steps=1,
        max_grad_norm=settings.max_grad_norm,
    ):
        pass
    held_out = Validation(TokenTable.of(encoder.encoded(judged.texts)), judged.targets, dataset.labels, dataset.task, encoder)
    return held_out.judge(model).overall["accuracy"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare base models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--label-map", type=Path)
    parser.add_argument("--bases", nargs="+", required=True)
    parser.add_argument("--shots", nargs="+", type=int, default=SHOTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    dataset = load_dataset(DataRequest(options.data, label_map=options.label_map))
    held_out = dataset.split(VALIDATION)
    judged = held_out.take(np.random.default_rng(0).permutation(len(held_out))[:JUDGED_TEXTS])
    table = Table("base model", *(f"{shots} a label" for shots in options.shots), box=None)
    found: dict[str, dict[int, list[float]]] = {base: {shots: [] for shots in options.shots} for base in options.bases}
    for shots in options.shots:
        for seed in range(options.seeds):
            train = draw(dataset.split(TRAIN), shots, seed)
            for base in options.bases:
                found[base][shots].append(accuracy_of(base, dataset, train, judged, seed))
    for base, by_shots in found.items():
        table.add_row(base, *(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}" for values in by_shots.values()))
    Console().print(table)
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
