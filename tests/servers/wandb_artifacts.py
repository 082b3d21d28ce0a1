"""Artifacts as Weights & Biases keeps them, in memory: versions, collections, aliases, links, contents by their md5."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from servers.graph import GraphError, Node, connection
from servers.wandb_runs import WHEN, project_node

LATEST = "latest"


@dataclass
class Artifact:
    """A version, wherever it is linked to.

    Attributes:
        id: The server's name for it.
        digest: Of its manifest; the client computes it.
        metadata: Plain values.
        description: Words.
        committed: Whether all of it has arrived.
        manifest: Path → what the client says about that file, its md5 among it.
        by: Path of the run that has written it.
    """

    id: str
    collection: Collection
    digest: str
    metadata: dict[str, Any]
    description: str | None
    by: str
    algorithm: str
    client_id: str
    wishes: list[str]
    tags: list[str]
    committed: bool = False
    manifest: dict[str, Any] = field(default_factory=dict)
    raw_manifest: bytes = b""


@dataclass
class Membership:
    """A version's place in a collection."""

    artifact: Artifact
    version: int
    aliases: list[str] = field(default_factory=list)


@dataclass
class Collection:
    """Versions under one name: those that runs have written (a sequence), or links to such (a portfolio of a registry)."""

    entity: str
    project: str
    name: str
    type: str
    kind: str = "ArtifactSequence"
    members: list[Membership] = field(default_factory=list)
    next_version: int = 0

    @property
    def path(self) -> str:
        """As the client names it."""
        return f"{self.entity}/{self.project}/{self.name}"

    def add(self, artifact: Artifact) -> Membership:
        """Give an artifact the next version, which is the latest one then."""
        found = next((one for one in self.members if one.artifact is artifact), None)
        if found is None:
            found = Membership(artifact, self.next_version)
            self.next_version += 1
            self.members.append(found)
            self.put_alias(found, LATEST)
        return found

    def put_alias(self, member: Membership, alias: str) -> None:
        """Give an alias to a version, and take it from the one that has it."""
        for other in self.members:
            if alias in other.aliases:
                other.aliases.remove(alias)
        member.aliases.append(alias)

    def find(self, name: str | None) -> Membership | None:
        """Return the version with an alias, a number (``v3``) or a digest."""
        wanted = name or LATEST
        return next(
            (one for one in self.members if wanted in {*one.aliases, f"v{one.version}", one.artifact.digest}),
            None,
        )


