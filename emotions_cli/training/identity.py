"""What makes a run the run it is: only with the same settings, data and start it may go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from emotions_cli.data.dataset import Dataset
from emotions_cli.errors import TrainingError
from emotions_cli.models.bundle import Manifest
from emotions_cli.settings import TrainingSettings

# where and for how long, not what is learnt
HARMLESS = frozenset({"device", "training.device", "training.eval_steps", "training.patience", "training.fast_file"})
# says where things lie
_PLACES = frozenset({"runs_dir"})


def identity_of(dataset: Dataset, settings: TrainingSettings, **more: Any) -> dict[str, Any]:
    """Describe a run by plain values: the training settings by their names, the data by its fingerprint, and more.

    How the data was read does not count, only what was read.
    """
    values = settings.model_dump(mode="json", exclude=set(_PLACES))
    return {"data": dataset.fingerprint(), **{f"training.{key}": value for key, value in values.items()}, **more}


def recorded_identity(manifest: Manifest) -> dict[str, Any]:
    """Describe the run that a bundle comes from, as far as its manifest tells."""
    return identity_from(manifest.settings, manifest.data.get("fingerprint"), manifest.base_model.get("sha256"))


def identity_from(settings: Mapping[str, Any], fingerprint: str | None, base_model: str | None) -> dict[str, Any]:
    """Describe a run by what was written down of it.

    Args:
        settings: All of them, plain values.
        fingerprint: Of the data.
        base_model: sha256 of the weights that it began with.
    """
    values = settings.get("training", {})
    recorded = {f"training.{key}": value for key, value in values.items() if key not in _PLACES}
    return {"data": fingerprint, **recorded, "base model": base_model}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Compare two descriptions: what differs, and how, as a phrase. A key that only one side has does not count."""
    different = [key for key in then if key in now and then[key] != now[key]]
    return {key: f"{key} was {_shown(then[key])} and is {_shown(now[key])}" for key in different}


def refuse_changes(then: Mapping[str, Any], now: Mapping[str, Any], *, allow_harmless: bool) -> list[str]:
    """Compare what a run was made of with what it would go on with.

    Returns:
        A sentence about the differences that were allowed, if there are any.

    Raises:
        TrainingError: There are differences; all are listed.
    """
    found = differences(then, now)
    harmful = [phrase for key, phrase in found.items() if key not in HARMLESS]
    listed = "; ".join(harmful or found.values())
    if harmful:
        raise TrainingError(
            f"The run can't go on with other settings or data: {listed}.",
            "Give what it began with, or begin another run with another --output.",
        )
    if found and not allow_harmless:
        raise TrainingError(f"The run began with other settings: {listed}.", "Go on all the same with --allow-changed.")
    return [f"changed: {listed}"] if found else []


def _shown(value: Any) -> str:
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[:19] + "…"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
