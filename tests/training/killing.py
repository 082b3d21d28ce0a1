"""Runs a training job again and again, each time in a process of its own that kills itself at a chosen place, until it is done.

The processes are forked from one that has imported everything and computed nothing, so that each starts at once. Prints how many
were killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

# all that a run imports in the end, before the fork
import accelerate.checkpointing  # noqa: F401
import gcsfs  # noqa: F401
import onnx.reference  # noqa: F401
import onnxruntime  # noqa: F401
import onnxscript.rewriter  # noqa: F401
import torch._dynamo
import torch.export  # noqa: F401
from conftest import load_split, tiny_settings
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification  # noqa: F401

from emotions_cli.tracking import JsonlTracker
from emotions_cli.training import Resume, TrainingJob, train
from emotions_cli.training.remote import RemoteRun
from emotions_cli.training.run_folder import RunFolder


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
    threading.setprofile(watch)


def run(plan: dict[str, Any], place: list[Any] | None) -> bool:
    """Train in a process of its own; return whether it came to the end."""
    pid = os.fork()
    if pid == 0:
        folder, remote = RunFolder(Path(plan["run"])), None
        if "uri" in plan:
            # each time on another machine
            remote = RemoteRun.open(plan["uri"], folder.path / str(os.getpid()))
            remote.fetch(resume=True)
            folder = remote.folder
        settings = tiny_settings(Path(plan["base"]), **plan["training"])
        settings = settings.model_copy(update={"checkpoints": settings.checkpoints.model_copy(update=plan["checkpoints"])})
        job = TrainingJob(
            load_split(plan["data"]),
            settings,
            folder,
            JsonlTracker(folder.metrics, folder.throughput),
            resume=Resume.AUTO,
            remote=remote,
        )
        if place is not None:
            kill_at(*place)
        try:
            for _ in train(job):
                pass
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
    killed = [place for place in plan["places"] if not run(plan, place)]
    finished = run(plan, None) if len(killed) == len(plan["places"]) else True
    sys.stdout.write(json.dumps({"killed": killed, "finished": finished}))


main()
