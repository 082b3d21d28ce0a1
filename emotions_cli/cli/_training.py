"""What the commands that train have in common: options that may stand alone, trackers, and how the process is left."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from emotions_cli.cli._options import Resuming, Wandb
from emotions_cli.cli._output import report
from emotions_cli.errors import EXIT_OK, EmotionsError

if TYPE_CHECKING:
    from emotions_cli.settings.model import WandbSettings
    from emotions_cli.tracking import Tracker
    from emotions_cli.training.run_folder import RunFolder

# options that may stand alone: what they mean then
_ALONE: dict[str, Resuming | Wandb] = {"--resume": Resuming.YES, "--wandb": Wandb.ONLINE}


class TrainingCommand(TyperCommand):
    """Takes some options with or without a word behind them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        follows = [*args[1:], ""]
        return super().parse_args(ctx, [_completed(*pair) for pair in zip(args, follows, strict=True)])


def _completed(argument: str, following: str) -> str:
    alone = _ALONE.get(argument)
    return argument if alone is None or following in set(type(alone)) else f"{argument}={alone}"


@contextmanager
def left_at_once(hangs: Callable[[], bool], *, processes: int = 1) -> Iterator[None]:
    """Leave the process without its exit hooks where these do harm.

    Those of a tracker that hangs would wait for it. Those of PyTorch's line to other processes now and then abort instead.

    Args:
        hangs: Whether a tracker does.
        processes: How many train together.
    """
    code = EXIT_OK
    try:
        yield
    except EmotionsError as error:
        if processes == 1 and not hangs():
            raise
        report(error)
        code = error.exit_code
    if processes > 1 or hangs():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def tracker_of(folder: RunFolder, wandb: WandbSettings) -> Tracker:
    """Make what receives the measurements of a run: files in its folder, and W&B where the settings want it."""
    from emotions_cli.tracking import BackgroundTracker, JsonlTracker, Trackers, WandbTracker

    trackers: dict[str, Tracker] = {"jsonl": JsonlTracker(folder.metrics, folder.throughput)}
    if wandb.mode != "disabled":
        without_telemetry()
        options = wandb.model_dump(exclude={"mode"})
        trackers["wandb"] = BackgroundTracker(WandbTracker(folder.path, wandb.mode, **options), "W&B")
    return Trackers(trackers)


def without_telemetry() -> None:
    """Keep W&B's client from reporting on itself, which it does offline too; whoever wants that says so."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
