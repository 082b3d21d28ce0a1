"""Fine-tuning an encoder into an emotion classifier."""

from emotions_cli.training.events import Evaluated, Event, Finished, Finishing, Note, Resumed, Started, Step
from emotions_cli.training.job import Resume, TrainingJob
from emotions_cli.training.run import train

__all__ = ["Evaluated", "Event", "Finished", "Finishing", "Note", "Resume", "Resumed", "Started", "Step", "TrainingJob", "train"]
