"""``emotions predict -o … --resume``: whatever ends a run, the next one goes on, to the bytes of a run without an end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import EASY
from typer.testing import Result

Emotions = Callable[..., Result]

SECONDS = 60
ROWS = 30_000
TEXTS = [text for group in EASY.values() for text in group]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


def write_rows(path: Path, rows: int = ROWS) -> Path:
    """Texts that repeat, in 30,000 rows that don't."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write("id,text\r\n")
        stream.writelines(f'{i},"{TEXTS[i * 7 % len(TEXTS)]}, {i % 40}"\r\n' for i in range(rows))
    return path


def command(model: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "emotions_cli", "predict", "--model", str(model), "--text-column", "text", *arguments]


def journal_of(output: str) -> Path:
    return Path(f".{output}.part.json")


def rows_done(output: str) -> int:
    """Return the rows that an unfinished output holds by its journal, 0 without one."""
    with suppress(FileNotFoundError, ValueError):
        rows: int = json.loads(journal_of(output).read_text(encoding="utf-8"))["rows"]
        return rows
    return 0


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


@contextmanager
def running(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def stopped_behind_first_rows(arguments: list[str], output: str, stop: signal.Signals) -> tuple[int, str, int]:
    """Send a signal as soon as some rows are done; return the exit code, what was said, and the rows done."""
    with running(arguments) as process:
        end = time.monotonic() + SECONDS
        while rows_done(output) == 0:
            assert not ends_within(process, 0.002), process.stderr and process.stderr.read()
            assert time.monotonic() < end
        process.send_signal(stop)
        _, said = process.communicate(timeout=SECONDS)
    return process.returncode, said.decode(), rows_done(output)


@posix
@pytest.mark.parametrize(("output", "kills"), [("out.csv", 20), ("out.jsonl.gz", 3), ("out.parquet", 3)])
def test_killed_at_random_moments_the_bytes_are_the_same(trained: Path, output: str, kills: int) -> None:
    write_rows(Path("in.csv"))
    whole = f"whole.{output}"
    subprocess.run(command(trained, "in.csv", "-o", whole), check=True, capture_output=True, timeout=SECONDS)
    expected = Path(whole).read_bytes()
    rng = random.Random(output)
    killed = resumed = finished = 0
    killed_behind: set[int] = set()
    while killed < kills:
        before = rows_done(output)
        # at once, before the first new rows; behind some more rows; or anywhere up to the end
        further = rng.choice([0, 1, 1, 1, 4_096])
        with running(command(trained, "in.csv", "-o", output, "--resume")) as process:
            end = time.monotonic() + SECONDS
            while rows_done(output) < before + further and not ends_within(process, 0.001):
                assert time.monotonic() < end
            ended = ends_within(process, rng.random() * (0.4 if further == 0 else 0.02))
            process.kill()
            process.wait(SECONDS)
        resumed += before > 0
        if ended:
            assert process.returncode == 0, process.stderr and process.stderr.read()
            assert Path(output).read_bytes() == expected
            finished += 1
            Path(output).unlink()
        elif Path(output).exists():
            # killed between the move into place and the end of the process
            assert Path(output).read_bytes() == expected
            killed += 1
            Path(output).unlink()
        else:
            killed += 1
            killed_behind.add(rows_done(output))
    last = subprocess.run(command(trained, "in.csv", "-o", output, "--resume"), check=False, capture_output=True, timeout=SECONDS)
    assert last.returncode == 0, last.stderr
    assert Path(output).read_bytes() == expected
    assert sorted(path.name for path in Path.cwd().iterdir()) == sorted(["in.csv", output, whole])
    assert resumed > 0
    assert killed_behind
    if output.endswith("parquet"):
        assert pq.read_table(output)["id"].to_pylist() == [str(i) for i in range(ROWS)]


@posix
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_advice_and_it_goes_on(trained: Path, stop: signal.Signals, code: int) -> None:
    write_rows(Path("in.csv"), 200_000)
    arguments = command(trained, "in.csv", "-o", "out.csv", "--summary", "--set", "inference.batch_tokens=64")
    exit_code, said, done = stopped_behind_first_rows(arguments, "out.csv", stop)
    assert exit_code == code
    assert done > 0
    lines = [line for line in said.splitlines() if not line.startswith("note:")]
    assert lines == [
        f"Error: Stopped; {done:,} answered rows kept beside 'out.csv'.",
        "  → Go on: the same command and --resume.",
    ]
    assert not Path("out.csv").exists()
    # the rest is as far as it was: the same signal once more, at another place
    exit_code, said, further = stopped_behind_first_rows_of_resumed(arguments, done, stop)
    assert exit_code == code
    assert f"note: going on behind row {done:,}" in said
    assert further > done


def stopped_behind_first_rows_of_resumed(arguments: list[str], done: int, stop: signal.Signals) -> tuple[int, str, int]:
    with running([*arguments, "--resume"]) as process:
        end = time.monotonic() + SECONDS
        while rows_done("out.csv") <= done:
            assert not ends_within(process, 0.002), process.stderr and process.stderr.read()
            assert time.monotonic() < end
        process.send_signal(stop)
        _, said = process.communicate(timeout=SECONDS)
    return process.returncode, said.decode(), rows_done("out.csv")


@posix
def test_ctrl_c_before_anything_is_answered(trained: Path) -> None:
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        command(trained, "-v", "--input-format", "csv"), stdin=read_end, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        os.close(read_end)
        os.write(write_end, b"text\nso happy\n")
        assert process.stdout
        assert process.stdout.readline() == b"text,emotion,score\n"
        assert process.stdout.readline().startswith(b"so happy,joy,")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
        os.close(write_end)
    assert process.returncode == 130
    assert said.decode().strip().endswith("Interrupted.")
    assert b"Traceback" not in said


@pytest.fixture
def unfinished(emotions: Emotions, trained: Path) -> Path:
    """An output of 1,344 rows, left by an error in row 2,001 of its input."""
    lines = [json.dumps({"id": i, "text": TEXTS[i % len(TEXTS)]}) for i in range(2_000)]
    Path("in.jsonl").write_text("\n".join([*lines, "broken", *lines[:50]]) + "\n", encoding="utf-8")
    result = emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv")
    assert result.exit_code == 1
    assert "1,344 answered rows kept beside 'out.csv'" in result.stderr
    assert rows_done("out.csv") == 1_344
    return Path("in.jsonl")


def mend(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace("broken", '{"id": "mended", "text": "afraid"}'), encoding="utf-8")


def test_when_the_input_is_mended_it_goes_on(emotions: Emotions, trained: Path, unfinished: Path) -> None:
    again = emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv", "--resume")
    assert again.exit_code == 1
    assert "going on behind row 1,344" in again.stderr
    mend(unfinished)
    result = emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv", "--resume", "--summary")
    assert result.exit_code == 0
    assert "going on behind row 1,344" in result.stderr
    assert "2,051 texts" in result.stderr, "the summary counts the rows of both runs"
    assert emotions("predict", "--model", trained, "in.jsonl", "-o", "whole.csv").exit_code == 0
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["in.jsonl", "out.csv", "whole.csv"]


def test_or_the_broken_row_is_passed_over(emotions: Emotions, trained: Path, unfinished: Path) -> None:
    options = ["-o", "out.csv", "--on-error", "skip", "--rejects", "bad.txt"]
    assert emotions("predict", "--model", trained, "in.jsonl", *options, "--resume").exit_code == 0
    assert Path("bad.txt").read_bytes() == b"broken\n"
    assert Path("out.csv").read_bytes().count(b"\n") == 2_051


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--top-k", "1"], 'new columns ["emotion", "score"] (now ["emotion", "score", "emotion_1", "score_1"])'),
        (["--prefix", "x_"], 'new columns ["emotion", "score"] (now ["x_emotion", "x_score"])'),
        (["--min-score", "0.5"], "min score 0.0 (now 0.5)"),
        (["--text-column", "id"], 'text column "text" (now "id")'),
        (["--long-text", "window"], 'reading "head, 512 tokens a batch" (now "window, 512 tokens a batch")'),
        (["--format", "jsonl"], 'format "csv" (now "jsonl")'),
        (["--encoding", "cp1252"], 'encoding "utf-8" (now "cp1252")'),
    ],
)
def test_other_options_are_refused_by_name(
    emotions: Emotions, trained: Path, unfinished: Path, options: list[str], difference: str
) -> None:
    mend(unfinished)
    result = emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv", "--resume", *options)
    assert result.exit_code == 2
    assert difference in result.stderr
    assert "without --resume" in result.stderr
    assert rows_done("out.csv") == 1_344, "what was answered is kept"
    assert emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv", "--resume").exit_code == 0


