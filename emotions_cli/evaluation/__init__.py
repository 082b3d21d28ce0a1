"""How good a model is on labelled texts."""

from emotions_cli.evaluation.evaluate import Evaluation, evaluate
from emotions_cli.evaluation.gates import Gate

__all__ = ["Evaluation", "Gate", "evaluate"]
