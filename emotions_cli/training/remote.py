"""A run's folder on Google Cloud Storage, kept up to date from a local one while the run goes on.

The run works in its local folder and waits for no upload. A checkpoint is uploaded file by file, its ``checkpoint.json`` last;
the store writes an object whole or not at all. So a checkpoint without that file, or with another hash, is none: what a killed
process leaves behind is never taken for one. What the run has measured is uploaded before each checkpoint that counts on it.

On Vertex AI and other machines where buckets are mounted under ``/gcs``, the mount is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from emotions_cli.errors import BundleCorrupt, StorageError, TrainingError
from emotions_cli.extras import require
from emotions_cli.models.bundle import MANIFEST_FILE
from emotions_cli.models.ref import MODEL_FOLDER
from emotions_cli.streams.atomic import storage_errors
from emotions_cli.training.checkpoints import PREFIX, STATE_FILE, best_step, kept_steps
from emotions_cli.training.run_folder import SWEEP_FILE, RunFolder

SCHEME = "gs://"
BEGUN = "checkpoints/begun"
MOUNTS = Path("/gcs")
# a silent connection is given up, and tried again
CONNECT_SECONDS, READ_SECONDS = 20.0, 60.0
# how long the end of a run that was stopped waits for its last upload
STOP_SECONDS = 25.0
# gcsfs itself tries a request six times, half a minute long
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5

T = TypeVar("T")


def uri_of(place: str, mounts: Path = MOUNTS) -> str | None:
    """Return the URI of a folder on the store, where a place names one, also through a mount; else ``None``."""
    if place.startswith(SCHEME):
        return place
    path = PurePosixPath(place)
    if (
        path.is_relative_to(mounts)
        and len(path.parts) > len(mounts.parts) + 1
        and Path(mounts, path.relative_to(mounts).parts[0]).is_dir()
    ):
        return SCHEME + path.relative_to(mounts).as_posix()
    return None


@dataclass(frozen=True)
class _Upload:
    """A checkpoint on its way, and the folder that holds its files meanwhile."""

    done: Future[None]
    pinned: Path

    def cancel(self) -> None:
        """Leave it out if its turn has not come."""
        if self.done.cancel():
            shutil.rmtree(self.pinned, ignore_errors=True)


@dataclass
class RemoteRun:
    """The folder of a run on the store.

    Attributes:
        uri: ``gs://bucket/path``.
        folder: The local one.
        files: An fsspec file system.
        root: The folder's path in it.
        attempts: How often an upload is tried.
    """

    uri: str
    folder: RunFolder
    files: Any
    root: str
    attempts: int = ATTEMPTS
    _uploads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="upload"))
    _waiting: list[_Upload] = field(default_factory=list)
    _there: set[int] = field(default_factory=set)
    _given_up: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, uri: str, copies: Path, *, mounts: Path = MOUNTS) -> RemoteRun:
        """Connect, and make a local folder.

        Args:
            uri: ``gs://bucket/path``.
            copies: Where local folders are made, each process's own. It is removed when all that is in it is on the store.
            mounts: Where buckets are mounted, if at all.

        Raises:
            DependencyMissing: The ``gcs`` extra is not installed.
            StorageError: There are no credentials.
        """
        uri = uri.rstrip("/")
        bucket, _, path = uri.removeprefix(SCHEME).strip("/").partition("/")
        if not bucket or not path:
            raise TrainingError(f"'{uri}' names no folder in a bucket.", "Write gs://BUCKET/PATH.")
        if (mounts / bucket).is_dir():
            from fsspec.implementations.local import LocalFileSystem

            return cls(uri, _local_folder(uri, copies), LocalFileSystem(auto_mkdir=True), str(mounts / bucket / path))
        require("gcs", "Google Cloud Storage")
        import aiohttp
        import gcsfs

        # what it logs with a traceback, it raises too
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        with _named(uri):
            patience = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
            files = gcsfs.GCSFileSystem(use_listings_cache=False, requests_timeout=patience)
            return cls(uri, _local_folder(uri, copies), files, f"{bucket}/{path}")

    def fetch(self, *, resume: bool) -> None:
        """Make the local folder what is on the store, as far as a run needs it.

        Of the checkpoints the newest whole one and the best are fetched when the run is to go on, else only their names.

        Raises:
            StorageError: The store can't be read.
            TrainingError: Something that is no run stands there.
        """
        with _named(self.uri):
            names = self._list()
            if names and "settings.toml" not in names:
                raise TrainingError(f"'{self.uri}' is not empty, and no run.", "Choose another --output.")
            if BEGUN in names or self._steps(names):
                self.folder.checkpoints.begin()
            wanted = {"settings.toml", "metrics.jsonl", "throughput.jsonl", f"model/{MANIFEST_FILE}"}
            for name in wanted & names:
                self._get(name)
            self._there = set(self._steps(names))
            for step in self._steps(names):
                if not resume:
                    self._get(self._state(step))
                elif self._fetch_checkpoint(step, names):
                    break

    def begin(self, step: int) -> None:
        """Remove the checkpoints behind a step: the run goes on from there, and they are damaged or another run's.

        Args:
            step: 0 when the run begins; then a mark says that it is not finished, whatever bundle is there.

        Raises:
            StorageError: The store can't be written.
        """
        with _named(self.uri):
            if step == 0:
                self._put(self.folder.settings, "settings.toml")
                self._put(self.folder.settings, BEGUN)
            self._remove_all(lambda other: other > step)
            self._there = set(self._steps(self._list()))

    def checkpoint(self, step: int) -> None:
        """Upload a checkpoint in the background, and the best one if it is not there yet.

        Earlier ones whose turn has not come are left out: this one replaces them.
        """
        for upload in self._waiting:
            upload.cancel()
        self._waiting = [upload for upload in self._waiting if not upload.done.cancelled()]
        best = self.folder.checkpoints.best_of(step)
        needed = [other for other in (best, step) if other and (other == step or other not in self._there)]
        # the local ones may be removed, and the files may grow, before the upload's turn comes
        with storage_errors(self.folder.path):
            pinned = Path(tempfile.mkdtemp(prefix=".uploading-", dir=self.folder.path))
            for other in dict.fromkeys(needed):
                _pin(self.folder.checkpoints.at(other), pinned / f"{PREFIX}{other:09}")
            sizes = {path: path.stat().st_size for path in (self.folder.metrics, self.folder.throughput)}
        self._waiting.append(_Upload(self._uploads.submit(self._upload, pinned, sizes), pinned))

    def problems(self) -> Iterator[str]:
        """Yield a sentence about each upload that failed since the last call."""
        done = [upload.done for upload in self._waiting if upload.done.done()]
        self._waiting = [upload for upload in self._waiting if upload.done not in done]
        for upload in done:
            if (error := upload.exception()) is not None:
                yield f"{_sentence(error)} Training goes on; the next checkpoint tries again."

    def wait(self, seconds: float = STOP_SECONDS) -> str | None:
        """Wait until the newest checkpoint is uploaded, but not for ever.

        Returns:
            A sentence about where it is instead, if it could not be.
        """
        waiting, self._waiting = self._waiting, []
        for upload in waiting[-1:]:
            try:
                upload.done.result(seconds)
            except Exception as error:  # also a time-out: what was saved is on the disk
                reason = _sentence(error) if isinstance(error, StorageError) else "The store is too slow."
                return f"{reason} The newest checkpoint is in {self.folder.path} only."
        return None

    def finish(self) -> None:
        """Upload the bundle and what was measured, then remove the checkpoints, and the local folder.

        Raises:
            StorageError: It can't be uploaded; the local folder has it.
        """
        for upload in self._waiting:
            upload.cancel()
        wait([upload.done for upload in self._waiting])
        self._waiting = []
        try:
            with _named(self.uri):
                # a half-replaced bundle would look like one that is damaged
                self._remove(f"model/{MANIFEST_FILE}")
                bundle = sorted(self.folder.model.iterdir(), key=lambda path: path.name == MANIFEST_FILE)
                names = {path.relative_to(self.folder.path).as_posix(): path for path in bundle}
                profile = self.folder.path.glob("profile/*")
                for path in (self.folder.settings, self.folder.metrics, self.folder.throughput, *profile):
                    self._put(path, path.relative_to(self.folder.path).as_posix())
                for old in self._list() - names.keys():
                    if old.startswith("model/"):
                        self._remove(old)
                for name, path in names.items():
                    self._put(path, name)
                self._remove(BEGUN)
                self._remove_all(lambda _: True)
        except StorageError as error:
            raise StorageError(error.message, f"The model is in {self.folder.model}. {error.hint}") from error
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def close(self) -> None:
        """Wait a while for what is on its way, then give it up."""
        self.wait()
        self._given_up.set()
        self._uploads.shutdown(wait=False, cancel_futures=True)
        for left in self.folder.path.glob(".uploading-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _upload(self, pinned: Path, sizes: dict[Path, int]) -> None:
        try:
            with _named(self.uri):
                self._put(self.folder.settings, "settings.toml")
                for path, size in sizes.items():
                    self._put_beginning(path, size)
                for folder in sorted(pinned.iterdir()):
                    for file in sorted(folder.iterdir(), key=lambda path: path.name == STATE_FILE):
                        self._put(file, f"checkpoints/{folder.name}/{file.name}")
                whole = self._steps(self._list())
                kept = kept_steps(whole, self._best_of)
                # also what a killed process uploaded by half
                self._remove_all(lambda step: step not in kept)
                self._there = kept & set(whole)
        finally:
            shutil.rmtree(pinned, ignore_errors=True)

    def _put_beginning(self, path: Path, size: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            beginning = Path(folder) / path.name
            with path.open("rb") as stream:
                beginning.write_bytes(stream.read(size))
            self._put(beginning, path.name)

    def _best_of(self, step: int) -> int:
        content: bytes = self._retried(lambda: self.files.cat_file(f"{self.root}/{self._state(step)}"))
        return best_step(content)

    def _fetch_checkpoint(self, step: int, names: set[str]) -> bool:
        """Fetch a checkpoint and its best one; return whether both are whole."""
        for name in names:
            if name.startswith(f"checkpoints/{PREFIX}{step:09}/"):
                self._get(name)
        try:
            best = self.folder.checkpoints.read(step).progress.selection.best_step
        except BundleCorrupt:
            return False
        return best in {0, step} or self._fetch_checkpoint(best, names)

    def _remove_all(self, which: Callable[[int], bool]) -> None:
        """Remove the checkpoints of some steps, whole or not.

        First the files without which they are none any more, the newest before the older ones that it counts on.
        """
        for name in sorted(sorted(self._list(), reverse=True), key=lambda name: not name.endswith(f"/{STATE_FILE}")):
            step = PurePosixPath(name).parent.name.removeprefix(PREFIX)
            if name.startswith(f"checkpoints/{PREFIX}") and step.isdecimal() and which(int(step)):
                self._remove(name)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._retried(lambda: self.files.rm_file(f"{self.root}/{name}"))

    @staticmethod
    def _state(step: int) -> str:
        return f"checkpoints/{PREFIX}{step:09}/{STATE_FILE}"

    def _steps(self, names: set[str]) -> list[int]:
        """Return the steps with a checkpoint that was uploaded to its end, the newest first."""
        paths = (PurePosixPath(name) for name in names)
        found = (path.parent.name.removeprefix(PREFIX) for path in paths if path.match(f"checkpoints/{PREFIX}*/{STATE_FILE}"))
        return sorted((int(step) for step in found if step.isdecimal()), reverse=True)

    def _list(self) -> set[str]:
        found: list[str] = self._retried(lambda: self.files.find(self.root))
        # the console makes objects that stand for empty folders
        files = (path for path in found if not path.endswith("/") and path.rstrip("/") != self.root)
        return {PurePosixPath(path).relative_to(self.root).as_posix() for path in files}

    def _get(self, name: str) -> None:
        place = self.folder.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        self._retried(lambda: self.files.get_file(f"{self.root}/{name}", str(place)))

    def _put(self, path: Path, name: str) -> None:
        self._retried(lambda: self.files.put_file(str(path), f"{self.root}/{name}"))

    def _retried(self, action: Callable[[], T]) -> T:
        """Do something again when the store fails, each time after a longer pause."""
        for attempt in range(1, self.attempts + 1):
            try:
                return action()
            except Exception as error:  # gcsfs lets those of its HTTP layer through
                # where it forbids something it says so in a plain OSError
                final = isinstance(error, FileNotFoundError | PermissionError) or str(error).startswith("Forbidden")
                if final or attempt == self.attempts or self._given_up.wait(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)):
                    raise
        raise AssertionError("unreachable")


def fetch_record(uri: str, place: Path) -> RunFolder:
    """Fetch what a run on the store says of itself: its settings, and the manifest of its bundle if it has one.

    Args:
        uri: ``gs://bucket/path``.
        place: A folder for them.

    Raises:
        DependencyMissing: The ``gcs`` extra is not installed.
        StorageError: The store can't be read.
    """
    remote = RemoteRun.open(uri, place)
    with _named(remote.uri):
        there = remote._list()
        for name in (remote.folder.settings.name, SWEEP_FILE, f"{MODEL_FOLDER}/{MANIFEST_FILE}"):
            if name in there:
                remote._get(name)
    remote.close()
    return remote.folder


def _local_folder(uri: str, copies: Path) -> RunFolder:
    with storage_errors(copies):
        copies.mkdir(parents=True, exist_ok=True)
        name = "-".join(PurePosixPath(uri.removeprefix(SCHEME)).parts)
        return RunFolder(Path(tempfile.mkdtemp(prefix=f"{name}-", dir=copies)), uri)


def _pin(folder: Path, place: Path) -> None:
    """Keep the files of a folder under another name, without copying them where the disk can."""
    place.mkdir()
    for file in folder.iterdir():
        try:
            os.link(file, place / file.name)
        except OSError:
            shutil.copyfile(file, place / file.name)


def _sentence(error: BaseException) -> str:
    return error.message if isinstance(error, StorageError) else f"{type(error).__name__}: {error}."


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Map what goes wrong with the store to an error that names the place and the next step."""
    try:
        yield
    except (StorageError, TrainingError):
        raise
    except Exception as error:  # gcsfs lets those of its HTTP and credentials layers through
        kind, text = type(error).__name__, (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "Credentials" in kind or "Refresh" in kind or "Anonymous caller" in text:
            hint = "Log in: gcloud auth application-default login."
        elif isinstance(error, FileNotFoundError):
            hint = "Check the bucket's name."
        elif isinstance(error, PermissionError) or text.startswith("Forbidden"):
            hint = "The account needs the role Storage Object User on this bucket."
        else:
            hint = "Check the network, then go on with --resume."
        raise StorageError(f"'{place}' can't be used: {text}", hint) from error
