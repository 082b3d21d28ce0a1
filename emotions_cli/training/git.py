"""The commit that a run was started from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

SECONDS = 10.0


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit that is checked out in a folder, and whether files under git's care have changed since.

    Files that git does not know don't count: most runs write some.

    Returns:
        ``commit`` (hex digits) and ``dirty``; ``None`` outside a repository, before its first commit, or without git.
    """
    commit = _answer(folder, "rev-parse", "--verify", "HEAD")
    changed = _answer(folder, "status", "--porcelain", "--untracked-files=no")
    return None if not commit or changed is None else {"commit": commit, "dirty": bool(changed)}


def _answer(folder: Path, *command: str) -> str | None:
    # without locks: nobody who works in the repository at the same time is disturbed
    whole = ["git", "--no-optional-locks", *command]
    try:
        result = subprocess.run(whole, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode("utf-8", "replace").strip() if result.returncode == 0 else None
