"""Under its name a file or folder is whole or the one that stood there before, even when the disk is full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from emotions_cli.errors import StorageError
from emotions_cli.streams.atomic import storage_errors, whole_directory, whole_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half_a_file(path: Path, error: BaseException) -> None:
    with whole_file(path) as part:
        part.write_text("half", encoding="utf-8")
        raise error


def write_half_a_directory(path: Path, error: BaseException) -> None:
    with whole_directory(path) as part:
        (part / "new.json").write_text("{}", encoding="utf-8")
        raise error


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as part:
        part.write_text("content", encoding="utf-8")
        assert not path.exists()
        assert part.parent == path.parent
    assert path.read_text(encoding="utf-8") == "content"
    assert names(path.parent) == ["a.txt"]


def test_a_file_is_readable_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with whole_file(tmp_path / "whole") as part:
        part.write_bytes(b"")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_on_an_exception_the_old_file_survives(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(error):
        write_half_a_file(path, error())
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_on_an_exception_no_file_appears(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="halfway"):
        write_half_a_file(tmp_path / "a.txt", RuntimeError("halfway"))
    assert names(tmp_path) == []


def test_a_folder_in_the_place_of_a_file_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="can't be written"), whole_file(tmp_path / "a") as part:
        part.write_bytes(b"x")
    assert (tmp_path / "a").is_dir()
    assert names(tmp_path) == ["a"]


def test_a_closed_pipe_is_no_storage_error(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError) as caught, storage_errors(tmp_path):
        raise BrokenPipeError
    assert not isinstance(caught.value, StorageError)


def test_a_directory_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model"
    with whole_directory(path) as part:
        (part / "a.json").write_text("{}", encoding="utf-8")
        assert not path.exists()
    assert names(path) == ["a.json"]
    assert names(path.parent) == ["model"]


def test_a_directory_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model"
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "old.json").write_text("{}", encoding="utf-8")
    with whole_directory(path) as part:
        (part / "new.json").write_text("{}", encoding="utf-8")
        assert names(path) == ["inner"]
    assert names(path) == ["new.json"]
    assert names(tmp_path) == ["model"]


def test_on_an_exception_the_old_directory_survives(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RuntimeError, match="halfway"):
        write_half_a_directory(path, RuntimeError("halfway"))
    assert names(path) == ["old.json"]
    assert names(tmp_path) == ["model"]


def test_a_directory_may_hold_folders(tmp_path: Path) -> None:
    with whole_directory(tmp_path / "model") as part:
        (part / "inner").mkdir()
        (part / "inner" / "a.json").write_text("{}", encoding="utf-8")
    assert names(tmp_path / "model" / "inner") == ["a.json"]


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from emotions_cli.errors import StorageError
from emotions_cli.streams.atomic import whole_directory
from emotions_cli.streams.formats import Format
from emotions_cli.streams.writers import file_writer

kind, path = sys.argv[1], Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    if kind == "directory":
        with whole_directory(path) as part:
            (part / "weights").write_bytes(b"x" * 50_000)
    else:
        with file_writer(path, Format(kind), ["text"]) as writer:
            for i in range(50):
                writer.write([{"text": f"{i} {j} " + hex(hash((i, j))) * 20} for j in range(50)])
except StorageError as error:
    print(json.dumps({"message": error.message, "hint": error.hint}))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def run_on_full_disk(kind: str, path: Path) -> dict[str, str]:
    command = [sys.executable, "-W", "error", "-c", FULL_DISK, kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_on_a_full_disk_the_old_file_survives(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    path.write_text("old", encoding="utf-8")
    answer = run_on_full_disk(kind, path)
    assert str(path) in answer["message"]
    assert "Make room on the disk" in answer["hint"]
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["out"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_on_a_full_disk_the_old_directory_survives(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "weights").write_bytes(b"old")
    answer = run_on_full_disk("directory", path)
    assert "Make room on the disk" in answer["hint"]
    assert (path / "weights").read_bytes() == b"old"
    assert names(tmp_path) == ["model"]
