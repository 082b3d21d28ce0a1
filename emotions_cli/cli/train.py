"""``emotions train``: fine-tune a model on labelled texts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotions_cli.cli._options import (
    DataOpt,
    InputFormatOpt,
    LabelColumnOpt,
    LabelMapOpt,
    LabelSeparatorOpt,
    SetOpt,
    SettingsOpt,
    TextColumnOpt,
)
from emotions_cli.cli._output import label_table, plain_table, say, stderr_console, stdout_console
from emotions_cli.cli._settings import data_request, resolve_settings

if TYPE_CHECKING:
    from emotions_cli.settings import ResolvedSettings
    from emotions_cli.training import Finished, TrainingJob

_DATA, _MODEL, _RECIPE = "Data", "Model", "Recipe"


class Precision(StrEnum):
    """Arithmetic of the forward pass."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Device(StrEnum):
    """Where to train."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class ClassWeights(StrEnum):
    """How labels are weighed."""

    NONE = "none"
    BALANCED = "balanced"


def _recipe(flag: str, meaning: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, help=meaning, rich_help_panel=_RECIPE, show_default=False)
    return option


def train_command(
    data: DataOpt = None,
    validation_data: Annotated[
        str | None,
        typer.Option("--validation-data", metavar="FILE", help="File for the validation split.", rich_help_panel=_DATA),
    ] = None,
    test_data: Annotated[
        str | None, typer.Option("--test-data", metavar="FILE", help="File for the test split.", rich_help_panel=_DATA)
    ] = None,
    text_column: TextColumnOpt = None,
    label_column: LabelColumnOpt = None,
    label_separator: LabelSeparatorOpt = None,
    label_map: LabelMapOpt = None,
    input_format: InputFormatOpt = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run (default: a new one in runs/).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a finished run.")] = False,
    base_model: Annotated[
        str | None,
        typer.Option("--base-model", metavar="REF", help="Hub name, directory or builtin to start from.", rich_help_panel=_MODEL),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", help="Longest text, in tokens.", rich_help_panel=_MODEL, show_default=False)
    ] = None,
    epochs: Annotated[int | None, _recipe("--epochs", "Passes over the training data.")] = None,
    batch_size: Annotated[int | None, _recipe("--batch-size", "Texts a forward pass.")] = None,
    learning_rate: Annotated[float | None, _recipe("--learning-rate", "Peak learning rate.")] = None,
    label_smoothing: Annotated[float | None, _recipe("--label-smoothing", "Mass spread over all labels (0 to 1).")] = None,
    class_weights: Annotated[ClassWeights | None, _recipe("--class-weights", "Weigh labels by inverse frequency.")] = None,
    precision: Annotated[Precision | None, _recipe("--precision", "auto is bf16 where the device has it.")] = None,
    device: Annotated[Device | None, _recipe("--device", "Where to train.")] = None,
    eval_steps: Annotated[int | None, _recipe("--eval-steps", "Steps between evaluations; 0: every epoch.")] = None,
    metric: Annotated[
        str | None, _recipe("--metric", "Chooses the best: macro_f1, accuracy, weighted_f1, micro_f1, nll.")
    ] = None,
    patience: Annotated[int | None, _recipe("--patience", "Evaluations without gain before stopping; 0: never.")] = None,
    seed: Annotated[int | None, _recipe("--seed", "Seeds weights, order and splits.")] = None,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
) -> None:
    """Fine-tune a model on labelled texts and write its bundle to runs/NAME/model."""
    from emotions_cli.cli._progress import show_training

    resolved = resolve_settings(
        settings,
        assignments,
        data={
            "reference": data,
            "validation": validation_data,
            "test": test_data,
            "text_column": text_column,
            "label_column": label_column,
            "label_separator": label_separator,
            "label_map": label_map,
            "input_format": input_format,
        },
        training={
            "base_model": base_model,
            "max_length": max_length,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "label_smoothing": label_smoothing,
            "class_weights": class_weights,
            "precision": precision,
            "device": device,
            "eval_steps": eval_steps,
            "metric": metric,
            "patience": patience,
            "seed": seed,
        },
    )
    job = training_job(resolved, output, force=force)
    say(job.dataset.notes)
    finished = show_training(job, stderr_console())
    _print_finished(finished)


def training_job(resolved: ResolvedSettings, output: Path | None, *, force: bool) -> TrainingJob:
    """Load the data and put a job together.

    Raises:
        EmotionsError: The data can't be loaded, or the ``train`` extra is missing.
    """
    from emotions_cli.data import load_dataset
    from emotions_cli.data.load import with_validation
    from emotions_cli.extras import require
    from emotions_cli.tracking import JsonlTracker
    from emotions_cli.training import TrainingJob
    from emotions_cli.training.run_folder import RunFolder

    require("train", "Training")
    settings = resolved.settings
    dataset = load_dataset(data_request(settings))
    dataset = with_validation(dataset, settings.data.validation_fraction, settings.training.seed)
    folder = RunFolder(output) if output is not None else RunFolder.named_after(settings.training.runs_dir, dataset.reference)
    return TrainingJob(dataset, settings, folder, JsonlTracker(folder.metrics), force=force)


def _print_finished(finished: Finished) -> None:
    from rich.markup import escape

    console = stdout_console()
    console.print(label_table(finished.judgement, title="validation"))
    table = plain_table("run", escape(str(finished.folder)))
    for name in ("accuracy", "macro_f1", "nll", "ece"):
        table.add_row(name, f"{finished.judgement.overall[name]:.4f}")
    early = ", stopped early" if finished.stopped_early else ""
    table.add_row("best step", f"{finished.best_step:,} of {finished.steps:,}{early}")
    table.add_row("speed", f"{finished.examples_per_second:,.0f} examples/s")
    table.add_row("time", f"{finished.seconds:,.0f} s")
    table.add_row("model", escape(str(finished.model)))
    console.print(table)
