"""Runs the trials of a sweep, each time in a process of its own that kills itself at a chosen place, until all are done.

The processes are forked from one that has imported everything and computed nothing. Prints how many were killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

# all that a sweep imports in the end, before the fork
import accelerate.checkpointing  # noqa: F401
import optuna.storages._rdb.storage  # noqa: F401
import plotly.subplots  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401
import torch
import torch._dynamo
import torch.export
from sweeping import job_of, searched
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification  # noqa: F401


def kill_at(function: str, event: str, count: int) -> None:
    """Let this process kill itself at the n-th call of one of our functions, by its qualified name, or at the return from it."""
    seen = 0

    def watch(frame: Any, what: str, _: Any) -> None:
        nonlocal seen
        code = frame.f_code
        if what == event and code.co_qualname == function and "emotions_cli" in code.co_filename:
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)


def run(plan: dict[str, Any], place: list[Any] | None) -> bool:
    """Sweep in a process of its own; return whether it came to the end."""
    pid = os.fork()
    if pid == 0:
        try:
            job = job_of(Path(plan["base"]), Path(plan["data"]), Path(plan["folder"]), **plan["options"])
            if place is not None:
                kill_at(*place)
            searched(job)
        except BaseException as error:
            sys.stderr.write(f"{place}: {error!r}\n")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status:
        sys.exit(f"{place}: ended with status {status}")
    return True


def main() -> None:
    plan = json.loads(sys.argv[1])
    # as the sweep it is compared with
    torch.set_num_threads(1)
    killed = [place for place in plan["places"] if not run(plan, place)]
    finished = run(plan, None) if len(killed) == len(plan["places"]) else True
    sys.stdout.write(json.dumps({"killed": killed, "finished": finished}))


main()
