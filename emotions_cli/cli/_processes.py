"""Several processes that train one model: started here, watched, and ended together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

from emotions_cli.cli._stopping import stopped_by
from emotions_cli.errors import EXIT_LOST, EXIT_OK, EXIT_STOPPED, SettingsError

# after one has failed, how long the others may take to end by themselves, and to obey
GRACE_SECONDS = 5.0
OBEY_SECONDS = 10.0
SECONDS_BETWEEN_LOOKS = 0.05
# a stop is obeyed within ten seconds; an upload may take longer
STOP_SECONDS = 40.0
CLUSTER_PORT = 29500
PARENT_VARIABLE = "EMOTIONS_PARENT"


@dataclass(frozen=True)
class Cluster:
    """The machines of a job, and which of them this is.

    Attributes:
        address: The first one's name.
        port: Where its first process listens for the others.
        machines: How many there are.
        machine: This one's number, from 0.
    """

    address: str
    port: int
    machines: int = 1
    machine: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Cluster | None:
        """Read ``CLUSTER_SPEC``, by which Vertex AI tells a worker of the others; ``None`` where it is not set.

        Its pools are counted through in order: the one machine of ``workerpool0`` first.

        Raises:
            SettingsError: It is malformed.
        """
        text = environment.get("CLUSTER_SPEC", "")
        if not text:
            return None
        try:
            spec = json.loads(text)
            pools, task = spec["cluster"], spec["task"]
            names = sorted(name for name in pools if name.startswith("workerpool"))
            before = sum(len(pools[name]) for name in names[: names.index(task["type"])])
            first = pools[names[0]][0]
            return cls(
                first.rpartition(":")[0] or first,
                int(spec.get("open_ports", [CLUSTER_PORT])[0]),
                sum(len(pools[name]) for name in names),
                before + int(task["index"]),
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise SettingsError(f"CLUSTER_SPEC can't be understood: {error!r}.", "Unset it to train on one machine.") from error

    @classmethod
    def here(cls) -> Cluster:
        """Return this machine alone, with a port that is free now."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return cls("127.0.0.1", probe.getsockname()[1])


def rank_of(environment: Mapping[str, str]) -> int | None:
    """Return this process's number where it is one of several already, as torchrun and this module tell it.

    Clusters set ``RANK`` a machine; who starts the processes of a machine sets ``LOCAL_RANK`` too.
    """
    return int(environment["RANK"]) if processes_of(environment) > 1 else None


def processes_of(environment: Mapping[str, str]) -> int:
    """Return how many processes train together, this one among them."""
    return int(environment["WORLD_SIZE"]) if {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= environment.keys() else 1


def end_with_parent(environment: Mapping[str, str]) -> None:
    """Ask this process to stop when the one that started it with others is gone: nobody would watch it any more."""
    if PARENT_VARIABLE not in environment:
        return

    def watch() -> None:
        # nothing is ever written: it ends when the parent does (unbuffered: a lock would outlive this process's end)
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def run_processes(command: Sequence[str], count: int, cluster: Cluster) -> int:
    """Run a command in several processes, and return the exit code of the one that failed, or 0.

    A signal is passed on to all. When one fails the others are ended. The first one shows what it writes; of another the errors
    are shown when it was the one that failed.

    Args:
        command: What each runs.
        count: How many on this machine.
        cluster: The machines.
    """
    with ExitStack() as stack:
        errors: list[IO[bytes]] = []
        children: list[subprocess.Popen[bytes]] = []
        for local in range(count):
            errors.append(stack.enter_context(tempfile.TemporaryFile()))
            rank = cluster.machine * count + local
            streams: dict[str, Any] = {} if rank == 0 else {"stdout": subprocess.DEVNULL, "stderr": errors[local]}
            environment = _environment(rank, local, count, cluster)
            # in sessions of their own: a terminal's Ctrl-C comes here alone, and goes to each of them once
            child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True, **streams)
            children.append(child)
            stack.callback(_kill, child)
        culprit = _watch(children)
        if culprit is None:
            return EXIT_OK
        if culprit or cluster.machine:
            errors[culprit].seek(0)
            sys.stderr.write(errors[culprit].read().decode("utf-8", "replace"))
        code = children[culprit].returncode
        if code < 0:
            sys.stderr.write(f"Error: process {culprit + 1} of {count} was ended by {signal.Signals(-code).name}.\n")
            sys.stderr.write("  → Look for a lack of memory; the same command with --resume goes on.\n")
        return code if code > 0 else EXIT_LOST


def _watch(children: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Wait for the end of all; return the index of the one because of which they failed."""
    failed: list[int] = []
    failed_at = told_at = 0.0
    told = False
    with stopped_by(signal.SIGINT, signal.SIGTERM) as stop:
        while any(child.poll() is None for child in children):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if stop.asked() and not told:
                told, told_at = True, time.monotonic()
                # on Windows the console has told them, and this would end them at once
                if os.name != "nt":
                    _send(children, signal.SIGTERM)
            ended = [i for i, child in enumerate(children) if child.poll() not in {None, EXIT_OK, EXIT_STOPPED}]
            if ended and not failed:
                failed_at = time.monotonic()
            failed += [i for i in ended if i not in failed]
            waited = time.monotonic() - failed_at if failed else 0.0
            if waited > GRACE_SECONDS and not told:
                told, told_at = True, time.monotonic()
                _send(children, signal.SIGTERM)
            if waited > GRACE_SECONDS + OBEY_SECONDS or (stop.asked() and time.monotonic() - told_at > STOP_SECONDS):
                _send(children, getattr(signal, "SIGKILL", signal.SIGTERM))
    failed += [i for i, child in enumerate(children) if child.returncode and i not in failed]
    # who only lost the others is not to blame, and what all say the first one has said
    blamed = [i for i in failed if children[i].returncode != EXIT_LOST] or failed
    if blamed and children[0].returncode == children[blamed[0]].returncode:
        return 0
    return blamed[0] if blamed else None


def _send(children: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(number)


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()


def _environment(rank: int, local: int, count: int, cluster: Cluster) -> dict[str, str]:
    threads = max(1, (os.cpu_count() or 1) // count)
    return {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(local),
        "WORLD_SIZE": str(count * cluster.machines),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": cluster.address,
        "MASTER_PORT": str(cluster.port),
        PARENT_VARIABLE: str(os.getpid()),
    }
