"""Where answers go: a file that can be resumed, standard output, or the terminal."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from emotions_cli import __version__
from emotions_cli.answering.columns import AnswerColumns
from emotions_cli.answering.tally import Tally
from emotions_cli.answering.windows import AnsweredWindow, answer_records
from emotions_cli.cli._answer_views import AnswerTable, draw_bars, draw_summary
from emotions_cli.cli._output import say
from emotions_cli.cli._row_progress import RowProgress
from emotions_cli.cli._stopping import Stop, stopped_by
from emotions_cli.errors import EXIT_INTERRUPTED, EXIT_STOPPED, AnsweringStopped, EmotionsError
from emotions_cli.inference import Classifier
from emotions_cli.models.bundle import digest_of
from emotions_cli.streams.atomic import storage_errors
from emotions_cli.streams.encoders import RowEncoder, row_encoder
from emotions_cli.streams.formats import Format, compression_of
from emotions_cli.streams.rejects import RejectsFile
from emotions_cli.streams.resumable import ResumableFile
from emotions_cli.streams.rows import ReadOptions, RowSource


@dataclass
class Rejects:
    """Takes the bytes of rows that can't be read; writes them when there is a file for them."""

    path: Path | None
    file: RejectsFile | None = None
    early: list[bytes] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        """Take a row. Those that come before the file is open wait: only the unfinished output knows what the file holds."""
        if self.file is not None:
            self.file.write(data)
        elif self.path is not None:
            self.early.append(data)

    def open(self, stack: ExitStack, done: int) -> None:
        """Open the file, of which ``done`` bytes were written by the run that is resumed."""
        if self.path is not None:
            self.file = stack.enter_context(RejectsFile.open(self.path, done=done))
            for data in self.early:
                self.file.write(data)

    def flush(self) -> int:
        """Put everything on the disk, and return the file's length."""
        return 0 if self.file is None else self.file.flush()


@dataclass(frozen=True)
class Delivery:
    """What to answer and where to put it.

    Attributes:
        source: The rows.
        classifier: The model.
        column: Where the texts stand.
        columns: The new columns.
        min_score: Answers with a lower score become ``uncertain``.
        file_format: Of the output; ``None`` draws on the terminal.
        output: The file, else standard output.
        resume: Go on with that file.
        rejects: Takes rows that can't be read.
        summary: Draw how often each emotion was answered.
    """

    source: RowSource
    classifier: Classifier
    column: str
    columns: AnswerColumns
    min_score: float
    file_format: Format | None
    output: Path | None
    resume: bool
    rejects: Rejects
    summary: bool

    def windows(self, *, live: bool, done: int = 0, stop: Callable[[], bool] | None = None) -> Generator[AnsweredWindow]:
        """Answer the rows that are left behind ``done`` windows."""
        records = self.source.records
        return answer_records(
            records, self.classifier, self.column, min_score=self.min_score, live=live, windows_done=done, stop=stop
        )

    def encoder(self) -> RowEncoder:
        """Return what turns answered rows into bytes."""
        assert self.file_format is not None
        return row_encoder(self.file_format, self.source.columns, self.columns.names, source=self.source)

    def encoded(self, encoder: RowEncoder, window: AnsweredWindow) -> bytes:
        """Turn a window into bytes."""
        values = map(self.columns.values, window.predictions, window.reasons)
        return encoder.encode(window.records, list(values))


def deliver(job: Delivery, options: ReadOptions) -> None:
    """Answer all rows, put them where they belong, and say what is worth saying.

    Raises:
        AnsweringStopped: A signal came; what was written to a file can be resumed.
        DataError: A row can't be read.
        StorageError: The output can't be written.
    """
    if job.output is not None:
        tally = _to_file(job, job.output, options)
    else:
        tally = Tally()
        with ExitStack() as stack:
            job.rejects.open(stack, 0)
            if job.file_format is None:
                _to_terminal(job, tally)
            elif job.file_format is Format.PARQUET:
                _parquet_to_stdout(job, tally)
            else:
                _to_stdout(job, tally, sys.stdout.buffer)
    say(_notes(job, tally))
    if job.summary:
        draw_summary(tally)


