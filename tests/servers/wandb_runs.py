"""Runs as Weights & Biases keeps them, in memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from servers.graph import Node, connection

HISTORY, EVENTS, SUMMARY, CONSOLE = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"
WHEN = "2026-01-02T03:04:05"


def project_node(entity: str, project: str) -> Node:
    """Say which project something belongs to, in GraphQL."""
    path = f"{entity}/{project}"
    return {
        "__typename": "Project",
        "id": f"project:{path}",
        "internalId": str(zlib.crc32(path.encode())),
        "name": project,
        "entity": {"__typename": "Entity", "id": f"entity:{entity}", "name": entity},
        "readOnly": False,
    }


@dataclass
class Run:
    """A run.

    Attributes:
        entity: Its owner.
        project: Its project.
        id: Its name in addresses.
        config: As it was logged, without the client's own part.
        display_name: What it is called.
        tags: Words to find it by.
        group: Runs that belong together.
        commit: Of git, where the client sent it.
        streams: File that is written line by line → its lines.
        files: File that was uploaded → content.
        starts: How often a process began or went on with it.
        preempted: Whether its process said that it would be gone soon.
        exit_code: That its last process ended with; ``None`` while one is at work.
        used: Ids of the artifacts it has read.
        logged: Ids of those that it has written.
    """

    entity: str
    project: str
    id: str
    raw_config: dict[str, Any] = field(default_factory=dict)
    display_name: str = ""
    tags: list[str] = field(default_factory=list)
    group: str | None = None
    commit: str | None = None
    streams: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    starts: int = 0
    preempted: bool = False
    exit_code: int | None = None
    used: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """As the client names it."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def config(self) -> dict[str, Any]:
        """What was logged, without the client's own part."""
        return {key: entry["value"] for key, entry in self.raw_config.items() if key != "_wandb"}

    @property
    def history(self) -> list[dict[str, Any]]:
        """A dictionary a step, in the order they came."""
        return [json.loads(line) for line in self.streams.get(HISTORY, ())]

    @property
    def summary(self) -> dict[str, Any]:
        """The last value of everything."""
        lines = self.streams.get(SUMMARY)
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found

    @property
    def state(self) -> str:
        """In the server's words."""
        if self.exit_code is None:
            return "preempting" if self.preempted else "running"
        if self.exit_code == 0:
            return "finished"
        return "preempted" if self.preempted else "failed"

    def begin(self, given: Mapping[str, Any]) -> None:
        """Take what a process says of the run when it begins, goes on, or has more to say."""
        self.raw_config.update(json.loads(given.get("config") or "{}"))
        self.display_name = given.get("displayName") or self.display_name or f"quiet-run-{self.id}"
        self.tags = list(given.get("tags") or self.tags)
        self.group = given.get("groupName") or self.group
        self.commit = given.get("commit") or self.commit
        if given.get("summaryMetrics"):
            self.streams[SUMMARY] = [given["summaryMetrics"]]
        if self.exit_code is not None or not self.starts:
            self.starts += 1
            self.exit_code, self.preempted = None, False

    def stream(self, post: Mapping[str, Any]) -> None:
        """Take lines and news of a process; a line that comes a second time stands where it stood."""
        for name, part in (post.get("files") or {}).items():
            lines = self.streams.setdefault(name, [])
            offset = part.get("offset", 0)
            if name == SUMMARY:
                lines[:] = part["content"]
            else:
                lines[offset : offset + len(part["content"])] = part["content"]
        self.preempted |= bool(post.get("preempting"))
        if post.get("complete"):
            self.exit_code = post.get("exitcode", 0)

    def node(self, url: str) -> Node:
        """Say what it is, in GraphQL."""
        project = project_node(self.entity, self.project)
        history, events = self.streams.get(HISTORY, []), self.streams.get(EVENTS, [])

        def sampled(specs: list[str]) -> list[list[dict[str, Any]]]:
            wanted = [json.loads(spec).get("keys") for spec in specs]
            return [[line for line in self.history if not keys or set(keys) <= line.keys()] for keys in wanted]

        def between(minStep: int = 0, maxStep: int = 2**53, **_: Any) -> list[str]:  # noqa: N803
            return [line for line in history if minStep <= json.loads(line)["_step"] < maxStep]

        def files(names: list[str] | None = None, pattern: str | None = None, **page: Any) -> Node:
            found = [name for name in sorted(self.files) if not names or name in names]
            return connection(found, lambda name: self._file(name, url))(**page)

        keys = {name: {"typeCounts": [{"type": "number"}]} for line in self.history for name in line}
        return {
            "__typename": "Run",
            "id": f"run:{self.path}",
            "name": self.id,
            "displayName": self.display_name,
            "description": None,
            "notes": None,
            "state": self.state,
            "config": json.dumps(self.raw_config),
            "wandbConfig": lambda keys: json.dumps(
                {key: self.raw_config.get("_wandb", {}).get("value", {}).get(key) for key in keys}
            ),
            "summaryMetrics": json.dumps(self.summary),
            "systemMetrics": "{}",
            "tags": self.tags,
            "group": self.group,
            "jobType": None,
            "sweepName": None,
            "commit": self.commit,
            "readOnly": False,
            "createdAt": WHEN,
            "heartbeatAt": WHEN,
            "user": {"__typename": "User", "name": self.entity, "username": self.entity},
            "project": project,
            "projectId": project["internalId"],
            "historyKeys": {"keys": keys, "lastStep": self.history[-1]["_step"] if history else 0, "sets": []},
            "historyLineCount": len(history),
            "eventsLineCount": len(events),
            "logLineCount": len(self.streams.get(CONSOLE, ())),
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": json.dumps(events[-1:]),
            "history": between,
            "sampledHistory": sampled,
            "parquetHistory": {"parquetUrls": []},
            "fileCount": len(self.files),
            "files": files,
        }

    def _file(self, name: str, url: str) -> Node:
        address = f"{url}/files/{self.path}/{name}"
        return {
            "__typename": "File",
            "id": f"file:{self.path}/{name}",
            "name": name,
            "url": lambda **_: address,
            "directUrl": address,
            "sizeBytes": len(self.files[name]),
            "mimetype": None,
            "updatedAt": WHEN,
            "md5": None,
        }
