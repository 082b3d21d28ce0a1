"""Whatever ends a run, the next one goes on where it stopped, and the bytes are those of a run without an end."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from emotions_cli.errors import DataError, StorageError, UsageError
from emotions_cli.streams.encoders import row_encoder
from emotions_cli.streams.formats import Compression, Format, compression_of, writable_format
from emotions_cli.streams.readers import OnError, ReadOptions, Record, open_rows
from emotions_cli.streams.rejects import RejectsFile
from emotions_cli.streams.resumable import InputDigest, ResumableFile

ROWS_AT_ONCE = 10


class Stopped(Exception):
    """Stands for anything that ends a run."""


def answer_file(source_path: Path, target: Path, *, resume: bool = False, stop_after: int | None = None) -> ResumableFile:
    """Answer a file as the command does; ``stop_after`` ends the run after so many chunks."""
    file_format = writable_format(target)
    parquet = file_format is Format.PARQUET
    request = {"input": str(source_path), "model": "m1"}
    with (
        open_rows(source_path) as source,
        ResumableFile.open(target, request=request, resume=resume, parquet=parquet, compression=compression_of(target)) as out,
    ):
        encoder = row_encoder(file_format, source.columns, ["emotion", "score"], source=source)
        out.drop_done(source.records, source.name)
        out.write_header(encoder.header())
        answered = out.state.get("answered", 0)
        for chunk in itertools.count():
            records = list(itertools.islice(source.records, ROWS_AT_ONCE))
            if not records:
                break
            if chunk == stop_after:
                raise Stopped
            answers = [{"emotion": "joy", "score": record.number / 7} for record in records]
            answered += len(records)
            out.commit(encoder.encode(records, answers), records, state={"answered": answered})
        out.finish()
    assert out.state == {"answered": out.rows} or not out.rows
    return out


def write_source(folder: Path, file_format: str, rows: int = 95) -> Path:
    path = folder / f"in.{file_format}"
    texts = [f"text {i}, “quoted” \n {i}" for i in range(rows)]
    if file_format == "parquet":
        pq.write_table(pa.table({"text": texts, "when": pa.array(range(rows), pa.timestamp("ns"))}), path)
    elif file_format == "jsonl":
        path.write_text("".join(f'{{"text": {json.dumps(text)}, "n": 1.10}}\n' for text in texts), encoding="utf-8")
    else:
        comma = "\t" if file_format == "tsv" else ","
        path.write_text(f"text{comma}n\n" + "".join(f'"{text}"{comma}{i}\n' for i, text in enumerate(texts)), encoding="utf-8")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


KINDS = ["csv", "tsv", "jsonl", "parquet", "csv.gz", "csv.zst", "jsonl.gz"]


@pytest.mark.parametrize("stops", [[2], [1], [3, 0, 4], [9], [1, 1, 1, 1]])
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_writes_the_same_bytes(tmp_path: Path, kind: str, stops: list[int]) -> None:
    source = write_source(tmp_path, kind.partition(".")[0])
    folder = tmp_path / "out"
    answer_file(source, folder / f"whole.{kind}")
    target = folder / f"resumed.{kind}"
    for run, stop in enumerate(stops):
        with pytest.raises(Stopped):
            answer_file(source, target, resume=run > 0, stop_after=stop)
        assert not target.exists()
        with (folder / f".resumed.{kind}.part").open("ab") as part:
            part.write(b"half a chunk \xff" * 100)
    out = answer_file(source, target, resume=True)
    assert out.resumed
    assert out.notes == []
    assert target.read_bytes() == (folder / f"whole.{kind}").read_bytes()
    assert names(folder) == [f"resumed.{kind}", f"whole.{kind}"]


def test_the_files_are_what_their_names_say(tmp_path: Path) -> None:
    source = write_source(tmp_path, "csv")
    for kind in ("csv", "csv.gz", "csv.zst"):
        answer_file(source, tmp_path / f"out.{kind}")
    plain = (tmp_path / "out.csv").read_bytes()
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == plain
    with zstandard.open(tmp_path / "out.csv.zst", "rb") as stream:
        assert stream.read() == plain


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_without_rows_gives_a_whole_file(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(b"text\n")
    target = tmp_path / f"out.{kind}"
    answer_file(source, target)
    if kind.startswith("jsonl"):
        with pytest.raises(DataError, match="is empty"), open_rows(target):
            pass
        return
    with open_rows(target) as rows:
        assert rows.columns == ("text", "emotion", "score")
        assert list(rows.records) == []


def test_parquet_under_the_name_of_another_format_is_not_compressed(tmp_path: Path) -> None:
    encoder = row_encoder(Format.PARQUET, ["text"], [])
    target = tmp_path / "out.csv.gz"
    with ResumableFile.open(target, request={}, parquet=True, compression=compression_of(target)) as out:
        out.write_header(encoder.header())
        out.finish()
    assert pq.read_table(target).column_names == ["text"]


def test_a_fresh_run_throws_the_unfinished_one_away(tmp_path: Path) -> None:
    source = write_source(tmp_path, "csv")
    target = tmp_path / "out.csv"
    with pytest.raises(Stopped):
        answer_file(source, target, stop_after=3)
    assert names(tmp_path) == [".out.csv.part", ".out.csv.part.json", "in.csv"]
    out = answer_file(source, target)
    assert not out.resumed
    assert names(tmp_path) == ["in.csv", "out.csv"]


def test_the_file_that_stood_there_stays_until_the_end(tmp_path: Path) -> None:
    source = write_source(tmp_path, "csv")
    target = tmp_path / "out.csv"
    target.write_bytes(b"old")
    with pytest.raises(Stopped):
        answer_file(source, target, stop_after=3)
    assert target.read_bytes() == b"old"
    answer_file(source, target, resume=True)
    assert target.read_bytes().startswith(b"text,n,emotion")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "nothing unfinished"),
        ("garbage", "can't be read"),
        ("not an object", "another version"),
        ("version", "another version"),
        ("type", "can't be read"),
        ("short", "shorter than it should be"),
        ("no part", "shorter than it should be"),
    ],
)
def test_what_cannot_be_resumed_starts_over_with_a_note(tmp_path: Path, damage: str, said: str) -> None:
    source = write_source(tmp_path, "csv")
    answer_file(source, tmp_path / "whole.csv")
    target = tmp_path / "out.csv"
    with pytest.raises(Stopped):
        answer_file(source, target, stop_after=3)
    part, journal = tmp_path / ".out.csv.part", tmp_path / ".out.csv.part.json"
    fields = json.loads(journal.read_text())
    if damage == "missing":
        journal.unlink()
    elif damage == "short":
        os.truncate(part, fields["bytes"] - 1)
    elif damage == "no part":
        part.unlink()
    else:
        contents = {"garbage": "{", "not an object": "[]"}
        changed = {"version": {"version": 99}, "type": {"rows": "many"}}
        journal.write_text(contents.get(damage) or json.dumps({**fields, **changed[damage]}))
    out = answer_file(source, target, resume=True)
    assert [said in note for note in out.notes] == [True]
    assert target.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_request_is_refused_with_what_differs(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with ResumableFile.open(target, request={"model": "m1", "top_k": 0, "x": (1, 2)}) as out:
        out.write_header(b"text\n")
    with pytest.raises(UsageError) as caught:
        ResumableFile.open(target, request={"model": "m2", "top_k": 0, "x": [1, 2], "new": "n" * 100}, resume=True)
    assert 'was made with model "m1" (now "m2"), new nothing (now "nnn' in caught.value.message
    assert "top_k" not in caught.value.message
    assert "without --resume" in caught.value.hint
    with ResumableFile.open(target, request={"model": "m1", "top_k": 0, "x": [1, 2]}, resume=True) as out:
        assert out.resumed


@pytest.mark.parametrize("change", ["row", "fewer"])
def test_another_input_is_refused(tmp_path: Path, change: str) -> None:
    source = write_source(tmp_path, "csv")
    with pytest.raises(Stopped):
        answer_file(source, tmp_path / "out.csv", stop_after=3)
    if change == "row":
        source.write_text(source.read_text(encoding="utf-8").replace("text 7,", "text seven,"), encoding="utf-8")
    else:
        write_source(tmp_path, "csv", rows=20)
    with pytest.raises(DataError, match="is not what it was when its first 30 rows were answered"):
        answer_file(source, tmp_path / "out.csv", resume=True)


def test_the_digest_keeps_neighbours_apart() -> None:
    def digest(*texts: str | None) -> str:
        made = InputDigest()
        for text in texts:
            made.update(Record(1, {"text": "x"}, text))
        return made.hexdigest()

    assert len({digest(), digest("a"), digest("a", "bc"), digest("ab", "c"), digest("\ud83d"), digest(None)}) == 6


def test_two_runs_cannot_write_one_file(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with ResumableFile.open(target, request={}) as out:
        out.write_header(b"text\n")
        with pytest.raises(StorageError, match="being written by another process"):
            ResumableFile.open(target, request={})
        out.finish()
    assert target.read_bytes() == b"text\n"
    with ResumableFile.open(target, request={}) as out:
        out.finish()
    assert target.read_bytes() == b""


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "real" / "out.csv")
    with ResumableFile.open(tmp_path / "link.csv", request={}) as out:
        out.write_header(b"text\n")
        assert names(tmp_path / "real") == [".out.csv.part", ".out.csv.part.json"]
        out.finish()
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real" / "out.csv").read_bytes() == b"text\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "out.csv", tmp_path):
        with pytest.raises(StorageError, match="can't be written"):
            ResumableFile.open(path, request={})


@pytest.mark.skipif(sys.platform == "win32", reason="devices are POSIX")
@pytest.mark.parametrize("parquet", [False, True])
def test_a_device_is_written_directly(parquet: bool) -> None:
    with ResumableFile.open(Path("/dev/null"), request={}, parquet=parquet) as out:
        out.write_header(b"")
        out.commit(b"", [], state={"n": 1})
        out.finish()
    assert not Path("/dev/.null.part").exists()
    with pytest.raises(UsageError, match="nothing to resume"):
        ResumableFile.open(Path("/dev/null"), request={}, resume=True)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with names are POSIX")
@pytest.mark.parametrize("compression", list(Compression))
def test_a_pipe_is_written_directly(tmp_path: Path, compression: Compression) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with ResumableFile.open(pipe, request={}, compression=compression) as out:
        out.write_header(b"text\n")
        out.commit(b"a\n", [Record(1, {"text": "a"}, "a")])
        out.finish()
    packed = os.read(reader, 10_000)
    os.close(reader)
    (tmp_path / "got.csv").write_bytes(packed)
    with open_rows(tmp_path / "got.csv") as source:
        assert list(source.rows) == [{"text": "a"}]
    assert names(tmp_path) == ["got.csv", "pipe"]


def rejected(source: Path, target: Path, rejects_path: Path, *, resume: bool, stop_after: int | None = None) -> None:
    """Answer a file whose bad rows go to a file of their own."""
    with (
        ResumableFile.open(target, request={}, resume=resume) as out,
        RejectsFile.open(rejects_path, done=out.rejects_bytes) as rejects,
        open_rows(source, ReadOptions(on_error=OnError.SKIP, reject=rejects.write)) as rows,
    ):
        encoder = row_encoder(Format.JSONL, rows.columns, [], source=rows)
        out.drop_done(rows.records, rows.name)
        for chunk in itertools.count():
            records = list(itertools.islice(rows.records, ROWS_AT_ONCE))
            if not records:
                break
            if chunk == stop_after:
                rejects.flush()
                raise Stopped
            out.commit(encoder.encode(records, [{}] * len(records)), records, rejects_bytes=rejects.flush())
        rejects.flush()
        out.finish()


@pytest.mark.parametrize("stops", [[1], [0, 2, 1]])
def test_rejects_are_written_once(tmp_path: Path, stops: list[int]) -> None:
    source = tmp_path / "in.jsonl"
    lines = [f"bad {i}" if i % 3 == 1 else f'{{"n": {i}}}' for i in range(100)]
    source.write_text("\n".join(lines), encoding="utf-8")
    for run, stop in enumerate(stops):
        with pytest.raises(Stopped):
            rejected(source, tmp_path / "out.jsonl", tmp_path / "rejects", resume=run > 0, stop_after=stop)
    rejected(source, tmp_path / "out.jsonl", tmp_path / "rejects", resume=True)
    bad = [line for line in lines if line.startswith("bad")]
    assert (tmp_path / "rejects").read_text(encoding="utf-8").splitlines() == bad
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines() == [line for line in lines if line not in bad]


def test_rejects_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't be written"), RejectsFile.open(tmp_path):
        pass


KILLED = """
import itertools, sys
from pathlib import Path
from emotions_cli.streams.resumable import ResumableFile
from emotions_cli.streams.rows import Record

