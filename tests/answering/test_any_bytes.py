"""Whatever bytes come in, every row is answered or an error says what is wrong: no other exception, ever."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from emotions_cli import Classifier, load
from emotions_cli.answering.columns import AnswerColumns
from emotions_cli.answering.windows import answer_records
from emotions_cli.data.columns import TEXT_NAMES, choose_column
from emotions_cli.errors import DataError, EmotionsError
from emotions_cli.streams.arrow import write_parquet
from emotions_cli.streams.encoders import row_encoder
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import read_stream
from emotions_cli.streams.rows import OnError, ReadOptions

INPUTS = 2_000
OUTPUTS = (Format.CSV, Format.JSONL, Format.TSV, Format.PARQUET)
COMMANDS = 30


def _parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": ["so happy", None, ""], "n": [1.5, None, 2.0], "l": [[1], [], None]}), stream)
    return stream.getvalue()


FRAGMENTS = [
    b"text,label\n", b"text;n\n", b"text\tn\n", b'"text"\n', b"id,review,stars\r\n", b"text\n", b"\n", b"\r\n", b"\r", b",", b";",
    b"\t", b'"', b'""', b"'", b"|", b"\0", b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\x28", b"\xed\xa0\xbd",
    b"\xf0\x9f\x99\x82", b"\xe2\x80\xa8", b"\x0b", b"\x1a", b"\x1b[31m", b"so happy", b"afraid of the dark", b"a,b", b"null",
    b"nan",
    b'{"text": "so happy"}\n', b'{"text": "', b'{"text": null}\n', b'{"text": [1, {"a": 2}]}\n', b'{"text": 1e999}\n', b"{}\n",
    b'{"emotion": 1}\n', b'{"text": "\\ud83d"}\n', b'{"n": 12345678901234567890, "text": "x"}\n', b"[" * 2_000, b'{"a":' * 1_500,
    b"[1]\n",
    b"{", b"}", b"[]", b'"}\n', b"\\", b"\\u0000", b"-0", b"NaN", b"1.10", b"1" * 5_000, b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd",
    b"PAR1", b"x" * 70_000, b"text,text\n", b",,,\n", b" ", b"a happy smile,1\n", b"emotion,score,text\n",
]  # fmt: skip
WHOLE = [
    gzip.compress(b"text,n\nso happy,1\n", mtime=0),
    zstandard.compress(b'{"text": "so happy"}\n'),
    _parquet(),
    gzip.compress(_parquet(), mtime=0),
    "text,n\nso happy,1\n".encode("utf-16"),
    b"text,n\nso happy,1\nafraid,2\n\"x\",3\n",
    b'{"text": "so happy", "n": 1}\n{"text": "afraid"}\n',
]  # fmt: skip


def random_bytes(rng: random.Random) -> bytes:
    """Fragments joined, whole files damaged, or plain noise."""
    kind = rng.random()
    if kind < 0.6:
        return b"".join(rng.choices(FRAGMENTS, k=rng.randint(0, 14)))
    if kind < 0.9:
        content = bytearray(rng.choice(WHOLE))
        for _ in range(rng.randint(0, 4)):
            at = rng.randrange(len(content) + 1)
            match rng.randrange(3):
                case 0:
                    content[at:at] = rng.choice(FRAGMENTS)
                case 1:
                    del content[at : at + rng.randint(1, 9)]
                case _:
                    content[at : at + 1] = bytes([rng.randrange(256)])
        return bytes(content)
    return rng.randbytes(rng.randint(0, 300))


def options_for(rng: random.Random, on_error: OnError, rejected: list[bytes]) -> ReadOptions:
    return ReadOptions(
        file_format=rng.choice([None, None, None, None, *Format]),
        encoding=rng.choice(["utf-8"] * 6 + ["cp1252", "utf-16", "shift_jis", "utf-7"]),
        delimiter=rng.choice([None, None, None, ";"]),
        header=rng.choice([None, None, False, True]),
        on_error=on_error,
        reject=rejected.append,
    )


def answer(content: bytes, options: ReadOptions, output: Format, classifier: Classifier) -> tuple[int, bytes]:
    """Do what the command does between its arguments and its output; return rows and bytes."""
    with read_stream(io.BytesIO(content), options) as source:
        try:
            column, _ = choose_column(source.columns, source.name, None, TEXT_NAMES, "text")
        except DataError:
            if not source.columns:
                raise
            column = source.columns[0]
        columns = AnswerColumns(classifier.labels.names, True, output, "new_", 2, True, True)
        encoder = row_encoder(output, source.columns, columns.names, source=source)
        written, rows = encoder.header(), 0
        for window in answer_records(source.records, classifier, column, min_score=0.0, live=True):
            assert len(window.records) == len(window.predictions)
            for record, prediction, reason in zip(window.records, window.predictions, window.reasons, strict=True):
                assert prediction.label is not None or reason in {"empty", "missing", "unreadable"}
                assert options.on_error is not OnError.SKIP or record.problem is None
            written += encoder.encode(window.records, list(map(columns.values, window.predictions, window.reasons)))
            rows += len(window.records)
    if output is Format.PARQUET:
        out = io.BytesIO()
        write_parquet(io.BytesIO(written), out)
        assert pq.ParquetFile(io.BytesIO(out.getvalue())).metadata.num_rows == rows
        return rows, out.getvalue()
    written.decode("utf-8")
    return rows, written


@pytest.fixture(scope="module")
def classifier(trained: Path) -> Classifier:
    return load(trained, threads=1)


def test_two_thousand_random_inputs_raise_nothing_unforeseen(classifier: Classifier) -> None:
    rng = random.Random(0)
    outcomes: Counter[str] = Counter()
    for number in range(INPUTS):
        content = random_bytes(rng)
        on_error = list(OnError)[number % 3]
        rejected: list[bytes] = []
        options = options_for(rng, on_error, rejected)
        try:
            rows, _ = answer(content, options, OUTPUTS[number % 4], classifier)
        except EmotionsError as error:
            outcomes["refused" if error.message else "refused without a word"] += 1
        except Exception as error:
            pytest.fail(f"input {number}: {type(error).__name__}: {error}\n{content[:300]!r}\n{options}")
        else:
            outcomes["answered"] += 1
            outcomes["rows"] += rows
            outcomes["rejected"] += len(rejected)
    assert not outcomes["refused without a word"]
    # the test is about something only if there is plenty of each
    assert outcomes["refused"] > 200
    assert outcomes["answered"] > 800
    assert outcomes["rows"] > 1_500
    assert outcomes["rejected"] > 100


def test_parquet_with_texts_that_are_none_is_named() -> None:
    """Some writers put bytes of other encodings into columns of texts."""
    stream = io.BytesIO()
    texts = pa.Array.from_buffers(pa.string(), 1, [None, pa.array([0, 4], pa.int32()).buffers()[1], pa.py_buffer(b"caf\xe9")])
    pq.write_table(pa.table({"text": texts}), stream)
    with read_stream(io.BytesIO(stream.getvalue())) as source, pytest.raises(DataError, match=r"is damaged.*0xe9"):
        list(source.records)


@pytest.mark.parametrize("output", [Format.CSV, Format.TSV, Format.JSONL])
def test_what_is_written_is_read_again_with_as_many_rows(classifier: Classifier, output: Format) -> None:
    rng = random.Random(1)
    compared = 0
    for _ in range(250):
        content = random_bytes(rng)
        options = ReadOptions(on_error=OnError.KEEP, file_format=rng.choice([Format.CSV, Format.JSONL, Format.TEXT, None]))
        try:
            with read_stream(io.BytesIO(content), options) as source:
                header = source.header or source.delimiter is None
            rows, written = answer(content, options, output, classifier)
        except EmotionsError:
            continue
        kept = source.delimiter if source.format is output else None
        again = ReadOptions(output, header=header, delimiter=kept or {Format.CSV: ",", Format.TSV: "\t"}.get(output))
        if not written:
            assert rows == 0
            continue
        with read_stream(io.BytesIO(written), again) as answers:
            assert sum(1 for _ in answers.records) == rows, (content[:300], written[:300])
        compared += 1
    assert compared > 80


def test_the_command_shows_no_traceback(trained: Path, tmp_path: Path) -> None:
    """The whole command, in one process: its own entry point, once an input."""
    script = """
