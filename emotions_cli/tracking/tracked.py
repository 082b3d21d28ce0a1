"""A run as W&B has recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emotions_cli.errors import WandbError
from emotions_cli.tracking.protocol import WEIGHTS
from emotions_cli.wandb_client import WandbRef, wandb_api


@dataclass(frozen=True)
class TrackedRun:
    """What :class:`emotions_cli.tracking.WandbTracker` has told W&B.

    Attributes:
        name: As the user writes it.
        config: What the run was made of.
        weights: sha256 of the weights that it ended with; ``None`` where it did not end.
    """

    name: str
    config: Mapping[str, Any]
    weights: str | None

    @classmethod
    def read(cls, reference: WandbRef) -> TrackedRun:
        """Ask W&B for a run.

        Raises:
            WandbError: It can't be read, or comes from another tool.
        """
        with wandb_api(reference) as api:
            run = api.run(reference.path)
            config, weights = dict(run.config), run.summary.get(WEIGHTS)
        if not isinstance(config.get("settings"), dict) or "fingerprint" not in config:
            raise WandbError(
                f"'{reference}' is no run of emotions: W&B has no settings of it.",
                "Name one that emotions train --wandb has tracked.",
            )
        return cls(str(reference), config, weights)
