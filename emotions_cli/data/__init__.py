"""Labelled texts: a reference becomes splits, and what is wrong with them is found."""

from emotions_cli.data.dataset import Dataset, Examples
from emotions_cli.data.load import DataRequest, load_dataset

__all__ = ["DataRequest", "Dataset", "Examples", "load_dataset"]
