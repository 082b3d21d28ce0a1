"""The processes that train one model together, and what they have to agree on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emotions_cli.errors import ProcessLost

if TYPE_CHECKING:
    from accelerate import Accelerator

# how PyTorch's backends say it
_LOST = ("Connection closed", "Connection reset", "Broken pipe", "remote process exited", "Socket Timeout", "Timed out waiting")


@dataclass(frozen=True)
class Ranks:
    """One of the processes of a run, and its line to the others.

    Every method but the properties is collective: all processes must call it, in the same order.

    Attributes:
        index: Its number, from 0.
        count: How many there are.
        accelerator: Speaks to the others; ``None`` where there are none.
    """

    index: int = 0
    count: int = 1
    accelerator: Accelerator | None = None

    @classmethod
    def of(cls, accelerator: Accelerator) -> Ranks:
        """Return this process among those of an accelerator."""
        return cls(accelerator.process_index, accelerator.num_processes, accelerator)

    @property
    def main(self) -> bool:
        """Whether this is the one that writes."""
        return self.index == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.count == 1 or self.accelerator is None:
            return list(values)
        import torch

        # MPS has no float64, and there is never more than one such process
        own = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        summed: list[float] = self.accelerator.reduce(own, "sum").tolist()
        return summed

    def any(self, *flags: bool) -> list[bool]:
        """Say for each flag whether any process raised it."""
        return [value > 0 for value in self.sums([float(flag) for flag in flags])]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by their numbers."""
        if self.count == 1:
            return [value]
        from accelerate.utils import gather_object

        gathered: list[Any] = gather_object([value])
        return gathered

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take leave of the others at the end, and map what PyTorch raises when one of them is gone.

        Raises:
            ProcessLost: One is.
        """
        if self.count == 1:
            yield
            return
        import torch

        try:
            try:
                yield
            finally:
                # threads that still listen when the interpreter ends abort the process; the model keeps them from being ended
                if self.accelerator is not None:
                    self.accelerator.free_memory()
                torch.distributed.destroy_process_group()
        except RuntimeError as error:
            if not any(sign in str(error) for sign in _LOST):
                raise
            raise ProcessLost(
                "Another process of this run has ended, or can't be reached.", "Its own message says why; go on with --resume."
            ) from error


ALONE = Ranks()
