"""What a run measures, in Weights & Biases."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from emotions_cli.errors import EXIT_ERROR, EXIT_OK, EXIT_STOPPED
from emotions_cli.tracking.protocol import NOTHING, Ending

EXIT_CODES = {Ending.DONE: EXIT_OK, Ending.STOPPED: EXIT_STOPPED, Ending.FAILED: EXIT_ERROR}
INIT_SECONDS = 20.0
FINISH_SECONDS = 30.0


@dataclass
class WandbTracker:
    """Speaks to W&B by its own client; offline it writes files that ``wandb sync`` uploads later.

    Attributes:
        folder: Where the client keeps its files, in a folder ``wandb``.
        mode: ``online`` or ``offline``.
        project: W&B's.
        entity: A user or team; ``None`` takes the account's default.
        name: What the run is called there.
        group: Of runs that belong together.
        tags: Words to find it by.
        run_id: Kept over all processes of a run.
    """

    folder: Path
    mode: Literal["online", "offline"]
    project: str
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    tags: Sequence[str] = ()
    run_id: str = field(default_factory=lambda: secrets.token_hex(4))
    _run: Any = None

    def start(self, run: Mapping[str, Any], config: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> None:
        import wandb

        # not init's alone: artifacts and the login speak too
        wandb.setup(settings=wandb.Settings(silent=True))
        if state is not None:
            self.run_id = state["id"]
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            name=self.name,
            group=self.group,
            tags=list(self.tags),
            id=self.run_id,
            # a run that was preempted goes on under its id
            resume="allow",
            mode=self.mode,
            dir=self.folder,
            config={**run, **config},
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_code=True,
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS,
                # else it would leave without a word that something is missing
                finish_timeout_raises=True,
            ),
        )

    def log(self, step: int, values: Mapping[str, Any], clock: Mapping[str, Any] = NOTHING) -> None:
        if step < self._run.step:
            # logged by the process that went on from the same checkpoint before: the same values
            return
        import wandb

        shown = dict(_flat({**values, **clock}))
        validation = values.get("validation")
        if validation is not None and validation["confusion"] is not None:
            shown["validation/confusion"] = _confusion(wandb, list(validation["labels"]), validation["confusion"])
        self._run.log(shown, step=step)

    def state(self) -> Mapping[str, Any]:
        return {"id": self.run_id}

    def problems(self) -> Iterator[str]:
        """What goes wrong is raised."""
        return iter(())

    def hangs(self) -> bool:
        """It works in the thread that calls it."""
        return False

    def conclude(self, values: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(values))

    def finish(self, ending: Ending) -> None:
        if self._run is None:
            return
        if ending is Ending.STOPPED:
            self._run.mark_preempting()
        self._run.finish(exit_code=EXIT_CODES[ending])


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float | bool]]:
    """Yield the numbers of nested values: ``validation/labels/joy/f1``."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}/")
        elif isinstance(value, int | float):
            yield f"{above}{name}", value


def _confusion(wandb: Any, names: list[str], counts: list[list[int]]) -> Any:
    """Draw texts by true label and answer, in W&B's own chart."""
    cells = [[true, answer, counts[i][j]] for i, true in enumerate(names) for j, answer in enumerate(names)]
    columns = ["Actual", "Predicted", "nPredictions"]
    table = wandb.Table(columns=columns, data=cells)
    return wandb.plot_table("wandb/confusion_matrix/v1", table, {name: name for name in columns}, {"title": "validation"})