def test_another_model_is_refused(emotions: Emotions, trained: Path, trained_multi: Path, unfinished: Path) -> None:
    result = emotions("predict", "--model", trained_multi, "in.jsonl", "-o", "out.csv", "--resume")
    assert result.exit_code == 2
    assert "was made with model " in result.stderr
    moved = Path("moved")
    shutil.copytree(trained, moved)
    mend(unfinished)
    # the same model at another place is the same
    assert emotions("predict", "--model", moved, "in.jsonl", "-o", "out.csv", "--resume").exit_code == 0


def test_another_precision_is_refused(emotions: Emotions, trained: Path, unfinished: Path) -> None:
    said = emotions("predict", "--model", trained, "so happy", "-v").stderr
    result = emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv", "--resume", "--precision", "fp32")
    if "note: fast" in said:
        assert result.exit_code == 2
        assert 'precision "fast" (now "fp32")' in result.stderr
    else:
        assert result.exit_code == 1


def test_a_changed_input_is_refused(emotions: Emotions, trained: Path, unfinished: Path) -> None:
    mend(unfinished)
    content = unfinished.read_text(encoding="utf-8")
    unfinished.write_text(content.replace('"id": 7,', '"id": 8,'), encoding="utf-8")
    result = emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv", "--resume")
    assert result.exit_code == 1
    assert "'in.jsonl' is not what it was when its first 1,344 rows were answered" in result.stderr
    assert "Start over without --resume" in result.stderr
    unfinished.write_text("\n".join(content.splitlines()[:100]) + "\n", encoding="utf-8")
    assert emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv", "--resume").exit_code == 1
    # behind the rows that were answered it may have grown
    unfinished.write_text(content + '{"id": "new", "text": "so happy"}\n', encoding="utf-8")
    assert emotions("predict", "--model", trained, "in.jsonl", "-o", "out.csv", "--resume").exit_code == 0
    assert Path("out.csv").read_text(encoding="utf-8").splitlines()[-1].startswith("new,so happy,joy,")


