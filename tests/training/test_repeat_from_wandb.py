"""``train --from-run wandb:…``: a run is repeated by what W&B's server has of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.door import FORBID, HANG, OK
from servers.wandb import Wandb
from typer.testing import Result

from emotions_cli.errors import UsageError
from emotions_cli.wandb_client import WandbRef

Emotions = Callable[..., Result]


@pytest.fixture
def tracked(wandb_server: Wandb, emotions: Emotions, tiny_base: Path, easy_data: Path) -> str:
    """Reference of a finished run, whose folder is ``first``."""
    recipe = ["--max-length", "48", "--precision", "fp32", "--epochs", "2", "--learning-rate", "0.002", "--batch-size", "6"]
    secret = ["--set", "hub.token=hf_verysecret", "--set", "training.fast_file=false"]
    data = ["--data", easy_data, "--base-model", tiny_base]
    result = emotions("train", *data, *recipe, *secret, "-o", "first", "--wandb")
    assert result.exit_code == 0, result.stderr
    return f"wandb:{wandb_server.run.path}"


def _repeat(emotions: Emotions, reference: str, *more: str) -> Result:
    return emotions("train", "--from-run", reference, "-o", "again", "--wandb", "disabled", *more)


def test_a_run_is_repeated_from_wandb(wandb_server: Wandb, emotions: Emotions, tracked: str) -> None:
    assert wandb_server.run.config["settings"]["hub"]["token"] == "**********"
    again = _repeat(emotions, tracked)
    assert again.exit_code == 0, again.stderr
    assert f"the weights are those of {tracked}" in again.stderr
    assert "not the run of" not in again.stderr
    assert Path("first/metrics.jsonl").read_bytes() == Path("again/metrics.jsonl").read_bytes()
    settings = json.loads(Path("again/model/emotions.json").read_text(encoding="utf-8"))["settings"]
    assert settings["hub"]["token"] is None

    wandb_server.run.raw_config["versions"]["value"]["torch"] = "2.5.0"
    wandb_server.run.raw_config["base_model_sha256"]["value"] = "0" * 64
    other = _repeat(emotions, tracked, "--force", "--epochs", "1")
    assert other.exit_code == 0, other.stderr
    assert f"not the run of {tracked}: training.epochs was 2 and is 1" in other.stderr
    assert f"not the run of {tracked}: torch was 2.5.0 and is" in other.stderr
    assert f"not the run of {tracked}: base model was 0000" in other.stderr
    assert f"the weights are not those of {tracked}" in other.stderr


def test_an_unfinished_run_has_no_weights_to_compare(wandb_server: Wandb, emotions: Emotions, tracked: str) -> None:
    wandb_server.run.streams.clear()
    again = _repeat(emotions, tracked)
    assert again.exit_code == 0, again.stderr
    assert f"{tracked} was not finished: its weights can't be compared" in again.stderr


def _error(result: Result, code: int = 1) -> str:
    """The two lines that a command ended with."""
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.count("\n") == 2, result.stderr
    return result.stderr


def test_what_is_no_run_is_refused_in_two_lines(wandb_server: Wandb, emotions: Emotions, tracked: str) -> None:
    error = _error(_repeat(emotions, "wandb:team/emotions/nope"))
    assert f"'wandb:team/emotions/nope' is not in W&B ({wandb_server.url})" in error
    assert "an artifact" in _error(_repeat(emotions, "wandb:team/emotions/model:v3"), 2)
    assert "is not of the form wandb:ENTITY/PROJECT/NAME" in _error(_repeat(emotions, "wandb:emotions"), 2)

    wandb_server.run.raw_config["settings"]["value"]["training"]["unheard"] = 1
    assert f"{tracked}: unknown key 'training.unheard'" in _error(_repeat(emotions, tracked))
    wandb_server.run.raw_config = {"learning_rate": {"value": 0.1}}
    assert f"'{tracked}' is no run of emotions" in _error(_repeat(emotions, tracked))
    assert not Path("again").exists()


@pytest.mark.parametrize(
    ("key", "plan", "says", "hint"),
    [
        ("", OK, "there is no valid key", "wandb login"),
        ("short", OK, "there is no valid key", "wandb login"),
        ("f" * 40, OK, "refuses your key", "wandb login"),
        (None, FORBID, "refuses your key", "wandb login"),
        (None, HANG, "does not answer", "network"),
    ],
    ids=["no key", "no key of that form", "a wrong key", "a key of others", "a server that hangs"],
)
def test_a_server_that_does_not_let_in_is_named(
    wandb_server: Wandb,
    emotions: Emotions,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    key: str | None,
    plan: str,
    says: str,
    hint: str,
) -> None:
    monkeypatch.setattr("emotions_cli.wandb_client.ANSWER_SECONDS", 1)
    # no credentials but those
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if key is not None:
        monkeypatch.setenv("WANDB_API_KEY", key)
    wandb_server.plan = lambda *_: plan
    error = _error(_repeat(emotions, "wandb:team/emotions/abc"))
    assert "'wandb:team/emotions/abc'" in error
    assert wandb_server.url in error
    assert says in error
    assert hint in error


def test_a_reference_is_read() -> None:
    assert WandbRef.parse("wandb:team/emotions/abc") == WandbRef("team", "emotions", "abc")
    ref = WandbRef.parse("wandb:my-team/my.project/a_model:prod")
    assert (ref.entity, ref.project, ref.name, ref.alias) == ("my-team", "my.project", "a_model", "prod")
    assert str(ref) == "wandb:my-team/my.project/a_model:prod"
    assert ref.path == "my-team/my.project/a_model:prod"


@pytest.mark.parametrize(
    "text", ["wandb:", "wandb:a/b", "a/b/c", "wandb:a/b/c/d", "wandb:a/b/c:", "wandb:a//c", "wandb:a/b/c:d:e"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not of the form"):
        WandbRef.parse(text)
