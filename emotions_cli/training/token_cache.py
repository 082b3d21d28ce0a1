"""Token ids of large data sets, kept on the disk: tokenised once, mapped into memory by every process and every later run."""

from __future__ import annotations

import hashlib
import json
import shutil
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotions_cli.encoding import ENCODED_AT_ONCE, Encoder, TokenTable
from emotions_cli.streams.atomic import storage_errors, whole_directory
from emotions_cli.streams.hashing import sha256_of
from emotions_cli.streams.locking import open_locked
from emotions_cli.streams.mapped import MappedFile

# fewer texts are tokenised in a few seconds
CACHED_TEXTS = 100_000

IDS, ENDS, CUT = "ids.bin", "ends.npy", "cut.npy"
# the hashes of the others
HASHES = "sha256.json"


def tokens_of(texts: Sequence[str], encoder: Encoder, name: str, cache: Path | None) -> TokenTable:
    """Tokenise texts, or find that it was done.

    Args:
        texts: The texts.
        encoder: Its tokenizer and limit decide, with ``name``, whether they were tokenised before.
        name: Tells these texts apart from all others, whatever happens to them: a fingerprint.
        cache: Folder of the token ids; ``None`` keeps them in memory.

    Raises:
        StorageError: The cache can't be written.
    """
    if cache is None or len(texts) < CACHED_TEXTS:
        return encoder.table(texts)
    key = hashlib.sha256(f"{name}\0{len(texts)}\0{encoder.description}".encode()).hexdigest()
    folder = cache / "tokens" / key
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    # all processes of a run want them
    with open_locked(folder.with_suffix(".lock"), wait=True):
        if not _is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _write(texts, encoder, folder)
    ids = MappedFile(folder / IDS)
    ends, cut = np.load(folder / ENDS), np.load(folder / CUT)
    return TokenTable(np.frombuffer(ids.buffer, dtype=encoder.table([]).ids.dtype), ends, cut, ids.release)


def _is_whole(folder: Path) -> bool:
    """Say whether the files are there as they were written: wrong tokens would be learnt without a word."""
    try:
        hashes = json.loads((folder / HASHES).read_text(encoding="utf-8"))
        return bool(hashes == {name: sha256_of(folder / name) for name in (IDS, ENDS, CUT)})
    except (OSError, ValueError):
        return False


def _write(texts: Sequence[str], encoder: Encoder, folder: Path) -> None:
    lengths, cut = array("i"), array("i")
    with whole_directory(folder) as part:
        with (part / IDS).open("wb") as file:
            for start in range(0, len(texts), ENCODED_AT_ONCE):
                table = encoder.table(texts[start : start + ENCODED_AT_ONCE])
                file.write(table.ids.tobytes())
                lengths.extend(table.lengths.tolist())
                cut.extend(table.cut.tolist())
        np.save(part / ENDS, np.cumsum(lengths, dtype=np.int64))
        np.save(part / CUT, np.array(cut, dtype=np.int32))
        hashes = {name: sha256_of(part / name) for name in (IDS, ENDS, CUT)}
        (part / HASHES).write_text(json.dumps(hashes), encoding="utf-8")
