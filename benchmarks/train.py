"""Training speed and quality beside the Hugging Face Trainer, on one data set, in one run.

    python benchmarks/train.py --data DIR            ours for 3 epochs, the Trainer for 300 steps
    python benchmarks/train.py --data DIR --full     both for 3 epochs

The forward and backward pass alone, on the same batches with the model as ``transformers`` builds it, is what a loop can hope
for; it is also measured with our faster dropout. Our whole run is the time from its first step until the bundle is about to be
written: steps, evaluations and checkpoints.

The Trainer is set up the usual way: batch 16, fp32, learning rate 2e-5 … 5e-5 is what people use; here it gets the rate and
warm-up of ours, so that the comparison is of speed and not of tuning. Its speed is that of its steps alone, and ours is compared
with that of our steps. Prints a table and, with ``--json``, the figures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from emotions_cli.data import DataRequest, Dataset, load_dataset
from emotions_cli.data.load import with_validation
from emotions_cli.metrics.decisions import best_label
from emotions_cli.metrics.judgement import judge
from emotions_cli.metrics.probabilities import probabilities
from emotions_cli.settings import Settings, TrainingSettings
from emotions_cli.tracking import JsonlTracker
from emotions_cli.training import Evaluated, Finished, Finishing, Started, Step, TrainingJob, train
from emotions_cli.training.base_models import find_base_model
from emotions_cli.training.build import build_accelerator
from emotions_cli.training.parts import Origins, build_parts
from emotions_cli.training.run_folder import RunFolder

PEER_BATCH = 16
WARM_STEPS = 20
BARE_BATCHES = 150


def ours(dataset: Dataset, settings: TrainingSettings, folder: Path) -> dict[str, Any]:
    """Train with this package; speed is texts over the time of the steps, the first ones left out."""
    run = RunFolder(folder)
    steps: list[Step] = []
    result: dict[str, Any] = {}
    began = whole = 0.0
    for event in train(TrainingJob(dataset, Settings(training=settings), run, JsonlTracker(run.metrics, run.throughput))):
        if isinstance(event, Step):
            steps.append(event)
        elif isinstance(event, Started):
            began = time.perf_counter()
        elif isinstance(event, Finishing):
            whole = sum(s.texts for s in steps) / (time.perf_counter() - began)
        elif isinstance(event, Evaluated):
            print(f"  ours: epoch {event.epoch + 1}, {settings.metric} {event.value:.4f}", flush=True)
        elif isinstance(event, Finished):
            overall = event.judgement.overall
            result = {"accuracy": overall["accuracy"], "macro_f1": overall["macro_f1"], "whole_run_seconds": event.seconds}
    counted = steps[WARM_STEPS:]
    speed = sum(s.texts for s in counted) / sum(s.seconds for s in counted)
    return {"examples_per_second": speed, "whole_run_examples_per_second": whole, **result}


def bare(dataset: Dataset, settings: TrainingSettings, folder: Path, *, own_dropout: bool) -> float:
    """Measure the forward and backward pass alone, on batches of the first epoch, and return texts a second."""
    run = RunFolder(folder)
    job = TrainingJob(dataset, Settings(training=settings), run, JsonlTracker(run.metrics, run.throughput))
    accelerator = build_accelerator(settings.device, settings.precision)
    parts = build_parts(job, Origins.of(job), accelerator)
    if not own_dropout:
        use_plain_dropout(parts.model)
    parts.model.train()
    batches = list(itertools.islice(parts.batches.epoch(0), WARM_STEPS + BARE_BATCHES))
    began, texts = 0.0, 0
    for number, batch in enumerate(batches):
        if number == WARM_STEPS:
            began = time.perf_counter()
        loss = parts.loss(parts.model(**batch.inputs).logits, batch.targets) / batch.texts
        accelerator.backward(loss)
        texts += batch.texts if number >= WARM_STEPS else 0
    return texts / (time.perf_counter() - began)


def use_plain_dropout(model: torch.nn.Module) -> None:
    """Give a model PyTorch's dropout back."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Dropout):
                setattr(module, name, torch.nn.Dropout(child.p))