import io, sys
from pathlib import Path
from emotions_cli.cli.app import app

for path in sorted(Path(sys.argv[2]).iterdir()):
    number = int(path.name)
    options = [[], ["--on-error", "skip"], ["--on-error", "keep", "--reasons"]][number % 3]
    options += [["--format", "jsonl"], [], ["--format", "table"], ["--format", "csv", "--summary"]][number % 4]
    sys.stdin = io.TextIOWrapper(io.BytesIO(path.read_bytes()))
    code = 0
    try:
        app(["predict", "--model", sys.argv[1], *options], prog_name="emotions")
    except SystemExit as exit:
        code = exit.code or 0
    sys.stderr.write(f"\\n#{number}: exit {code}\\n")
"""
    rng = random.Random(2)
    folder = tmp_path / "inputs"
    folder.mkdir()
    for number in range(COMMANDS):
        (folder / f"{number:02}").write_bytes(random_bytes(rng))
    done = subprocess.run(
        [sys.executable, "-c", script, str(trained), str(folder)], capture_output=True, timeout=120, check=False
    )
    said = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, said[-2_000:]
    assert "Traceback" not in said, said
    codes = [line.rpartition(" ")[2] for line in said.splitlines() if line.startswith("#")]
    assert len(codes) == COMMANDS
    assert set(codes) <= {"0", "1", "2"}
    assert codes.count("0") >= 5
