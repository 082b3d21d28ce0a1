"""Token ids of large data: tokenised once, read by every process and later run, and the same as in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import load_split, run_training

from emotions_cli.data import mapped
from emotions_cli.encoding import Encoder, TokenTable
from emotions_cli.models.bundle import Bundle
from emotions_cli.settings import Settings
from emotions_cli.tracking import JsonlTracker
from emotions_cli.training import TrainingJob, token_cache, train
from emotions_cli.training.run_folder import RunFolder
from emotions_cli.training.token_cache import CACHED_TEXTS, tokens_of

TEXTS = [f"so happy, {'very ' * (i % 60)}scared {i}" for i in range(CACHED_TEXTS)]


def _encoder(base: Path, max_length: int = 48) -> Encoder:
    return Encoder.from_folder(base, max_length=max_length)


def test_tokens_from_the_disk_are_those_in_memory(tiny_base: Path, tmp_path: Path) -> None:
    encoder = _encoder(tiny_base)
    made, again = (tokens_of(TEXTS, encoder, "a", tmp_path) for _ in range(2))
    memory = tokens_of(TEXTS, encoder, "a", None)
    assert len(made) == len(TEXTS)
    for table in (made, again):
        assert (table.lengths == memory.lengths).all()
        assert (table.cut == memory.cut).all()
        assert (table.ids == memory.ids).all()
        assert table.ids.dtype == "uint16"
    assert made[-1] == encoder.encode(TEXTS[-1:])[0]
    assert (memory.cut > 0).any()
    (folder,) = (path for path in (tmp_path / "tokens").iterdir() if path.is_dir())
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again.release()
    assert again[7] == memory[7]
    tokens_of(TEXTS, encoder, "a", tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("file", ["ids.bin", "ends.npy", "cut.npy", "sha256.json"])
@pytest.mark.parametrize("damage", ["changed", "cut short", "empty", "gone"])
def test_damaged_tokens_are_made_again(
    file: str, damage: str, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "CACHED_TEXTS", 3)
    encoder = _encoder(tiny_base)
    tokens_of(TEXTS[:9], encoder, "a", tmp_path)
    (path,) = (tmp_path / "tokens").glob(f"*/{file}")
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"changed": content[:-2] + b"\1\1", "cut short": content[:-3], "empty": b""}[damage])
    assert list(tokens_of(TEXTS[:9], encoder, "a", tmp_path)) == encoder.encode(TEXTS[:9])
    assert path.read_bytes() == content


def test_other_texts_and_limits_are_other_tokens(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "CACHED_TEXTS", 3)
    for name, texts, length in (("a", TEXTS[:3], 48), ("b", TEXTS[:3], 48), ("a", TEXTS[50:53], 16), ("a", TEXTS[:3], 48)):
        found = tokens_of(texts, _encoder(tiny_base, length), name, tmp_path)
        assert list(found) == _encoder(tiny_base, length).encode(texts)
    assert len([path for path in (tmp_path / "tokens").iterdir() if path.is_dir()]) == 3
    tokens_of(TEXTS[:2], _encoder(tiny_base), "small", tmp_path)
    assert len([path for path in (tmp_path / "tokens").iterdir() if path.is_dir()]) == 3


def test_a_table_is_a_sequence(tiny_base: Path) -> None:
    tokens = _encoder(tiny_base).encode(["so happy", "", "afraid " * 60])
    table = TokenTable.of(tokens)
    assert list(table) == tokens
    assert table[-1] == tokens[-1]
    assert table[1:] == tokens[1:]
    assert TokenTable.of(tokens, vocabulary=2**16 + 1).ids.dtype == "uint32"
    assert table.lengths.tolist() == [len(text) for text in tokens]
    with pytest.raises(IndexError):
        table[3]


def test_a_run_learns_the_same_from_the_disk(
    tiny_base: Path, easy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    (tmp_path / "data").mkdir()
    for split in ("train", "validation"):
        table = pyarrow.csv.read_csv(easy_data / f"{split}.csv")
        pyarrow.parquet.write_table(table, tmp_path / "data" / f"{split}.parquet")
    recipe = {"epochs": 2, "fast_file": False, "typing_errors": 0.5}
    run_training(load_split(tmp_path / "data"), tiny_base, tmp_path / "memory", **recipe)

    monkeypatch.setattr(mapped, "LARGE_ROWS", 1)
    monkeypatch.setattr(token_cache, "CACHED_TEXTS", 1)
    dataset = load_split(tmp_path / "data", cache=tmp_path / "cache")
    assert isinstance(dataset.split("train").texts, mapped.MappedTexts)
    run = RunFolder(tmp_path / "disk")
    settings = Bundle.open(tmp_path / "memory" / "model").manifest.settings
    job = TrainingJob(
        dataset, Settings(training=settings["training"]), run, JsonlTracker(run.metrics, run.throughput), cache=tmp_path / "cache"
    )
    assert list(train(job))
    files = [Bundle.open(tmp_path / name / "model").manifest.files["model.safetensors"] for name in ("memory", "disk")]
    assert files[0] == files[1]
    assert len(list((tmp_path / "cache" / "tokens").glob("*/ids.bin"))) == 2
