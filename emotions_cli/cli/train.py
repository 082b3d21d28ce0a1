"""``emotions train``: fine-tune a model on labelled texts."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotions_cli.cli._options import (
    DATA,
    STOP_AND_GO_ON,
    DataOpt,
    InputFormatOpt,
    LabelColumnOpt,
    LabelMapOpt,
    LabelSeparatorOpt,
    Resuming,
    SetOpt,
    SettingsOpt,
    TextColumnOpt,
    ValidationDataOpt,
    Wandb,
    output_option,
    resume_option,
    wandb_option,
)
from emotions_cli.cli._output import label_table, plain_table, say, stderr_console, stdout_console
from emotions_cli.cli._processes import Cluster, end_with_parent, processes_of, rank_of, run_processes
from emotions_cli.cli._settings import cache_folder, data_request, resolve_settings
from emotions_cli.cli._stopping import Stop, stopped_by
from emotions_cli.cli._training import left_at_once, tracker_of, without_telemetry
from emotions_cli.errors import TrainingError, TrainingStopped, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from emotions_cli.settings import ResolvedSettings
    from emotions_cli.training import Finished, TrainingJob
    from emotions_cli.training.remote import RemoteRun
    from emotions_cli.training.repeat import Recorded
    from emotions_cli.training.run_folder import RunFolder

_MODEL, _RECIPE = "Model", "Recipe"
_RESUME = "Go on from the newest checkpoint in the run's folder; auto: begin when there is none."


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
    validation_data: ValidationDataOpt = None,
    test_data: Annotated[
        str | None, typer.Option("--test-data", metavar="FILE", help="File for the test split.", rich_help_panel=DATA)
    ] = None,
    text_column: TextColumnOpt = None,
    label_column: LabelColumnOpt = None,
    label_separator: LabelSeparatorOpt = None,
    label_map: LabelMapOpt = None,
    input_format: InputFormatOpt = None,
    output: Annotated[
        str | None,
        output_option("Folder of the run, local or gs://… (default: a new one in runs/)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier run.")] = False,
    resume: Annotated[Resuming, resume_option(_RESUME)] = Resuming.NO,
    from_run: Annotated[
        str | None,
        typer.Option(
            "--from-run",
            metavar="RUN",
            help="Repeat a run: its folder, or wandb:ENTITY/PROJECT/ID.",
            rich_help_panel=STOP_AND_GO_ON,
        ),
    ] = None,
    allow_changed: Annotated[
        bool,
        typer.Option(
            "--allow-changed", help="Resume with other device, patience or evaluations.", rich_help_panel=STOP_AND_GO_ON
        ),
    ] = False,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", help="With --resume: train no further, write the best model so far.", rich_help_panel=STOP_AND_GO_ON
        ),
    ] = False,
    checkpoint_steps: Annotated[
        int | None,
        typer.Option("--checkpoint-steps", help="Steps between checkpoints.", rich_help_panel=STOP_AND_GO_ON, show_default=False),
    ] = None,
    checkpoint_minutes: Annotated[
        float | None,
        typer.Option(
            "--checkpoint-minutes", help="Minutes between them (10).", rich_help_panel=STOP_AND_GO_ON, show_default=False
        ),
    ] = None,
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
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Write where the time of a step goes: a trace and a table.", rich_help_panel=STOP_AND_GO_ON
        ),
    ] = False,
    wandb: Annotated[Wandb | None, wandb_option("Track in Weights & Biases.")] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=1, help="Processes that train together on this machine, one a GPU.", show_default=False),
    ] = None,
    seed: Annotated[int | None, _recipe("--seed", "Seeds weights, order and splits.")] = None,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
) -> None:
    """Fine-tune a model on labelled texts and write its bundle to runs/NAME/model."""
    options: dict[str, dict[str, Any]] = {
        "data": {
            "reference": data,
            "validation": validation_data,
            "test": test_data,
            "text_column": text_column,
            "label_column": label_column,
            "label_separator": label_separator,
            "label_map": label_map,
            "input_format": input_format,
        },
        "training": {
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
        "wandb": {"mode": wandb},
        "checkpoints": {"steps": checkpoint_steps, "minutes": checkpoint_minutes},
    }
    if resume is not Resuming.NO and force:
        raise UsageError("--resume goes on with a run, --force replaces it.", "Give one of them.")
    if finish and resume is not Resuming.YES:
        raise UsageError("--finish ends a run that was begun.", "Give it with --resume.")
    if from_run is not None and resume is not Resuming.NO:
        raise UsageError("--from-run begins a run, --resume goes on with one.", "Give one of them.")
    earlier = None if from_run is None else _recorded(from_run)
    resolved = resolve_settings(settings, assignments, None if earlier is None else earlier.settings, **options)
    rank, cluster = rank_of(os.environ), Cluster.from_environment(os.environ)
    end_with_parent(os.environ)
    if rank is None and ((processes or 1) > 1 or (cluster is not None and cluster.machines > 1)):
        command = [sys.executable, "-m", "emotions_cli", *sys.argv[1:]]
        raise typer.Exit(run_processes(command, processes or 1, cluster or Cluster.here()))
    console = stderr_console(quiet=bool(rank))
    waiting = "" if rank else "saving; another Ctrl-C leaves at once, with the last checkpoint"
    folder: RunFolder | None = None
    with stopped_by(signal.SIGINT, signal.SIGTERM, at_once=True, patience=waiting) as stop:
        try:
            folder, remote = _run_folder(resolved.settings.training.runs_dir, output, resume, console)
            if folder is not None and resume is Resuming.NO and not rank:
                # before the data is loaded, which may take long
                folder.refuse_if_taken(force=force)
            if folder is not None and resume is not Resuming.NO and folder.settings.exists():
                from emotions_cli.settings.sources import Record

                resolved = resolve_settings(settings, assignments, Record.of_file(folder.settings), **options)
            job = _training_job(resolved, folder, force=force, resume=resume, allow_changed=allow_changed, finish=finish)
            job, folder = replace(job, remote=remote, processes=processes_of(os.environ), profile=profile), job.folder
            if not rank:
                say([*job.dataset.notes, *(earlier.doubts(job) if earlier else ())])
            with left_at_once(job.tracker.hangs, processes=job.processes):
                finished = _train(job, stop, console)
                if earlier and finished:
                    say([earlier.verdict(job)])
        except KeyboardInterrupt:
            if not stop.ended:
                raise
            if folder is not None and folder.checkpoints.steps():
                raise TrainingStopped("Stopped behind the last step; all is saved.") from None
            raise TrainingStopped("Stopped before the first step.", "The same command begins again.") from None


def _recorded(run: str) -> Recorded:
    from emotions_cli.extras import require

    require("train", "Training")
    from emotions_cli.training.repeat import Recorded

    without_telemetry()

    return Recorded.named(run)


def _train(job: TrainingJob, stop: Stop, console: Console) -> Finished | None:
    from emotions_cli.cli._progress import show_training
    from emotions_cli.models.bundle import Bundle
    from emotions_cli.training import Resume
    from emotions_cli.training.identity import identity_of, recorded_identity, refuse_changes

    if job.resume is not Resume.NO and job.folder.finished:
        # a job that was started again after its end
        manifest = Bundle.open(job.folder.model, verify=False).manifest
        now = identity_of(job.dataset, job.settings.training)
        notes = refuse_changes(recorded_identity(manifest), now, allow_harmless=job.allow_changed)
        for note in [*notes, f"the run is finished already: {job.folder.model_place}"]:
            console.print(f"note: {note}", markup=False, soft_wrap=True)
        return None
    finished = show_training(job, console, stop)
    if finished is not None:
        _print_finished(finished)
    return finished


def _run_folder(
    runs_dir: Path, output: str | None, resume: Resuming, console: Console
) -> tuple[RunFolder | None, RemoteRun | None]:
    """Return the folder that was named, or that of the run to go on with; ``None`` when a name is to be made up.

    Of a folder on a store it is the local copy, and what keeps the two alike comes with it.
    """
    from emotions_cli.training.remote import RemoteRun, uri_of
    from emotions_cli.training.run_folder import RunFolder

    if output is not None and (uri := uri_of(output)) is not None:
        remote = RemoteRun.open(uri, runs_dir / ".remote")
        remote.fetch(resume=resume is not Resuming.NO)
        return remote.folder, remote
    if output is not None:
        return RunFolder(Path(output)), None
    if resume is Resuming.NO:
        return None, None
    if resume is Resuming.AUTO:
        raise UsageError("--resume auto does not know which run.", "Name its folder with --output.")
    newest = RunFolder.newest_unfinished(runs_dir)
    if newest is None:
        raise TrainingError(f"There is no unfinished run in '{runs_dir}'.", "Name a run's folder with --output.")
    console.print(f"note: going on with {newest}", markup=False, soft_wrap=True)
    return newest, None


def _training_job(
    resolved: ResolvedSettings,
    folder: RunFolder | None,
    *,
    force: bool = False,
    resume: Resuming = Resuming.NO,
    allow_changed: bool = False,
    finish: bool = False,
) -> TrainingJob:
    """Load the data and put a job together.

    Raises:
        EmotionsError: The data can't be loaded, or the ``train`` extra is missing.
    """
    from emotions_cli.data import load_dataset
    from emotions_cli.data.load import with_validation
    from emotions_cli.extras import require
    from emotions_cli.training import Resume, TrainingJob
    from emotions_cli.training.run_folder import RunFolder

    require("train", "Training")
    settings = resolved.settings
    dataset = load_dataset(data_request(settings))
    dataset = with_validation(dataset, settings.data.validation_fraction, settings.training.seed)
    folder = folder or RunFolder.named_after(settings.training.runs_dir, dataset.reference)
    return TrainingJob(
        dataset,
        settings,
        folder,
        tracker_of(folder, settings.wandb),
        force=force,
        resume=Resume(resume),
        allow_changed=allow_changed,
        finish=finish,
        cache=cache_folder(settings),
    )


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
