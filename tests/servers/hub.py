"""A small Hugging Face Hub on loopback: enough of its HTTP API for the real client to load data sets and models.

Routes, as in https://huggingface.co/docs/hub/api::

    GET, HEAD  /[datasets/]NAME/resolve/REVISION/FILE     a file
    GET        /api/{models,datasets}/NAME/revision/REVISION   commit and file list
    GET        /api/{models,datasets}/NAME/tree/REVISION[/FOLDER]   the files below a folder
    POST       /api/{models,datasets}/NAME/paths-info/REVISION   the files that are asked for
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

_RESOLVE = re.compile(r"/(?P<kind>datasets/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)/?(?P<path>.*)"
)


@dataclass(frozen=True)
class Repository:
    """A model or a data set with one commit.

    Attributes:
        name: ``owner/name``.
        commit: 40 hex digits; the branch ``main`` points to it.
        files: Path → bytes.
        is_dataset: Whether it stands below ``/datasets``.
    """

    name: str
    commit: str
    files: Mapping[str, bytes]
    is_dataset: bool = True


def dataset_repository(
    name: str, commit: str, config: str, names: Sequence[str], splits: Mapping[str, Mapping[str, Any]], *, several: bool
) -> Repository:
    """Build a Parquet data set whose card names its configuration, features and splits.

    Args:
        name: ``owner/name``.
        commit: Its commit.
        config: Its only configuration.
        names: Label names; the ``label`` (or with ``several``, ``labels``) column holds their ids.
        splits: Split → column → values.
        several: Whether a row has a list of labels.
    """
    ids = pa.list_(pa.int64()) if several else pa.int64()
    schema = pa.schema([("text", pa.string()), ("labels" if several else "label", ids)])
    files = {f"{config}/{split}-00000-of-00001.parquet": _parquet(columns, schema) for split, columns in splits.items()}
    label = "\n".join(f"            '{i}': {label}" for i, label in enumerate(names))
    column = (
        f"  - name: labels\n    sequence:\n      class_label:\n        names:\n{label}"
        if several
        else f"  - name: label\n    dtype:\n      class_label:\n        names:\n{label}"
    )
    counts = "\n".join(f"  - name: {split}\n    num_examples: {len(columns['text'])}" for split, columns in splits.items())
    paths = "\n".join(f"  - split: {split}\n    path: {config}/{split}-*" for split in splits)
    card = f"""---
dataset_info:
- config_name: {config}
  features:
  - name: text
    dtype: string
{column}
  splits:
{counts}
configs:
- config_name: {config}
  data_files:
{paths}
---
"""
    return Repository(name, commit, {"README.md": card.encode(), **files})


def _parquet(columns: Mapping[str, Any], schema: pa.Schema) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(dict(columns), schema=schema), stream)
    return stream.getvalue()


def running_hub(*repositories: Repository) -> AbstractContextManager[str]:
    """Serve repositories; see :func:`serving`."""
    return serving(_handler({(r.is_dataset, r.name): r for r in repositories}))


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests on a free port of this machine; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(repositories: Mapping[tuple[bool, str], Repository]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply()

        def do_HEAD(self) -> None:
            self._reply()

        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers["Content-Length"])))

        def _reply(self, body: bytes = b"") -> None:
            path = unquote(urlsplit(self.path).path)
            match = _RESOLVE.fullmatch(path) or _API.fullmatch(path)
            if match is None:
                return self._refuse("EntryNotFound")
            repository = repositories.get(((match["kind"] or "").startswith("datasets"), match["name"]))
            if repository is None:
                return self._refuse("RepoNotFound")
            if match["revision"] not in {"main", repository.commit}:
                return self._refuse("RevisionNotFound")
            if match.re is _API:
                answer = _describe(repository, match["what"], match["path"], body.decode())
                return self._send(json.dumps(answer).encode(), {"Content-Type": "application/json"})
            content = repository.files.get(match["path"])
            if content is None:
                return self._refuse("EntryNotFound", {"X-Repo-Commit": repository.commit})
            return self._send(content, {"X-Repo-Commit": repository.commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})

        def _send(self, content: bytes, headers: Mapping[str, str], status: HTTPStatus = HTTPStatus.OK) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _refuse(self, code: str, headers: Mapping[str, str] | None = None) -> None:
            self._send(b"", {"X-Error-Code": code, **(headers or {})}, HTTPStatus.NOT_FOUND)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
            """Keep quiet."""

    return Handler


def _describe(repository: Repository, what: str, folder: str, body: str) -> Any:
    if what == "revision":
        siblings = [{"rfilename": path} for path in repository.files]
        return {"id": repository.name, "sha": repository.commit, "private": False, "tags": [], "siblings": siblings}
    if what == "paths-info":
        asked = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
        return [_entry(repository, path) for path in asked if _exists(repository, path)]
    # what stands directly in the folder
    prefix = f"{folder}/" if folder else ""
    children = {prefix + path.removeprefix(prefix).split("/")[0] for path in repository.files if path.startswith(prefix)}
    return [_entry(repository, path) for path in sorted(children)]


def _exists(repository: Repository, path: str) -> bool:
    return any(file == path or file.startswith(f"{path}/") for file in repository.files)


def _entry(repository: Repository, path: str) -> dict[str, Any]:
    oid = hashlib.sha1(path.encode()).hexdigest()
    if path in repository.files:
        return {"type": "file", "path": path, "size": len(repository.files[path]), "oid": oid}
    return {"type": "directory", "path": path, "size": 0, "oid": oid}