def test_nothing_to_resume_starts_over_with_a_note(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, "so happy", "-o", "out.csv", "--resume")
    assert result.exit_code == 0
    assert "'out.csv' starts from the first row: there is nothing unfinished" in result.stderr
    assert Path("out.csv").read_text(encoding="utf-8").splitlines()[0] == "text,emotion,score"


def test_resuming_needs_a_file(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, "so happy", "--resume")
    assert result.exit_code == 2
    assert "--output" in result.stderr


def test_without_resume_the_unfinished_part_is_thrown_away(emotions: Emotions, trained: Path, unfinished: Path) -> None:
    result = emotions("predict", "--model", trained, "so happy", "-o", "out.csv")
    assert result.exit_code == 0
    assert Path("out.csv").read_text(encoding="utf-8").count("\n") == 2
    assert not journal_of("out.csv").exists()


@posix
def test_rejects_of_a_killed_run_are_written_once(trained: Path) -> None:
    rows = ["broken" if i % 5 == 3 else json.dumps({"id": i, "text": TEXTS[i % len(TEXTS)]}) for i in range(20_000)]
    Path("in.jsonl").write_text("\n".join(rows), encoding="utf-8")
    options = ["in.jsonl", "--on-error", "skip", "--set", "inference.batch_tokens=64"]
    whole = [*options, "-o", "whole.jsonl", "--rejects", "whole.txt"]
    subprocess.run(command(trained, *whole), check=True, capture_output=True, timeout=SECONDS)
    arguments = command(trained, *options, "-o", "out.jsonl", "--rejects", "bad.txt")
    code, _, done = stopped_behind_first_rows(arguments, "out.jsonl", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert done > 0
    subprocess.run([*arguments, "--resume"], check=True, capture_output=True, timeout=SECONDS)
    assert Path("bad.txt").read_bytes() == Path("whole.txt").read_bytes() == b"broken\n" * 4_000
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
