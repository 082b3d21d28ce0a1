"""Data larger than memory: a copy on the disk that is read as if it were in memory, made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions_cli.data import DataRequest, Dataset, load_dataset
from emotions_cli.data.load import with_validation
from emotions_cli.data.mapped import LARGE_ROWS, MappedTexts, joined, mapped_texts
from emotions_cli.errors import DataError, StorageError

FEELINGS = ("joy", "anger", "fear")
LOAD = """
import sys
from pathlib import Path
from emotions_cli.data import DataRequest, load_dataset
load_dataset(DataRequest(sys.argv[1], cache=Path("c")))
"""


def write_parquet(path: Path, rows: int = LARGE_ROWS, **columns: Any) -> Path:
    table = {
        "text": [f"row {i} é 😀 " + "very " * (i % 5) for i in range(rows)],
        "label": [FEELINGS[i % 7 % 3] for i in range(rows)],
        "more": list(range(rows)),
    }
    pq.write_table(pa.table({**table, **columns}), path, row_group_size=30_001)
    return path


def load(path: Path, cache: Path | None, **options: Any) -> Dataset:
    return load_dataset(DataRequest(str(path), cache=cache, **options))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(tmp_path_factory.mktemp("large") / "all.parquet")


def test_a_large_file_is_the_same_data_on_the_disk_and_in_memory(large: Path, tmp_path: Path) -> None:
    there, here = load(large, tmp_path), load(large, None)
    texts = there.split("all").texts
    assert isinstance(texts, MappedTexts)
    assert isinstance(here.split("all").texts, list)
    assert there.fingerprint() == here.fingerprint()
    assert texts[31_234] == here.split("all").texts[31_234]
    halves = [with_validation(data, 0.1, 3) for data in (there, here)]
    assert isinstance(halves[0].split("train").texts, MappedTexts)
    assert halves[0].fingerprint() == halves[1].fingerprint()
    assert any("read from a copy on the disk" in note for note in there.notes)


def test_a_label_map_leaves_rows_out_without_reading_them(large: Path, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text('[labels]\nhigh = ["joy"]\nlow = ["fear"]\n', encoding="utf-8")
    there, here = (load(large, cache, label_map=tmp_path / "map.toml") for cache in (tmp_path, None))
    assert isinstance(there.split("all").texts, MappedTexts)
    assert there.fingerprint() == here.fingerprint()
    assert len(there.split("all")) < LARGE_ROWS


def test_lists_of_labels_missing_texts_and_numbers_as_texts(tmp_path: Path) -> None:
    lists = [[name] if i % 2 else ["joy", name] if name != "joy" else [] for i in range(LARGE_ROWS) for name in [FEELINGS[i % 3]]]
    several = write_parquet(tmp_path / "a.parquet", label=lists, text=[None, "b"] * (LARGE_ROWS // 2))
    there, here = load(several, tmp_path / "cache"), load(several, None)
    assert there.fingerprint() == here.fingerprint()
    assert there.split("all").texts[:2] == ["", "b"]
    numbers = write_parquet(tmp_path / "b.parquet", text=np.arange(LARGE_ROWS) / 8)
    assert load(numbers, tmp_path / "cache").fingerprint() == load(numbers, None).fingerprint()


def test_the_copy_is_made_once_for_all_processes(large: Path, tmp_path: Path) -> None:
    started = [subprocess.Popen([sys.executable, "-c", LOAD, str(large)]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]
    (copy,) = Path("c/data").glob("*.arrow")
    before = copy.stat()
    load(large, Path("c"))
    assert copy.stat() == before
    # another content is another copy
    load(write_parquet(tmp_path / "other.parquet", LARGE_ROWS + 1), Path("c"))
    assert len(list(Path("c/data").glob("*.arrow"))) == 2
    assert not list(Path("c/data").glob(".*"))


@pytest.mark.parametrize("damage", ["changed", "cut short", "empty"])
def test_a_damaged_copy_is_made_again(damage: str, large: Path, tmp_path: Path) -> None:
    expected = load(large, tmp_path).fingerprint()
    (copy,) = (tmp_path / "data").glob("*.arrow")
    content = copy.read_bytes()
    middle = len(content) // 2
    changed = {"changed": content[:middle] + b"x" + content[middle + 1 :], "cut short": content[:middle], "empty": b""}
    copy.write_bytes(changed[damage])
    assert load(large, tmp_path).fingerprint() == expected
    assert copy.read_bytes() == content


@pytest.mark.parametrize("rows", [7, LARGE_ROWS])
def test_strings_that_were_written_as_bytes(rows: int, tmp_path: Path) -> None:
    texts = pa.array(["héllo".encode()] * rows, pa.binary())
    labels = pa.array([b"joy", *[b"fear"] * (rows - 1)], pa.binary())
    dataset = load(write_parquet(tmp_path / "a.parquet", rows, text=texts, label=labels), tmp_path / "cache")
    assert dataset.split("all").texts[0] == "héllo"
    assert set(dataset.labels) == {"joy", "fear"}
    broken = write_parquet(tmp_path / "b.parquet", rows, text=pa.array([b"\xff\xfe"] * rows, pa.binary()))
    with pytest.raises(DataError, match="no UTF-8"):
        load(broken, tmp_path / "cache")


def test_shards_are_one_behind_the_other(large: Path, tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / f"shard-{name}.parquet").symlink_to(large)
    both = load_dataset(DataRequest(str(tmp_path / "shard-*.parquet"), cache=tmp_path / "cache"))
    assert isinstance(both.split("all").texts, MappedTexts)
    assert len(both.split("all")) == 2 * LARGE_ROWS
    assert both.split("all").texts[LARGE_ROWS] == both.split("all").texts[0]


def test_a_row_without_a_label_is_named(tmp_path: Path) -> None:
    labels = ["joy"] * (LARGE_ROWS - 1) + [None]
    with pytest.raises(DataError, match=f"row {LARGE_ROWS} has no label"):
        load(write_parquet(tmp_path / "a.parquet", label=labels), tmp_path / "cache")


def test_a_damaged_file_leaves_nothing(large: Path, tmp_path: Path) -> None:
    content = bytearray(large.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 4000] = bytes(4000)
    (tmp_path / "bad.parquet").write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        load(tmp_path / "bad.parquet", tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache" / "data").iterdir()] == [".lock"]


def test_a_cache_that_can_not_be_written_is_named(large: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="file"):
        load(large, tmp_path / "file")


PIECES = [["a", None, "c"], [], ["d"], ["e", "f", "g", "h"]]
WHOLE = [text or "" for piece in PIECES for text in piece]


@given(st.lists(st.integers(0, len(WHOLE) - 1)), st.slices(len(WHOLE)))
def test_mapped_texts_are_a_sequence(rows: list[int], part: slice) -> None:
    texts = MappedTexts([pa.array(piece, pa.string()) for piece in PIECES], [])
    assert list(texts) == WHOLE
    assert texts[part] == WHOLE[part]
    picked = texts.take(np.array(rows, dtype=np.int64))
    expected = [WHOLE[i] for i in rows]
    assert list(picked) == expected
    assert len(picked) == len(rows)
    for i in (*range(-len(rows), len(rows)),):
        assert picked[i] == expected[i]
    with pytest.raises(IndexError):
        picked[len(rows)]
    assert list(joined([picked, ["z"]])) == [*expected, "z"]


def test_pages_that_were_looked_at_are_let_go(large: Path, tmp_path: Path) -> None:
    load(large, tmp_path)
    (copy,) = (tmp_path / "data").glob("*.arrow")
    texts = mapped_texts([copy], "text")
    assert len("".join(texts)) > 3_000_000
    resident = 0
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip("only Linux tells what is resident")
    lines = smaps.read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        if line.endswith(copy.name):
            resident += next(int(later.split()[1]) for later in lines[i:] if later.startswith("Rss:"))
    assert resident < 200
