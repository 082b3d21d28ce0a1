"""Where the numbers of a run go while it runs."""

from emotions_cli.tracking.background import BackgroundTracker
from emotions_cli.tracking.jsonl import JsonlTracker
from emotions_cli.tracking.protocol import WEIGHTS, Ending, Tracker
from emotions_cli.tracking.several import Trackers
from emotions_cli.tracking.tracked import TrackedRun
from emotions_cli.tracking.wandb import WandbTracker

__all__ = ["WEIGHTS", "BackgroundTracker", "Ending", "JsonlTracker", "TrackedRun", "Tracker", "Trackers", "WandbTracker"]
