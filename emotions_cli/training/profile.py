"""Where the time of a step goes: PyTorch's profiler on some steps of a run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emotions_cli.streams.atomic import whole_file

if TYPE_CHECKING:
    from torch.profiler import profile

# the first steps allocate memory and choose kernels
SKIPPED, FOLLOWED = 10, 20
# what the training loop calls its parts
SECTIONS = ("batch", "forward", "backward", "clip", "optimizer")
ROWS = 25


def section_name(section: str) -> str:
    """Return what a part of the loop is called in the trace."""
    return f"step: {section}"


class StepProfiler:
    """Follows some steps, then writes a trace and a table.

    Args:
        folder: Where ``trace.json`` (for chrome://tracing or Perfetto) and ``table.txt`` are written.
        steps: How many the run makes; of a short one fewer are followed.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._folder = folder
        self._skipped = min(SKIPPED, steps // 3)
        self._followed = min(FOLLOWED, steps - self._skipped)
        self._steps = 0
        self._began = 0.0
        self._profile: profile | None = None

    def after_step(self) -> str | None:
        """Count a step; return a sentence when the last of those that are followed was made.

        Raises:
            StorageError: The files can't be written.
        """
        self._steps += 1
        if self._steps == self._skipped + self._followed:
            return self._end()
        if self._steps == self._skipped:
            self.begin_if_due()
        return None

    def finish(self) -> str | None:
        """End where the run ends before all steps were followed; return the sentence, if there is one."""
        return self._end() if self._profile is not None and self._steps > self._skipped else None

    def begin_if_due(self) -> None:
        """Begin to follow, where no step is to be left out before; call it before the first step."""
        if self._steps == self._skipped:
            self._begin()

    def _begin(self) -> None:
        import torch
        from torch.profiler import ProfilerActivity, profile

        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
        self._profile = profile(activities=activities)
        with _quiet():
            self._profile.start()
        self._began = time.perf_counter()

    def _end(self) -> str:
        assert self._profile is not None
        followed = self._steps - self._skipped
        whole = 1000 * (time.perf_counter() - self._began) / followed
        with _quiet():
            self._profile.stop()
        averages = self._profile.key_averages()
        spent = {event.key: event.cpu_time_total / 1000 / followed for event in averages}
        parts = {name: spent.get(section_name(name), 0.0) for name in SECTIONS}
        # sums over processes, tracking, display, checkpoints and evaluations between the steps
        parts["other"] = max(whole - sum(parts.values()), 0.0)
        lines = [f"{name:<12}{ms:>9.1f} ms{100 * ms / max(whole, 1e-9):>7.1f} %" for name, ms in parts.items()]
        with whole_file(self._folder / "trace.json") as part:
            self._profile.export_chrome_trace(str(part))
        with whole_file(self._folder / "table.txt") as part:
            table = averages.table(sort_by="self_cpu_time_total", row_limit=ROWS)
            head = f"A step and what comes with it, mean of {followed}: {whole:.1f} ms"
            part.write_text("\n".join([head, *lines, "", str(table), ""]), encoding="utf-8")
        self._profile = None
        shares = ", ".join(f"{name} {100 * ms / max(whole, 1e-9):.0f} %" for name, ms in parts.items())
        return f"profile: a step takes {whole:.1f} ms: {shares}; more in {self._folder}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the profiler's C++ side writes to stderr about itself."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
