"""The commit that a run was started from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from emotions_cli.training.git import git_state


def _git(*arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *names, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_and_what_changed_since(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    _git("init", "-q")
    assert git_state(tmp_path) is None  # no commit yet
    known = tmp_path / "known.txt"
    known.write_text("one", encoding="utf-8")
    _git("add", "known.txt")
    _git("commit", "-qm", "one")
    clean = {"commit": _git("rev-parse", "HEAD"), "dirty": False}
    assert git_state(tmp_path) == clean
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "metrics.jsonl").write_text("{}", encoding="utf-8")
    assert git_state(tmp_path / "runs") == clean
    known.write_text("two", encoding="utf-8")
    assert git_state(tmp_path) == {**clean, "dirty": True}


def test_without_git_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git("init", "-q")
    _git("commit", "-qm", "one", "--allow-empty")
    assert git_state(tmp_path) is not None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None