def trainer(dataset: Dataset, settings: TrainingSettings, folder: Path, max_steps: int) -> dict[str, Any]:
    """Train with ``transformers.Trainer``, batch 16, fp32; judged on validation only when it runs all epochs."""
    import datasets
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    base = find_base_model(settings.base_model)
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        base.folder, num_labels=len(dataset.labels), ignore_mismatched_sizes=True
    )

    def tokenised(split: str) -> datasets.Dataset:
        part = dataset.split(split)
        table = datasets.Dataset.from_dict({"text": list(part.texts), "labels": part.label_ids.tolist()})
        return table.map(
            lambda rows: tokenizer(rows["text"], truncation=True, max_length=settings.max_length),
            batched=True,
            remove_columns="text",
        )

    class Clock(TrainerCallback):
        """Notes the time after every step."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter())

    clock = Clock()
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=PEER_BATCH,
        num_train_epochs=settings.epochs,
        max_steps=max_steps,
        learning_rate=settings.learning_rate,
        warmup_steps=0.06,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    peer = Trainer(
        model,
        arguments,
        train_dataset=tokenised("train"),
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[clock],
    )
    peer.train()
    times = clock.times[WARM_STEPS:]
    result: dict[str, Any] = {
        "examples_per_second": PEER_BATCH * (len(times) - 1) / (times[-1] - times[0]),
        "median_step_examples_per_second": PEER_BATCH / statistics.median(np.diff(times)),
    }
    if max_steps < 0:
        logits = peer.predict(tokenised("validation")).predictions
        held_out = dataset.split("validation")
        scores = probabilities(logits, dataset.task, 1.0)
        judged = judge(scores, held_out.targets, dataset.labels.names, dataset.task)
        result |= {
            "accuracy": float((best_label(scores) & held_out.targets).any(axis=1).mean()),
            "macro_f1": judged.overall["macro_f1"],
        }
    return result


def main() -> None:
    """Run both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="single-label data with a train and a validation split")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--peer-steps", type=int, default=300, help="steps of the Trainer when not --full")
    parser.add_argument("--full", action="store_true", help="let the Trainer run all epochs and judge it too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    dataset = with_validation(load_dataset(DataRequest(chosen.data)), 0.1, 17)
    settings = TrainingSettings(epochs=chosen.epochs)
    torch.manual_seed(settings.seed)
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "Trainer, batch 16, fp32": trainer(
                dataset, settings, Path(folder) / "peer", -1 if chosen.full else chosen.peer_steps
            ),
        }
        # the machine's pace changes: measured on both sides
        paces: dict[bool, list[float]] = {False: [], True: []}
        for side in ("before", "after"):
            for own in paces:
                paces[own].append(bare(dataset, settings, Path(folder) / f"{side}-{own}", own_dropout=own))
            if side == "before":
                results["emotions train"] = ours(dataset, settings, Path(folder) / "ours")
        pace, own_pace = (statistics.mean(paces[own]) for own in (False, True))
    slow, fast = (result["examples_per_second"] for result in results.values())
    whole = results["emotions train"]["whole_run_examples_per_second"]
    table = Table(
        "training", "examples/s", "ratio", "validation accuracy", "macro-F1", title=f"{chosen.data}, {chosen.epochs} epochs"
    )
    for name, result in results.items():
        quality = [f"{result[key]:.4f}" if key in result else "–" for key in ("accuracy", "macro_f1")]
        table.add_row(name, f"{result['examples_per_second']:.1f}", f"{result['examples_per_second'] / slow:.2f}", *quality)
    Console(width=110).print(table)
    print(f"forward and backward alone: {pace:.1f} examples/s; our whole run: {whole:.1f}, {whole / pace:.3f} of it")
    print(f"the same with our dropout: {own_pace:.1f} examples/s, {whole / own_pace:.3f} of it")
    if chosen.json:
        figures = {**results, "ratio": fast / slow, "bare_examples_per_second": pace, "whole_run_of_bare": whole / pace}
        figures |= {"bare_with_our_dropout": own_pace, "whole_run_of_bare_with_our_dropout": whole / own_pace}
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