with ResumableFile.open(Path(sys.argv[1]), request={"n": 1}, resume=sys.argv[2] == "resume") as out:
    out.drop_done((Record(i, {}, str(i)) for i in itertools.count(1)), "numbers")
    out.write_header(b"text\\n")
    while out.rows < int(sys.argv[3]):
        i = out.rows + 1
        out.commit(b"%d\\n" % i, [Record(i, {}, str(i))], state={"last": i})
        sys.stdout.write(f"{i}\\n")
        sys.stdout.flush()
    out.finish()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_killed_process_loses_no_chunk(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    command = [sys.executable, "-W", "error", "-c", KILLED, str(target)]
    with subprocess.Popen([*command, "fresh", "1000000000"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 50:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    done = json.loads((tmp_path / ".out.csv.part.json").read_text())
    assert done["rows"] >= 50
    assert done["state"] == {"last": done["rows"]}
    total = done["rows"] + 5
    subprocess.run([*command, "resume", str(total)], check=True, stdout=subprocess.DEVNULL)
    assert target.read_bytes() == b"text\n" + b"".join(b"%d\n" % i for i in range(1, total + 1))
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_a_full_disk_is_a_storage_error_and_loses_nothing(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from emotions_cli.errors import StorageError
from emotions_cli.streams.resumable import ResumableFile
from emotions_cli.streams.rows import Record

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    with ResumableFile.open(Path(sys.argv[1]), request={}) as out:
        for i in range(1, 10):
            out.commit(b"x" * 6000, [Record(i, {}, "")])
except StorageError as error:
    sys.stdout.write(error.hint)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    target = tmp_path / "out.csv"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(target)], capture_output=True, text=True, check=True)
    assert "Make room on the disk" in done.stdout
    assert done.stderr == ""
    with ResumableFile.open(target, request={}, resume=True) as out:
        assert out.rows == 3
        out.drop_done(iter([Record(i, {}, "") for i in range(1, 4)]), "x")
        out.finish()
    assert target.read_bytes() == b"x" * 18_000


def test_an_error_before_the_first_row_leaves_nothing(tmp_path: Path) -> None:
    source = write_source(tmp_path, "csv")
    folder = tmp_path / "out"
    with pytest.raises(Stopped):
        answer_file(source, folder / "a.csv", stop_after=0)
    assert names(folder) == []
