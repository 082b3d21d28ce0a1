"""``emotions predict`` as a process among others: slow pipes, readers that leave, terminals, arguments of any bytes."""

from __future__ import annotations

import io
import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq
import pytest

from emotions_cli.models.ref import open_model

SECONDS = 60
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes and terminals")


def command(model: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "emotions_cli", "predict", "--model", str(model), *arguments]


def bash(script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )


def until(stream: IO[bytes], wanted: bytes) -> bytes:
    """Read from a pipe until something is there."""
    read = b""
    end = time.monotonic() + SECONDS
    while wanted not in read:
        ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"after {SECONDS} seconds there is only {read!r}"
        chunk = os.read(stream.fileno(), 65536)
        assert chunk, f"it ended with {read!r}"
        read += chunk
    return read


@posix
@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl"])
def test_a_slow_pipe_gets_its_answers_while_it_is_open(trained: Path, kind: str) -> None:
    first, second = {
        "txt": (b"so happy\n", b"furious\n"),
        "csv": (b"text,n\nso happy,1\n", b"furious,2\n"),
        "jsonl": (b'{"text": "so happy"}\n', b'{"text": "furious"}\n'),
    }[kind]
    with subprocess.Popen(
        command(trained), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(first)
        assert b"so happy" in until(process.stdout, b"joy")
        process.stdin.write(second)
        assert b"furious" in until(process.stdout, b"anger")
        process.stdin.write(b"afraid\n" if kind == "txt" else b"")
        rest, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert (b"fear" in rest) is (kind == "txt")


@posix
@pytest.mark.parametrize("output", ["csv", "jsonl", "parquet", "table"])
def test_a_reader_that_leaves_ends_it_quietly(trained: Path, output: str) -> None:
    Path("in.csv").write_bytes(b"text,n\n" + b"so happy,1\n" * 30_000)
    emotions = " ".join(command(trained, "in.csv", "--text-column", "text", "--format", output))
    done = bash(f"{emotions} | head -c 20")
    assert len(done.stdout) == 20
    assert done.stderr == b""
    assert done.returncode == 0


@posix
@pytest.mark.parametrize("output", ["csv", "parquet"])
def test_a_full_device_is_named(trained: Path, output: str) -> None:
    done = bash(" ".join(command(trained, "'so happy'", "--format", output)) + " > /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith(b"Error: Standard output can't be written: No space left")


@posix
def test_without_any_standard_input_there_is_nothing_to_predict(trained: Path) -> None:
    for dash in ("", "-"):
        done = bash(" ".join(command(trained, dash)) + " <&-")
        assert done.returncode == 2
        assert b"Error: Nothing to predict." in done.stderr
        assert b"Traceback" not in done.stderr
    texts = bash(" ".join(command(trained, "'so happy'")) + " <&-")
    assert texts.returncode == 0
    assert b"so happy\tjoy" in texts.stdout


@posix
@pytest.mark.parametrize("output", ["table", "tsv", "jsonl"])
def test_an_argument_that_is_no_text_is_answered(trained: Path, output: str) -> None:
    done = subprocess.run(
        [*command(trained, "--format", output, "--summary"), b"so happy \xff"], capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"joy" in done.stdout
    assert b"so happy" in done.stdout
    done.stdout.decode("utf-8")


@posix
def test_a_file_whose_name_is_no_text_is_named(trained: Path) -> None:
    missing = subprocess.run([*command(trained), b"\xff.csv"], capture_output=True, timeout=SECONDS, check=False)
    assert missing.returncode == 1
    assert b"csv' is not there" in missing.stderr
    assert b"Traceback" not in missing.stderr
    Path(os.fsdecode(b"\xff.csv")).write_bytes(b"text;n\nso happy;1\n")
    found = subprocess.run([*command(trained), b"\xff.csv"], capture_output=True, timeout=SECONDS, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(b"text;n;emotion;score\nso happy;1;joy;")


@posix
def test_parquet_through_two_pipes(trained: Path) -> None:
    emotions = " ".join(command(trained))
    texts = "".join(f'{{"text": "so happy {i}", "n": {i}}}\n' for i in range(300))
    Path("in.jsonl").write_text(texts, encoding="utf-8")
    done = bash(f"cat in.jsonl | {emotions} --format parquet | {emotions} --prefix second_ --format parquet")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(io.BytesIO(done.stdout))
    assert table.column_names == ["text", "n", "emotion", "score", "second_emotion", "second_score"]
    assert table["n"].to_pylist() == list(range(300))
    assert table["emotion"].to_pylist() == table["second_emotion"].to_pylist()


def in_terminal(arguments: list[str], *, stdin: bytes | None = None) -> tuple[str, int]:
    """Run under a terminal of 100 columns; return what it shows without its colours, and the exit code."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        arguments, stdin=theirs if stdin is None else subprocess.PIPE, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        if process.stdin is not None:
            process.stdin.write(stdin or b"")
            process.stdin.close()
        shown = b""
        end = time.monotonic() + SECONDS
        while True:
            ready, _, _ = select.select([ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"after {SECONDS} seconds there is only {shown!r}"
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not chunk:
                break
            shown += chunk
        os.close(ours)
        process.wait(SECONDS)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode("utf-8")).replace("\r\n", "\n")
    return plain, process.returncode


@posix
def test_a_single_text_on_a_terminal_has_a_bar_for_every_label(trained: Path) -> None:
    shown, code = in_terminal(command(trained, "so happy and glad"))
    assert code == 0
    lines = [line.split() for line in shown.splitlines() if line.strip()]
    assert lines[0] == ["joy", "so", "happy", "and", "glad"]
    assert lines[1][0] == "joy"
    assert {line[0] for line in lines[1:]} == {"joy", "anger", "fear"}
    scores = [float(line[1]) for line in lines[1:]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=0.01)
    assert len(lines[1][2]) > 20
    assert set(lines[1][2]) <= set("▏▎▍▌▋▊▉█")


@posix
def test_a_single_text_of_a_multi_label_model_shows_thresholds(trained_multi: Path) -> None:
    shown, code = in_terminal(command(trained_multi, "so glad and happy, so angry now"))
    assert code == 0
    assert set(shown.splitlines()[0].split("  ")[0].split(" + ")) == {"joy", "anger"}
    thresholds = open_model(trained_multi).manifest.thresholds or ()
    # equal ones say nothing
    assert shown.count("(from ") == (3 if len(set(thresholds)) > 1 else 0)
    assert in_terminal(command(trained_multi, "room four is upstairs"))[0].startswith("none  room four is upstairs")


@posix
def test_an_empty_text_on_a_terminal(trained: Path) -> None:
    shown, code = in_terminal(command(trained, ""))
    assert code == 0
    assert "The text is empty" in shown


@posix
def test_several_texts_on_a_terminal_are_a_table(trained: Path) -> None:
    shown, code = in_terminal(command(trained, "so happy", "furious about the bill", "--reasons", "--summary"))
    assert code == 0
    lines = [line.split() for line in shown.splitlines() if line.strip()]
    assert lines[0] == ["emotion", "score", "reason", "text"]
    assert [lines[2][0], lines[3][0]] == ["joy", "anger"]
    assert lines[3][2:] == ["furious", "about", "the", "bill"]
    assert "2 texts" in shown
    assert shown.count("50.0%") == 2


@posix
def test_a_file_on_a_terminal_is_a_table_with_one_head(trained: Path) -> None:
    Path("in.csv").write_bytes(b"text\n" + b"so happy\n" * 200)
    shown, code = in_terminal(command(trained, "in.csv"))
    assert code == 0
    assert shown.count("emotion") == 1
    assert sum(line.split()[:1] == ["joy"] for line in shown.splitlines()) == 200


@posix
def test_a_terminal_without_texts_is_told_what_to_do(trained: Path) -> None:
    shown, code = in_terminal(command(trained))
    assert code == 2
    assert "Nothing to predict." in shown
    assert "pipe them in" in shown


@posix
def test_parquet_is_no_format_for_a_terminal(trained: Path) -> None:
    shown, code = in_terminal(command(trained, "so happy", "--format", "parquet"))
    assert code == 2
    assert "Parquet is no format for a terminal" in shown


@posix
def test_progress_is_drawn_on_a_terminal_only(trained: Path) -> None:
    Path("in.csv").write_bytes(b"text\n" + b"so happy\n" * 3_000)
    shown, code = in_terminal(command(trained, "in.csv", "-o", "out.csv"))
    assert code == 0
    assert "rows/s" in shown
    # stdout is the terminal as well: no line of progress may mix with data
    assert "rows/s" not in in_terminal(command(trained, "in.csv"))[0]
    shown, code = in_terminal(["bash", "-c", " ".join(command(trained, "in.csv")) + " > out2.csv"])
    assert code == 0
    assert "rows/s" in shown
    assert Path("out2.csv").read_bytes().count(b"\n") == 3_001
    done = subprocess.run(command(trained, "in.csv"), capture_output=True, timeout=SECONDS, check=False)
    assert b"rows/s" not in done.stderr


@posix
def test_settings_come_from_the_environment(trained: Path) -> None:
    environment = {**os.environ, "EMOTIONS_INFERENCE__MODEL": str(trained), "EMOTIONS_INFERENCE__THREADS": "1"}
    arguments = [sys.executable, "-m", "emotions_cli", "predict", "so happy", "--format", "jsonl"]
    done = subprocess.run(arguments, capture_output=True, env=environment, timeout=SECONDS, check=True)
    assert json.loads(done.stdout)["emotion"] == "joy"
