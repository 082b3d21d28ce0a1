"""``emotions sweep``: search for good training settings."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotions_cli.cli._options import (
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
from emotions_cli.cli._output import plain_table, say, stderr_console, stdout_console
from emotions_cli.cli._settings import cache_folder, data_request, resolve_settings
from emotions_cli.cli._stopping import stopped_by
from emotions_cli.cli._training import left_at_once, tracker_of
from emotions_cli.errors import TrainingError, TrainingStopped, UsageError

if TYPE_CHECKING:
    from emotions_cli.settings import ResolvedSettings
    from emotions_cli.settings.model import WandbSettings
    from emotions_cli.sweep import StudyStorage, SweepFinished, SweepFolder, SweepJob, SweepPlan
    from emotions_cli.tracking import Tracker
    from emotions_cli.training.run_folder import RunFolder

_SEARCH, _RECIPE = "Search", "What all trials share"
TRIALS = 20


def sweep_command(
    params: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="training.KEY=VALUES",
            help="What to search: LOW..HIGH, LOW..HIGH:log, LOW..HIGH:STEP, or A,B,C.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            min=1,
            help="Trials of the study in the end, earlier parts and other machines counted (20).",
            rich_help_panel=_SEARCH,
            show_default=False,
        ),
    ] = None,
    no_prune: Annotated[
        bool, typer.Option("--no-prune", help="Run every trial to its end, also those that fall behind.", rich_help_panel=_SEARCH)
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Database of the study (default: in the folder); several machines may share one.",
            rich_help_panel=_SEARCH,
            show_default=False,
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study", metavar="NAME", help="Its name there (default: the folder's).", rich_help_panel=_SEARCH, show_default=False
        ),
    ] = None,
    data: DataOpt = None,
    validation_data: ValidationDataOpt = None,
    text_column: TextColumnOpt = None,
    label_column: LabelColumnOpt = None,
    label_separator: LabelSeparatorOpt = None,
    label_map: LabelMapOpt = None,
    input_format: InputFormatOpt = None,
    output: Annotated[str | None, output_option("Folder of the sweep (default: a new one in runs/).")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier sweep; with --storage under another --study.")
    ] = False,
    resume: Annotated[
        Resuming, resume_option("Go on with the sweep in the folder; auto: begin when there is none.")
    ] = Resuming.NO,
    base_model: Annotated[
        str | None,
        typer.Option("--base-model", metavar="REF", help="Hub name, directory or builtin.", rich_help_panel=_RECIPE),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the data.", rich_help_panel=_RECIPE, show_default=False)
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="Judges: macro_f1, accuracy, weighted_f1, micro_f1, nll.", rich_help_panel=_RECIPE),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Seeds trials and what is chosen for them.", rich_help_panel=_RECIPE, show_default=False),
    ] = None,
    wandb: Annotated[Wandb | None, wandb_option("Track each trial in Weights & Biases, all in one group.")] = None,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
) -> None:
    """Search for good training settings, and write the best trial's model to DIR/model."""
    options: dict[str, dict[str, Any]] = {
        "data": {
            "reference": data,
            "validation": validation_data,
            "text_column": text_column,
            "label_column": label_column,
            "label_separator": label_separator,
            "label_map": label_map,
            "input_format": input_format,
        },
        "training": {"base_model": base_model, "epochs": epochs, "metric": metric, "seed": seed},
        "wandb": {"mode": wandb},
    }
    if resume is not Resuming.NO and force:
        raise UsageError("--resume goes on with a sweep, --force replaces it.", "Give one of them.")
    with stopped_by(signal.SIGINT, signal.SIGTERM, at_once=True) as stop:
        job: SweepJob | None = None
        try:
            resolved = resolve_settings(settings, assignments, None, **options)
            folder = _folder(resolved.settings.training.runs_dir, output, resume)
            begins = folder is None or resume is Resuming.NO or not folder.begun
            if folder is not None and not begins and folder.settings.exists():
                from emotions_cli.settings.sources import Record

                resolved = resolve_settings(settings, assignments, Record.of_file(folder.settings), **options)
            wanted = _Wanted(params, trials, no_prune, storage, study)
            job = _sweep_job(resolved, folder, wanted, begins=begins, force=force)
            trackers: list[Tracker] = []

            def tracked(run: RunFolder, section: WandbSettings) -> Tracker:
                trackers.append(tracker_of(run, section))
                return trackers[-1]

            with left_at_once(lambda: any(tracker.hangs() for tracker in trackers)):
                from emotions_cli.cli._sweep_progress import show_sweep

                finished = show_sweep(replace(job, tracker=tracked), stderr_console(), stop)
                if finished is not None:
                    _print_finished(finished, job)
        except KeyboardInterrupt:
            if not stop.ended:
                raise
            hint = "Give the same command again." if job is None else job.next_step
            raise TrainingStopped("Stopped between the trials' steps; nothing is lost.", hint) from None


class _Wanted:
    """What the command line says about the search."""

    def __init__(
        self, params: list[str] | None, trials: int | None, no_prune: bool, storage: str | None, study: str | None
    ) -> None:
        self.params = params or []
        self.trials = trials
        self.no_prune = no_prune
        self.storage = storage
        self.study = study


