"""The tests' own W&B server does what its client expects of one: artifacts, their aliases and links, faults."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from servers.door import DROP, FORBID, HALF, HANG, MISSING, REFUSE, UNKNOWN_KEY
from servers.wandb import Wandb

MODEL = "team/p/emotions"


@pytest.fixture
def run(wandb_server: Wandb) -> Iterator[Any]:
    """A run in which artifacts are logged and used."""
    import wandb

    quiet = wandb.Settings(console="off", silent=True, disable_code=True)
    wandb.setup(settings=wandb.Settings(silent=True))
    with wandb.init(project="p", id="abc", settings=quiet) as run:
        yield run


def _logged(run: Any, folder: Path, text: str, **metadata: float) -> Any:
    import wandb

    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(text, encoding="utf-8")
    (folder / "weights.bin").write_bytes(b"w" * 1000)
    artifact = wandb.Artifact("emotions", "model", metadata=metadata)
    artifact.add_dir(str(folder))
    return run.log_artifact(artifact, aliases=["candidate"]).wait()


def test_versions_of_a_model(wandb_server: Wandb, run: Any, tmp_path: Path) -> None:
    import wandb

    first = _logged(run, tmp_path / "model", "one", macro_f1=0.5)
    second = _logged(run, tmp_path / "model", "two", macro_f1=0.6)
    same = _logged(run, tmp_path / "model", "two", macro_f1=0.6)
    assert [one.version for one in (first, second, same)] == ["v0", "v1", "v1"]
    assert wandb_server.artifacts.content(f"{MODEL}:candidate", "config.json") == b"two"
    # a file that is known is not sent again
    assert len([name for method, name in wandb_server.requests if method == "PUT" and name.startswith("/blobs/")]) == 3

    api = wandb.Api()
    versions = {one.version: (sorted(one.aliases), one.metadata) for one in api.artifacts("model", MODEL)}
    assert versions == {"v0": ([], {"macro_f1": 0.5}), "v1": (["candidate", "latest"], {"macro_f1": 0.6})}
    old = api.artifact(f"{MODEL}:v0")
    old.aliases.append("production")
    old.save()
    assert wandb_server.artifacts[f"{MODEL}:production"].version == 0
    assert api.artifact(f"{MODEL}:production").digest == first.digest == api.artifact(f"{MODEL}:{first.digest}").digest
    assert sorted(api.artifact_collection("model", MODEL).aliases) == ["candidate", "latest", "production"]

    new = api.artifact(f"{MODEL}:v1")
    new.aliases.remove("candidate")
    new.save()
    assert wandb_server.artifacts[f"{MODEL}:v1"].aliases == ["latest"]
    with pytest.raises(wandb.errors.CommError, match="not found"):
        api.artifact(f"{MODEL}:candidate")
    new.delete(delete_aliases=True)
    assert [one.version for one in api.artifacts("model", MODEL)] == ["v0"]


def test_a_model_is_used_and_linked_to_the_registry(wandb_server: Wandb, run: Any, tmp_path: Path) -> None:
    import wandb

    _logged(run, tmp_path / "model", "one")
    used = run.use_artifact("emotions:latest")
    fetched = Path(used.download(root=str(tmp_path / "fetched"), skip_cache=True))
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == {"config.json": b"one", "weights.bin": b"w" * 1000}
    assert wandb_server.run.used == [used.id]
    linked = run.link_artifact(used, "wandb-registry-model/Emotions", aliases=["best"])
    assert linked.qualified_name == "company-org/wandb-registry-model/Emotions:v0"
    found = wandb.Api().artifact("wandb-registry-model/Emotions:best")
    assert found.source_qualified_name == f"{MODEL}:v0"


@pytest.mark.parametrize(
    ("fate", "seen"),
    [
        (REFUSE, 503),
        (UNKNOWN_KEY, 401),
        (FORBID, 403),
        (MISSING, 404),
        (DROP, http.client.RemoteDisconnected),
        (HALF, http.client.IncompleteRead),
        (HANG, TimeoutError),
    ],
)
def test_the_door_fails_as_it_is_told(wandb_server: Wandb, fate: str, seen: object) -> None:
    wandb_server.artifacts.take("9a0364b9e99bb480dd25e1f0284c8555", b"content")
    wandb_server.plan = lambda *_: fate

    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(urlsplit(wandb_server.url).netloc, timeout=0.2 if fate == HANG else 5)
        try:
            connection.request("GET", "/blobs/9a0364b9e99bb480dd25e1f0284c8555")
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    if isinstance(seen, int):
        assert ask() == (seen, b"")
    else:
        with pytest.raises(seen):
            ask()
    wandb_server.calm()
    assert ask() == (200, b"content")
    assert wandb_server.requests == [("GET", "/blobs/9a0364b9e99bb480dd25e1f0284c8555")] * 2
