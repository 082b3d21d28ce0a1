"""Fine-tuning an encoder into an emotion classifier."""

from emotions_cli.training.events import Evaluated, Event, Finished, Note, Started, Step
from emotions_cli.training.run import TrainingJob, train

__all__ = ["Evaluated", "Event", "Finished", "Note", "Started", "Step", "TrainingJob", "train"]
