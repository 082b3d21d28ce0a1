"""Running a model: texts in, predictions out. No training library is imported here."""

from emotions_cli.inference.classifier import Classifier
from emotions_cli.inference.prediction import UNCERTAIN, Prediction

__all__ = ["UNCERTAIN", "Classifier", "Prediction"]
