"""A small Weights & Biases on loopback: enough of its HTTP API for the real client to log runs, read them and keep artifacts.

Routes::

    POST  /graphql                                 who am I, runs, artifacts
    POST  /files/ENTITY/PROJECT/RUN/file_stream    lines of a run, and that it ends
    PUT, GET  /files/ENTITY/PROJECT/RUN/NAME       files of a run
    PUT, GET  /manifests/ID                        what files an artifact has
    PUT, GET  /blobs/MD5                           contents of artifacts
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

from servers.door import Answer, Door, Request
from servers.graph import GraphError, Node, connection, execute, operation_name
from servers.wandb_artifacts import Artifacts
from servers.wandb_runs import Run, project_node

ENTITY, ORGANIZATION, REGISTRY_ENTITY, REGISTRY = "team", "Company", "company-org", "wandb-registry-model"
API_KEY = "0123456789abcdef0123456789abcdef01234567"
_KINDS = {"ArtifactSequence": "ArtifactCollection", "ArtifactPortfolio": "ArtifactCollection"}
# https would not be asked for these, so that a stranger can't guess them; here neither
_OPEN = ("/manifests/", "/blobs/")
# what the client says of itself, where nobody keeps it from that
_TELEMETRY = "/sdk/otel/"


class Wandb(Door):
    """The server. A plan and the requests name GraphQL's operations: ``/graphql/UpsertBucket``.

    Attributes:
        entity: Whose key it is: a user who is a team.
        api_key: The only one that is let in.
        runs: By path, ``entity/project/id``.
        artifacts: All of them.
        features: What the server says that it can, beyond the least.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entity, self.api_key = ENTITY, API_KEY
        self.runs: dict[str, Run] = {}
        self.artifacts = Artifacts()
        self.features: set[str] = set()
        # one request at a time changes something
        self._lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead the client here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": self.api_key}

    @property
    def run(self) -> Run:
        """The only run."""
        (run,) = self.runs.values()
        return run

    def name(self, request: Request) -> str:
        """Name a request by its path, and by the operation where it is GraphQL's."""
        if request.path != "/graphql":
            return request.path
        return f"/graphql/{operation_name(json.loads(request.body)['query'])}"

    def answer(self, request: Request) -> Answer:
        """Answer a request that is not to fail."""
        path = unquote(urlsplit(request.target).path)
        if path.startswith(_TELEMETRY):
            return Answer()
        if not path.startswith(_OPEN) and not self._knows(request.headers):
            return _json({"errors": [{"message": "user is not logged in"}]}, HTTPStatus.UNAUTHORIZED)
        with self._lock:
            if path == "/graphql":
                return self._graphql(json.loads(request.body))
            if path.endswith("/file_stream"):
                return self._stream(path, json.loads(request.body))
            return self._content(request.method, path, request.body)

    def _knows(self, headers: Mapping[str, str]) -> bool:
        kind, _, given = headers.get("Authorization", "").partition(" ")
        return kind == "Basic" and base64.b64decode(given).decode() == f"api:{self.api_key}"

    def _graphql(self, asked: Mapping[str, Any]) -> Answer:
        roots = {"query": self._queries(), "mutation": self._mutations()}
        try:
            return _json({"data": execute(asked["query"], asked.get("variables") or {}, roots, _KINDS)})
        except GraphError as error:
            return _json({"data": None, "errors": [{"message": str(error)}]})

    def _stream(self, path: str, post: Mapping[str, Any]) -> Answer:
        run = self.runs.get(path.removeprefix("/files/").removesuffix("/file_stream"))
        if run is None:
            return Answer(status=HTTPStatus.NOT_FOUND)
        run.stream(post)
        return _json({"exitcode": None, "limits": {}})

    def _content(self, method: str, path: str, body: bytes) -> Answer:
        _, kind, *rest = path.split("/", 2)
        name = rest[0] if rest else ""
        written = method == "PUT"
        if kind == "blobs":
            if written:
                return Answer(status=HTTPStatus.OK if self.artifacts.take(name, body) else HTTPStatus.BAD_REQUEST)
            content = self.artifacts.blobs.get(name)
        elif kind == "manifests":
            if written:
                self.artifacts.take_manifest(name, body)
                return Answer()
            content = self.artifacts.manifest(name)
        elif kind == "files":
            content = self._run_file(name, body if written else None)
        else:
            content = None
        return Answer(status=HTTPStatus.NOT_FOUND) if content is None else Answer(content)

    def _run_file(self, path: str, body: bytes | None) -> bytes | None:
        entity, project, identity, *name = path.split("/", 3)
        run = self.runs.get(f"{entity}/{project}/{identity}")
        if run is None or not name:
            return None
        if body is not None:
            run.files[name[0]] = body
        return run.files.get(name[0])

    # GraphQL

    def _queries(self) -> Node:
        organization = {
            "__typename": "Organization",
            "name": ORGANIZATION,
            "orgEntity": {"__typename": "Entity", "name": REGISTRY_ENTITY},
            "coreWeaveOrganizationId": None,
            "featureFlags": lambda **_: [],
        }
        user = {
            "__typename": "User",
            "id": "user0",
            "name": self.entity,
            "username": self.entity,
            "entity": self.entity,
            "email": f"{self.entity}@example.org",
            "admin": False,
            "flags": "{}",
            "deletedAt": None,
            "teams": connection([self.entity], lambda name: {"__typename": "Entity", "name": name})(),
            "apiKeys": connection([], dict)(),
            "organizations": [organization],
        }
        server = {
            "__typename": "ServerInfo",
            "features": [{"name": name, "isEnabled": True} for name in sorted(self.features)],
            "cliVersionInfo": "{}",
            "latestLocalVersionInfo": None,
        }

        def entity(name: str) -> Node:
            return {
                "__typename": "Entity",
                "name": name,
                "organization": organization,
                "user": user,
                "xxhashDigestsEnabled": False,
            }

        def model(name: str, entityName: str | None = None) -> Node | None:  # noqa: N803
            return self._project(entityName or self.entity, name)

        def artifact(id: str) -> Node | None:  # noqa: A002 - as GraphQL names it
            found = self.artifacts.by_id(id)
            return found and self.artifacts.node(found, self.url)

        def collection(id: str) -> Node | None:  # noqa: A002 - as GraphQL names it
            found = self.artifacts.by_collection_id(id)
            return found and self.artifacts.collection_node(found, self.url)

        return {
            "__typename": "Query",
            "viewer": user,
            "serverInfo": server,
            "entity": entity,
            "organization": lambda **_: organization,
            "model": model,
            "project": model,
            "artifact": artifact,
            "artifactCollection": collection,
            "clientIDMapping": lambda **given: {"serverID": self.artifacts.id_of_client(given["clientID"])},
        }

    def _project(self, entity: str, name: str) -> Node | None:
        runs = [run for run in self.runs.values() if (run.entity, run.project) == (entity, name)]
        artifacts = [one for one in self.artifacts.collections.values() if (one.entity, one.project) == (entity, name)]
        if not runs and not artifacts and (entity, name) != (REGISTRY_ENTITY, REGISTRY):
            return None

        def run(name: str, **_: Any) -> Node | None:
            return next((one.node(self.url) for one in runs if one.id == name), None)

        return {
            **project_node(entity, name),
            "run": run,
            "bucket": run,
            "runCount": lambda **_: len(runs),
            "runs": connection(runs, lambda one: one.node(self.url)),
            **self.artifacts.nodes_of(entity, name, self.url),
        }

    def _mutations(self) -> Node:
        artifacts = self.artifacts

        def upsert_bucket(given: Mapping[str, Any]) -> Node:
            entity, project, name = given.get("entityName") or self.entity, given.get("modelName"), given.get("name")
            # a run that is known is named by its id
            path = (given.get("id") or "").removeprefix("run:") or f"{entity}/{project}/{name}"
            inserted = path not in self.runs
            run = self.runs.setdefault(path, Run(*path.split("/")))
            run.begin(given)
            return {"bucket": (self._project(run.entity, run.project) or {})["run"](run.id), "inserted": inserted}

        def create_run_files(given: Mapping[str, Any]) -> Node:
            path = f"{given['entityName']}/{given['projectName']}/{given['runName']}"
            files = [{"name": name, "uploadUrl": f"{self.url}/files/{path}/{name}"} for name in given["files"]]
            return {"runID": f"run:{path}", "uploadHeaders": self._authorization(), "files": files}

        def create_artifact(given: Mapping[str, Any]) -> Node:
            artifact = artifacts.create(given)
            run = self.runs.get(artifact.by)
            if run is not None and artifact.id not in run.logged:
                run.logged.append(artifact.id)
            return {"artifact": artifacts.node(artifact, self.url)}

        def create_manifest(given: Mapping[str, Any]) -> Node:
            return _manifest(given["artifactID"], self.url)

        def update_manifest(given: Mapping[str, Any]) -> Node:
            return _manifest(given["artifactManifestID"], self.url)

        def create_files(given: Mapping[str, Any]) -> Node:
            return {"files": connection(given["artifactFiles"], self._upload)()}

        def use(given: Mapping[str, Any]) -> Node:
            artifact = artifacts.by_id(given["artifactID"])
            if artifact is None:
                raise GraphError("artifact not found")
            self.runs[f"{given['entityName']}/{given['projectName']}/{given['runName']}"].used.append(artifact.id)
            return {"artifact": artifacts.node(artifact, self.url)}

        def link(given: Mapping[str, Any]) -> Node:
            collection, member = artifacts.link(given, "model")
            return {
                "versionIndex": member.version,
                "artifactMembership": artifacts.membership_node(collection, member, self.url),
            }

        def done(change: Any, **options: Any) -> Any:
            def apply(given: Mapping[str, Any]) -> Node:
                change(given, **options)
                return {"success": True, "artifact": {"id": given.get("artifactID")}}

            return apply

        changes = {
            "upsertBucket": upsert_bucket,
            "createRunFiles": create_run_files,
            "markRunFilesUploaded": lambda _: {"success": True},
            "createArtifact": create_artifact,
            "createArtifactManifest": create_manifest,
            "updateArtifactManifest": update_manifest,
            "createArtifactFiles": create_files,
            "commitArtifact": lambda given: {"artifact": artifacts.node(artifacts.commit(given["artifactID"]), self.url)},
            "updateArtifact": lambda given: {"artifact": artifacts.node(artifacts.update(given), self.url)},
            "useArtifact": use,
            "linkArtifact": link,
            "unlinkArtifact": done(artifacts.unlink),
            "addAliases": done(artifacts.alias, remove=False),
            "deleteAliases": done(artifacts.alias, remove=True),
            "deleteArtifact": done(artifacts.delete),
        }
        return {name: partial(_with_input, change) for name, change in changes.items()}

    def _upload(self, file: Mapping[str, Any]) -> Node:
        digest = base64.b64decode(file["md5"]).hex()
        known = digest in self.artifacts.blobs
        return {
            "name": file["name"],
            "storagePath": file["name"],
            "uploadUrl": None if known else f"{self.url}/blobs/{digest}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": file["artifactID"]},
        }

    def _authorization(self) -> list[str]:
        return ["Authorization:Basic " + base64.b64encode(f"api:{self.api_key}".encode()).decode()]


def _with_input(change: Callable[[Mapping[str, Any]], Node], **arguments: Mapping[str, Any]) -> Node:
    return change(arguments["input"])


def _manifest(identity: str, url: str) -> Node:
    file = {"id": identity, "uploadUrl": f"{url}/manifests/{identity}", "uploadHeaders": []}
    return {"artifactManifest": {"id": identity, "file": file}}


def _json(content: Any, status: int = HTTPStatus.OK) -> Answer:
    return Answer(json.dumps(content).encode(), status, {"Content-Type": "application/json"})


@contextmanager
def running_wandb() -> Iterator[Wandb]:
    """Run a server with nothing in it."""
    server = Wandb()
    with server.open():
        yield server