def _folder(runs_dir: Path, output: str | None, resume: Resuming) -> SweepFolder | None:
    """Return the folder that was named, or that of the sweep to go on with; ``None`` when a name is to be made up."""
    from emotions_cli.sweep import SweepFolder
    from emotions_cli.training.remote import uri_of

    if output is not None and uri_of(output) is not None:
        raise UsageError(
            f"--output {output}: a sweep works in a local folder.",
            "Give a local one; with --storage postgresql://… many machines share the study.",
        )
    if output is not None:
        folder = SweepFolder(Path(output))
        if resume is Resuming.YES:
            folder.plan()
        return folder
    if resume is Resuming.NO:
        return None
    if resume is Resuming.AUTO:
        raise UsageError("--resume auto does not know which sweep.", "Name its folder with --output.")
    newest = SweepFolder.newest_unfinished(runs_dir)
    if newest is None:
        raise TrainingError(f"There is no unfinished sweep in '{runs_dir}'.", "Name a sweep's folder with --output.")
    say([f"going on with {newest}"])
    return newest


def _sweep_job(resolved: ResolvedSettings, folder: SweepFolder | None, wanted: _Wanted, *, begins: bool, force: bool) -> SweepJob:
    """Read what is searched, load the data and put a job together.

    Raises:
        EmotionsError: An option does not fit, the data can't be loaded, or an extra is missing.
    """
    from emotions_cli.data import load_dataset
    from emotions_cli.data.load import with_validation
    from emotions_cli.extras import require

    require("sweep", "Sweeping")
    require("train", "Training")
    from emotions_cli.sweep import SweepFolder, SweepJob, parse_space

    settings = resolved.settings
    if folder is not None and begins:
        # before the data is loaded, which may take long
        folder.refuse_if_taken(force=force)
    params = wanted.params
    if folder is not None and not begins:
        params = params or list(folder.plan().params)
    if not params:
        raise UsageError(
            "--param is missing: what is to be searched?", "For example: --param training.learning_rate=1e-5..2e-4:log"
        )
    space = parse_space(params)
    for param in space:
        if resolved.origin("training", param.key) == "command line":
            raise UsageError(f"training.{param.key} is given a value and searched.", "Give one of them.")
    dataset = load_dataset(data_request(settings))
    dataset = with_validation(dataset, settings.data.validation_fraction, settings.training.seed)
    say(dataset.notes)
    folder = folder or SweepFolder.named_after(settings.training.runs_dir, dataset.reference)
    earlier = None if begins else folder.plan()
    plan, place = _plan(folder, earlier, wanted, tuple(f"training.{param.key}={param}" for param in space))
    cache = cache_folder(settings)
    return SweepJob(dataset, settings, space, plan, folder, place, tracker_of, begin=begins, force=force, cache=cache)


def _plan(
    folder: SweepFolder, earlier: SweepPlan | None, wanted: _Wanted, params: tuple[str, ...]
) -> tuple[SweepPlan, StudyStorage]:
    """Put together what the sweep is to do from the command line, and from its folder where it goes on."""
    from emotions_cli.sweep import StudyStorage, SweepPlan

    given = None if wanted.storage is None else StudyStorage.at(wanted.storage)
    if earlier is None:
        name = wanted.study or folder.path.resolve().name
        shown = None if given is None else given.shown
        plan = SweepPlan(name, params, wanted.trials or TRIALS, not wanted.no_prune, shown)
        return plan, given or StudyStorage.in_file(folder.study)
    if wanted.study not in {None, earlier.study}:
        raise TrainingError(
            f"'{folder}' takes part in the study '{earlier.study}'.", "Leave out --study, or name another --output."
        )
    if given is not None and given.shown != earlier.storage:
        raise TrainingError(
            f"The study of '{folder}' is kept in {earlier.storage or folder.study}.",
            "Leave out --storage, or name another --output.",
        )
    if given is None and earlier.storage is not None:
        given = StudyStorage.at(earlier.storage)
        if given.lacks_password:
            raise TrainingError(f"The password of {earlier.storage} was not kept.", "Give the address again: --storage URL.")
    if wanted.no_prune and earlier.prune:
        raise UsageError(
            f"--no-prune: the sweep in '{folder}' gives up trials that fall behind, and goes on as it began.",
            "Leave out --no-prune, or begin another sweep with another --output.",
        )
    plan = replace(earlier, params=params, trials=wanted.trials or earlier.trials)
    return plan, given or StudyStorage.in_file(folder.study)


def _print_finished(finished: SweepFinished, job: SweepJob) -> None:
    from rich.markup import escape

    from emotions_cli.sweep import State
    from emotions_cli.sweep.report import duration
    from emotions_cli.sweep.space import shown

    console = stdout_console()
    keys = [param.key for param in job.space]
    # most sweeps have nothing to say
    notes = ["note"] if any(trial.note for trial in finished.trials) else []
    table = plain_table(">rank", "trial", f">{finished.metric}", *(f">{key}" for key in keys), "state", ">time", *notes)
    for rank, trial in enumerate(finished.trials, 1):
        table.add_row(
            str(rank) if trial.state is State.COMPLETE else "",
            trial.name,
            "" if trial.value is None else f"{trial.value:.4f}",
            *(escape(shown(trial.params[key])) if key in trial.params else "" for key in keys),
            trial.state.value,
            duration(trial.seconds) if trial.ended else "",
            *([escape(trial.note)] if notes else []),
        )
    console.print(table)
    if finished.importances:
        shares = plain_table("setting", ">importance")
        for key, share in finished.importances.items():
            shares.add_row(key, f"{share:.0%}")
        console.print(shares)
    ends = plain_table("sweep", escape(str(finished.folder)))
    if finished.model is not None:
        ends.add_row("model", escape(str(finished.model)))
    ends.add_row("best settings", escape(str(job.folder.best)))
    ends.add_row("page", escape(str(job.folder.page)))
    console.print(ends)