def _to_file(job: Delivery, output: Path, options: ReadOptions) -> Tally:
    parquet = job.file_format is Format.PARQUET
    with ExitStack() as stack:
        out = stack.enter_context(
            ResumableFile.open(
                output,
                request=_request(job, options),
                resume=job.resume,
                parquet=parquet,
                compression=compression_of(output),
            )
        )
        say(out.notes)
        job.rejects.open(stack, out.rejects_bytes)
        with _kept_rows_said(output, out), stopped_by(signal.SIGINT, signal.SIGTERM) as stop:
            encoder, tally = job.encoder(), Tally.from_json(out.state)
            if out.resumed:
                say([f"going on behind row {out.rows:,}"])
            out.drop_done(job.source.records, job.source.name)
            out.write_header(encoder.header())

            def write(window: AnsweredWindow) -> None:
                tally.add(window)
                data = job.encoded(encoder, window)
                out.commit(data, window.records, state=tally.to_json(), rejects_bytes=job.rejects.flush())

            _in_background(job, write, stop, live=False, done=(tally.windows, out.rows))
            if stop.asked():
                code = EXIT_INTERRUPTED if stop.signal == signal.SIGINT else EXIT_STOPPED
                kept = f"{_counted(out.rows, 'answered row')} kept beside '{output}'"
                raise AnsweringStopped(f"Stopped; {kept}.", "Go on: the same command and --resume.", code)
            out.finish()
    return tally


def _to_stdout(job: Delivery, tally: Tally, stream: IO[bytes]) -> None:
    encoder = job.encoder()

    def put(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    def write(window: AnsweredWindow) -> None:
        tally.add(window)
        put(job.encoded(encoder, window))

    put(encoder.header())
    with stopped_by(signal.SIGINT) as stop:
        _in_background(job, write, stop, live=True)
        if stop.asked():
            raise KeyboardInterrupt


def _parquet_to_stdout(job: Delivery, tally: Tally) -> None:
    """Parquet ends with a table of contents: it is made on the disk first."""
    from emotions_cli.streams.arrow import write_parquet

    with ExitStack() as stack:
        with storage_errors(Path(tempfile.gettempdir())):
            chunks = stack.enter_context(tempfile.TemporaryFile())
            _to_stdout(job, tally, chunks)
        write_parquet(chunks, sys.stdout.buffer)


def _to_terminal(job: Delivery, tally: Tally) -> None:
    table = AnswerTable(job.column, job.columns)
    with closing(job.windows(live=True)) as windows:
        for window in windows:
            tally.add(window)
            alone = job.source.name == "arguments" and tally.rows == len(window.records) == 1
            if alone and sys.stdout.isatty():
                draw_bars(window.predictions[0], job.classifier.manifest)
            else:
                table.print(window)


def _in_background(
    job: Delivery, write: Callable[[AnsweredWindow], None], stop: Stop, *, live: bool, done: tuple[int, int] = (0, 0)
) -> None:
    """Write each window in a thread while the next one is computed; ``done`` are windows and rows of an earlier run."""
    before: Future[None] | None = None
    with (
        RowProgress(job.source, rows=done[1], to_stdout=job.output is None) as progress,
        closing(job.windows(live=live, done=done[0], stop=stop.asked)) as windows,
        ThreadPoolExecutor(1, thread_name_prefix="write") as writer,
    ):
        for window in windows:
            if before is not None:
                before.result()
            before = writer.submit(write, window)
            progress.advance(len(window.records))
        if before is not None:
            before.result()


@contextmanager
def _kept_rows_said(output: Path, out: ResumableFile) -> Iterator[None]:
    """Say after an error that what was answered is kept."""
    try:
        yield
    except AnsweringStopped:
        raise
    except EmotionsError:
        if out.rows:
            say([f"{_counted(out.rows, 'answered row')} kept beside '{output}': mend what is wrong and go on with --resume"])
        raise


def _request(job: Delivery, options: ReadOptions) -> dict[str, Any]:
    """Return what decides over the output's bytes, beside the rows, of which the output keeps a digest of its own."""
    manifest = job.classifier.manifest
    return {
        "version": __version__,
        "model": digest_of(manifest.to_json()),
        "precision": job.classifier.precision.value,
        "reading": job.classifier.reading,
        "input columns": list(job.source.columns),
        "text column": job.column,
        "new columns": job.columns.names,
        "min score": job.min_score,
        "format": str(job.file_format),
        "encoding": options.encoding,
    }


def _notes(job: Delivery, tally: Tally) -> Iterator[str]:
    counts = job.source.counts
    if tally.cut:
        length = job.classifier.manifest.max_length
        yield f"{_counted(tally.cut, 'text')} longer than {length} tokens: the end was not read (--long-text window reads it)"
    if tally.empty:
        yield f"{_counted(tally.empty, 'text')} empty: no answer"
    if counts.short:
        yield f"{_counted(counts.short, 'row')} with fewer cells than the header: empty ones were added"
    if counts.long:
        yield f"{_counted(counts.long, 'row')} with more cells than the header: the surplus was joined into the last column"
    if counts.skipped:
        yield f"{_counted(counts.skipped, 'row')} that can't be read: left out"
    if counts.kept:
        yield f"{_counted(counts.kept, 'row')} that can't be read whole: kept"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