class Artifacts:
    """All of them.

    Attributes:
        collections: By path, ``entity/project/name``.
        blobs: Contents by hex md5.
    """

    def __init__(self) -> None:
        self.collections: dict[str, Collection] = {}
        self.blobs: dict[str, bytes] = {}
        self._all: dict[str, Artifact] = {}

    def __getitem__(self, path: str) -> Membership:
        """Return a version by ``entity/project/name[:alias]``."""
        collection, _, alias = path.partition(":")
        member = self.collections[collection].find(alias)
        if member is None:
            raise KeyError(path)
        return member

    def content(self, path: str, file: str) -> bytes:
        """Return a file of a version."""
        return self.blobs[_hex(self[path].artifact.manifest[file]["digest"])]

    def take(self, hex_md5: str, content: bytes) -> bool:
        """Keep what was uploaded, if it is what was announced."""
        right = hashlib.md5(content).hexdigest() == hex_md5
        if right:
            self.blobs[hex_md5] = content
        return right

    def take_manifest(self, identity: str, content: bytes) -> None:
        """Keep a manifest."""
        artifact = self._of(identity)
        artifact.raw_manifest, artifact.manifest = content, json.loads(content)["contents"]

    def manifest(self, identity: str) -> bytes:
        """Return a manifest as it was uploaded."""
        return self._of(identity).raw_manifest

    # mutations

    def create(self, given: Mapping[str, Any]) -> Artifact:
        """Announce a version; one with the same digest is taken instead."""
        entity, project = given["entityName"], given["projectName"]
        name = (given.get("artifactCollectionNames") or [given.get("artifactCollectionName")])[0]
        collection = self._collection(entity, project, name, given["artifactTypeName"], "ArtifactSequence")
        wishes = [one["alias"] for one in given.get("aliases") or ()]
        for member in collection.members:
            if member.artifact.digest == given["digest"]:
                for alias in wishes:
                    collection.put_alias(member, alias)
                return member.artifact
        artifact = Artifact(
            f"artifact{len(self._all)}",
            collection,
            given["digest"],
            json.loads(given.get("metadata") or "{}"),
            given.get("description"),
            f"{entity}/{project}/{given.get('runName')}",
            given.get("digestAlgorithm") or "MANIFEST_MD5",
            given.get("clientID") or "",
            wishes,
            [one["tagName"] for one in given.get("tags") or ()],
        )
        self._all[artifact.id] = artifact
        return artifact

    def commit(self, identity: str) -> Artifact:
        """Make an announced version one that is there; all its files must be."""
        artifact = self._of(identity)
        missing = [
            path for path, entry in artifact.manifest.items() if not entry.get("ref") and _hex(entry["digest"]) not in self.blobs
        ]
        if missing or not artifact.raw_manifest:
            raise GraphError(f"artifact lacks {missing or 'its manifest'}")
        artifact.committed = True
        member = artifact.collection.add(artifact)
        for alias in artifact.wishes:
            artifact.collection.put_alias(member, alias)
        return artifact

    def link(self, given: Mapping[str, Any], type_of_project: str) -> tuple[Collection, Membership]:
        """Put a version into a collection of a registry as well."""
        identity = given.get("artifactID") or self.id_of_client(given.get("clientID") or "")
        artifact = self._of(identity)
        name = given["artifactPortfolioName"]
        collection = self._collection(given["entityName"], given["projectName"], name, type_of_project, "ArtifactPortfolio")
        if artifact.collection.type != collection.type:
            raise GraphError(f"collection is of type {collection.type}, not {artifact.collection.type}")
        member = collection.add(artifact)
        for one in given.get("aliases") or ():
            collection.put_alias(member, one["alias"])
        return collection, member

    def unlink(self, given: Mapping[str, Any]) -> None:
        """Take a version out of a collection of a registry."""
        collection = next(c for c in self.collections.values() if _id(c) == given["artifactPortfolioID"])
        collection.members[:] = [one for one in collection.members if one.artifact.id != given["artifactID"]]

    def alias(self, given: Mapping[str, Any], *, remove: bool) -> None:
        """Give a version aliases, or take them away."""
        for one in given["aliases"]:
            collection = self.collections[f"{one['entityName']}/{one['projectName']}/{one['artifactCollectionName']}"]
            member = next(m for m in collection.members if m.artifact.id == given["artifactID"])
            if not remove:
                collection.put_alias(member, one["alias"])
            elif one["alias"] in member.aliases:
                member.aliases.remove(one["alias"])

    def update(self, given: Mapping[str, Any]) -> Artifact:
        """Change what is said about a version."""
        artifact = self._of(given["artifactID"])
        if given.get("metadata") is not None:
            artifact.metadata = json.loads(given["metadata"])
        artifact.description = given.get("description") or artifact.description
        return artifact

    def delete(self, given: Mapping[str, Any]) -> None:
        """Delete a version, and the links to it; one with aliases only where that was said."""
        artifact = self._of(given["artifactID"])
        places = [(c, m) for c, m in self._places(artifact) if m.artifact is artifact]
        if any(member.aliases for _, member in places) and not given.get("deleteAliases"):
            raise GraphError("artifact has aliases")
        for collection, member in places:
            collection.members.remove(member)
        del self._all[artifact.id]

    def id_of_client(self, client_id: str) -> str:
        """Return the server's name for what a client has named itself."""
        found = [one.id for one in self._all.values() if one.client_id == client_id]
        if not found:
            raise GraphError("no such artifact")
        return found[-1]

    # nodes

    def node(self, artifact: Artifact, url: str) -> Node:
        """Say what a version is, in GraphQL."""
        own = next((one.version for one in artifact.collection.members if one.artifact is artifact), None)
        size = sum(entry.get("size", 0) for entry in artifact.manifest.values())

        def by_entries(entries: Sequence[Mapping[str, Any]] = (), **_: Any) -> Node:
            found = [path for one in entries if (path := one.get("name") or one.get("path")) in artifact.manifest]
            return connection(found, lambda path: self._file(artifact, path, url))()

        def memberships(**page: Any) -> Node:
            return connection(list(self._places(artifact)), lambda place: self.membership_node(*place, url))(**page)

        def aliases(**_: Any) -> list[Node]:
            return [node for place in self._places(artifact) for node in _aliases(*place)]

        entity, project, run = artifact.by.split("/")
        return {
            "__typename": "Artifact",
            "id": artifact.id,
            "state": "COMMITTED" if artifact.committed else "PENDING",
            "digest": artifact.digest,
            "digestAlgorithm": artifact.algorithm,
            "artifactSequence": lambda: self.collection_node(artifact.collection, url),
            "artifactType": {"__typename": "ArtifactType", "name": artifact.collection.type},
            "versionIndex": own,
            "description": artifact.description,
            "metadata": json.dumps(artifact.metadata),
            "ttlDurationSeconds": -1,
            "ttlIsInherited": False,
            "tags": [{"__typename": "Tag", "id": f"tag:{tag}", "name": tag} for tag in artifact.tags],
            "historyStep": None,
            "size": size,
            "commitHash": None,
            "fileCount": len(artifact.manifest),
            "createdAt": WHEN,
            "updatedAt": WHEN,
            "createdBy": {
                "__typename": "Run",
                "id": f"run:{artifact.by}",
                "name": run,
                "project": project_node(entity, project),
            },
            "aliases": aliases,
            "artifactMemberships": memberships,
            "currentManifest": lambda: {"file": {"directUrl": f"{url}/manifests/{artifact.id}"}},
            "filesByManifestEntries": by_entries,
            "files": self._files(artifact, url),
        }

    def membership_node(self, collection: Collection, member: Membership, url: str) -> Node:
        """Say where a version stands in a collection."""
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": f"membership:{collection.path}:{member.version}",
            "versionIndex": member.version,
            "createdAt": WHEN,
            "aliases": list(_aliases(collection, member)),
            "artifactCollection": lambda: self.collection_node(collection, url),
            "artifact": lambda: self.node(member.artifact, url),
            "files": self._files(member.artifact, url),
        }

    def collection_node(self, collection: Collection, url: str) -> Node:
        """Say what a collection is and holds, the newest version first."""
        newest_first = [one for one in reversed(collection.members) if one.artifact.committed]

        def membership(aliasName: str) -> Node | None:  # noqa: N803
            member = collection.find(aliasName)
            return None if member is None else self.membership_node(collection, member, url)

        def aliases(**page: Any) -> Node:
            return connection([alias for member in collection.members for alias in _aliases(collection, member)], dict)(**page)

        def artifacts(**page: Any) -> Node:
            found = connection(newest_first, lambda one: self.node(one.artifact, url))(**page)
            for edge, member in zip(found["edges"], newest_first[int(page.get("after") or 0) :], strict=False):
                edge["version"] = f"v{member.version}"
            return found

        return {
            "__typename": collection.kind,
            "id": _id(collection),
            "name": collection.name,
            "description": None,
            "createdAt": WHEN,
            "updatedAt": WHEN,
            "project": project_node(collection.entity, collection.project),
            "defaultArtifactType": {"__typename": "ArtifactType", "name": collection.type},
            "digestAlgorithm": "MANIFEST_MD5",
            "tags": connection([], dict)(),
            "aliases": aliases,
            "artifacts": artifacts,
            "artifactMembership": membership,
            "latestArtifact": lambda: self.node(newest_first[0].artifact, url) if newest_first else None,
        }

    def nodes_of(self, entity: str, project: str, url: str) -> Node:
        """Say which artifacts a project has: fields to be put to its others."""
        here = [one for one in self.collections.values() if (one.entity, one.project) == (entity, project)]

        def collection(name: str, of: Sequence[Collection] = here) -> Node | None:
            found = next((one for one in of if one.name == name), None)
            return None if found is None else self.collection_node(found, url)

        def member(name: str) -> Node | None:
            first, _, alias = name.partition(":")
            found = next((one for one in here if one.name == first), None)
            place = found and found.find(alias)
            return self.membership_node(found, place, url) if found and place else None

        def artifact(name: str) -> Any:
            found = member(name)
            return found and found["artifact"]()

        def type_node(name: str) -> Node | None:
            its_own = [one for one in here if one.type == name]
            if not its_own:
                return None
            return {
                "__typename": "ArtifactType",
                "id": f"type:{entity}/{project}/{name}",
                "name": name,
                "description": None,
                "createdAt": WHEN,
                "artifactCollection": lambda name: collection(name, its_own),
                "artifactCollections": connection(its_own, lambda one: self.collection_node(one, url)),
            }

        return {
            "artifactType": type_node,
            "artifactTypes": connection(sorted({one.type for one in here}), lambda name: type_node(name) or {}),
            "artifactCollection": collection,
            "artifactCollections": connection(here, lambda one: self.collection_node(one, url)),
            "artifactCollectionMembership": member,
            "artifact": artifact,
        }

    def by_id(self, identity: str) -> Artifact | None:
        """Return a version by the server's name for it."""
        return self._all.get(identity)

    def by_collection_id(self, identity: str) -> Collection | None:
        """Return a collection by the server's name for it."""
        return next((one for one in self.collections.values() if _id(one) == identity), None)

    def _of(self, identity: str) -> Artifact:
        if identity not in self._all:
            raise GraphError(f"artifact {identity} not found")
        return self._all[identity]

    def _collection(self, entity: str, project: str, name: str, kind: str, sort: str) -> Collection:
        return self.collections.setdefault(f"{entity}/{project}/{name}", Collection(entity, project, name, kind, sort))

    def _places(self, artifact: Artifact) -> Iterator[tuple[Collection, Membership]]:
        for collection in self.collections.values():
            yield from ((collection, one) for one in collection.members if one.artifact is artifact)

    def _files(self, artifact: Artifact, url: str) -> Any:
        def files(names: Sequence[str] | None = None, **page: Any) -> Node:
            found = [path for path in artifact.manifest if not names or path in names]
            return connection(found, lambda path: self._file(artifact, path, url))(**page)

        return files

    def _file(self, artifact: Artifact, path: str, url: str) -> Node:
        entry = artifact.manifest[path]
        address = f"{url}/blobs/{_hex(entry['digest'])}"
        return {
            "__typename": "File",
            "id": f"{artifact.id}/{path}",
            "name": path,
            "displayName": path,
            "url": address,
            "directUrl": address,
            "sizeBytes": entry.get("size", 0),
            "storagePath": path,
            "mimetype": None,
            "updatedAt": WHEN,
            "digest": entry["digest"],
            "md5": entry["digest"],
        }


def _aliases(collection: Collection, member: Membership) -> Iterator[Node]:
    for alias in member.aliases:
        yield {
            "__typename": "ArtifactAlias",
            "id": f"alias:{collection.path}:{alias}",
            "alias": alias,
            "artifactCollection": {
                "__typename": collection.kind,
                "name": collection.name,
                "project": project_node(collection.entity, collection.project),
            },
        }


def _id(collection: Collection) -> str:
    return f"collection:{collection.path}"


def _hex(b64_md5: str) -> str:
    return base64.b64decode(b64_md5).hex()
