"""Settings: one pydantic model a section, filled from the command line, the environment, a TOML file and defaults."""

from emotions_cli.settings.model import (
    DataSettings,
    EvaluationSettings,
    HubSettings,
    InferenceSettings,
    Settings,
    TrainingSettings,
)
from emotions_cli.settings.sources import Origin, ResolvedSettings, resolve

__all__ = [
    "DataSettings",
    "EvaluationSettings",
    "HubSettings",
    "InferenceSettings",
    "Origin",
    "ResolvedSettings",
    "Settings",
    "TrainingSettings",
    "resolve",
]
